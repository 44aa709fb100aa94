//! One pass over a JSON text. A checking scanner proves that the text is valid (RFC 8259) and
//! not nested too deeply; a trusting one walks over text that has been proven before. Strings
//! make up most of a request: both cross them eight bytes at a time.

use std::borrow::Cow;

use memchr::memchr2;

use super::{MAX_DEPTH, Malformed, Raw, unescape};

/// Why a text is not valid JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Something that JSON has not at this place, in bytes from the start.
    Unexpected(usize),
    /// The text ends too early.
    Unfinished,
    /// Too many levels.
    TooDeep,
    /// A whole value, but no object.
    NotAnObject,
}

impl Fault {
    /// The fault for people.
    pub(super) fn explain(self, text: &str) -> Malformed {
        match self {
            Self::TooDeep => Malformed::TooDeep,
            Self::Unfinished => Malformed::Syntax("it ends in the middle".to_owned()),
            Self::NotAnObject => Malformed::Syntax("it is JSON, but not an object".to_owned()),
            Self::Unexpected(at) => {
                let before = text.as_bytes().get(..at).unwrap_or_default();
                let line = memchr::memchr_iter(b'\n', before).count() + 1;
                let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
                Malformed::Syntax(format!("unexpected text at line {line}, column {column}"))
            }
        }
    }
}

/// A place in a text.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// The text has been proven valid.
    trusting: bool,
}

impl<'a> Scanner<'a> {
    /// A scanner that checks every byte.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, trusting: false }
    }

    /// A scanner for text that is valid JSON.
    pub(super) fn trusting(text: &'a str) -> Self {
        Self { text, at: 0, trusting: true }
    }

    /// Only white space is left.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(Fault::Unexpected(self.at)),
        }
    }

    /// One object as its fields.
    pub(super) fn fields(&mut self) -> Result<Vec<(Cow<'a, str>, Raw<'a>)>, Fault> {
        match self.peek() {
            Some(b'{') => self.at += 1,
            Some(_) => {
                self.value()?;
                return Err(Fault::NotAnObject);
            }
            None => return Err(Fault::Unfinished),
        }
        let mut fields = Vec::with_capacity(8);
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(fields);
        }
        loop {
            let key = self.key()?;
            fields.push((key, self.nested_value()?));
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(fields);
                }
                Some(_) => return Err(Fault::Unexpected(self.at)),
                None => return Err(Fault::Unfinished),
            }
        }
    }

    /// One valid list, its elements read by `element`; `None` when the text is something else.
    pub(super) fn list<T>(
        &mut self,
        element: impl Fn(&mut Self) -> Result<T, Fault>,
    ) -> Option<Vec<T>> {
        if self.peek() != Some(b'[') {
            return None;
        }
        self.at += 1;
        let mut elements = Vec::with_capacity(8);
        if self.peek() == Some(b']') {
            return Some(elements);
        }
        loop {
            elements.push(element(self).ok()?);
            let more = self.peek() == Some(b',');
            self.at += 1;
            if !more {
                return Some(elements);
            }
        }
    }

    /// Where the next value begins.
    pub(super) fn begin(&mut self) -> usize {
        self.peek();
        self.at
    }

    /// Whether the next value is an object.
    pub(super) fn is_at_object(&self) -> bool {
        self.byte() == Some(b'{')
    }

    /// The text read since `start`.
    pub(super) fn since(&self, start: usize) -> Result<Raw<'a>, Fault> {
        self.text.get(start..self.at).map(Raw).ok_or(Fault::Unfinished)
    }

    /// One value of whatever kind.
    pub(super) fn value(&mut self) -> Result<Raw<'a>, Fault> {
        self.value_at_depth(0)
    }

    /// A value inside an object or list.
    fn nested_value(&mut self) -> Result<Raw<'a>, Fault> {
        self.value_at_depth(1)
    }

    fn value_at_depth(&mut self, depth: u32) -> Result<Raw<'a>, Fault> {
        let start = self.begin();
        if self.trusting {
            self.skip();
        } else {
            self.check(depth)?;
        }
        self.since(start)
    }

    fn key(&mut self) -> Result<Cow<'a, str>, Fault> {
        match self.peek() {
            Some(b'"') => {}
            Some(_) => return Err(Fault::Unexpected(self.at)),
            None => return Err(Fault::Unfinished),
        }
        let start = self.at + 1;
        self.string()?;
        let escaped = self.text.get(start..self.at - 1).unwrap_or_default();
        let key = unescape(escaped).ok_or(Fault::Unexpected(start))?;
        match self.peek() {
            Some(b':') => self.at += 1,
            Some(_) => return Err(Fault::Unexpected(self.at)),
            None => return Err(Fault::Unfinished),
        }
        Ok(key)
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// Walks over one valid value.
    fn skip(&mut self) {
        let mut depth = 0_u32;
        while let Some(byte) = self.byte() {
            match byte {
                b'"' => self.skip_string(),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' if depth == 0 => return,
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\n' | b'\t' | b'\r' => {
                    if depth == 0 {
                        return;
                    }
                    self.at += 1;
                    continue;
                }
                _ => {
                    let end = |byte: &u8| {
                        matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\t' | b'\r')
                    };
                    let rest = self.rest();
                    self.at += rest.iter().position(end).unwrap_or(rest.len());
                }
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn skip_string(&mut self) {
        self.at += 1;
        self.at += closing_quote(self.rest()).map_or(self.rest().len(), |at| at + 1);
    }

    /// Proves one value, which stands at `depth` levels already. Which levels are objects is
    /// kept in the bits of one number: there are never more than 128.
    fn check(&mut self, mut depth: u32) -> Result<(), Fault> {
        let ground = depth;
        let mut objects = 0_u128;
        loop {
            match self.peek() {
                Some(b'"') => self.string()?,
                Some(open @ (b'{' | b'[')) => {
                    self.at += 1;
                    depth += 1;
                    if depth > MAX_DEPTH {
                        return Err(Fault::TooDeep);
                    }
                    let object = open == b'{';
                    objects = objects << 1 | u128::from(object);
                    if self.peek() == Some(if object { b'}' } else { b']' }) {
                        self.at += 1;
                        depth -= 1;
                        objects >>= 1;
                    } else {
                        if object {
                            self.member_name()?;
                        }
                        continue;
                    }
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.literal("true")?,
                Some(b'f') => self.literal("false")?,
                Some(b'n') => self.literal("null")?,
                Some(_) => return Err(Fault::Unexpected(self.at)),
                None => return Err(Fault::Unfinished),
            }
            // A value has ended: so may the lists and objects around it.
            loop {
                if depth == ground {
                    return Ok(());
                }
                let object = objects & 1 == 1;
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        if object {
                            self.member_name()?;
                        }
                        break;
                    }
                    Some(b'}') if object => {}
                    Some(b']') if !object => {}
                    Some(_) => return Err(Fault::Unexpected(self.at)),
                    None => return Err(Fault::Unfinished),
                }
                self.at += 1;
                depth -= 1;
                objects >>= 1;
            }
        }
    }

    /// A name and its colon.
    fn member_name(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => self.string()?,
            Some(_) => return Err(Fault::Unexpected(self.at)),
            None => return Err(Fault::Unfinished),
        }
        match self.peek() {
            Some(b':') => self.at += 1,
            Some(_) => return Err(Fault::Unexpected(self.at)),
            None => return Err(Fault::Unfinished),
        }
        Ok(())
    }

    /// A string, from its opening quote to behind its closing one.
    fn string(&mut self) -> Result<(), Fault> {
        if self.trusting {
            self.skip_string();
            return Ok(());
        }
        self.at += 1;
        loop {
            self.at += plain_run(self.rest());
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape()?;
                }
                Some(_) => return Err(Fault::Unexpected(self.at)),
                None => return Err(Fault::Unfinished),
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<(), Fault> {
        match self.byte() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                let digits = self.rest().get(1..5).ok_or(Fault::Unfinished)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(Fault::Unexpected(self.at));
                }
                self.at += 5;
            }
            Some(_) => return Err(Fault::Unexpected(self.at)),
            None => return Err(Fault::Unfinished),
        }
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Result<(), Fault> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(Fault::Unexpected(self.at));
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        match self.byte() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            Some(_) => return Err(Fault::Unexpected(self.at)),
            None => return Err(Fault::Unfinished),
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.byte().map_or(Fault::Unfinished, |_| Fault::Unexpected(self.at)));
        }
        self.at += count;
        Ok(())
    }
}

/// Whether a text stands in a JSON string as it is.
pub(super) fn is_plain(text: &str) -> bool {
    plain_run(text.as_bytes()) == text.len()
}

/// Where the string ends whose inside begins here: the first quote that no backslash escapes.
/// Only for text that is valid JSON.
pub(super) fn closing_quote(inside: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'"', inside).find(|at| {
        let before = inside.get(..*at).unwrap_or_default();
        before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 0
    })
}

/// How many bytes there are in front of the first quote, backslash or control character.
fn plain_run(bytes: &[u8]) -> usize {
    let near = bytes.get(..NEAR).unwrap_or(bytes);
    let run = near_run(near);
    if run < near.len() || near.len() == bytes.len() {
        return run;
    }
    let far = bytes.get(NEAR..).unwrap_or_default();
    let found = memchr2(b'"', b'\\', far).unwrap_or(far.len());
    let plain = far.get(..found).unwrap_or_default();
    // Without an early exit the compiler looks at many bytes together.
    if plain.iter().map(|byte| u8::from(*byte < 0x20)).fold(0, |any, one| any | one) == 0 {
        return NEAR + found;
    }
    NEAR + plain.iter().position(|byte| *byte < 0x20).unwrap_or(found)
}

/// How far a search by words is worth it: past that, the set-up of a faster one is.
const NEAR: usize = 32;

/// [`plain_run`] for few bytes. Eight of them are looked at together: subtracting from each
/// borrows from its top bit exactly where the byte is zero, or less than a space.
fn near_run(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES << 7;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let mut run = 0;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let Ok(word) = word.try_into().map(u64::from_le_bytes) else { return run };
        let quote = zero(word ^ (ONES * u64::from(b'"')));
        let escape = zero(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quote | escape | control) & TOPS;
        if found != 0 {
            return run + found.trailing_zeros() as usize / 8;
        }
        run += 8;
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\') || *byte < 0x20;
    run + words.remainder().iter().position(special).unwrap_or(words.remainder().len())
}

#[cfg(test)]
mod tests;
