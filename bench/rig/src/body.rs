//! Requests as agents send them: instructions, a transcript of turns and tool calls, tools.

use std::fmt::Write as _;

use clap::ValueEnum;

use crate::order::Order;

/// The model that is asked for.
const MODEL: &str = "gpt-5.2-codex";

/// Which endpoint a body is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, ValueEnum)]
pub enum Wire {
    /// `/v1/responses`.
    Responses,
    /// `/v1/chat/completions`.
    Chat,
}

/// How large a body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Size {
    /// About 1 KB: two messages.
    Small,
    /// About 62 KB: 20 tools, 80 turns.
    Agent,
    /// About 770 KB: 20 tools, 400 turns.
    Huge,
    /// About 1 MB: 20 tools, 540 turns.
    Megabyte,
}

/// What a size is made of; lengths are bytes of text.
struct Shape {
    tools: usize,
    turns: usize,
    turn_length: usize,
    instructions_length: usize,
}

impl Size {
    fn shape(self) -> Shape {
        let (tools, turns, turn_length, instructions_length) = match self {
            Self::Small => (0, 2, 300, 300),
            Self::Agent => (20, 80, 480, 8_000),
            Self::Huge => (20, 400, 2_350, 12_000),
            Self::Megabyte => (20, 540, 2_350, 12_000),
        };
        Shape { tools, turns, turn_length, instructions_length }
    }
}

/// Whose turn it is in a transcript.
#[derive(Clone, Copy)]
enum Turn {
    User,
    Assistant,
    Call,
    Output,
}

impl Turn {
    /// A transcript begins and ends with the user, and every call has its output.
    fn at(place: usize, of: usize) -> Self {
        let last = place + 1 == of;
        match place % 4 {
            _ if last || of < 4 => Self::User,
            1 => Self::Assistant,
            2 if place + 2 < of => Self::Call,
            3 => Self::Output,
            _ => Self::User,
        }
    }
}

const WORDS: [&str; 32] = [
    "the",
    "function",
    "returns",
    "value",
    "file",
    "error",
    "buffer",
    "stream",
    "parse",
    r#"\"quoted\""#,
    r"line\n",
    "src/main.rs",
    "path",
    "agent",
    "tool",
    "result",
    "index",
    "while",
    "match",
    r"let mut x = 0;\n",
    "test",
    r"\tfn",
    "ok",
    "request",
    "client",
    "0x1f",
    "42",
    "naïve",
    "→",
    "config.yaml",
    r"assert_eq!(a, b);\n",
    "module",
];

/// Prose and code by a fixed xorshift: every run sends the same bytes.
struct Prose(u64);

impl Prose {
    /// About as many bytes as asked for, escaped for JSON.
    fn take(&mut self, length: usize) -> String {
        let mut text = String::with_capacity(length + 32);
        while text.len() < length {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let word = usize::try_from(self.0 % 32).ok().and_then(|at| WORDS.get(at));
            text.push_str(word.copied().unwrap_or_default());
            text.push(' ');
        }
        text
    }
}

/// The body of a request.
pub fn body(wire: Wire, size: Size, stream: bool, user: &str, order: Order) -> String {
    let shape = size.shape();
    let mut prose = Prose(0x9E37_79B9_7F4A_7C15);
    let instructions = format!("{order} {}", prose.take(shape.instructions_length));
    let turns: Vec<String> = (0..shape.turns)
        .map(|at| turn(wire, Turn::at(at, shape.turns), at, &prose.take(shape.turn_length)))
        .collect();
    let tools: Vec<String> = (0..shape.tools).map(|at| tool(wire, at, &mut prose)).collect();
    let mut text = match wire {
        Wire::Responses => {
            format!(r#"{{"model":"{MODEL}","instructions":"{instructions}","input":["#)
        }
        Wire::Chat => format!(
            r#"{{"model":"{MODEL}","messages":[{{"role":"system","content":"{instructions}"}},"#
        ),
    };
    text.push_str(&turns.join(","));
    text.push(']');
    if !tools.is_empty() {
        let _ = write!(text, r#","tools":[{}],"tool_choice":"auto""#, tools.join(","));
        if wire == Wire::Responses {
            text.push_str(r#","parallel_tool_calls":true"#);
        }
    }
    let _ = write!(text, r#","user":"{user}","stream":{stream}}}"#);
    text
}

fn turn(wire: Wire, turn: Turn, at: usize, text: &str) -> String {
    let (tool, call, answered) = (at % 20, at, at.saturating_sub(1));
    let arguments = r#""{\"arg_0\":\"a/b/c.rs\"}""#;
    match (wire, turn) {
        (Wire::Responses, Turn::User) => format!(
            r#"{{"type":"message","role":"user","content":[{{"type":"input_text","text":"{text}"}}]}}"#
        ),
        (Wire::Responses, Turn::Assistant) => format!(
            r#"{{"type":"message","role":"assistant","content":[{{"type":"output_text","text":"{text}"}}]}}"#
        ),
        (Wire::Responses, Turn::Call) => format!(
            r#"{{"type":"function_call","call_id":"call_{call}","name":"tool_{tool}","arguments":{arguments}}}"#
        ),
        (Wire::Responses, Turn::Output) => format!(
            r#"{{"type":"function_call_output","call_id":"call_{answered}","output":"{text}"}}"#
        ),
        (Wire::Chat, Turn::User) => format!(r#"{{"role":"user","content":"{text}"}}"#),
        (Wire::Chat, Turn::Assistant) => format!(r#"{{"role":"assistant","content":"{text}"}}"#),
        (Wire::Chat, Turn::Call) => format!(
            r#"{{"role":"assistant","content":null,"tool_calls":[{{"id":"call_{call}","type":"function","function":{{"name":"tool_{tool}","arguments":{arguments}}}}}]}}"#
        ),
        (Wire::Chat, Turn::Output) => {
            format!(r#"{{"role":"tool","tool_call_id":"call_{answered}","content":"{text}"}}"#)
        }
    }
}

fn tool(wire: Wire, at: usize, prose: &mut Prose) -> String {
    let description = prose.take(300);
    let arguments: Vec<String> = (0..4)
        .map(|at| format!(r#""arg_{at}":{{"type":"string","description":"{}"}}"#, prose.take(60)))
        .collect();
    let parameters = format!(
        r#"{{"type":"object","properties":{{{}}},"required":["arg_0","arg_1"],"additionalProperties":false}}"#,
        arguments.join(",")
    );
    let named = format!(r#""name":"tool_{at}","description":"{description}""#);
    match wire {
        Wire::Responses => {
            format!(r#"{{"type":"function",{named},"strict":false,"parameters":{parameters}}}"#)
        }
        Wire::Chat => {
            format!(r#"{{"type":"function","function":{{{named},"parameters":{parameters}}}}}"#)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_of_the_size_that_their_name_promises() {
        for wire in [Wire::Responses, Wire::Chat] {
            for (size, low, high) in [
                (Size::Small, 900, 1_300),
                (Size::Agent, 58_000, 66_000),
                (Size::Huge, 720_000, 800_000),
                (Size::Megabyte, 1_000_000, 1_100_000),
            ] {
                let body = body(wire, size, true, "someone", Order::default());
                let json: serde_json::Value = serde_json::from_str(&body).unwrap();
                assert_eq!(json["stream"], true);
                assert!((low..high).contains(&body.len()), "{wire:?} {size:?}: {}", body.len());
            }
        }
    }
}
