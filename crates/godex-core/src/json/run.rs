//! Where strings end: runs of bytes that mean nothing special are crossed many at a time.

use wide::u8x16;

/// Whether a text stands in a JSON string as it is.
pub(super) fn is_plain(text: &str) -> bool {
    // No early exit: in this form the compiler looks at many bytes together.
    let special = |byte| u8::from(byte == b'"') | u8::from(byte == b'\\') | u8::from(byte < 0x20);
    text.bytes().fold(0, |any, byte| any | special(byte)) == 0
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

/// The special bytes of a text, found by blocks: quotes, backslashes and control characters.
/// One block is kept, so that the short strings of one neighbourhood share its cost.
#[derive(Debug)]
pub(super) struct Specials {
    /// Where the block begins that was looked at last.
    block: usize,
    /// Its special bytes, a bit each, the first byte lowest.
    found: u64,
}

impl Default for Specials {
    fn default() -> Self {
        // A block that holds no place of any text.
        Self { block: usize::MAX - BLOCK, found: 0 }
    }
}

impl Specials {
    /// Where the first special byte stands, from `at` on; the length of the text when there is
    /// none. Always to be asked about the same text.
    #[inline]
    pub(super) fn next(&mut self, bytes: &[u8], at: usize) -> usize {
        let within = at.wrapping_sub(self.block);
        if within < BLOCK {
            let found = self.found >> within;
            if found != 0 {
                return at + found.trailing_zeros() as usize;
            }
            return self.search(bytes, self.block + BLOCK);
        }
        self.search(bytes, at)
    }

    /// Looks at block after block, the first of which begins at `at`.
    fn search(&mut self, bytes: &[u8], mut at: usize) -> usize {
        while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
            let found = specials(block);
            if found != 0 {
                (self.block, self.found) = (at, found);
                return at + found.trailing_zeros() as usize;
            }
            at += BLOCK;
        }
        let tail = bytes.get(at..).unwrap_or_default();
        let mut block = [b' '; BLOCK];
        block.iter_mut().zip(tail).for_each(|(to, from)| *to = *from);
        let found = specials(&block);
        (self.block, self.found) = (at, found);
        at + (found.trailing_zeros() as usize).min(tail.len())
    }
}

/// How many bytes are looked at together.
const BLOCK: usize = 64;

/// The special bytes of a block, a bit each, the first byte lowest.
fn specials(block: &[u8; BLOCK]) -> u64 {
    let (quote, escape, control) = (u8x16::splat(b'"'), u8x16::splat(b'\\'), u8x16::splat(0x1f));
    let (lanes, _) = block.as_chunks::<16>();
    lanes.iter().rev().fold(0, |found, lane| {
        let lane = u8x16::new(*lane);
        let special = lane.simd_eq(quote) | lane.simd_eq(escape) | lane.min(control).simd_eq(lane);
        found << 16 | u64::from(special.to_bitmask())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_run_of_plain_bytes_ends_at_the_first_special_one_wherever_it_stands() {
        for special in [b'"', b'\\', b'\n', 0, 0x1f] {
            for before in 0..100 {
                let mut text = vec![b'a'; before];
                text.push(special);
                text.extend([b'b', b'"', b'c']);
                assert_eq!(Specials::default().next(&text, 0), before, "{special} at {before}");
            }
        }
        assert_eq!(Specials::default().next("é\u{7f}~ ".repeat(20).as_bytes(), 0), 100);
    }

    proptest! {
        #[test]
        fn special_bytes_are_found_one_after_the_other(text in "[a-z\"\\\\\n]{0,8}|(x{0,70}[\"\\\\\n]?){0,6}") {
            let bytes = text.as_bytes();
            let expected: Vec<usize> = (0..bytes.len())
                .filter(|at| matches!(bytes[*at], b'"' | b'\\' | b'\n'))
                .collect();
            let (mut specials, mut at, mut found) = (Specials::default(), 0, Vec::new());
            loop {
                at = specials.next(bytes, at);
                if at >= bytes.len() {
                    break;
                }
                found.push(at);
                at += 1;
            }
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_string_ends_at_the_first_quote_that_is_not_escaped() {
        assert_eq!(closing_quote(br#"a"b"#, 0), Some(1));
        assert_eq!(closing_quote(br#"a\"b\\"c""#, 0), Some(6));
        assert_eq!(closing_quote(br#"\\\"x""#, 0), Some(5));
        assert_eq!(closing_quote(br#"\"x"#, 0), None);
    }
}
