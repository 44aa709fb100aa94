//! Names of tools. Codex takes letters, digits, `_` and `-`, 64 of them at most; clients have
//! names with dots, slashes, spaces and more. Such a name goes under another one that depends
//! on nothing but itself, so that every turn of a conversation has the same bytes, and comes
//! back under its own. Source: `docs/wire.md#tools`.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::hex;

/// The longest name Codex takes.
const LONGEST: usize = 64;
/// How much of a hash, in bytes, tells one renamed tool from another.
const HASH: usize = 8;

/// The tools of one request that go under other names.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct ToolNames {
    /// The name sent and the client's own.
    renamed: Vec<(String, String)>,
}

shape!(ToolNames, it => "ToolNames({})", it.renamed.len());

impl ToolNames {
    /// Whether every tool goes under its own name.
    pub fn is_empty(&self) -> bool {
        self.renamed.is_empty()
    }

    /// Notes a tool that is offered; returns the name to send if it is not its own.
    pub fn offer(&mut self, name: &str) -> Option<String> {
        match wire_name(name) {
            Cow::Borrowed(_) => None,
            Cow::Owned(sent) => {
                if !self.renamed.iter().any(|(known, _)| *known == sent) {
                    self.renamed.push((sent.clone(), name.to_owned()));
                }
                Some(sent)
            }
        }
    }

    /// The client's own name of a tool, if it is not the one that was sent.
    pub fn own(&self, sent: &str) -> Option<&str> {
        self.renamed.iter().find(|(it, _)| it == sent).map(|(_, own)| own.as_str())
    }
}

fn is_legal(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len()) && name.bytes().all(is_legal_byte)
}

fn is_legal_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// The name under which a tool is sent: its own, or what is legal of it with a hash of all of it.
pub fn wire_name(name: &str) -> Cow<'_, str> {
    if is_legal(name) {
        return Cow::Borrowed(name);
    }
    let legal = name.chars().map(|c| match u8::try_from(c) {
        Ok(byte) if is_legal_byte(byte) => c,
        Ok(_) | Err(_) => '_',
    });
    let mut sent: String = legal.take(LONGEST - 2 * HASH - 1).collect();
    sent.push('_');
    Sha256::digest(name).iter().take(HASH).for_each(|byte| hex::push(&mut sent, *byte));
    Cow::Owned(sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t10_legal_names_stay_and_others_become_legal_and_distinct() {
        let longest = "x".repeat(64);
        for name in ["f", "get_weather", "a-B_9", &longest] {
            assert_eq!(wire_name(name), name);
        }
        let long = ["x".repeat(65), "x".repeat(66), "é".repeat(40), "a".repeat(10_000)];
        let odd = ["", "a.b", "a_b", "a/b", "a b", "mcp.server/tool", "äöü", "\u{1f600}", "a\n"];
        let all: Vec<&str> = long.iter().map(String::as_str).chain(odd).collect();
        let sent: std::collections::BTreeSet<String> =
            all.iter().map(|name| wire_name(name).into_owned()).collect();
        assert_eq!(sent.len(), all.len());
        assert!(sent.iter().all(|name| is_legal(name)), "{sent:?}");
        assert_eq!(wire_name("files.read"), "files_read_601e4eb608f9175e");
    }

    #[test]
    fn t10_only_renamed_tools_are_noted() {
        let mut names = ToolNames::default();
        assert_eq!(names.offer("f"), None);
        assert!(names.is_empty());
        let sent = names.offer("a.b").unwrap();
        assert_eq!(names.offer("a.b").as_ref(), Some(&sent));
        assert_eq!(names.own(&sent), Some("a.b"));
        assert_eq!(names.own("f"), None);
    }
}
