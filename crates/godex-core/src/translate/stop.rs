//! Chat's `stop`: Codex has no such parameter, so the proxy ends the text itself. Only text that
//! may be the beginning of a sequence, or half a character, is held back.

use crate::codex::refused::Refused;
use crate::json::{self, Raw};

/// How many sequences OpenAI's API takes.
const MOST: usize = 4;

/// Reads `stop`: a string, or a list of them. Empty ones say nothing.
///
/// # Errors
///
/// When it is something else, or too many of them.
pub fn read(value: Raw<'_>) -> Result<Vec<String>, Refused> {
    if value.is_null() {
        return Ok(Vec::new());
    }
    let expected = || Refused::kind("stop", "a string or a list of at most 4 strings");
    let list = if value.is_string() { vec![value] } else { value.list().ok_or_else(expected)? };
    if list.len() > MOST {
        return Err(expected());
    }
    let texts: Option<Vec<_>> = list.into_iter().map(Raw::string).collect();
    let texts = texts.ok_or_else(expected)?.into_iter().filter(|text| !text.is_empty());
    Ok(texts.map(Into::into).collect())
}

/// Looks for the first sequence in a text that comes in pieces.
pub(super) struct Stop {
    sequences: Vec<String>,
    /// The end of the text so far: the beginning of a sequence, perhaps.
    held: String,
    /// The escape behind it: the first half of a character whose second comes with the next
    /// piece.
    half: String,
    reached: bool,
}

impl Stop {
    /// `None` when there is nothing to look for.
    pub(super) fn of(sequences: &[String]) -> Option<Self> {
        (!sequences.is_empty()).then(|| Self {
            sequences: sequences.to_vec(),
            held: String::new(),
            half: String::new(),
            reached: false,
        })
    }

    /// Whether the text has ended.
    pub(super) fn is_reached(&self) -> bool {
        self.reached
    }

    /// Takes a piece of text and returns what may be shown, both with the escapes of a JSON
    /// string.
    pub(super) fn push(&mut self, escaped: &str) -> String {
        let joined = std::mem::take(&mut self.half) + escaped;
        let (mut shown, mut rest) = (String::new(), joined.as_str());
        while !self.reached {
            let Some((whole, half, behind)) = split_at_half(rest) else {
                shown += &self.search(rest);
                break;
            };
            shown += &self.search(whole);
            if self.reached {
                break;
            }
            if behind.is_empty() && surrogate(half).is_some_and(is_high) {
                half.clone_into(&mut self.half);
                break;
            }
            // Half a character without its other half is in no sequence.
            shown += &self.rest();
            shown += half;
            rest = behind;
        }
        shown
    }

    /// Takes a piece of text in whole characters.
    fn search(&mut self, escaped: &str) -> String {
        let Some(piece) = json::unescape(escaped) else { return self.rest() + escaped };
        self.held += &piece;
        let kept = if let Some(start) = self.first_end() {
            self.reached = true;
            self.held.truncate(start);
            String::new()
        } else {
            self.held.split_off(self.held.len() - self.longest_beginning())
        };
        let shown = std::mem::replace(&mut self.held, kept);
        json::escape(&shown).into_owned()
    }

    /// No more text follows the last piece: what was held back, escaped.
    pub(super) fn rest(&mut self) -> String {
        let held = json::escape(&std::mem::take(&mut self.held)).into_owned();
        held + &std::mem::take(&mut self.half)
    }

    /// Where the sequence begins that is complete first; the longest of those that end together.
    /// This does not depend on how the text was cut into pieces.
    fn first_end(&self) -> Option<usize> {
        let found = self.sequences.iter().filter_map(|sequence| {
            let start = self.held.find(sequence.as_str())?;
            Some((start + sequence.len(), start))
        });
        found.min().map(|(_, start)| start)
    }

    /// The length of the longest end of the text that a sequence begins with.
    fn longest_beginning(&self) -> usize {
        let beginning = |sequence: &String| {
            let most = self.held.len().min(sequence.len().saturating_sub(1));
            (1..=most).rev().find(|length| {
                let end = self.held.as_bytes().get(self.held.len() - length..);
                end.is_some_and(|end| sequence.as_bytes().starts_with(end))
            })
        };
        let longest = self.sequences.iter().filter_map(beginning).max().unwrap_or_default();
        // Sequences are whole characters, and so are their beginnings that end a text.
        if self.held.is_char_boundary(self.held.len() - longest) { longest } else { 0 }
    }
}

/// The length of an escape such as `\u00e9`.
const ESCAPE: usize = 6;

/// Splits escaped text at the first escape of half a character whose other half is not beside
/// it: what is before, the escape, what is behind.
fn split_at_half(escaped: &str) -> Option<(&str, &str, &str)> {
    let mut at = 0;
    while let Some(found) = escaped.get(at..)?.find('\\') {
        at += found;
        let rest = escaped.get(at..)?;
        at += match surrogate(rest) {
            None => 2,
            Some(high) if is_high(high) && has_low(rest) => 2 * ESCAPE,
            Some(_) => {
                let (half, behind) = rest.split_at(ESCAPE);
                return Some((escaped.get(..at)?, half, behind));
            }
        };
    }
    None
}

/// The half of a character whose escape a text begins with.
fn surrogate(escaped: &str) -> Option<u16> {
    let unit = u16::from_str_radix(escaped.strip_prefix("\\u")?.get(..4)?, 16).ok()?;
    (0xd800..=0xdfff).contains(&unit).then_some(unit)
}

fn is_high(surrogate: u16) -> bool {
    surrogate < 0xdc00
}

/// Whether a second half follows the first escape.
fn has_low(escaped: &str) -> bool {
    escaped.get(ESCAPE..).and_then(surrogate).is_some_and(|it| !is_high(it))
}

#[cfg(test)]
mod tests;
