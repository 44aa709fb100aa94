//! What a request orders of the backend, as a mark in its own instructions: whatever stands between
//! the two ends, requests of several kinds can be under way at once.

use std::fmt;

const OPEN: &[u8] = b"[[bench ";

/// How an answer comes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Order {
    /// Pieces of text in the answer.
    pub deltas: usize,
    /// Microseconds between them; 0 sends the answer at once.
    pub delay_us: u64,
    /// Each piece tells when it was sent.
    pub stamped: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self { deltas: 20, delay_us: 0, stamped: false }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stamped = u8::from(self.stamped);
        write!(f, "[[bench {} {} {stamped}]]", self.deltas, self.delay_us)
    }
}

impl Order {
    /// The order in a request's body; a body without one gets a short answer at once.
    pub fn find(body: &[u8]) -> Self {
        Self::read(body).unwrap_or_default()
    }

    fn read(body: &[u8]) -> Option<Self> {
        let after = body.get(memchr::memmem::find(body, OPEN)? + OPEN.len()..)?;
        let text = std::str::from_utf8(after.get(..memchr::memchr(b']', after)?)?).ok()?;
        let mut words = text.split(' ').map(str::parse::<u64>);
        let deltas = usize::try_from(words.next()?.ok()?).ok()?;
        Some(Self { deltas, delay_us: words.next()?.ok()?, stamped: words.next()?.ok()? == 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_found_in_the_body_that_carries_it() {
        let order = Order { deltas: 200, delay_us: 20_000, stamped: true };
        let body = format!(r#"{{"model":"m","instructions":"{order}be brief"}}"#);
        assert_eq!(Order::find(body.as_bytes()), order);
        assert_eq!(Order::find(b"{}"), Order::default());
    }
}
