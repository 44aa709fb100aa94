//! What requests cost: the record of one request, and how records add up.
//!
//! A record is one JSON object on one line of the usage log. Reading is lenient, because the log
//! outlives versions: unknown fields are skipped, missing ones are empty, and so are values of a
//! wrong type. Writing and rotating the log is not done here.

pub mod histogram;
mod lenient;
pub mod summary;

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Longest text in a record, in bytes: a client must not fill the disk with a model name.
const TEXT_MAX: usize = 256;

/// Tokens of one request, or of many. Cached tokens are part of the input, reasoning tokens part
/// of the output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input tokens.
    pub input: u64,
    /// Input tokens that came from the prompt cache.
    pub cached: u64,
    /// Output tokens.
    pub output: u64,
    /// Output tokens that were spent on reasoning.
    pub reasoning: u64,
    /// All tokens.
    pub total: u64,
}

impl Usage {
    /// What a quota counts: all tokens, or what is known of them when the backend gave no sum.
    pub fn billed(&self) -> u64 {
        if self.total == 0 { self.input.saturating_add(self.output) } else { self.total }
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input = self.input.saturating_add(other.input);
        self.cached = self.cached.saturating_add(other.cached);
        self.output = self.output.saturating_add(other.output);
        self.reasoning = self.reasoning.saturating_add(other.reasoning);
        self.total = self.total.saturating_add(other.total);
    }
}

/// The record of one request. Field names are those of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Line<'a> {
    /// When the request ended.
    #[serde(serialize_with = "lenient::write_time", deserialize_with = "lenient::time")]
    pub ts: Timestamp,
    /// Our id of the request, as the client got it.
    #[serde(borrow, deserialize_with = "lenient::text")]
    pub request_id: Cow<'a, str>,
    /// The key that pays.
    #[serde(borrow, deserialize_with = "lenient::text")]
    pub key_id: Cow<'a, str>,
    /// What its owner calls it.
    #[serde(borrow, deserialize_with = "lenient::text")]
    pub label: Cow<'a, str>,
    /// The endpoint.
    #[serde(borrow, deserialize_with = "lenient::text")]
    pub path: Cow<'a, str>,
    /// The model.
    #[serde(borrow, deserialize_with = "lenient::text")]
    pub model: Cow<'a, str>,
    /// The status that the client got; 499 when it left before the end.
    #[serde(deserialize_with = "lenient::number")]
    pub status: u16,
    /// Whether the client asked for a stream.
    #[serde(deserialize_with = "lenient::flag")]
    pub stream: bool,
    /// Input tokens.
    #[serde(alias = "input_tokens", deserialize_with = "lenient::number")]
    pub prompt_tokens: u64,
    /// Output tokens.
    #[serde(alias = "output_tokens", deserialize_with = "lenient::number")]
    pub completion_tokens: u64,
    /// All tokens.
    #[serde(deserialize_with = "lenient::number")]
    pub total_tokens: u64,
    /// Input tokens from the prompt cache.
    #[serde(deserialize_with = "lenient::number")]
    pub cached_tokens: u64,
    /// Output tokens spent on reasoning.
    #[serde(deserialize_with = "lenient::number")]
    pub reasoning_tokens: u64,
    /// From the first byte of the request to the last of the answer.
    #[serde(deserialize_with = "lenient::number")]
    pub duration_ms: u64,
    /// From the first byte of the request to the first token.
    #[serde(deserialize_with = "lenient::maybe", skip_serializing_if = "Option::is_none")]
    pub ttft_ms: Option<u64>,
    /// The upstream's id of the response.
    #[serde(borrow, deserialize_with = "lenient::text", skip_serializing_if = "str::is_empty")]
    pub upstream_id: Cow<'a, str>,
    /// The session, hashed.
    #[serde(borrow, deserialize_with = "lenient::text", skip_serializing_if = "str::is_empty")]
    pub session: Cow<'a, str>,
    /// The tokens are a guess from the size of the request: its client left before the sum.
    #[serde(deserialize_with = "lenient::flag", skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

impl<'a> Line<'a> {
    /// Reads one line of the log, without its end.
    ///
    /// A line may begin with the torn rest of another record, as logs written before godex
    /// repaired torn tails have it: then the last record on the line is read.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let record = |text| serde_json::from_slice::<Self>(text).ok().filter(Self::is_a_record);
        record(text).or_else(|| {
            let last = memchr::memmem::rfind(text, b"{\"").filter(|&at| at > 0)?;
            record(text.get(last..)?)
        })
    }

    /// Whether it says anything that only a record says; `{}` and the like do not.
    fn is_a_record(&self) -> bool {
        *self != Self::default()
    }

    /// Appends the record and its line end to `out`. Overlong texts are cut.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let line = Line {
            ts: self.ts,
            request_id: cut(&self.request_id),
            key_id: cut(&self.key_id),
            label: cut(&self.label),
            path: cut(&self.path),
            model: cut(&self.model),
            upstream_id: cut(&self.upstream_id),
            session: cut(&self.session),
            status: self.status,
            stream: self.stream,
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.completion_tokens,
            total_tokens: self.total_tokens,
            cached_tokens: self.cached_tokens,
            reasoning_tokens: self.reasoning_tokens,
            duration_ms: self.duration_ms,
            ttft_ms: self.ttft_ms,
            estimated: self.estimated,
        };
        if serde_json::to_writer(&mut *out, &line).is_err() {
            out.truncate(start);
            return;
        }
        out.push(b'\n');
    }

    /// The tokens of this request.
    pub fn usage(&self) -> Usage {
        let usage = Usage {
            input: self.prompt_tokens,
            cached: self.cached_tokens,
            output: self.completion_tokens,
            reasoning: self.reasoning_tokens,
            total: self.total_tokens,
        };
        Usage { total: usage.billed(), ..usage }
    }

    /// Sets the tokens of this request.
    pub fn set_usage(&mut self, usage: &Usage) {
        self.prompt_tokens = usage.input;
        self.cached_tokens = usage.cached;
        self.completion_tokens = usage.output;
        self.reasoning_tokens = usage.reasoning;
        self.total_tokens = usage.total;
    }
}

fn cut(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text.get(..text.floor_char_boundary(TEXT_MAX)).unwrap_or(text))
}

#[cfg(test)]
mod tests;
