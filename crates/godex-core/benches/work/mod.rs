//! What is measured of the pure half, shared by the times (`core`) and the instruction counts
//! (`instructions`): the steps of a request, on transcripts of three sizes and on one stream.

use std::hint::black_box;

use bytes::Bytes;
use godex_core::codex::draft::{Dialect, Draft};
use godex_core::codex::fields::Refusals;
use godex_core::codex::outgoing::{Outgoing, Settled};
use godex_core::json::Body;
use godex_core::responses::event::{Event, Kind};
use godex_core::responses::{request, response::Patches};
use godex_core::sse::{Decoder, Frame};
use godex_core::tap::Tap;
use godex_core::translate::chat_from_responses::{ChatStream, Look};
use godex_core::translate::completion_from_responses::completion;
use godex_core::translate::responses_from_chat;

/// Pieces of text in the stream.
const DELTAS: usize = 200;
/// Longest frame.
const FRAME_LIMIT: usize = 16 << 20;

/// A step, by name.
pub(crate) struct Work {
    /// What it is called in reports.
    pub(crate) name: &'static str,
    /// How many requests or events one call is for.
    pub(crate) times: usize,
    /// Does it.
    pub(crate) run: fn(&Material),
}

/// Everything that is measured.
pub(crate) const WORKS: &[Work] = &[
    request("request, responses, 1 KB", |it| responses(&it.small.responses)),
    request("request, responses, 62 KB", |it| responses(&it.agent.responses)),
    request("request, responses, 770 KB", |it| responses(&it.huge.responses)),
    request("request, chat, 1 KB", |it| chat(&it.small.chat)),
    request("request, chat, 62 KB", |it| chat(&it.agent.chat)),
    request("request, chat, 770 KB", |it| chat(&it.huge.chat)),
    event("event, split", |it| drop(black_box(frames(&it.stream)))),
    event("event, watch and patch", relay),
    event("event, watch and translate to chat", translate),
    event("event, gather a response", |it| drop(black_box(gather(it)))),
    event("event, gather a completion", |it| drop(black_box(gather_chat(it)))),
];

const fn request(name: &'static str, run: fn(&Material)) -> Work {
    Work { name, times: 1, run }
}

const fn event(name: &'static str, run: fn(&Material)) -> Work {
    Work { name, times: DELTAS, run }
}

/// The bodies and the stream.
pub(crate) struct Material {
    small: Bodies,
    agent: Bodies,
    huge: Bodies,
    stream: Bytes,
    frames: Vec<Frame>,
}

struct Bodies {
    responses: String,
    chat: String,
}

impl Material {
    /// Writes them.
    pub(crate) fn new() -> Self {
        let stream = stream();
        let frames = frames(&stream);
        let (small, agent) = (Bodies::new(2, 300, 0), Bodies::new(80, 530, 20));
        Self { small, agent, huge: Bodies::new(400, 2_350, 20), stream, frames }
    }
}

impl Bodies {
    fn new(turns: usize, length: usize, tools: usize) -> Self {
        let words = r#"fn main() {\n\tlet path = \"src/main.rs\"; // naïve → value\n} "#;
        let text = words.repeat(length / words.len());
        let instructions = words.repeat(if tools > 0 { 120 } else { 4 });
        let turns = |wire: fn(usize, &str) -> String| {
            (0..turns).map(|at| wire(at, &text)).collect::<Vec<_>>().join(",")
        };
        let tools = |open: &str, close: &str| {
            let tool = |at| {
                format!(
                    r#"{{"type":"function",{open}"name":"tool_{at}","description":"{text}","parameters":{{"type":"object","properties":{{"path":{{"type":"string","description":"{words}"}}}},"required":["path"]}}}}{close}"#
                )
            };
            (0..tools).map(tool).collect::<Vec<_>>().join(",")
        };
        Self {
            responses: format!(
                r#"{{"model":"gpt-5.2-codex","instructions":"{instructions}","input":[{}],"tools":[{}],"user":"someone","stream":true}}"#,
                turns(responses_turn),
                tools("", "")
            ),
            chat: format!(
                r#"{{"model":"gpt-5.2-codex","messages":[{{"role":"system","content":"{instructions}"}},{}],"tools":[{}],"user":"someone","stream":true}}"#,
                turns(chat_turn),
                tools(r#""function":{"#, "}")
            ),
        }
    }
}

fn responses_turn(at: usize, text: &str) -> String {
    match at % 4 {
        1 => format!(
            r#"{{"type":"message","role":"assistant","content":[{{"type":"output_text","text":"{text}"}}]}}"#
        ),
        2 => format!(
            r#"{{"type":"function_call","call_id":"call_{at}","name":"tool_1","arguments":"{{\"path\":\"a\"}}"}}"#
        ),
        3 => format!(
            r#"{{"type":"function_call_output","call_id":"call_{}","output":"{text}"}}"#,
            at - 1
        ),
        _ => format!(
            r#"{{"type":"message","role":"user","content":[{{"type":"input_text","text":"{text}"}}]}}"#
        ),
    }
}

fn chat_turn(at: usize, text: &str) -> String {
    match at % 4 {
        1 => format!(r#"{{"role":"assistant","content":"{text}"}}"#),
        2 => format!(
            r#"{{"role":"assistant","content":null,"tool_calls":[{{"id":"call_{at}","type":"function","function":{{"name":"tool_1","arguments":"{{\"path\":\"a\"}}"}}}}]}}"#
        ),
        3 => format!(r#"{{"role":"tool","tool_call_id":"call_{}","content":"{text}"}}"#, at - 1),
        _ => format!(r#"{{"role":"user","content":"{text}"}}"#),
    }
}

/// A recorded answer whose text is longer.
fn stream() -> Bytes {
    let recorded = include_str!("../../../../fixtures/upstream/text.sse");
    let events: Vec<&str> = recorded.split_inclusive("\n\n").collect();
    let is_delta = |it: &&&str| it.starts_with("event: response.output_text.delta\n");
    let delta = events.iter().find(is_delta).unwrap();
    let more = delta.repeat(DELTAS - events.iter().filter(is_delta).count());
    let at = events.iter().position(|it| it == delta).unwrap();
    let (before, after) = events.split_at(at);
    (before.concat() + &more + &after.concat()).into()
}

fn frames(stream: &Bytes) -> Vec<Frame> {
    let mut decoder = Decoder::new(FRAME_LIMIT);
    decoder.push(stream.clone());
    std::iter::from_fn(|| decoder.next_frame().unwrap()).collect()
}

fn prepare(draft: &Draft<'_>) -> Outgoing {
    let fallback = "You are a helpful assistant.";
    let (model, cache_key) = ("gpt-5.2-codex", "0f1e2d3c4b5a69788796a5b4c3d2e1f0");
    draft.prepare(Settled { model, effort: None, cache_key, remembered: None, fallback })
}

fn responses(text: &str) {
    let body = Body::parse(text.as_bytes()).unwrap();
    let (_, draft) = request::read(&body, Dialect::Standard, &Refusals::default()).unwrap();
    black_box(prepare(&draft));
}

fn chat(text: &str) {
    let body = responses_from_chat::parse(text.as_bytes()).unwrap();
    let read = responses_from_chat::read(&body, &Refusals::default(), true);
    black_box(prepare(&read.unwrap().1));
}

fn relay(material: &Material) {
    let (mut tap, patches) = (Tap::default(), Patches::default());
    for frame in &material.frames {
        let Some(event) = Event::of(frame) else { continue };
        tap.push(&event);
        if matches!(event.kind, Kind::Created | Kind::InProgress | Kind::Completed) {
            black_box(patches.event(&event, None));
        } else {
            black_box(frame.verbatim());
        }
    }
}

fn translate(material: &Material) {
    let mut tap = Tap { ignores_output: true, ..Tap::default() };
    let (mut chat, mut out) = (ChatStream::new(Look::default()), Vec::new());
    for frame in &material.frames {
        let Some(event) = Event::of(frame) else { continue };
        tap.push(&event);
        chat.push(&event, &mut out);
        black_box(&out);
        out.clear();
    }
}

fn gather(material: &Material) -> Option<String> {
    let mut tap = Tap::default();
    let mut events = material.frames.iter().filter_map(Event::of).inspect(|it| drop(tap.push(it)));
    let last = events.by_ref().last()?;
    let output = tap.output.json("completed");
    Some(Patches::default().apply(last.text, last.response()?, output.as_deref()))
}

fn gather_chat(material: &Material) -> Option<String> {
    let mut tap = Tap::default();
    let mut events = material.frames.iter().filter_map(Event::of).inspect(|it| drop(tap.push(it)));
    let last = events.by_ref().last()?;
    let items = tap.output.items("completed");
    Some(completion(last.kind, last.response()?, &items, &Look::default()))
}
