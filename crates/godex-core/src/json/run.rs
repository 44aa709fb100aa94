//! Where strings end: many bytes are looked at together.

use wide::u8x16;

/// Whether a text stands in a JSON string as it is.
pub(super) fn is_plain(text: &str) -> bool {
    let is_special = |byte| byte == b'"' || byte == b'\\' || byte < 0x20;
    if text.len() < 16 {
        return !text.bytes().any(is_special);
    }
    // No early exit: in this form the compiler looks at many bytes together.
    text.bytes().fold(0, |any, byte| any | u8::from(is_special(byte))) == 0
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

/// Where strings may end in a text: quotes, control characters, and backslashes that begin no
/// escape, found by blocks. Escapes that are right cost nothing more than their block. One block
/// is kept, so that the short strings of one neighbourhood share its cost.
#[derive(Debug)]
pub(super) struct Ends {
    /// The text has been proven valid: its escapes are right.
    trusting: bool,
    /// Where the block begins that was looked at last.
    block: usize,
    /// Where a string may end in it, a bit each, the first byte lowest.
    found: u64,
    /// Its backslashes.
    backslashes: u64,
    /// 1 if a backslash at its end escapes the first byte behind it.
    escaping: u64,
}

impl Ends {
    /// Nothing has been looked at.
    pub(super) fn new(trusting: bool) -> Self {
        // A block that holds no place of any text.
        Self { trusting, block: usize::MAX - BLOCK, found: 0, backslashes: 0, escaping: 0 }
    }

    /// Where the string may end that `at` lies in: at its closing quote, at a control character,
    /// at what a backslash should not escape, or with the text. `at` is the first byte of a string,
    /// and always one of the same text.
    #[inline]
    pub(super) fn next(&mut self, bytes: &[u8], at: usize) -> usize {
        let within = at.wrapping_sub(self.block);
        if within < BLOCK {
            let found = self.found >> within;
            if found != 0 {
                return at + found.trailing_zeros() as usize;
            }
        }
        self.search(bytes, at)
    }

    /// Looks at block after block. The string goes through the last one, or begins behind it.
    #[inline(never)]
    fn search(&mut self, bytes: &[u8], at: usize) -> usize {
        if at.wrapping_sub(self.block) < BLOCK {
            self.block += BLOCK;
        } else {
            (self.block, self.escaping) = (at, 0);
        }
        loop {
            let rest = bytes.get(self.block..).unwrap_or_default();
            let mut padded = [b' '; BLOCK];
            let whole = rest.first_chunk();
            if whole.is_none()
                && let Some(room) = padded.get_mut(..rest.len())
            {
                room.copy_from_slice(rest);
            }
            let block = whole.unwrap_or(&padded);
            (self.found, self.backslashes) = specials(block);
            if self.backslashes | self.escaping != 0 {
                let escaped = self.escaped();
                self.found &= !escaped;
                if !self.trusting {
                    self.found |= wrong_escapes(bytes, block, self.block, escaped);
                }
            }
            if self.found != 0 || whole.is_none() {
                return (self.block + self.found.trailing_zeros() as usize).min(bytes.len());
            }
            self.block += BLOCK;
        }
    }

    /// Which bytes of the block stand behind a backslash that no other one escapes: of a run of
    /// backslashes, every second one. Subtracting the first of each run from what stands at odd
    /// places borrows its way through the runs, and so tells the parities of all at once.
    #[inline]
    fn escaped(&mut self) -> u64 {
        const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
        let first = self.backslashes & !self.escaping;
        let ended = ((first << 1) | ODD).wrapping_sub(first) ^ ODD;
        let escaped = ended ^ (self.backslashes | self.escaping);
        self.escaping = (ended & self.backslashes) >> 63;
        escaped
    }

    /// Whether there is no backslash from `start` to `end`, where a string was found to end.
    #[inline]
    pub(super) fn is_plain(&self, bytes: &[u8], start: usize, end: usize) -> bool {
        let within = start.wrapping_sub(self.block);
        if within < BLOCK && end - start < BLOCK {
            let string = (1_u64 << (end - start)) - 1;
            return (self.backslashes >> within) & string == 0;
        }
        bytes.get(start..end).is_none_or(|string| memchr::memchr(b'\\', string).is_none())
    }
}

/// How many bytes are looked at together.
const BLOCK: usize = 64;

/// Of a block, where quotes and control characters stand, and where backslashes: a bit each, the
/// first byte lowest.
#[inline]
fn specials(block: &[u8; BLOCK]) -> (u64, u64) {
    let (two, last, escape) = (u8x16::splat(2), u8x16::splat(0x20), u8x16::splat(b'\\'));
    // With this bit flipped, quotes follow on control characters.
    let end = |lane: u8x16| {
        let lane = lane ^ two;
        lane.min(last).simd_eq(lane)
    };
    let (lanes, _) = block.as_chunks::<16>();
    lanes.iter().rev().fold((0, 0), |(ends, escapes), lane| {
        let lane = u8x16::new(*lane);
        let bits = |chosen: u8x16| u64::from(chosen.to_bitmask());
        (ends << 16 | bits(end(lane)), escapes << 16 | bits(lane.simd_eq(escape)))
    })
}

/// Which of the escaped bytes of a block, which begins at `from`, make no escape.
#[inline]
fn wrong_escapes(bytes: &[u8], block: &[u8; BLOCK], from: usize, escaped: u64) -> u64 {
    let (mut rest, mut odd) = (escaped, 0);
    // What each of them is decides nothing on the way: nearly all are right, in any order.
    while rest != 0 {
        let bit = rest.trailing_zeros();
        let byte = block.get(bit as usize).copied().unwrap_or_default();
        odd |= u64::from(!is_letter_of_escape(byte)) << bit;
        rest &= rest - 1;
    }
    let mut wrong = 0;
    while odd != 0 {
        let bit = odd.trailing_zeros();
        if !is_escape(bytes.get(from + bit as usize..).unwrap_or_default()) {
            wrong |= 1 << bit;
        }
        odd &= odd - 1;
    }
    wrong
}

/// The bytes that make an escape behind a backslash: a table, because which of them comes next
/// cannot be foreseen.
static LETTERS: [bool; 256] = {
    let mut letters = [false; 256];
    let mut rest: &[u8] = b"\"\\/bfnrt";
    while let [letter, others @ ..] = rest {
        let (_, from) = letters.split_at_mut(*letter as usize);
        if let [place, ..] = from {
            *place = true;
        }
        rest = others;
    }
    letters
};

/// Whether a byte behind a backslash makes an escape by itself.
#[inline]
fn is_letter_of_escape(byte: u8) -> bool {
    LETTERS.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Whether what follows a backslash begins with an escape.
fn is_escape(rest: &[u8]) -> bool {
    match rest {
        [b'u', a, b, c, d, ..] => [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()),
        [letter, ..] => is_letter_of_escape(*letter),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Where a string may end that begins with the text, found byte by byte.
    fn end(bytes: &[u8]) -> usize {
        let mut at = 0;
        loop {
            match bytes.get(at) {
                Some(b'\\') if is_escape(bytes.get(at + 1..).unwrap_or_default()) => at += 2,
                Some(b'\\') => return (at + 1).min(bytes.len()),
                Some(b'"' | ..0x20) | None => return at,
                Some(_) => at += 1,
            }
        }
    }

    #[test]
    fn a_run_of_plain_bytes_ends_at_the_first_special_one_wherever_it_stands() {
        for special in [b'"', b'\n', 0, 0x1f] {
            for before in 0..150 {
                let mut text = vec![b'a'; before];
                text.push(special);
                text.extend([b'b', b'"', b'c']);
                assert_eq!(Ends::new(false).next(&text, 0), before, "{special} at {before}");
            }
        }
        assert_eq!(Ends::new(false).next("é\u{7f}~ ".repeat(20).as_bytes(), 0), 100);
    }

    #[test]
    fn escapes_are_told_from_what_is_none_wherever_they_stand() {
        for escape in ["\\\\", "\\\"", "\\n", "\\/", "\\b", "\\f", "\\r", "\\t", "\\u00e9"] {
            for before in 0..150 {
                let text = "a".repeat(before) + escape + "\"" + escape;
                let end = before + escape.len();
                assert_eq!(Ends::new(false).next(text.as_bytes(), 0), end, "{escape} at {before}");
            }
        }
        for wrong in ["\\x", "\\é", "\\ ", "\\u12g4\"", "\\u123", "\\\n", "\\"] {
            for before in 0..150 {
                let text = "a".repeat(before) + wrong;
                let end = before + 1;
                assert_eq!(Ends::new(false).next(text.as_bytes(), 0), end, "{wrong} at {before}");
            }
        }
    }

    proptest! {
        #[test]
        fn strings_end_where_they_end_byte_by_byte(text in "([a-z\"\\\\\n]{0,8}|(x{0,70}(\"|\\\\{1,5}[\"nu/]?|\n)?){0,6}|\\\\{0,140}\"?){1,4}") {
            let bytes = text.as_bytes();
            let (mut ends, mut at) = (Ends::new(false), 0);
            loop {
                let found = ends.next(bytes, at);
                let expected = at + end(&bytes[at..]);
                prop_assert_eq!(found, expected, "{:?} from {}", text, at);
                if bytes.get(found) != Some(&b'"') {
                    break;
                }
                let plain = !bytes[at..found].contains(&b'\\');
                prop_assert_eq!(ends.is_plain(bytes, at, found), plain);
                at = found + 1;
            }
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
