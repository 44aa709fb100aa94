//! The script of an answer, written as markers into the last user message.
//!
//! `[[mock: WHAT]]`, any number of them in one message. A marker of the first table says how
//! the turn ends or what the model does; several are played one after another, a new one each
//! time all tool calls of the one before have their output. When none is left, the answer
//! quotes the outputs (`The tool said: ...`), or, without any script, the prompt
//! (`Mock answer to: ...`). Without a script the model also calls the tool that `tool_choice`
//! demands, that a question is about (`How is the weather?` and `get_weather`) or that is written
//! out (`add(3)`), each once in a turn, and fills the schema or the object that is asked for;
//! where any text will do it writes what the tools said, else what the user put in quotation
//! marks. `once` before a marker plays it only for the first request with
//! this prompt, `times N` for the first N; later ones go on as if it were not there.
//!
//! | marker | what happens |
//! |---|---|
//! | `tool NAME {JSON}` | calls the function NAME; without JSON, with the smallest arguments its schema accepts |
//! | `tools NAME {JSON} NAME {JSON}` | calls in parallel, deltas interleaved; one by one when `parallel_tool_calls` is false |
//! | `custom NAME TEXT` | calls the custom tool NAME with TEXT as input |
//! | `shell COMMAND` | calls the client's shell tool, whatever its name and form |
//! | `echo TEXT` | answers TEXT |
//! | `long N` | answers N words, a delta each |
//! | `pace MS N` | as `long N`, MS milliseconds between two deltas |
//! | `huge BYTES` | answers one delta of that size |
//! | `refusal TEXT` | refuses with TEXT |
//! | `commentary` | a message of phase `commentary`, then one of phase `final_answer` |
//! | `image` | an `image_generation_call`, then text |
//! | `empty` | completes without any output item |
//! | `incomplete REASON` | ends with `response.incomplete`; `max_output_tokens` or `content_filter` |
//! | `fail CODE` | some text, then `response.failed` with CODE |
//! | `fail-first CODE` | `response.failed` right after `response.in_progress` |
//! | `error-event` | some text, then an `error` event |
//! | `cut` | some text, then a clean end of the body without a terminal event |
//! | `drop` | some text, then the connection is closed in the middle of the body |
//! | `reset` | some text, then a TCP reset |
//! | `cut-before` | a 200 whose body ends before any event |
//! | `reset-before` | a TCP reset before the response headers |
//! | `hang` | response headers, then nothing |
//! | `hang-before-headers` | nothing at all |
//! | `hang-after` | a complete answer, but the body never ends |
//! | `hang-mid` | some text, then nothing |
//! | `html200` | status 200 with a web page |
//! | `status N [CODE]` | an error answer, see below |
//!
//! | modifier | what changes |
//! |---|---|
//! | `slow MS` | waits before the first generated event |
//! | `slow-headers MS` | waits before the response headers |
//! | `reasoning` | reasoning with a summary comes first, whatever the request says |
//! | `crlf` | lines end with CR LF |
//! | `no-content-type` | the stream has no `content-type` |
//! | `no-usage` | the terminal event has no usage |
//! | `unknown-events` | events and comments nobody knows are mixed in |
//!
//! | `status` | CODE (the first is the default) |
//! |---|---|
//! | 400 | `bad-request`, `context-length`, `cyber-policy`, `invalid-encrypted-content` |
//! | 401 | `token-expired`, `token-invalidated`, `unauthorized` |
//! | 403 | `cloudflare` |
//! | 429 | `usage-limit`, `rate-limit`, `usage-not-included` |
//! | 500 | `server-error` |
//! | 502, 520 | `upstream-connect` |
//! | 503 | `overloaded`, `slow-down`, `upstream-connect` |
//!
//! Any other CODE becomes the `code` of an API error with that status.

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::Value;

/// All that the markers of one message say.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each modifier is on or off, in any mix")]
pub(crate) struct Script {
    pub(crate) steps: Vec<Step>,
    pub(crate) slow: Duration,
    pub(crate) slow_headers: Duration,
    pub(crate) pace: Option<Duration>,
    pub(crate) reasoning: bool,
    pub(crate) crlf: bool,
    pub(crate) no_content_type: bool,
    pub(crate) no_usage: bool,
    pub(crate) unknown_events: bool,
}

/// One act and how often it is played for the same prompt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) act: Act,
    pub(crate) times: Option<u32>,
}

/// What the model or its network does in one turn.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Act {
    Tools(Vec<Call>),
    Shell(String),
    Echo(String),
    Words(usize),
    Huge(usize),
    Refusal(String),
    Commentary,
    Image,
    Empty,
    Incomplete(String),
    Fail(String),
    FailFirst(String),
    ErrorEvent,
    Cut,
    Drop,
    Reset,
    CutBefore,
    ResetBefore,
    Hang,
    HangBeforeHeaders,
    HangAfter,
    HangMid,
    Html200,
    Status(u16, String),
}

/// A scripted tool call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) body: Body,
}

/// What the model writes into a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    /// Arguments of a function, as JSON text.
    Arguments(String),
    /// Arguments of a function, to be made from its schema.
    FromSchema,
    /// Input of a custom tool.
    Input(String),
}

impl Act {
    /// How many outputs the client owes after this act.
    pub(crate) fn calls(&self) -> usize {
        match self {
            Self::Tools(calls) => calls.len(),
            Self::Shell(_) => 1,
            Self::Echo(_)
            | Self::Words(_)
            | Self::Huge(_)
            | Self::Refusal(_)
            | Self::Commentary
            | Self::Image
            | Self::Empty
            | Self::Incomplete(_)
            | Self::Fail(_)
            | Self::FailFirst(_)
            | Self::ErrorEvent
            | Self::Cut
            | Self::Drop
            | Self::Reset
            | Self::CutBefore
            | Self::ResetBefore
            | Self::Hang
            | Self::HangBeforeHeaders
            | Self::HangAfter
            | Self::HangMid
            | Self::Html200
            | Self::Status(..) => 0,
        }
    }
}

/// How a marker begins.
pub(crate) const OPEN: &str = "[[mock:";
const CLOSE: &str = "]]";

/// Reads every marker of a text.
///
/// # Errors
///
/// The marker that cannot be read, and why.
pub(crate) fn parse(text: &str) -> Result<Script, String> {
    let mut script = Script::default();
    let mut rest = text;
    while let Some((_, marker)) = rest.split_once(OPEN) {
        rest = script.marker(marker.trim_start())?;
    }
    Ok(script)
}

impl Script {
    /// Reads one marker, returns the text behind it.
    fn marker<'a>(&mut self, text: &'a str) -> Result<&'a str, String> {
        let (word, arguments) = word(text);
        match word {
            "once" => return self.counted(1, arguments),
            "times" => {
                let (count, rest) = self::word(arguments);
                return self.counted(number(count, word)?, rest);
            }
            "tool" | "tools" => {
                let (calls, rest) = calls(arguments)?;
                self.steps.push(Step { act: Act::Tools(calls), times: None });
                return Ok(rest);
            }
            _ => {}
        }
        let (arguments, rest) =
            arguments.split_once(CLOSE).ok_or_else(|| format!("`{word}` has no closing ]]"))?;
        let arguments = arguments.trim();
        if self.modifier(word, arguments)? {
            return Ok(rest);
        }
        let act = act(word, arguments)?;
        if word == "pace" {
            self.pace = Some(milliseconds(arguments.split(' ').next().unwrap_or_default(), word)?);
        }
        self.steps.push(Step { act, times: None });
        Ok(rest)
    }

    fn counted<'a>(&mut self, times: u32, text: &'a str) -> Result<&'a str, String> {
        let before = self.steps.len();
        let rest = self.marker(text)?;
        match self.steps.get_mut(before..) {
            Some([step]) => step.times = Some(times),
            Some(_) | None => return Err("only an act can be played `once`".to_owned()),
        }
        Ok(rest)
    }

    fn modifier(&mut self, word: &str, arguments: &str) -> Result<bool, String> {
        match word {
            "slow" => self.slow = milliseconds(arguments, word)?,
            "slow-headers" => self.slow_headers = milliseconds(arguments, word)?,
            "reasoning" => self.reasoning = true,
            "crlf" => self.crlf = true,
            "no-content-type" => self.no_content_type = true,
            "no-usage" => self.no_usage = true,
            "unknown-events" => self.unknown_events = true,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn act(word: &str, arguments: &str) -> Result<Act, String> {
    let or = |default: &str| {
        if arguments.is_empty() { default.to_owned() } else { arguments.to_owned() }
    };
    Ok(match word {
        "custom" => {
            let (name, input) = self::word(arguments);
            let body = Body::Input(input.to_owned());
            Act::Tools(vec![Call { name: name.to_owned(), body }])
        }
        "shell" => Act::Shell(arguments.to_owned()),
        "echo" => Act::Echo(arguments.to_owned()),
        "long" => Act::Words(number(arguments, word)?),
        "pace" => Act::Words(number(arguments.split(' ').nth(1).unwrap_or("10"), word)?),
        "huge" => Act::Huge(number(arguments, word)?),
        "refusal" => Act::Refusal(or("I cannot help with that.")),
        "commentary" => Act::Commentary,
        "image" => Act::Image,
        "empty" => Act::Empty,
        "incomplete" => Act::Incomplete(or("max_output_tokens")),
        "fail" => Act::Fail(or("server_error")),
        "fail-first" => Act::FailFirst(or("server_is_overloaded")),
        "error-event" => Act::ErrorEvent,
        "cut" => Act::Cut,
        "drop" => Act::Drop,
        "reset" => Act::Reset,
        "cut-before" => Act::CutBefore,
        "reset-before" => Act::ResetBefore,
        "hang" => Act::Hang,
        "hang-before-headers" => Act::HangBeforeHeaders,
        "hang-after" => Act::HangAfter,
        "hang-mid" => Act::HangMid,
        "html200" => Act::Html200,
        "status" => {
            let (status, code) = self::word(arguments);
            Act::Status(number(status, word)?, code.to_owned())
        }
        // `once 503` is short for `once status 503`.
        _ if word.len() == 3 && word.parse::<u16>().is_ok() => {
            Act::Status(number(word, word)?, arguments.to_owned())
        }
        _ => return Err(format!("nothing is called `{word}`")),
    })
}

/// Reads `NAME {JSON} NAME {JSON} ]]`.
fn calls(mut text: &str) -> Result<(Vec<Call>, &str), String> {
    let mut calls = Vec::new();
    loop {
        text = text.trim_start();
        if let Some(rest) = text.strip_prefix(CLOSE) {
            return if calls.is_empty() {
                Err("a tool needs a name".to_owned())
            } else {
                Ok((calls, rest))
            };
        }
        let (name, rest) = word(text);
        if name.is_empty() {
            return Err("a tool call has no closing ]]".to_owned());
        }
        text = rest.trim_start();
        let mut body = Body::FromSchema;
        if text.starts_with('{') {
            let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
            match values.next() {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(format!("the arguments of `{name}`: {error}")),
                None => return Err(format!("the arguments of `{name}` end early")),
            }
            let (arguments, rest) = text.split_at(values.byte_offset());
            body = Body::Arguments(arguments.to_owned());
            text = rest;
        }
        calls.push(Call { name: name.to_owned(), body });
    }
}

/// Splits the first word off.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let end = text.find(CLOSE).map_or(end, |close| end.min(close));
    let (word, rest) = text.split_at(end);
    (word, rest.strip_prefix(' ').unwrap_or(rest))
}

fn number<T: std::str::FromStr>(text: &str, word: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{word}` needs a number, not `{text}`"))
}

fn milliseconds(text: &str, word: &str) -> Result<Duration, String> {
    number(text, word).map(Duration::from_millis)
}
