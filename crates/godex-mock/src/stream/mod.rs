//! The event stream of an answer, in the order and form of the backend (`docs/wire.md`, stream).
//!
//! - [`plan`]: what the model does in this turn.
//! - [`envelope`]: the response object around it, and its usage.
//! - [`items`]: output items as events.
//! - [`sense`]: what it does without a script.
//! - [`cache`]: which part of the input a session has sent before.

pub(crate) mod cache;
pub(crate) mod envelope;
mod items;
pub(crate) mod plan;
mod sense;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::outflow::Step;
use crate::script::Script;
use envelope::Envelope;
use plan::{Finish, Plan};

/// Beyond this much text a delta is split, unless the plan wants it whole.
const DELTA: usize = 24;

/// Writes events one after another.
pub(crate) struct Composer<'a> {
    number: u64,
    account: &'a str,
    script: &'a Script,
    pace: Duration,
    sequence: u64,
    items: u64,
    steps: VecDeque<Step>,
    /// Characters and reasoning tokens so far, for the usage.
    written: usize,
    reasoned: u64,
}

/// Turns a plan into the steps of a body. `number` names everything in it.
pub(crate) fn compose(
    plan: Plan,
    envelope: &Envelope,
    limits: &Value,
    script: &Script,
    pace: Duration,
    (number, account): (u64, &str),
) -> VecDeque<Step> {
    let pace = script.pace.unwrap_or(pace);
    let mut composer = Composer {
        number,
        account,
        script,
        pace,
        sequence: 0,
        items: 0,
        steps: VecDeque::new(),
        written: 0,
        reasoned: 0,
    };
    composer.opening(envelope, limits);
    for piece in plan.pieces {
        composer.noise();
        composer.piece(piece);
    }
    composer.closing(plan.finish, envelope);
    composer.steps
}

impl Composer<'_> {
    fn opening(&mut self, envelope: &Envelope, limits: &Value) {
        self.response("response.created", &envelope.in_progress());
        self.frame("codex.rate_limits", &limits.to_string());
        self.response("response.in_progress", &envelope.in_progress());
        if !self.script.slow.is_zero() {
            self.steps.push_back(Step::Wait(self.script.slow));
        }
    }

    fn closing(&mut self, finish: Finish, envelope: &Envelope) {
        let usage = if self.script.no_usage {
            None
        } else {
            Some(envelope.usage(self.written, self.reasoned))
        };
        match finish {
            Finish::Completed => self.response("response.completed", &envelope.completed(usage)),
            Finish::Incomplete(reason) => {
                self.response("response.incomplete", &envelope.incomplete(&reason, usage));
            }
            Finish::Failed(code) => {
                self.response("response.failed", &envelope.failed(&code, reason(&code)));
            }
            Finish::Error => {
                let code = "server_error";
                self.emit("error", json!({ "code": code, "message": reason(code), "param": null }));
            }
            Finish::Break(step) => {
                self.steps.push_back(Step::Flush);
                self.steps.push_back(step);
            }
            Finish::CompletedThen(step) => {
                self.response("response.completed", &envelope.completed(usage));
                self.steps.push_back(step);
            }
        }
    }

    /// An event that carries the whole response, already in its JSON form.
    fn response(&mut self, kind: &str, response: &str) {
        let sequence = self.next();
        let event =
            format!(r#"{{"type":"{kind}","sequence_number":{sequence},"response":{response}}}"#);
        self.frame(kind, &event);
    }

    /// An event with a sequence number.
    fn emit(&mut self, kind: &str, fields: Value) {
        let mut event = Map::new();
        event.insert("type".to_owned(), json!(kind));
        event.insert("sequence_number".to_owned(), json!(self.next()));
        if let Value::Object(fields) = fields {
            event.extend(fields);
        }
        self.frame(kind, &Value::Object(event).to_string());
    }

    /// A piece of text: paced, and padded with an obfuscation of changing length.
    fn delta(&mut self, kind: &str, at: &Value, delta: &str) {
        if !self.pace.is_zero() {
            self.steps.push_back(Step::Wait(self.pace));
        }
        self.written += delta.len();
        let length = 16 - delta.len().min(15);
        let obfuscation: String = "q7Zc0vXk2LbT9sWm".chars().take(length).collect();
        let mut fields = at.clone();
        if let Some(fields) = fields.as_object_mut() {
            fields.insert("delta".to_owned(), json!(delta));
            if kind == "response.output_text.delta" {
                fields.insert("logprobs".to_owned(), json!([]));
            }
            fields.insert("obfuscation".to_owned(), json!(obfuscation));
        }
        self.emit(kind, fields);
    }

    /// Things that no client must stumble over.
    fn noise(&mut self) {
        if !self.script.unknown_events {
            return;
        }
        self.steps.push_back(Step::Send(Bytes::from_static(b": ping\n\n")));
        for kind in [
            "codex.response.metadata",
            "responsesapi.websocket_timing",
            "keepalive",
            "response.metadata",
            "response.mystery.delta",
        ] {
            self.frame(
                kind,
                &json!({ "type": kind, "mystery": { "items": [1, null] } }).to_string(),
            );
        }
    }

    fn frame(&mut self, kind: &str, event: &str) {
        let eol = if self.script.crlf { "\r\n" } else { "\n" };
        let frame = format!("event: {kind}{eol}data: {event}{eol}{eol}");
        self.steps.push_back(Step::Send(Bytes::from(frame)));
    }

    fn next(&mut self) -> u64 {
        let sequence = self.sequence;
        self.sequence += 1;
        sequence
    }

    /// The place and the id of the next output item.
    fn item(&mut self, prefix: &str) -> (u64, String) {
        let index = self.items;
        self.items += 1;
        (index, format!("{prefix}_{:024x}{index:08x}", self.number))
    }
}

/// What the backend says about a failure it names by a code.
fn reason(code: &str) -> &'static str {
    match code {
        "context_length_exceeded" => {
            "Your input exceeds the context window of this model. Please adjust your input and try again."
        }
        "insufficient_quota" => {
            "You exceeded your current quota, please check your plan and billing details."
        }
        "usage_limit_reached" => "The usage limit has been reached",
        "usage_not_included" => "Usage is not included in your plan.",
        "rate_limit_exceeded" => "Rate limit reached. Please try again in 1.5s.",
        "server_is_overloaded" | "slow_down" => {
            "Our servers are currently overloaded. Please try again later."
        }
        "invalid_prompt" => "Invalid prompt: your prompt was flagged.",
        "cyber_policy" => "This request was stopped by a safety policy.",
        _ => "An error occurred while processing your request.",
    }
}

/// Splits a text into deltas that never cut a character.
fn deltas(text: &str) -> Vec<&str> {
    let mut deltas = Vec::new();
    for mut word in text.split_inclusive(' ') {
        while let Some((end, _)) = word.char_indices().nth(DELTA) {
            let (head, tail) = word.split_at(end);
            deltas.push(head);
            word = tail;
        }
        deltas.push(word);
    }
    deltas
}
