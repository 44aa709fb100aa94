//! Events in an answer: how many, when they left the backend, and whether the last one is an end.

use memchr::memmem;

use crate::clock;

/// What a whole answer contains: of both wires, as a stream or in one piece.
const ENDS: [&[u8]; 4] = [
    br#""type":"response.completed""#,
    b"data: [DONE]",
    br#""status":"completed""#,
    br#""finish_reason":"stop""#,
];

/// Cuts a body into events, however it arrives.
#[derive(Default)]
pub struct Events {
    pending: Vec<u8>,
    last_stamp: u64,
    ended: bool,
}

/// What one piece of a body brought.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Brought {
    /// Events that are whole now.
    pub events: u64,
    /// Their stamps, in microseconds.
    pub stamps: Vec<u64>,
}

impl Events {
    /// Takes a piece of the body.
    pub fn take(&mut self, data: &[u8]) -> Brought {
        let mut brought = Brought::default();
        self.pending.extend_from_slice(data);
        let mut from = 0;
        while let Some(rest) = self.pending.get(from..)
            && let Some(end) = memmem::find(rest, b"\n\n")
        {
            let event = rest.get(..end).unwrap_or_default();
            brought.events += 1;
            self.ended |= is_end(event);
            // Closing events may repeat the whole text, old stamps included.
            if let Some(stamp) = clock::stamp(event).filter(|it| *it > self.last_stamp) {
                self.last_stamp = stamp;
                brought.stamps.push(stamp);
            }
            from += end + 2;
        }
        self.pending.drain(..from);
        brought
    }

    /// Whether the answer came to its end, not only to the end of its bytes.
    pub fn complete(&self) -> bool {
        self.ended || is_end(&self.pending)
    }

    /// What is left that is no event: the body of an error.
    pub fn rest(&self) -> String {
        String::from_utf8_lossy(&self.pending).chars().take(300).collect()
    }
}

fn is_end(text: &[u8]) -> bool {
    ENDS.iter().any(|end| memmem::find(text, end).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_once_however_they_are_cut() {
        let text = b"data: @0000000000000009@a\n\ndata: @0000000000000009@a\n\ndata: [DONE]\n\n";
        for step in 1..text.len() {
            let (mut events, mut count, mut stamps) = (Events::default(), 0, Vec::new());
            for piece in text.chunks(step) {
                let brought = events.take(piece);
                count += brought.events;
                stamps.extend(brought.stamps);
            }
            assert_eq!((count, stamps, events.complete()), (3, vec![9], true));
        }
    }

    #[test]
    fn an_answer_that_was_cut_off_is_not_complete() {
        let mut events = Events::default();
        events.take(b"event: response.created\ndata: {\"type\":\"response.created\"}\n\n");
        assert!(!events.complete());
    }
}
