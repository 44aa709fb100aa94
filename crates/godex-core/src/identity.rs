//! Names for sessions and conversations: keyed hashes, so that nothing a client calls itself
//! leaves the machine and no two API keys ever share a name.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::hex;
use crate::key::KeyId;

/// What a client gave to tell its sessions apart, in the order of preference.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// The `user` field.
    User(&'a str),
    /// `x-openclaw-session-key`.
    OpenClaw(&'a str),
    /// `session-id`, `x-session-id` or `x-session-affinity`.
    Header(&'a str),
    /// `prompt_cache_key`.
    CacheKey(&'a str),
    /// Nothing: the address it calls from.
    Remote(&'a str),
}

shape!(Source<'_>, it => "Source({})", it.parts().0);

impl Source<'_> {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::User(value) => ("user", value),
            Self::OpenClaw(value) => ("openclaw", value),
            Self::Header(value) => ("header", value),
            Self::CacheKey(value) => ("cache-key", value),
            Self::Remote(value) => ("remote", value),
        }
    }
}

/// A session or conversation of one API key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// The name as text: a UUID.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Gives names. The secret belongs to this installation, which makes them stable across
/// restarts and meaningless elsewhere.
#[derive(Clone)]
pub struct Namer {
    /// The keyed hash of nothing yet.
    start: Option<Hmac<Sha256>>,
}

impl std::fmt::Debug for Namer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Namer(…)")
    }
}

impl Namer {
    /// A namer with the installation's secret.
    pub fn new(secret: [u8; 32]) -> Self {
        Self { start: Hmac::new_from_slice(&secret).ok() }
    }

    /// The session of a request.
    pub fn session(&self, key: &KeyId, source: Source<'_>) -> Name {
        let (kind, value) = source.parts();
        self.name(&["session", key.as_str(), kind, value])
    }

    /// The conversation in a session that its client named `opening`, or that began with it.
    pub fn conversation(&self, session: &Name, opening: &str) -> Name {
        self.name(&["opening", session.as_str(), opening])
    }

    /// A hash of all parts, each preceded by its length, in the form of a UUID (version 8).
    fn name(&self, parts: &[&str]) -> Name {
        // A keyed SHA-256 takes a key of any length.
        let Some(mut mac) = self.start.clone() else { return Name("".into()) };
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        let digest = mac.finalize().into_bytes();
        let mut text = String::with_capacity(36);
        for (index, byte) in digest.iter().take(16).enumerate() {
            let byte = match index {
                6 => (byte & 0x0f) | 0x80,
                8 => (byte & 0x3f) | 0x80,
                _ => *byte,
            };
            if matches!(index, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            hex::push(&mut text, byte);
        }
        Name(text.into())
    }
}

/// Whether a text is a UUID, as the Codex CLI names its sessions.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyHash;

    #[test]
    fn names_are_stable_and_never_shared_between_keys_kinds_or_conversations() {
        let namer = Namer::new([7; 32]);
        let (one, two) =
            (KeyId::of_token(&KeyHash::of("one")), KeyId::of_token(&KeyHash::of("two")));
        let session = namer.session(&one, Source::User("ann"));
        assert_eq!(session, Namer::new([7; 32]).session(&one, Source::User("ann")));
        assert!(is_uuid(session.as_str()), "{session:?}");
        for other in [
            namer.session(&two, Source::User("ann")),
            namer.session(&one, Source::CacheKey("ann")),
            namer.session(&one, Source::User("bob")),
            namer.conversation(&session, "hi"),
            namer.conversation(&session, "ho"),
            Namer::new([8; 32]).session(&one, Source::User("ann")),
        ] {
            assert_ne!(session, other);
        }
    }
}
