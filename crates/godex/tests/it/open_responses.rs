//! The HTTP cases of the Open Responses compliance suite, in our own words. That every answer
//! and event has the form of the specification is seen to by the client; here is what they say.

use serde_json::{Value, json};

use crate::client::Call;
use crate::stage::{Stage, play, streamed, with};

/// One red pixel.
const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

fn message(role: &str, content: impl Into<Value>) -> Value {
    json!({"type": "message", "role": role, "content": content.into()})
}

fn request(input: &Value) -> Value {
    json!({"model": "gpt-5.5", "input": input})
}

/// The answer to a request, whose input reaches the backend as said here.
async fn completed(stage: &Stage<crate::stage::Strict>, input: Value) -> (Value, Value) {
    let response = stage.proxy.responses(&request(&input)).await.fine();
    assert_eq!(response["status"], "completed", "{response}");
    assert!(response["completed_at"].is_u64(), "{response}");
    assert!(!response["output"].as_array().unwrap().is_empty(), "{response}");
    (response, stage.last_body())
}

fn weather() -> Value {
    let input = message("user", "How is the weather in Turin?");
    let parameters =
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let tool = json!({"type": "function", "name": "get_weather", "description": "The weather of a city.", "parameters": parameters});
    with(request(&json!([input])), json!({"tools": [tool], "tool_choice": "required"}))
}

#[test]
fn a_message_is_answered() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let (response, _) = completed(&stage, json!([message("user", "Say hello.")])).await;
        let message = response["output"].as_array().unwrap().last().unwrap();
        assert_eq!((&message["type"], &message["role"]), (&json!("message"), &json!("assistant")));
        assert_eq!(message["content"][0]["type"], "output_text");
        assert!(response["usage"]["total_tokens"].as_u64().unwrap() > 0);
    });
}

#[test]
fn phases_of_earlier_messages_are_kept() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let said =
            |phase: &str, text: &str| with(message("assistant", text), json!({"phase": phase}));
        let input = json!([
            said("commentary", "Looking it up."),
            said("final_answer", "It is seven."),
            message("user", "Say it again."),
        ]);
        let (_, sent) = completed(&stage, input).await;
        let phases: Vec<&Value> =
            sent["input"].as_array().unwrap().iter().map(|it| &it["phase"]).collect();
        assert_eq!(phases, [&json!("commentary"), &json!("final_answer"), &Value::Null]);
    });
}

#[test]
fn phases_of_an_answer_are_kept() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let input = json!([message("user", "Two and two? [[mock: commentary]]")]);
        let (response, _) = completed(&stage, input).await;
        let output = response["output"].as_array().unwrap();
        let phases: Vec<&str> = output.iter().filter_map(|it| it["phase"].as_str()).collect();
        assert_eq!(phases, ["commentary", "final_answer"]);
    });
}

#[test]
fn a_stream_has_its_whole_life_in_order() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let body = streamed(request(&json!([message("user", "Count to five.")])));
        let reply = stage.proxy.responses(&body).await;
        let kinds = reply.kinds();
        let place = |kind: &str| kinds.iter().position(|it| it == kind).unwrap();
        let order = [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ];
        assert!(order.iter().map(|it| place(it)).is_sorted(), "{kinds:?}");
        assert_eq!(place("response.completed"), kinds.len() - 1);
        assert!(reply.last()["response"]["usage"].is_object());
    });
}

#[test]
fn a_system_prompt_becomes_instructions() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let input = json!([message("system", "Talk like a pirate."), message("user", "Hello.")]);
        let (_, sent) = completed(&stage, input).await;
        assert_eq!(sent["instructions"], "Talk like a pirate.");
    });
}

#[test]
fn a_tool_is_called() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let response = stage.proxy.responses(&weather()).await.fine();
        let output = response["output"].as_array().unwrap();
        let call = output.iter().find(|it| it["type"] == "function_call").unwrap();
        assert_eq!(call["name"], "get_weather");
        let arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
        assert!(arguments["city"].is_string());
    });
}

#[test]
fn a_call_is_streamed_from_its_name_to_its_end() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let reply = stage.proxy.responses(&streamed(weather())).await;
        let events: Vec<Value> = reply.events().iter().map(|it| it.json()).collect();
        let of = |kind: &'static str| events.iter().filter(move |it| it["type"] == kind);
        let call = |it: &&Value| it["item"]["type"] == "function_call";
        assert_eq!(of("response.output_item.added").filter(call).count(), 1);
        let done = of("response.function_call_arguments.done").next().unwrap();
        assert_eq!(done["name"], "get_weather");
        let deltas: Vec<&str> = of("response.function_call_arguments.delta")
            .map(|it| it["delta"].as_str().unwrap())
            .collect();
        assert_eq!(json!(deltas.concat()), done["arguments"]);
        let item = &of("response.output_item.done").find(call).unwrap()["item"];
        assert_eq!(item["arguments"], done["arguments"]);
    });
}

#[test]
fn an_image_is_seen() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let image = json!({"type": "input_image", "image_url": PIXEL});
        let text = json!({"type": "input_text", "text": "What is on it?"});
        let (_, sent) = completed(&stage, json!([message("user", json!([text, image]))])).await;
        assert_eq!(sent["input"][0]["content"][1], image);
    });
}

#[test]
fn a_conversation_goes_on() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let input = json!([
            message("user", "My name is Ada."),
            message("assistant", "Hello Ada."),
            message("user", "What is my name?"),
        ]);
        let (_, sent) = completed(&stage, input).await;
        assert_eq!(sent["input"][1]["content"][0]["type"], "output_text");
    });
}

#[test]
fn a_conversation_is_not_made_smaller_here_and_that_is_said_in_the_usual_form() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let body = request(&json!([message("user", "We start on Monday.")]));
        let reply = stage.proxy.send(Call::post("/v1/responses/compact", &body)).await;
        let expected = (404, "invalid_request_error".to_owned(), "unknown_url".to_owned());
        assert_eq!(reply.error(), expected);
    });
}
