//! Where strings end: runs of bytes that mean nothing special are crossed many at a time.

/// Whether a text stands in a JSON string as it is.
pub(super) fn is_plain(text: &str) -> bool {
    plain_end(text.as_bytes(), 0) == text.len()
}

/// Where the string ends in whose inside `from` lies: the first quote that no backslash
/// escapes. Only for text that is valid JSON, and a place where no escape is under way.
pub(super) fn closing_quote(bytes: &[u8], from: usize) -> Option<usize> {
    let inside = bytes.get(from..)?;
    let quote = memchr::memchr_iter(b'"', inside).find(|at| {
        let before = inside.get(..*at).unwrap_or_default();
        before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 0
    })?;
    Some(from + quote)
}

/// Where the first quote, backslash or control character stands, from `at` on; the length of
/// the text when there is none. Most strings are short: the first bytes are looked at by words,
/// the others by blocks, in a form that the compiler turns into vector instructions.
pub(super) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    for _ in 0..NEAR {
        match word_at(bytes, at) {
            Some(word) => match special(word) {
                0 => at += 8,
                found => return at + found.trailing_zeros() as usize / 8,
            },
            None => return plain_tail(bytes, at),
        }
    }
    while let Some(block) = bytes.get(at..at + BLOCK) {
        // No early exit, for the same reason.
        let any = block.iter().fold(0, |any, byte| any | is_special(*byte));
        if any != 0 {
            break;
        }
        at += BLOCK;
    }
    while let Some(word) = word_at(bytes, at) {
        match special(word) {
            0 => at += 8,
            found => return at + found.trailing_zeros() as usize / 8,
        }
    }
    plain_tail(bytes, at)
}

/// [`plain_end`] for the last few bytes of a text.
fn plain_tail(bytes: &[u8], at: usize) -> usize {
    let tail = bytes.get(at..).unwrap_or_default();
    at + tail.iter().position(|byte| is_special(*byte) != 0).unwrap_or(tail.len())
}

/// Whether a byte is special: 1 if so. A form without branches lets the compiler look at many
/// bytes together.
fn is_special(byte: u8) -> u8 {
    u8::from(byte == b'"') | u8::from(byte == b'\\') | u8::from(byte < 0x20)
}

/// How many words are looked at one by one.
const NEAR: usize = 2;
/// How many bytes are looked at together after that.
const BLOCK: usize = 32;

/// The eight bytes at `at`, the first one lowest.
fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

/// The top bit of each byte that is a quote, a backslash or a control character; bytes after
/// the first such may be wrong. Subtracting borrows from a top bit exactly where the byte is
/// zero, or less than a space.
fn special(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES << 7;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = zero(word ^ (ONES * u64::from(b'"')));
    let escape = zero(word ^ (ONES * u64::from(b'\\')));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | escape | control) & TOPS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_plain_bytes_ends_at_the_first_special_one_wherever_it_stands() {
        for special in [b'"', b'\\', b'\n', 0, 0x1f] {
            for before in 0..100 {
                let mut text = vec![b'a'; before];
                text.push(special);
                text.extend([b'b', b'"', b'c']);
                assert_eq!(plain_end(&text, 0), before, "{special} at {before}");
            }
        }
        assert_eq!(plain_end("é\u{7f}~ ".repeat(20).as_bytes(), 0), 100);
    }

    #[test]
    fn a_string_ends_at_the_first_quote_that_is_not_escaped() {
        assert_eq!(closing_quote(br#"a"b"#, 0), Some(1));
        assert_eq!(closing_quote(br#"a\"b\\"c""#, 0), Some(6));
        assert_eq!(closing_quote(br#"\\\"x""#, 0), Some(5));
        assert_eq!(closing_quote(br#"\"x"#, 0), None);
    }
}
