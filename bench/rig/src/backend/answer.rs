//! Answers, written once for an order: sending one is a copy with fresh ids and stamps.

use std::time::Duration;

use memchr::memmem;
use tokio::time::Instant;

use crate::body::Wire;
use crate::clock::{self, STAMP};
use crate::order::Order;

/// The digits of an id that each answer replaces.
const ID: &str = "_0000000000000000";
/// Bytes of text in one delta.
const WORD: &str = "word";
/// Bytes of instructions that the backend repeats in its envelopes.
const ECHOED: usize = 2_000;

/// How events are wrapped for the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Framing {
    /// A chunk of HTTP/1 each.
    Chunked,
    /// Bare, for HTTP/2.
    Bare,
}

/// Prepared bytes with holes for what differs between answers.
#[derive(Default)]
pub struct Part {
    bytes: Vec<u8>,
    ids: Vec<usize>,
    stamp: Option<usize>,
}

impl Part {
    fn new(bytes: Vec<u8>) -> Self {
        let ids = memmem::find_iter(&bytes, ID).map(|at| at + 1).collect();
        let stamp = memmem::find(&bytes, STAMP.as_bytes()).map(|at| at + 1);
        Self { bytes, ids, stamp }
    }

    /// Puts the part behind what `out` holds.
    pub fn write(&self, id: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        for at in &self.ids {
            clock::write_digits(out.get_mut(start + at..).unwrap_or_default(), id);
        }
        if let Some(at) = self.stamp {
            let now = clock::now_ns() / 1_000;
            clock::write_digits(out.get_mut(start + at..).unwrap_or_default(), now);
        }
    }
}

/// An answer to an order.
pub struct Answer {
    /// How it comes.
    pub order: Order,
    /// Its events.
    pub events: Vec<Part>,
    /// All of them in one piece.
    pub whole: Part,
    /// Which events are deltas: those that come in their own time.
    pub paced: std::ops::Range<usize>,
}

impl Answer {
    /// Writes the answer to an order.
    pub fn write(wire: Wire, framing: Framing, order: Order) -> Self {
        let (before, deltas, after) = match wire {
            Wire::Responses => responses(order),
            Wire::Chat => chat(order),
        };
        let paced = before.len()..before.len() + deltas.len();
        let mut events: Vec<Vec<u8>> = [before, deltas, after]
            .concat()
            .into_iter()
            .map(|event| match framing {
                Framing::Chunked => format!("{:x}\r\n{event}\r\n", event.len()).into_bytes(),
                Framing::Bare => event.into_bytes(),
            })
            .collect();
        if let (Framing::Chunked, Some(last)) = (framing, events.last_mut()) {
            last.extend_from_slice(b"0\r\n\r\n");
        }
        let whole = Part::new(events.concat());
        Self { order, events: events.into_iter().map(Part::new).collect(), whole, paced }
    }

    /// Whether it goes out in one piece.
    pub fn at_once(&self) -> bool {
        self.order.delay_us == 0 && !self.order.stamped
    }

    /// The pauses between its events.
    pub fn pauses(&self) -> Pauses<'_> {
        Pauses { answer: self, begun: Instant::now(), waited: 0 }
    }
}

/// The pauses of one answer, counted from its beginning, so that none makes the next one late.
pub struct Pauses<'a> {
    answer: &'a Answer,
    begun: Instant,
    waited: u32,
}

impl Pauses<'_> {
    /// Waits until the event at this place is due.
    pub async fn before(&mut self, at: usize) {
        let delay_us = self.answer.order.delay_us;
        if delay_us > 0 && self.answer.paced.contains(&at) {
            self.waited += 1;
            let delay = Duration::from_micros(delay_us) * self.waited;
            tokio::time::sleep_until(self.begun + delay).await;
        }
    }
}

fn delta(order: Order) -> String {
    format!("{}{WORD}", if order.stamped { STAMP } else { "" })
}

/// The events of a response, as Codex sends them: before, of and after the text.
fn responses(order: Order) -> (Vec<String>, Vec<String>, Vec<String>) {
    let mut sequence = 0..;
    let mut event = |kind: &str, rest: &str| {
        let number = sequence.next().unwrap_or(0);
        format!(
            "event: {kind}\ndata: {{\"type\":\"{kind}\",\"sequence_number\":{number},{rest}}}\n\n"
        )
    };
    let instructions: String =
        "instructions that are repeated ".chars().cycle().take(ECHOED).collect();
    let envelope = |status: &str, output: &str, usage: &str| {
        format!(
            concat!(
                r#""response":{{"id":"resp{ID}","object":"response","created_at":1790000000,"#,
                r#""status":"{status}","background":false,"error":null,"incomplete_details":null,"#,
                r#""instructions":"{instructions}","max_output_tokens":null,"max_tool_calls":null,"#,
                r#""model":"gpt-5.2-codex","output":[{output}],"parallel_tool_calls":true,"#,
                r#""previous_response_id":null,"prompt_cache_key":"k","#,
                r#""reasoning":{{"effort":"medium","summary":null}},"safety_identifier":null,"#,
                r#""service_tier":"auto","store":false,"temperature":1.0,"#,
                r#""text":{{"format":{{"type":"text"}},"verbosity":"medium"}},"tool_choice":"auto","#,
                r#""tools":[],"top_logprobs":0,"top_p":1.0,"truncation":"disabled","#,
                r#""usage":{usage},"user":null,"metadata":{{}}}}"#
            ),
            ID = ID,
            status = status,
            instructions = instructions,
            output = output,
            usage = usage,
        )
    };
    let text = WORD.repeat(order.deltas);
    let part = |text: &str| {
        format!(r#"{{"type":"output_text","annotations":[],"logprobs":[],"text":"{text}"}}"#)
    };
    let item = |status: &str, content: &str| {
        format!(
            r#"{{"id":"msg{ID}","type":"message","status":"{status}","content":[{content}],"role":"assistant"}}"#
        )
    };
    let done = item("completed", &part(&text));
    let place = format!(r#""item_id":"msg{ID}","output_index":0,"content_index":0"#);
    let before = vec![
        event("response.created", &envelope("in_progress", "", "null")),
        event("response.in_progress", &envelope("in_progress", "", "null")),
        event(
            "response.output_item.added",
            &format!(r#""output_index":0,"item":{}"#, item("in_progress", "")),
        ),
        event("response.content_part.added", &format!(r#"{place},"part":{}"#, part(""))),
    ];
    let delta = delta(order);
    let delta = format!(r#"{place},"delta":"{delta}","logprobs":[],"obfuscation":"8xKqPz3uVw""#);
    let deltas = (0..order.deltas).map(|_| event("response.output_text.delta", &delta)).collect();
    let (cost, total) = (order.deltas, 12_345 + order.deltas);
    let usage = format!(
        r#"{{"input_tokens":12345,"input_tokens_details":{{"cached_tokens":11264}},"output_tokens":{cost},"output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":{total}}}"#
    );
    let after = vec![
        event("response.output_text.done", &format!(r#"{place},"text":"{text}","logprobs":[]"#)),
        event("response.content_part.done", &format!(r#"{place},"part":{}"#, part(&text))),
        event("response.output_item.done", &format!(r#""output_index":0,"item":{done}"#)),
        event("response.completed", &envelope("completed", &done, &usage)),
    ];
    (before, deltas, after)
}

/// The chunks of a chat completion.
fn chat(order: Order) -> (Vec<String>, Vec<String>, Vec<String>) {
    let chunk = |rest: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl{ID}\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\"model\":\"gpt-5.2-codex\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_0123456789\",{rest}}}\n\n"
        )
    };
    let choice = |delta: &str, finish: &str| {
        chunk(&format!(
            r#""choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}],"usage":null,"obfuscation":"8xKqPz3uVw""#
        ))
    };
    let text = delta(order);
    let delta = choice(&format!(r#"{{"content":"{text}"}}"#), "null");
    let (cost, total) = (order.deltas, 12_345 + order.deltas);
    let usage = format!(
        r#""choices":[],"usage":{{"prompt_tokens":12345,"completion_tokens":{cost},"total_tokens":{total},"prompt_tokens_details":{{"cached_tokens":11264}},"completion_tokens_details":{{"reasoning_tokens":0}}}}"#
    );
    let before = vec![choice(r#"{"role":"assistant","content":"","refusal":null}"#, "null")];
    let after = vec![choice("{}", r#""stop""#), chunk(&usage), "data: [DONE]\n\n".to_owned()];
    (before, vec![delta; order.deltas], after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_json_and_a_short_answer_has_28() {
        for wire in [Wire::Responses, Wire::Chat] {
            let order = Order { deltas: 20, delay_us: 0, stamped: true };
            let answer = Answer::write(wire, Framing::Bare, order);
            let mut out = Vec::new();
            answer.whole.write(7, &mut out);
            let text = String::from_utf8(out).unwrap();
            let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
            for event in data.filter(|it| *it != "[DONE]") {
                serde_json::from_str::<serde_json::Value>(event).unwrap();
            }
            assert_eq!(answer.events.len(), if wire == Wire::Responses { 28 } else { 24 });
            assert!(text.contains("_0000000000000007\""));
        }
    }
}
