//! What is held of conversations is not shown: `Debug` of it tells shapes and sizes.

use std::collections::HashMap;
use std::fmt::Debug;

use bytes::Bytes;
use godex_core::codex::draft::{Dialect, Draft};
use godex_core::codex::fault::Fault;
use godex_core::codex::fields::Refusals;
use godex_core::codex::outgoing::Settled;
use godex_core::codex::pairs;
use godex_core::codex::refused::{Place, Refused};
use godex_core::identity::Source;
use godex_core::json::{Body, Object, Raw, Writer};
use godex_core::responses::delta::Deltas;
use godex_core::responses::event::{Done, Event};
use godex_core::responses::item;
use godex_core::responses::request;
use godex_core::responses::response::Patches;
use godex_core::sse::{Decoder, Frame};
use godex_core::tap::Tap;
use godex_core::translate::chat_from_responses::{ChatStream, Look};
use serde_json::json;

use crate::client::Call;
use crate::stage::{Stage, asked, play, question, with};

/// Stands wherever a client or a model may write something.
const SECRET: &str = "hunter2";

#[track_caller]
fn check(it: &dyn Debug) {
    for shown in [format!("{it:?}"), format!("{it:#?}")] {
        assert!(!shown.contains(SECRET), "{shown}");
        assert!(shown.len() < 2_000, "{shown}");
    }
}

#[test]
fn a_request_shows_nothing_of_what_it_says() {
    let body = r#"{"SECRET":"SECRET","user":"SECRET","model":"m","instructions":"SECRET","temperature":"SECRET",
        "tools":[{"type":"function","name":"SECRET","description":"SECRET"},{"type":"SECRET"},{"type":"function","name":"SECRET."}],
        "tool_choice":{"type":"function","name":"SECRET"},"reasoning":{"effort":"SECRET","summary":"SECRET","SECRET":"SECRET"},
        "include":["SECRET"],"stop":["SECRET"],"prompt_cache_key":"SECRET","metadata":{"SECRET":"SECRET"},
        "input":[{"role":"system","content":"SECRET"},{"role":"user","content":"SECRET"},"SECRET",
            {"type":"function_call","id":"fc_SECRET","call_id":"SECRET","name":"SECRET","arguments":"SECRET"},
            {"type":"function_call_output","call_id":"SECRET","output":"SECRET"},{"type":"SECRET"},
            {"type":"item_reference","id":"SECRET"}]}"#
        .replace("SECRET", SECRET);
    let parsed = Body::parse(body.as_bytes()).unwrap();
    check(&parsed);
    check(&parsed.some("input").unwrap());
    for element in parsed.some("input").unwrap().list.unwrap().iter() {
        check(&element);
        check(&item::read(element, Place::Root("input"), &mut Vec::new()));
    }
    check(&Raw::parse(&body).unwrap());
    check(&Object::parse(body.as_bytes()).unwrap());
    let mut writer = Writer::new(64);
    writer.string("a", SECRET);
    check(&writer);
    check(&[Source::User(SECRET), Source::CacheKey(SECRET), Source::Remote(SECRET)]);
    for dialect in [Dialect::Standard, Dialect::Codex] {
        let (ask, draft) = request::read(&parsed, dialect, &Refusals::default()).unwrap();
        check(&ask);
        check_draft(&draft);
        let echoed = Patches { echo: ask.echo, cache_key: ask.cache_key, ..Patches::default() };
        check(&Patches { tool_names: ask.tool_names, ..echoed });
    }
    let refused = r#"{"input":[{"role":"SECRET","content":"x"}]}"#.replace("SECRET", SECRET);
    let parsed = Body::parse(refused.as_bytes()).unwrap();
    check(&request::read(&parsed, Dialect::Standard, &Refusals::default()).unwrap_err());
    check(&Refused::new("input", SECRET));
}

fn check_draft(draft: &Draft<'_>) {
    check(draft);
    check(&draft.items);
    check(&draft.fields);
    check(&draft.tools);
    check(&draft.reasoning);
    check(&pairs::repair(draft.items.clone(), &HashMap::new()));
    let settled = Settled {
        model: "m",
        effort: None,
        cache_key: SECRET,
        remembered: Some(SECRET),
        fallback: SECRET,
    };
    check(&settled);
    check(&draft.prepare(settled));
}

#[test]
fn an_answer_shows_nothing_of_what_it_says() {
    let item = r#"{"type":"function_call","id":"SECRET","call_id":"SECRET","name":"SECRET","arguments":"SECRET"}"#;
    let mut tap = Tap::default();
    let mut chat = ChatStream::new(Look { stop: vec![SECRET.to_owned()], ..Look::default() });
    let mut decoder = Decoder::new(1 << 20);
    decoder.push(Bytes::from_static(b"data: hunter2"));
    assert!(decoder.next_frame().unwrap().is_none());
    check(&decoder);
    for (name, data) in [
        ("response.created", r#"{"response":{"instructions":"SECRET"}}"#.to_owned()),
        ("response.output_item.added", format!(r#"{{"output_index":0,"item":{item}}}"#)),
        (
            "response.function_call_arguments.delta",
            r#"{"output_index":0,"item_id":"SECRET","delta":"SECRET"}"#.to_owned(),
        ),
        (
            "response.function_call_arguments.done",
            r#"{"output_index":0,"item_id":"SECRET","arguments":"SECRET"}"#.to_owned(),
        ),
        (
            "response.output_text.delta",
            r#"{"output_index":1,"item_id":"SECRET","delta":"SECRET"}"#.to_owned(),
        ),
        (
            "response.output_text.done",
            r#"{"output_index":1,"item_id":"SECRET","text":"SECRET"}"#.to_owned(),
        ),
        ("response.output_item.done", format!(r#"{{"output_index":0,"item":{item}}}"#)),
        (
            "response.failed",
            r#"{"response":{"output":[],"error":{"code":"invalid_prompt","message":"SECRET"}}}"#
                .to_owned(),
        ),
    ] {
        let frame = Frame::new(name, data.replace("SECRET", SECRET).as_bytes());
        check(&frame);
        let event = Event::of(&frame).unwrap();
        check(&event);
        check(&event.envelope());
        check(&Deltas::default().read(&event));
        check(&Done::of(&event));
        check(&event.item());
        check(&tap.push(&event));
        chat.push(&event, &mut Vec::new());
        check(&chat);
        check(&tap);
    }
    check(chat.look());
    check(&Fault::of_answer(400, None, br#"{"detail":"hunter2"}"#));
    check(&Fault::of_answer(
        429,
        None,
        br#"{"error":{"type":"usage_limit_reached","message":"hunter2"}}"#,
    ));
}

#[test]
fn control_characters_of_a_request_reach_neither_headers_nor_logs() {
    const EVIL: &str = "a\r\nx-evil: 1\u{0}\u{7}\u{1b}[31mred\u{9b}31m\u{2028}b";
    for form in ["auto", "human"] {
        let arguments = ["--log-requests", "--log-level=debug", "--log-format", form];
        play(async move {
            let stage = Stage::on_mock(&arguments).await;
            for call in [
                Call::responses(&with(question("hi"), json!({"user": EVIL}))),
                Call::responses(&with(question("hi"), json!({"user": EVIL, "stream": true}))),
                Call::chat(&with(asked("hi"), json!({"user": EVIL, "prompt_cache_key": EVIL}))),
                Call::responses(&with(question("hi"), json!({"model": EVIL}))),
                Call::chat(&with(asked("hi"), json!({"model": EVIL}))),
                Call::responses(&with(question("hi"), json!({"previous_response_id": EVIL}))),
            ] {
                let reply = stage.proxy.send(call).await;
                assert!(reply.headers.get("x-evil").is_none());
                for (name, value) in &reply.headers {
                    let value = value.to_str().unwrap();
                    assert!(!value.contains("x-evil"), "{name}: {value}");
                }
            }
            assert_eq!(stage.sent().len(), 3);
            for sent in stage.sent() {
                let shown = format!("{:?}", sent.headers);
                assert!(!shown.contains("evil") && !shown.contains("31m"), "{shown}");
            }
            stage.proxy.signal("TERM");
            let said = stage.proxy.said_to_the_end().await;
            assert!(said.iter().filter(|line| line.contains("404")).count() >= 2, "{said:?}");
            let odd = |c: char| c.is_control() || c == '\u{2028}';
            for line in &said {
                assert!(!line.contains(odd) && !line.starts_with("x-evil"), "{form}: {line:?}");
            }
        });
    }
}
