//! Which top-level parameters Codex refuses. The list starts from observation and learns:
//! an `Unsupported parameter: X` of the backend adds X for the life of the process.
//! Source: `docs/wire.md#refused-parameters`.

use std::collections::BTreeSet;

use super::refused::Refused;
use crate::json::{Object, Writer};

/// Parameters refused by the live backend, or so close to those that sending them is a risk.
const REFUSED: &[&str] = &[
    "background",
    "context_management",
    "conversation",
    "frequency_penalty",
    "logit_bias",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "max_tool_calls",
    "messages",
    "metadata",
    "n",
    "presence_penalty",
    "previous_response_id",
    "prompt",
    "prompt_cache_breakpoint",
    "prompt_cache_options",
    "prompt_cache_retention",
    "response_format",
    "safety_identifier",
    "seed",
    "stop",
    "stream_options",
    "temperature",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

/// Parameters without which there is no request: never learned as refused.
const ESSENTIAL: &[&str] = &["model", "input", "instructions", "stream", "store", "tools"];

/// What is refused at the moment.
#[derive(Debug, Default, Clone)]
pub struct Refusals {
    learned: BTreeSet<String>,
}

impl Refusals {
    /// Whether a parameter must not be sent.
    pub fn refuses(&self, name: &str) -> bool {
        REFUSED.binary_search(&name).is_ok() || self.learned.contains(name)
    }

    /// Adds a parameter the backend has just refused; `false` when that is nothing new.
    pub fn learn(&mut self, name: &str) -> bool {
        can_be_left_out(name) && self.learned.insert(name.to_owned())
    }

    /// What was learned so far, dotted paths included.
    pub fn learned(&self) -> impl Iterator<Item = &str> {
        self.learned.iter().map(String::as_str)
    }
}

/// Whether there is still a request without this parameter.
pub fn can_be_left_out(name: &str) -> bool {
    !ESSENTIAL.contains(&name)
}

/// The parameter that an answer of the backend refuses, from its words
/// `Unsupported parameter: NAME`.
pub fn refused_parameter(detail: &str) -> Option<&str> {
    let (_, name) = detail.split_once("Unsupported parameter: ")?;
    let name = name.trim().trim_end_matches('.').trim_matches(['\'', '"']);
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    (!name.is_empty() && name.chars().all(legal)).then_some(name)
}

/// A sent body without one parameter, which may be a dotted path of two names; `None` when
/// the body has no such parameter.
pub fn without(body: &[u8], path: &str) -> Option<Vec<u8>> {
    shorter(&Object::parse(body).ok()?, body.len(), path).map(String::into_bytes)
}

fn shorter(object: &Object<'_>, length: usize, path: &str) -> Option<String> {
    let (name, inner) =
        path.split_once('.').map_or((path, None), |(head, tail)| (head, Some(tail)));
    object.get(name)?;
    let mut writer = Writer::new(length);
    for (key, value) in object.iter() {
        match inner {
            _ if key != name => writer.raw(key, value.get()),
            None => {}
            Some(inner) => {
                let shorter = shorter(&Object::of(value)?, value.get().len(), inner)?;
                writer.raw(key, &shorter);
            }
        }
    }
    Some(writer.finish_text())
}

/// How `service_tier` goes upstream. `fast` is the client's word for `priority`; the default
/// tier is asked for by silence.
#[derive(Debug, PartialEq, Eq)]
pub enum Tier {
    /// Send this.
    Send(&'static str),
    /// Send nothing: it is what the backend does anyway.
    Silent,
    /// The backend has no such tier: leave it out and name it.
    Drop,
}

/// Reads `service_tier`.
pub fn service_tier(asked: &str) -> Tier {
    match asked {
        "default" => Tier::Send("default"),
        "priority" | "fast" => Tier::Send("priority"),
        "auto" => Tier::Silent,
        _ => Tier::Drop,
    }
}

/// The effort Codex understands. `minimal` and `ultra` are names of other places: the
/// backend answers 400 to both.
pub fn effort(asked: &str) -> &str {
    match asked {
        "minimal" => "low",
        "ultra" => "max",
        other => other,
    }
}

/// `n` other than 1 cannot be served: one request is one answer.
///
/// # Errors
///
/// When more than one choice is asked for.
pub fn one_choice(value: &str) -> Result<(), Refused> {
    if matches!(value, "1" | "null") {
        return Ok(());
    }
    let mut refused =
        Refused::new("n", "Only one choice can be served: leave 'n' out or set it to 1.");
    refused.code = Some("unsupported_value");
    Err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_for_the_search() {
        assert!(REFUSED.is_sorted());
        assert!(Refusals::default().refuses("temperature"));
        assert!(!Refusals::default().refuses("client_metadata"));
    }

    #[test]
    fn a_refused_parameter_is_read_from_the_backends_words_and_learned_once() {
        assert_eq!(refused_parameter("Unsupported parameter: foo_bar"), Some("foo_bar"));
        assert_eq!(
            refused_parameter("Unsupported parameter: 'reasoning.depth'."),
            Some("reasoning.depth")
        );
        assert_eq!(refused_parameter("Unsupported service_tier: flex"), None);
        let mut refusals = Refusals::default();
        assert!(refusals.learn("foo_bar"));
        assert!(!refusals.learn("foo_bar"));
        assert!(!refusals.learn("input"));
        assert!(refusals.refuses("foo_bar"));
    }

    #[test]
    fn a_parameter_is_taken_out_of_a_sent_body() {
        let body = br#"{"a":1,"text":{"x":1,"y":2},"b":[1]}"#;
        assert_eq!(without(body, "a").unwrap(), br#"{"text":{"x":1,"y":2},"b":[1]}"#);
        assert_eq!(without(body, "text.x").unwrap(), br#"{"a":1,"text":{"y":2},"b":[1]}"#);
        assert_eq!(without(body, "nothing"), None);
        assert_eq!(without(body, "b.c"), None);
    }
}
