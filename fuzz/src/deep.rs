//! `serde_json` as the judge, with a higher limit on nesting.

use serde_json::Value;
use serde_json::de::{Deserializer, StrRead};

/// How many levels the judge reads: it calls itself for each, and the stack has an end.
const MOST_LEVELS: usize = 1000;

/// A text as a value; `None` when it is no JSON, has numbers or characters that a value cannot
/// have, or more levels than the judge reads.
pub(crate) fn value(text: &str) -> Option<Value> {
    if depth(text) > MOST_LEVELS {
        return None;
    }
    let mut reader = Deserializer::new(StrRead::new(text));
    reader.disable_recursion_limit();
    let value = serde::Deserialize::deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(value)
}

/// Whether a text is JSON, be its numbers however large and its characters in halves.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// How deeply the lists and objects of a JSON text are nested.
pub(crate) fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut inside, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b'{' | b'[' if !inside => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !inside => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// A small number that any change of the bytes changes: it chooses among variants of a check.
pub(crate) fn dice(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The next number after one.
pub(crate) fn next(dice: &mut u64) -> usize {
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    (*dice >> 33) as usize
}

/// Bytes cut into pieces of up to `most`, wherever the dice will have it.
pub(crate) fn cut<'d>(mut data: &'d [u8], most: usize, dice: &mut u64) -> Vec<&'d [u8]> {
    let mut pieces = Vec::new();
    while !data.is_empty() {
        let (head, tail) = data.split_at((1 + next(dice) % most).min(data.len()));
        pieces.push(head);
        data = tail;
    }
    pieces
}
