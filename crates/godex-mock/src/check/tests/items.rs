//! Rules about the items of `input`.

use super::*;

#[test]
fn roles_are_user_assistant_and_developer() {
    for role in ["user", "assistant", "developer"] {
        accepted(&items(json!([{ "role": role, "content": "text" }])));
    }
    detail(
        &items(json!([{ "role": "system", "content": "text" }])),
        "System messages are not allowed",
    );
    error(
        &items(json!([{ "role": "tool", "content": "text" }])),
        "input[1].role",
        "invalid_value",
        "Invalid value: 'tool'. Supported values are: 'assistant', 'system', 'developer', and 'user'.",
    );
}

#[test]
fn fields_of_chat_messages_are_unknown() {
    for name in ["tool_calls", "tool_call_id", "name", "reasoning_content", "cache_control"] {
        error(
            &items(json!([{ "role": "assistant", "content": "text", name: [] }])),
            &format!("input[1].{name}"),
            "unknown_parameter",
            &format!("Unknown parameter: 'input[1].{name}'."),
        );
    }
}

#[test]
fn the_assistant_says_output_text_or_a_refusal() {
    let say = |part: Value| items(json!([{ "role": "assistant", "content": [part] }]));
    accepted(&say(json!({ "type": "output_text", "text": "t" })));
    accepted(&say(json!({ "type": "refusal", "refusal": "r" })));
    error(
        &say(json!({ "type": "input_text", "text": "t" })),
        "input[1].content[0]",
        "invalid_value",
        "Invalid value: 'input_text'. Supported values are: 'output_text' and 'refusal'.",
    );
}

#[test]
fn users_and_developers_say_text_images_and_files() {
    let say = |role: &str, part: Value| items(json!([{ "role": role, "content": [part] }]));
    for role in ["user", "developer"] {
        accepted(&say(role, json!({ "type": "input_text", "text": "t" })));
        accepted(&say(
            role,
            json!({ "type": "input_image", "image_url": "data:image/png;base64,AA==" }),
        ));
        accepted(&say(
            role,
            json!({ "type": "input_file", "filename": "f", "file_data": "data:," }),
        ));
        error(
            &say(role, json!({ "type": "output_text", "text": "t" })),
            "input[1].content[0]",
            "invalid_value",
            "Invalid value: 'output_text'. Supported values are: 'input_text', 'input_image', and 'input_file'.",
        );
    }
    error(
        &say("user", json!({ "type": "input_image", "image_url": { "url": "http://a/b" } })),
        "input[1].content[0].image_url",
        "invalid_type",
        "Invalid type for 'input[1].content[0].image_url': expected an image URL, but got an object instead.",
    );
    detail(
        &say("user", json!({ "type": "input_text", "text": "t", "prompt_cache_breakpoint": true })),
        "Unsupported parameter: prompt_cache_breakpoint",
    );
    assert_eq!(answer(&items(json!([{ "role": "user", "content": null }]))).0, 400);
}

#[test]
fn a_phase_is_commentary_or_final_answer() {
    let say = |phase: &str| items(json!([{ "role": "assistant", "content": "t", "phase": phase }]));
    accepted(&say("commentary"));
    accepted(&say("final_answer"));
    assert_eq!(answer(&say("draft")).0, 400);
}

fn call(fields: &Value) -> Value {
    let mut call =
        json!({ "type": "function_call", "name": "f", "arguments": "{}", "call_id": "c" });
    call.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    call
}

fn output(fields: &Value) -> Value {
    let mut output = json!({ "type": "function_call_output", "call_id": "c", "output": "o" });
    output.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    output
}

#[test]
fn ids_fit_their_type() {
    let blob = blob::issue("rs_1", ACCOUNT);
    let custom = json!({ "type": "custom_tool_call", "name": "f", "input": "i", "call_id": "c" });
    let custom_output = json!({ "type": "custom_tool_call_output", "call_id": "c", "output": "o" });
    let plain = json!({});
    let with_id = |item: &Value, id: &str| {
        let mut item = item.clone();
        item["id"] = json!(id);
        item
    };
    let message = json!({ "type": "message", "role": "assistant", "content": "t" });
    let reasoning = json!({ "type": "reasoning", "summary": [], "encrypted_content": blob });
    for (item, before, after, prefix) in [
        (&message, None, None, "msg"),
        (&reasoning, None, None, "rs"),
        (&call(&plain), None, Some(output(&plain)), "fc"),
        (&custom, None, Some(custom_output.clone()), "ctc"),
        (&output(&plain), Some(call(&plain)), None, "fco"),
        (&custom_output, Some(custom.clone()), None, "ctco"),
    ] {
        let around = |id: &str| {
            let all =
                before.iter().cloned().chain([with_id(item, id)]).chain(after.iter().cloned());
            items(all.collect())
        };
        let index = if before.is_some() { 2 } else { 1 };
        accepted(&around(&format!("{prefix}_1")));
        error(
            &around("call_1"),
            &format!("input[{index}].id"),
            "invalid_value",
            &format!(
                "Invalid 'input[{index}].id': 'call_1'. Expected an ID that begins with '{prefix}'."
            ),
        );
        assert_eq!(answer(&around(&format!("{prefix}_{}", "1".repeat(64)))).0, 400);
    }
}

#[test]
fn call_ids_have_64_characters_at_most() {
    let long = json!({ "call_id": "c".repeat(65) });
    error(
        &items(json!([call(&long), output(&long)])),
        "input[1].call_id",
        "string_above_max_length",
        "Invalid 'input[1].call_id': string too long. Expected a string with maximum length 64, \
         but got a string with length 65 instead.",
    );
    let longest = json!({ "call_id": "c".repeat(64) });
    accepted(&items(json!([call(&longest), output(&longest)])));
}

#[test]
fn a_call_has_a_name_and_arguments_as_text() {
    let pair = |fields: Value| items(json!([call(&fields), output(&json!({}))]));
    error(
        &pair(json!({ "arguments": {} })),
        "input[1].arguments",
        "invalid_type",
        "Invalid type for 'input[1].arguments': expected a string, but got an object instead.",
    );
    error(
        &pair(json!({ "name": null })),
        "input[1].name",
        "missing_required_parameter",
        "Missing required parameter: 'input[1].name'.",
    );
    assert_eq!(answer(&pair(json!({ "name": "f".repeat(65) }))).0, 400);
}

#[test]
fn outputs_are_text_or_parts_of_text_and_image() {
    let pair = |value: Value| items(json!([call(&json!({})), output(&json!({ "output": value }))]));
    accepted(&pair(json!("text")));
    accepted(&pair(json!([
        { "type": "input_text", "text": "t" },
        { "type": "input_image", "image_url": "https://a/b.png" },
    ])));
    for value in
        [json!({ "a": 1 }), json!(1), json!(null), json!([{ "type": "output_text", "text": "t" }])]
    {
        assert_eq!(answer(&pair(value)).0, 400);
    }
}

#[test]
fn calls_and_outputs_come_in_pairs() {
    let (call, output) = (call(&json!({})), output(&json!({})));
    let missing_output = "No tool output found for function call c.";
    let missing_call = "No tool call found for function call output with call_id c.";
    accepted(&items(json!([call, output])));
    error(&items(json!([call])), "input", "", missing_output);
    error(&items(json!([call, call, output])), "input", "", missing_output);
    error(&items(json!([output])), "input", "", missing_call);
    error(&items(json!([output, call])), "input", "", missing_call);
    error(&items(json!([call, output, output])), "input", "", missing_call);
    let custom = json!({ "type": "custom_tool_call", "name": "f", "input": "i", "call_id": "c" });
    let custom_output = json!({ "type": "custom_tool_call_output", "call_id": "c", "output": "o" });
    accepted(&items(json!([custom, custom_output])));
    error(&items(json!([call, custom_output])), "input", "", missing_output);
    error(&items(json!([custom])), "input", "", "No tool output found for custom tool call c.");
    error(
        &items(json!([custom_output])),
        "input",
        "",
        "No tool call found for custom tool call output with call_id c.",
    );
}

#[test]
fn what_is_not_stored_cannot_be_referred_to() {
    let wording = "Item with id 'rs_x' not found. Items are not persisted when `store` is set to \
                   false. Try again with `store` set to true, or remove this item from your input.";
    for item in [
        json!({ "type": "reasoning", "id": "rs_x", "summary": [] }),
        json!({ "type": "reasoning", "id": "rs_x", "summary": [], "encrypted_content": null }),
        json!({ "type": "item_reference", "id": "rs_x" }),
    ] {
        let (status, body) = answer(&items(json!([item])));
        assert_eq!(status, 404);
        assert_eq!(body["error"]["message"], wording);
    }
}

#[test]
fn reasoning_is_replayed_to_its_own_backend_and_account() {
    let replay = |blob: &str| {
        items(
            json!([{ "type": "reasoning", "id": "rs_1", "summary": [], "content": null, "encrypted_content": blob }]),
        )
    };
    accepted(&replay(&blob::issue("rs_1", ACCOUNT)));
    for blob in ["gAAAAABforeign".to_owned(), blob::issue("rs_1", "another account")] {
        let (status, body) = answer(&replay(&blob));
        assert_eq!((status, &body["error"]["code"]), (400, &json!("invalid_encrypted_content")));
    }
}

#[test]
fn unknown_item_types_pass() {
    accepted(&items(json!([
        { "type": "compaction", "encrypted_content": "anything" },
        { "type": "web_search_call", "id": "ws_1", "status": "completed" },
        { "type": "tool_search_call", "call_id": "c" },
        { "type": "something_new" },
    ])));
}
