//! Why a text is not JSON, and how people are told.

use super::Malformed;

/// A text is not valid JSON; the scanner knows why.
#[derive(Debug, Clone, Copy)]
pub(super) struct Broken;

/// Why a text is not valid JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Something that JSON has not at this place, in bytes from the start.
    Unexpected(usize),
    /// The text ends too early.
    Unfinished,
    /// Too many levels.
    TooDeep,
    /// Too many members and elements to hold.
    TooMany,
    /// A whole value, but no object.
    NotAnObject,
}

impl Fault {
    /// The fault for people.
    pub(super) fn explain(self, text: &str) -> Malformed {
        match self {
            Self::TooDeep => Malformed::TooDeep,
            Self::TooMany => Malformed::TooMany,
            Self::Unfinished if text.trim().is_empty() => {
                Malformed::Syntax("it is empty".to_owned())
            }
            Self::Unfinished => Malformed::Syntax("it ends in the middle".to_owned()),
            Self::NotAnObject => Malformed::Syntax("it is JSON, but not an object".to_owned()),
            Self::Unexpected(at) => {
                let before = text.as_bytes().get(..at).unwrap_or_default();
                let line = memchr::memchr_iter(b'\n', before).count() + 1;
                let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
                Malformed::Syntax(format!("unexpected text at line {line}, column {column}"))
            }
        }
    }
}
