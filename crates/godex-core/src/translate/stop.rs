//! Chat's `stop`: Codex has no such parameter, so the proxy ends the text itself. Only text that
//! may be the beginning of a sequence is held back.

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
#[derive(Debug)]
pub(super) struct Stop {
    sequences: Vec<String>,
    /// The end of the text so far: the beginning of a sequence, perhaps.
    held: String,
    reached: bool,
}

impl Stop {
    /// `None` when there is nothing to look for.
    pub(super) fn of(sequences: &[String]) -> Option<Self> {
        (!sequences.is_empty()).then(|| Self {
            sequences: sequences.to_vec(),
            held: String::new(),
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
        if self.reached {
            return String::new();
        }
        let Ok(piece) = serde_json::from_str::<String>(&format!("\"{escaped}\"")) else {
            // Half a character: nothing that a sequence could contain.
            return self.rest() + escaped;
        };
        self.held.push_str(&piece);
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
        json::escape(&std::mem::take(&mut self.held)).into_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(sequences: &[&str], pieces: &[&str]) -> (String, bool) {
        let sequences: Vec<String> = sequences.iter().map(|it| (*it).to_owned()).collect();
        let mut stop = Stop::of(&sequences).unwrap();
        let mut shown: String = pieces.iter().map(|piece| stop.push(piece)).collect();
        shown += &stop.rest();
        (shown, stop.is_reached())
    }

    #[test]
    fn req2_a_text_ends_before_its_first_stop_sequence_however_it_is_cut() {
        #[track_caller]
        fn check(sequences: &[&str], text: &str, expected: &str, reached: bool) {
            assert_eq!(cut(sequences, &[text]), (expected.to_owned(), reached));
            for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
                let (left, right) = text.split_at(at);
                if left.ends_with('\\') {
                    continue;
                }
                assert_eq!(cut(sequences, &[left, right]), (expected.to_owned(), reached), "{at}");
            }
        }
        check(&["END"], "one END two", "one ", true);
        check(&["END"], "one EN two E", "one EN two E", false);
        check(&["aab"], "aaab", "a", true);
        check(&["\n"], r"one\ntwo", "one", true);
        check(&["é!"], "caffé é! x", "caffé ", true);
        check(&["abcX", "bc"], "abcX", "a", true);
        check(&["abc", "c"], "abc", "", true);
        check(&["x", "y"], "1y2x", "1", true);
        check(&["\"}"], r#"{\"a\":\"b\"}"#, r#"{\"a\":\"b"#, true);
    }

    #[test]
    fn req2_only_the_possible_beginning_of_a_sequence_is_held_back() {
        let mut stop = Stop::of(&["Observation:".to_owned()]).unwrap();
        assert_eq!(stop.push("I see. Obs"), "I see. ");
        assert_eq!(stop.push("e"), "");
        assert_eq!(stop.push("ss"), "Obsess");
        assert_eq!(stop.push(r"\ud83d"), r"\ud83d");
        assert_eq!(stop.push("O"), "");
        assert_eq!(stop.rest(), "O");
        assert!(!stop.is_reached());
    }

    #[test]
    fn req2_stop_is_a_string_or_up_to_four() {
        #[track_caller]
        fn check(value: &str, expected: Option<&[&str]>) {
            let read = read(Raw::parse(value).unwrap()).ok();
            let expected = expected.map(|it| it.iter().map(|it| (*it).to_owned()).collect());
            assert_eq!(read, expected, "{value}");
        }
        check("null", Some(&[]));
        check(r#""a\n""#, Some(&["a\n"]));
        check(r#"["a","","b"]"#, Some(&["a", "b"]));
        check("[]", Some(&[]));
        check(r#"["1","2","3","4","5"]"#, None);
        check("[1]", None);
        check("7", None);
    }
}
