//! The Response object as clients of ours see it: the backend's, with the few patches that
//! `docs/wire.md#patches` lists, and nothing else changed.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;

use super::event::Event;
use super::restore;
use crate::codex::names::ToolNames;
use crate::json::{self, Object, Raw, Writer};
use crate::usage::Usage;

/// What the backend leaves out of the object or a client expects back, by name.
const ALWAYS_PRESENT: &[(&str, &str)] = &[
    ("error", "null"),
    ("incomplete_details", "null"),
    ("instructions", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("temperature", "1.0"),
    ("top_p", "1.0"),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("completed_at", "null"),
    ("previous_response_id", "null"),
    ("truncation", "\"disabled\""),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("presence_penalty", "0.0"),
    ("frequency_penalty", "0.0"),
    ("top_logprobs", "0"),
    ("reasoning", "null"),
    ("usage", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("store", "false"),
    ("background", "false"),
    ("service_tier", "\"default\""),
    ("safety_identifier", "null"),
    ("prompt_cache_key", "null"),
];

/// The place of a name in [`ALWAYS_PRESENT`].
fn place_of(name: &str) -> Option<u32> {
    let place = match name {
        "error" => 0,
        "incomplete_details" => 1,
        "instructions" => 2,
        "metadata" => 3,
        "parallel_tool_calls" => 4,
        "temperature" => 5,
        "top_p" => 6,
        "tool_choice" => 7,
        "tools" => 8,
        "completed_at" => 9,
        "previous_response_id" => 10,
        "truncation" => 11,
        "text" => 12,
        "presence_penalty" => 13,
        "frequency_penalty" => 14,
        "top_logprobs" => 15,
        "reasoning" => 16,
        "usage" => 17,
        "max_output_tokens" => 18,
        "max_tool_calls" => 19,
        "store" => 20,
        "background" => 21,
        "service_tier" => 22,
        "safety_identifier" => 23,
        "prompt_cache_key" => 24,
        _ => return None,
    };
    Some(place)
}

/// What this client must see in place of what the backend says.
#[derive(Clone, Default)]
pub struct Patches {
    /// The model as the client named it.
    pub model: String,
    /// Values that Codex refused and the client wants to read back: name and JSON.
    pub echo: Vec<(String, Box<str>)>,
    /// The key the client chose for its prompt cache, instead of the one sent.
    pub cache_key: Option<String>,
    /// Tools that were sent under other names.
    pub tool_names: ToolNames,
}

shape!(Patches, it => "Patches({} values, {:?})", it.echo.len(), it.tool_names);

impl Patches {
    /// The response, which stands somewhere in `text`, with the patches; `output` replaces an
    /// empty one.
    pub fn apply(&self, text: &str, response: &Object<'_>, output: Option<&str>) -> String {
        self.restored(self.patched(text, response, output, usize::MAX))
    }

    /// The same without values longer than `most` bytes; what must be there has its default.
    pub fn apply_to_short(&self, text: &str, response: &Object<'_>, most: usize) -> String {
        self.restored(self.patched(text, response, None, most))
    }

    fn patched(
        &self,
        text: &str,
        response: &Object<'_>,
        output: Option<&str>,
        most: usize,
    ) -> String {
        let size = if most == usize::MAX { text.len() + output.map_or(0, str::len) } else { most };
        let mut splice = Splice::new(text, size + ROOM);
        let (mut there, mut has_object, mut has_output) = (0_u32, false, false);
        for (name, value) in response.iter().filter(|(name, _)| *name != "user") {
            has_object |= name == "object";
            has_output |= name == "output";
            if value.get().len() > most {
                continue;
            }
            there |= place_of(name).map_or(0, |place| 1 << place);
            match self.of(name, value, output) {
                Some(patch) => splice.write(name, &patch),
                None => splice.keep(name, value.get()),
            }
        }
        for (place, (name, default)) in ALWAYS_PRESENT.iter().enumerate() {
            if there & 1 << place == 0 {
                let own = self.echoed(name).filter(|value| value.len() <= most);
                splice.write(name, own.unwrap_or(default));
            }
        }
        if !has_object {
            splice.write("object", "\"response\"");
        }
        if !has_output {
            splice.write("output", output.unwrap_or("[]"));
        }
        if let Some(user) = self.echoed("user") {
            splice.write("user", user);
        }
        splice.finish()
    }

    fn restored(&self, text: String) -> String {
        if self.tool_names.is_empty() {
            return text;
        }
        restore::response(&text, &self.tool_names).unwrap_or(text)
    }

    fn of<'s>(
        &'s self,
        name: &str,
        value: Raw<'_>,
        output: Option<&'s str>,
    ) -> Option<Cow<'s, str>> {
        match name {
            "model" => Some(json::quote(&self.model).into()),
            // The backend's own is the ChatGPT user id: never a client's business.
            "safety_identifier" => Some(self.echoed(name).unwrap_or("null").into()),
            "prompt_cache_key" => {
                Some(self.cache_key.as_deref().map_or("null".into(), |key| json::quote(key).into()))
            }
            "output" => {
                let inside = value.get().strip_prefix('[');
                let empty = inside.is_none_or(|it| it.trim_ascii_start().starts_with(']'));
                output.filter(|_| empty).map(Cow::Borrowed)
            }
            _ => self.echoed(name).map(Cow::Borrowed),
        }
    }

    fn echoed(&self, name: &str) -> Option<&str> {
        self.echo.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_ref())
    }

    /// The text of an event that carries a response, with the patches.
    pub fn event(&self, event: &Event<'_>, output: Option<&str>) -> Option<String> {
        let response = self.apply(event.text, event.response()?, output);
        around(event, &response)
    }

    /// The same for an event of the beginning. The second one carries the response of the first,
    /// which `shown` keeps for it.
    pub fn beginning(&self, event: &Event<'_>, shown: &mut Option<Shown>) -> Option<String> {
        if let Some(again) = shown.as_ref().and_then(|it| it.again(event.text)) {
            return Some(again);
        }
        let response = self.apply(event.text, event.response()?, None);
        let text = around(event, &response);
        let told = event.envelope()?.event.get("response")?.get().to_owned();
        *shown = Some(Shown { told, shown: response });
        text
    }
}

/// A response as the backend told it, and as its client saw it.
pub struct Shown {
    told: String,
    shown: String,
}

shape!(Shown, it => "Shown({} bytes)", it.told.len());

impl Shown {
    /// The text of another event with the same response, as its client sees it; `None` when it
    /// carries another, or more than looks harmless without being read.
    fn again(&self, text: &str) -> Option<String> {
        const NAME: &str = "\"response\":";
        let (before, after) = text.split_once(NAME)?;
        let after = after.strip_prefix(self.told.as_str())?;
        let opened = |part: &str| part.bytes().filter(|it| matches!(it, b'{' | b'[')).count();
        let plain = opened(before) == 1 && opened(after) == 0 && !after.contains(NAME);
        plain.then(|| [before, NAME, &self.shown, after].concat())
    }
}

/// The text of an event that carries a response, with this one in its place.
fn around(event: &Event<'_>, response: &str) -> Option<String> {
    let mut splice = Splice::new(event.text, response.len() + ROOM);
    for (name, value) in event.envelope()?.event.iter() {
        if name == "response" {
            splice.write(name, response);
        } else {
            splice.keep(name, value.get());
        }
    }
    Some(splice.finish())
}

/// How much longer than what it is made of an object may become without being moved.
const ROOM: usize = 1024;

/// Writes an object that is mostly members of another one: those that stay side by side as they
/// are written are copied in one piece.
struct Splice<'t> {
    /// What the other object is written in.
    text: &'t str,
    /// The members of it that are still to be copied.
    kept: Range<usize>,
    out: String,
}

impl<'t> Splice<'t> {
    fn new(text: &'t str, size: usize) -> Self {
        Self { text, kept: 0..0, out: String::with_capacity(size) }
    }

    /// Adds a member of the other object.
    fn keep(&mut self, name: &str, value: &str) {
        let Some(Range { start, end }) = self.member(name, value) else {
            return self.write(name, value);
        };
        if self.kept.is_empty() || self.kept.end + ",".len() != start {
            self.copy();
            self.kept.start = start;
        }
        self.kept.end = end;
    }

    /// Adds another member.
    fn write(&mut self, name: &str, value: &str) {
        self.copy();
        self.begin();
        self.out.push('"');
        self.out.push_str(&json::escape(name));
        self.out.push_str("\":");
        self.out.push_str(value);
    }

    fn finish(mut self) -> String {
        self.copy();
        self.out.push_str(if self.out.is_empty() { "{}" } else { "}" });
        self.out
    }

    fn copy(&mut self) {
        let kept = self.text.get(std::mem::take(&mut self.kept)).unwrap_or_default();
        if !kept.is_empty() {
            self.begin();
            self.out.push_str(kept);
        }
    }

    fn begin(&mut self) {
        self.out.push(if self.out.is_empty() { '{' } else { ',' });
    }

    /// Where the text has this member; `None` when it is not written there like that.
    fn member(&self, name: &str, value: &str) -> Option<Range<usize>> {
        let place = |piece: &str| {
            let at = piece.as_ptr().addr().checked_sub(self.text.as_ptr().addr())?;
            (at + piece.len() <= self.text.len()).then_some(at)
        };
        let (name_at, value_at) = (place(name)?, place(value)?);
        let between = self.text.get(name_at + name.len()..value_at)?;
        (between == "\":").then_some(name_at.checked_sub(1)?..value_at + value.len())
    }
}

/// `usage` as the backend writes it.
#[derive(Deserialize)]
struct Counts {
    input_tokens: Option<u64>,
    input_tokens_details: Option<Details>,
    output_tokens: Option<u64>,
    output_tokens_details: Option<Details>,
    total_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
}

/// The `usage` of a response; `None` when it has none.
pub fn usage(response: &Object<'_>) -> Option<Usage> {
    let counts: Counts = serde_json::from_str(response.some("usage")?.get()).ok()?;
    let input = counts.input_tokens.unwrap_or_default();
    let output = counts.output_tokens.unwrap_or_default();
    let cached = counts.input_tokens_details.and_then(|it| it.cached_tokens);
    let reasoning = counts.output_tokens_details.and_then(|it| it.reasoning_tokens);
    Some(Usage {
        input,
        cached: cached.unwrap_or_default(),
        output,
        reasoning: reasoning.unwrap_or_default(),
        total: counts.total_tokens.unwrap_or_default().max(input + output),
    })
}

/// The response of a stream that broke off, from the last one it showed.
pub fn failed(snapshot: Option<&str>, code: &str, message: &str) -> String {
    let error = format!(r#"{{"code":{},"message":{}}}"#, json::quote(code), json::quote(message));
    let mut writer = Writer::new(1024);
    let object = snapshot.and_then(Object::of_text).unwrap_or_default();
    for (name, value) in object.iter() {
        match name {
            "status" => writer.string(name, "failed"),
            "error" => writer.raw(name, &error),
            _ => writer.raw(name, value.get()),
        }
    }
    for (name, value) in [
        ("status", "\"failed\""),
        ("error", error.as_str()),
        ("output", "[]"),
        ("object", "\"response\""),
    ] {
        if object.get(name).is_none() {
            writer.raw(name, value);
        }
    }
    writer.finish_text()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::responses::event::Kind;

    fn patched(response: &str, output: Option<&str>) -> Value {
        let patches = Patches {
            model: "mine".into(),
            echo: vec![("temperature".into(), "0.5".into()), ("user".into(), "\"ann\"".into())],
            cache_key: None,
            tool_names: ToolNames::default(),
        };
        serde_json::from_str(&patches.apply(response, &Object::of_text(response).unwrap(), output))
            .unwrap()
    }

    #[test]
    fn the_account_is_hidden_and_the_clients_words_come_back() {
        let response = patched(
            r#"{"id":"r","model":"gpt-6","temperature":1.0,"safety_identifier":"user-abc","prompt_cache_key":"sent","output":[]}"#,
            None,
        );
        assert_eq!(response["model"], "mine");
        assert_eq!(response["temperature"], 0.5);
        assert_eq!(response["user"], "ann");
        assert_eq!(response["safety_identifier"], Value::Null);
        assert_eq!(response["prompt_cache_key"], Value::Null);
    }

    #[test]
    fn an_empty_output_is_filled_and_a_full_one_kept() {
        assert_eq!(patched(r#"{"output":[]}"#, Some("[1]"))["output"].to_string(), "[1]");
        assert_eq!(patched(r#"{"output":[2]}"#, Some("[1]"))["output"].to_string(), "[2]");
        assert_eq!(patched("{}", Some("[1]"))["output"].to_string(), "[1]");
    }

    #[test]
    fn members_are_the_same_however_they_are_written() {
        let texts = [
            r#"{"id":"r","model":"m","a":[1,2],"b":{"x":"y"},"user":"u","c":5,"error":null}"#,
            "{ \"id\" : \"r\" , \"a\":[1,2],\n\"b\": 7,\"c\" :5 ,\"d\":6}",
            r#"{"id":"old","a":1,"id":"r","b":2,"\u0063":3,"d":4,"a":5}"#,
            r#"{"é":1,"tools":[],"quo\"te":2,"x":3}"#,
            "{}",
        ];
        for text in texts {
            let event = format!(r#"{{"type":"t","response":{text},"sequence_number":3}}"#);
            let (whole, response) = Object::with_member(&event, "response").unwrap();
            let elsewhere = text.to_owned();
            let (patches, read) =
                (Patches::default(), |it: &str| serde_json::from_str::<Value>(it).unwrap());
            let spliced = read(&patches.apply(&event, &response, None));
            assert_eq!(spliced, read(&patches.apply(&elsewhere, &response, None)), "{text}");
            for (name, value) in
                response.iter().filter(|(name, _)| !matches!(*name, "user" | "model"))
            {
                assert_eq!(spliced[name], read(value.get()), "{text}");
            }
            let told = read(&patches.event(&Event::new(Kind::Created, &event), None).unwrap());
            assert_eq!(told["response"], spliced);
            assert_eq!(told.as_object().unwrap().len(), whole.iter().count());
        }
    }

    #[test]
    fn each_field_that_is_always_present_has_its_place() {
        for (place, (name, _)) in (0..).zip(ALWAYS_PRESENT) {
            assert_eq!(place_of(name), Some(place), "{name}");
        }
        assert!(ALWAYS_PRESENT.len() <= 32);
    }

    #[test]
    fn every_field_that_strict_readers_ask_for_is_there() {
        let response = patched("{}", None);
        for (name, _) in ALWAYS_PRESENT {
            assert!(response.get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn usage_is_read_with_its_details_or_without() {
        let full = Object::of_text(
            r#"{"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":15}}"#,
        );
        let expected = Usage { input: 10, cached: 4, output: 5, reasoning: 2, total: 15 };
        assert_eq!(usage(&full.unwrap()), Some(expected));
        assert_eq!(usage(&Object::of_text(r#"{"usage":null}"#).unwrap()), None);
        let bare =
            usage(&Object::of_text(r#"{"usage":{"input_tokens":1,"output_tokens":2}}"#).unwrap())
                .unwrap();
        assert_eq!(bare.total, 3);
    }

    #[test]
    fn the_second_event_of_the_beginning_is_shown_as_if_it_had_been_read() {
        let patches = Patches { model: "mine".into(), ..Patches::default() };
        let first = r#"{"type":"response.created","response":{"id":"r","model":"m","text":"\"response\":{"},"sequence_number":0}"#;
        let response = r#"{"id":"r","model":"m","text":"\"response\":{"}"#;
        // What follows, and whether it is taken for the same without being read.
        let check = |text: &str, known: bool| {
            let mut shown = None;
            patches.beginning(&Event::new(Kind::Created, first), &mut shown);
            let again = shown.as_ref().unwrap().again(text);
            assert_eq!(again.is_some(), known, "{text}");
            let event = Event::new(Kind::InProgress, text);
            let said = patches.beginning(&event, &mut shown);
            assert_eq!(said, patches.event(&event, None), "{text}");
        };
        let plain = format!(
            r#"{{"type":"response.in_progress","response":{response},"sequence_number":1}}"#
        );
        check(&plain, true);
        check(&plain.replace("\"m\"", "\"n\""), false);
        check(&plain.replace("\"type\"", "\"x\":{\"response\":{}},\"type\""), false);
        check(&plain.replace("\"sequence_number\":1", "\"response\":{\"id\":\"s\"}"), false);
        check(&format!(r#"{{"x":{{"response":{response}}},"response":{{"id":"s"}}}}"#), false);
        check(r#"{"type":"response.in_progress"}"#, false);
    }

    #[test]
    fn a_broken_response_says_failed() {
        let response: Value = serde_json::from_str(&failed(
            Some(r#"{"id":"r","status":"in_progress","error":null}"#),
            "c",
            "m",
        ))
        .unwrap();
        assert_eq!(response["status"], "failed");
        assert_eq!(response["error"]["code"], "c");
        assert_eq!(response["id"], "r");
    }
}
