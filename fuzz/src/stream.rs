//! Any bytes as the backend's answer: whatever it says, clients get well-formed events, every
//! answer ends once, and the last event of a stream says what the answer in one piece says.

use godex_core::codex::draft::Dialect;
use godex_core::responses::event::Event;
use godex_core::responses::response::Patches;
use godex_core::sse::Frame;
use godex_core::tap::End;
use godex_core::translate::chat_from_responses::{Look, ReasoningMode};
use serde_json::Value;

use crate::deep;
use crate::serve::{Client, Streamed, collect, ends_well, relay};
use crate::sse::frames;

/// Checks one answer.
pub fn check(data: &[u8]) {
    let mut dice = deep::dice(data);
    let Ok(frames) = frames(deep::cut(data, 512, &mut dice), 1 << 20) else { return };
    check_frames(&frames, dice);
}

/// Checks one answer that has been split already.
pub(crate) fn check_frames(frames: &[Frame], mut dice: u64) {
    let proper = frames.iter().filter_map(Event::of).all(|it| it.is_whole());
    let dialect = [Dialect::Standard, Dialect::Codex][deep::next(&mut dice) % 2];
    check_responses(frames, dialect, proper, &mut dice);
    let modes = [ReasoningMode::Content, ReasoningMode::Think, ReasoningMode::Off];
    check_chat(frames, modes[deep::next(&mut dice) % 3], &mut dice);
}

fn check_responses(frames: &[Frame], dialect: Dialect, proper: bool, dice: &mut u64) {
    let patches = Patches { model: "gpt-4o".to_owned(), ..Patches::default() };
    let client = Client::Responses(patches, dialect);
    let streamed = relay(frames, &client, || deep::next(dice) % 4 == 0);
    let events = seen(&streamed);
    let whole = collect(frames, &client);
    let (name, last) = events.last().expect("even a broken answer says so");
    for (name, text) in &events {
        assert!(!text.contains(['\n', '\r']), "an event of several lines");
        assert!(!proper || deep::is_json(text), "no JSON: {text}");
        assert!(!name.is_empty() || !proper, "an event without a name: {text}");
    }
    match streamed.end {
        Some(End::Completed | End::Incomplete) => {
            assert!(ends_well(godex_core::responses::event::Kind::of(name)), "ends in {name}");
            let whole = whole.expect("it ended well");
            let whole = std::str::from_utf8(&whole).expect("UTF-8");
            assert!(deep::is_json(whole), "no JSON: {whole}");
            if let (Some(last), Some(whole)) = (deep::value(last), deep::value(whole)) {
                assert_eq!(last["response"], whole, "stream and answer say different things");
            }
        }
        Some(End::Failed(_)) | None => {
            assert_eq!(whole, None, "an answer of a stream that failed");
            assert_eq!(name, "error");
            let told = events.iter().filter(|(name, _)| name == "error").count();
            assert!(told >= 1, "an error that nobody hears of");
        }
    }
}

fn check_chat(frames: &[Frame], reasoning: ReasoningMode, dice: &mut u64) {
    let stop =
        if deep::next(dice) % 4 == 0 { vec!["a".to_owned(), "bc".to_owned()] } else { vec![] };
    let look = Look {
        model: "gpt-4o".to_owned(),
        include_usage: deep::next(dice) % 2 == 0,
        reasoning,
        stop,
        fallback_id: "chatcmpl-0".to_owned(),
        now: 1,
        ..Look::default()
    };
    let include_usage = look.include_usage;
    let client = Client::Chat(look);
    let streamed = relay(frames, &client, || false);
    let mut events = seen(&streamed);
    let (_, done) = events.pop().expect("even a broken answer says so");
    assert_eq!(done, "[DONE]");
    let mut reasons = 0;
    let mut ids = Vec::new();
    for (name, text) in &events {
        assert!(name.is_empty(), "chat has no names of events");
        assert!(deep::is_json(text), "no JSON: {text}");
        let Some(chunk) = deep::value(text) else { continue };
        let choices = chunk["choices"].as_array().map_or(&[][..], Vec::as_slice);
        reasons += choices.iter().filter(|it| !it["finish_reason"].is_null()).count();
        if chunk.get("error").is_none() {
            ids.push((chunk["id"].clone(), chunk["created"].clone()));
            assert_eq!(chunk.get("usage").is_some(), include_usage);
        }
    }
    ids.dedup();
    assert!(ids.len() <= 1, "one answer under several names: {ids:?}");
    let whole = collect(frames, &client);
    match streamed.end {
        Some(End::Completed | End::Incomplete) => {
            assert_eq!(reasons, 1, "an answer ends once");
            let whole = whole.expect("it ended well");
            let whole = std::str::from_utf8(&whole).expect("UTF-8");
            assert!(deep::is_json(whole), "no JSON: {whole}");
            if let Some(whole) = deep::value(whole) {
                assert!(whole["choices"][0]["finish_reason"].is_string());
                assert_eq!(whole["choices"][0]["message"]["role"], "assistant");
            }
        }
        Some(End::Failed(_)) | None => {
            assert_eq!(whole, None, "an answer of a stream that failed");
            let last = events.last().and_then(|(_, text)| deep::value(text)).unwrap_or(Value::Null);
            assert!(reasons == 1 || last.get("error").is_some(), "a failure that nobody hears of");
        }
    }
}

/// The events that a client reads: name and text.
pub(crate) fn seen(streamed: &Streamed) -> Vec<(String, String)> {
    let frames = frames([&streamed.bytes[..]], 1 << 30).expect("no frame is over the limit");
    let text = |it: &Frame| String::from_utf8(it.data().to_vec()).expect("events are UTF-8");
    frames.iter().map(|it| (it.event().to_owned(), text(it))).collect()
}
