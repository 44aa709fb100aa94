//! One pass over a JSON text. A checking scanner proves that the text is valid (RFC 8259) and
//! not nested too deeply; a trusting one walks over text that has been proven before. Strings
//! make up most of a request: they are crossed many bytes at a time.

use std::borrow::Cow;

use super::body::{Part, Rows};
use super::fault::{Broken, Fault};
use super::run::Ends;
use super::{MAX_DEPTH, MOST_HELD, Malformed, Member, Raw, keep_last_of_each, unescape};

/// The fields of an object, and those of one of its members.
type FieldsWith<'a> = (Vec<Member<'a>>, Option<Vec<Member<'a>>>);

/// A text and what has been read of it. Places are handed from step to step, so that they need
/// not go through memory.
pub(super) struct Scanner<'a> {
    text: &'a str,
    /// Where the next value begins, or white space in front of it.
    at: usize,
    ends: Ends,
    /// The text has been proven valid.
    trusting: bool,
    /// How many members and elements may still be held.
    room: usize,
    /// Why the text is broken, once it is.
    fault: Fault,
}

impl<'a> Scanner<'a> {
    /// A scanner that checks every byte.
    pub(super) fn new(text: &'a str) -> Self {
        Self::over(text, false)
    }

    /// A scanner for text that is valid JSON.
    pub(super) fn trusting(text: &'a str) -> Self {
        Self::over(text, true)
    }

    fn over(text: &'a str, trusting: bool) -> Self {
        let (ends, fault) = (Ends::new(trusting), Fault::Unfinished);
        Self { text, at: 0, ends, trusting, room: MOST_HELD, fault }
    }

    /// Why the text is broken, for people.
    pub(super) fn explain(&self) -> Malformed {
        self.fault.explain(self.text)
    }

    /// Only white space is left.
    pub(super) fn end(&mut self) -> Result<(), Broken> {
        let (at, _) = self.peek(self.at);
        if at < self.text.len() { self.unexpected(at) } else { Ok(()) }
    }

    /// One value of whatever kind.
    pub(super) fn value(&mut self) -> Result<Raw<'a>, Broken> {
        let (start, at) = self.walk(self.at, 0)?;
        self.at = at;
        self.text_of(start, at)
    }

    /// One object as its fields.
    pub(super) fn fields(&mut self) -> Result<Vec<Member<'a>>, Broken> {
        let mut fields = Vec::with_capacity(8);
        self.at = self.add_fields(&mut fields, self.at, 1)?;
        Ok(fields)
    }

    /// One object as its fields, and the fields of the object under `name` if there is one.
    pub(super) fn fields_with(&mut self, name: &str) -> Result<FieldsWith<'a>, Broken> {
        let (mut fields, mut inner) = (Vec::with_capacity(8), None);
        self.at = self.members(self.at, |scanner, key, at| {
            let (start, byte) = scanner.peek(at);
            let mut end = None;
            if key == name {
                inner = None;
                if byte == b'{' {
                    let mut members = Vec::with_capacity(8);
                    end = Some(scanner.add_fields(&mut members, start, 2)?);
                    inner = Some(members);
                }
            }
            let end = match end {
                Some(end) => end,
                None => scanner.walk(start, 1)?.1,
            };
            fields.push((key, scanner.text_of(start, end)?));
            Ok(end)
        })?;
        Ok((fields, inner))
    }

    /// One object as its fields, the lists among their values taken apart on the way.
    pub(super) fn body(
        &mut self,
        rows: &mut Rows<'a>,
    ) -> Result<Vec<(Cow<'a, str>, Part<'a>)>, Broken> {
        let mut fields = Vec::with_capacity(16);
        self.at = self.members(self.at, |scanner, key, at| {
            let (start, byte) = scanner.peek(at);
            let (end, inside) = if byte == b'[' {
                scanner.elements(start, 1, rows)?
            } else {
                (scanner.walk(start, 1)?.1, (0, 0))
            };
            fields.push((key, Part { inside, ..scanner.text_of(start, end)?.into() }));
            Ok(end)
        })?;
        Ok(fields)
    }

    /// One list: its elements are added to the rows, the objects among them taken apart.
    pub(super) fn parts(&mut self, rows: &mut Rows<'a>) -> Result<(), Broken> {
        self.at = self.elements(self.at, 0, rows)?.0;
        Ok(())
    }

    /// One list as the texts of its elements.
    pub(super) fn values(&mut self) -> Result<Vec<Raw<'a>>, Broken> {
        let mut values = Vec::new();
        self.at = self.list(self.at, |scanner, at| {
            let (start, end) = scanner.walk(at, 0)?;
            values.push(scanner.text_of(start, end)?);
            Ok(end)
        })?;
        Ok(values)
    }

    /// Adds the fields of an object, which is the level `depth`; where it ends.
    fn add_fields(
        &mut self,
        to: &mut Vec<Member<'a>>,
        at: usize,
        depth: u32,
    ) -> Result<usize, Broken> {
        self.members(at, |scanner, key, at| {
            let (start, end) = scanner.walk(at, depth)?;
            to.push((key, scanner.text_of(start, end)?));
            Ok(end)
        })
    }

    /// One list, which stands at `depth` levels already: its elements are added to the rows, the
    /// objects among them taken apart on the way. Where it ends, the first of its elements, and
    /// how many there are.
    fn elements(
        &mut self,
        at: usize,
        depth: u32,
        rows: &mut Rows<'a>,
    ) -> Result<(usize, (u32, u32)), Broken> {
        let before = rows.parts.len();
        let end = self.list(at, |scanner, at| {
            let (start, byte) = scanner.peek(at);
            if byte == b'{' {
                return scanner.element(start, depth + 2, rows);
            }
            let (_, end) = scanner.walk(start, depth + 1)?;
            rows.parts.push(scanner.text_of(start, end)?.into());
            Ok(end)
        })?;
        Ok((end, self.stretch(before, rows.parts.len())?))
    }

    /// One object, which is the level `depth`, as an element of a list; where it ends.
    fn element(&mut self, start: usize, depth: u32, rows: &mut Rows<'a>) -> Result<usize, Broken> {
        let (before, mut inner) = (rows.members.len(), None);
        let end = self.members(start, |scanner, key, at| {
            let (start, byte) = scanner.peek(at);
            let asked = rows.inner.is_some_and(|name| key == name);
            let end = if asked && byte == b'{' {
                let before = rows.inner_members.len();
                let end = scanner.add_fields(&mut rows.inner_members, start, depth + 1)?;
                keep_last_of_each(&mut rows.inner_members, before);
                inner = Some(scanner.stretch(before, rows.inner_members.len())?);
                end
            } else {
                inner = inner.filter(|_| !asked);
                scanner.walk(start, depth)?.1
            };
            rows.members.push((key, scanner.text_of(start, end)?));
            Ok(end)
        })?;
        keep_last_of_each(&mut rows.members, before);
        let inside = self.stretch(before, rows.members.len())?;
        rows.parts.push(Part { raw: self.text_of(start, end)?, inside, inner });
        Ok(end)
    }

    /// A stretch of a row, of which never more is held than fits.
    fn stretch(&mut self, before: usize, after: usize) -> Result<(u32, u32), Broken> {
        match (u32::try_from(before), u32::try_from(after - before)) {
            (Ok(first), Ok(count)) => Ok((first, count)),
            _ => self.fail(Fault::TooMany),
        }
    }

    /// One object, each of its members read by `member`, which says where the value ends.
    #[inline]
    fn members(
        &mut self,
        at: usize,
        mut member: impl FnMut(&mut Self, Cow<'a, str>, usize) -> Result<usize, Broken>,
    ) -> Result<usize, Broken> {
        let (at, byte) = self.peek(at);
        if byte != b'{' {
            self.walk(at, 0)?;
            return self.fail(Fault::NotAnObject);
        }
        let (mut at, byte) = self.peek(at + 1);
        if byte == b'}' {
            return Ok(at + 1);
        }
        loop {
            self.hold()?;
            let start = self.opening_quote(at)? + 1;
            let behind = self.string(start)?;
            let key = self.name(start, behind - 1)?;
            let value = self.colon(behind)?;
            at = member(self, key, value)?;
            match self.goes_on(at, b'}')? {
                (end, false) => return Ok(end),
                (next, true) => at = next,
            }
        }
    }

    /// One list, its elements read by `element`, which says where each ends.
    #[inline]
    fn list(
        &mut self,
        at: usize,
        mut element: impl FnMut(&mut Self, usize) -> Result<usize, Broken>,
    ) -> Result<usize, Broken> {
        let (at, byte) = self.peek(at);
        if byte != b'[' {
            return self.unexpected(at);
        }
        let (mut at, byte) = self.peek(at + 1);
        if byte == b']' {
            return Ok(at + 1);
        }
        loop {
            self.hold()?;
            at = element(self, at)?;
            match self.goes_on(at, b']')? {
                (end, false) => return Ok(end),
                (next, true) => at = next,
            }
        }
    }

    /// Counts one more member or element.
    #[inline]
    fn hold(&mut self) -> Result<(), Broken> {
        match self.room.checked_sub(1) {
            Some(room) => self.room = room,
            None => return self.fail(Fault::TooMany),
        }
        Ok(())
    }

    /// The name that stands between two places.
    #[inline]
    fn name(&mut self, start: usize, end: usize) -> Result<Cow<'a, str>, Broken> {
        let escaped = self.text.get(start..end).unwrap_or_default();
        if self.ends.is_plain(self.text.as_bytes(), start, end) {
            return Ok(Cow::Borrowed(escaped));
        }
        match unescape(escaped) {
            Some(name) => Ok(name),
            None => self.fail(Fault::Unexpected(start)),
        }
    }

    #[inline]
    fn text_of(&mut self, start: usize, end: usize) -> Result<Raw<'a>, Broken> {
        match self.text.get(start..end) {
            Some(text) => Ok(Raw(text)),
            None => self.fail(Fault::Unfinished),
        }
    }

    /// Walks over one value, which stands at `depth` levels already: where it begins and ends.
    #[inline]
    fn walk(&mut self, at: usize, depth: u32) -> Result<(usize, usize), Broken> {
        let (start, _) = self.peek(at);
        let end = if self.trusting { self.skip(start) } else { self.check(start, depth)? };
        Ok((start, end))
    }

    /// The next byte that is no white space, and its place; 0, which no value begins with, when
    /// there is none.
    #[inline]
    fn peek(&self, at: usize) -> (usize, u8) {
        let byte = self.byte(at);
        if byte > b' ' { (at, byte) } else { self.peek_behind_space(at) }
    }

    #[inline(never)]
    fn peek_behind_space(&self, mut at: usize) -> (usize, u8) {
        while matches!(self.byte(at), b' ' | b'\n' | b'\t' | b'\r') {
            at += 1;
        }
        (at, self.byte(at))
    }

    #[inline]
    fn byte(&self, at: usize) -> u8 {
        self.text.as_bytes().get(at).copied().unwrap_or_default()
    }

    fn rest(&self, at: usize) -> &'a [u8] {
        self.text.as_bytes().get(at..).unwrap_or_default()
    }

    /// The text is broken at a place.
    #[cold]
    fn unexpected<T>(&mut self, at: usize) -> Result<T, Broken> {
        let ended = at >= self.text.len();
        self.fail(if ended { Fault::Unfinished } else { Fault::Unexpected(at) })
    }

    #[cold]
    fn fail<T>(&mut self, fault: Fault) -> Result<T, Broken> {
        self.fault = fault;
        Err(Broken)
    }

    /// Walks over one valid value; where it ends.
    fn skip(&mut self, mut at: usize) -> usize {
        let mut depth = 0_u32;
        while at < self.text.len() {
            match self.byte(at) {
                b'"' => at = self.ends.next(self.text.as_bytes(), at + 1) + 1,
                b'{' | b'[' => {
                    depth += 1;
                    at += 1;
                    continue;
                }
                b'}' | b']' if depth == 0 => return at,
                b'}' | b']' => {
                    depth -= 1;
                    at += 1;
                }
                b',' | b':' | b' ' | b'\n' | b'\t' | b'\r' => {
                    if depth == 0 {
                        return at;
                    }
                    at += 1;
                    continue;
                }
                _ => {
                    let end = |byte: &u8| {
                        matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\t' | b'\r')
                    };
                    let rest = self.rest(at);
                    at += rest.iter().position(end).unwrap_or(rest.len());
                }
            }
            if depth == 0 {
                return at;
            }
        }
        at
    }

    /// Proves the value that begins here and stands at `depth` levels already; where it ends.
    #[inline]
    fn check(&mut self, at: usize, depth: u32) -> Result<usize, Broken> {
        match self.byte(at) {
            b'"' => self.string(at + 1),
            b'{' => self.check_object(at + 1, depth + 1),
            b'[' => self.check_list(at + 1, depth + 1),
            b'-' | b'0'..=b'9' => self.number(at),
            b't' => self.literal(at, "true"),
            b'f' => self.literal(at, "false"),
            b'n' => self.literal(at, "null"),
            _ => self.unexpected(at),
        }
    }

    /// Proves an object, which is the level `depth`: there are never more than 128.
    fn check_object(&mut self, at: usize, depth: u32) -> Result<usize, Broken> {
        if depth > MAX_DEPTH {
            return self.fail(Fault::TooDeep);
        }
        let (mut at, byte) = self.peek(at);
        if byte == b'}' {
            return Ok(at + 1);
        }
        loop {
            let start = self.opening_quote(at)? + 1;
            let behind = self.string(start)?;
            let behind = self.colon(behind)?;
            let (value, _) = self.peek(behind);
            at = self.check(value, depth)?;
            match self.goes_on(at, b'}')? {
                (end, false) => return Ok(end),
                (next, true) => at = next,
            }
        }
    }

    /// Proves a list, which is the level `depth`.
    fn check_list(&mut self, at: usize, depth: u32) -> Result<usize, Broken> {
        if depth > MAX_DEPTH {
            return self.fail(Fault::TooDeep);
        }
        let (mut at, byte) = self.peek(at);
        if byte == b']' {
            return Ok(at + 1);
        }
        loop {
            let (value, _) = self.peek(at);
            at = self.check(value, depth)?;
            match self.goes_on(at, b']')? {
                (end, false) => return Ok(end),
                (next, true) => at = next,
            }
        }
    }

    /// Whether a comma follows, and not the end of the object or list; what is behind it.
    #[inline]
    fn goes_on(&mut self, at: usize, end: u8) -> Result<(usize, bool), Broken> {
        let (at, byte) = self.peek(at);
        if byte != b',' && byte != end {
            return self.unexpected(at);
        }
        Ok((at + 1, byte == b','))
    }

    #[inline]
    fn opening_quote(&mut self, at: usize) -> Result<usize, Broken> {
        let (at, byte) = self.peek(at);
        if byte == b'"' { Ok(at) } else { self.unexpected(at) }
    }

    /// What is behind the colon.
    #[inline]
    fn colon(&mut self, at: usize) -> Result<usize, Broken> {
        let (at, byte) = self.peek(at);
        if byte == b':' { Ok(at + 1) } else { self.unexpected(at) }
    }

    /// The string that begins here, behind its opening quote: what is behind its closing one.
    #[inline]
    fn string(&mut self, at: usize) -> Result<usize, Broken> {
        let at = self.ends.next(self.text.as_bytes(), at);
        if self.byte(at) == b'"' { Ok(at + 1) } else { self.broken_string(at) }
    }

    /// Something in a string that no string has.
    #[cold]
    fn broken_string(&mut self, at: usize) -> Result<usize, Broken> {
        // Of the escapes, only this one may be cut off by the end of the text.
        if matches!(self.rest(at), [b'u'] | [b'u', _] | [b'u', _, _] | [b'u', _, _, _]) {
            return self.fail(Fault::Unfinished);
        }
        self.unexpected(at)
    }

    fn literal(&mut self, at: usize, word: &str) -> Result<usize, Broken> {
        if self.rest(at).starts_with(word.as_bytes()) {
            return Ok(at + word.len());
        }
        self.unexpected(at)
    }

    fn number(&mut self, mut at: usize) -> Result<usize, Broken> {
        if self.byte(at) == b'-' {
            at += 1;
        }
        at = if self.byte(at) == b'0' { at + 1 } else { self.digits(at)? };
        if self.byte(at) == b'.' {
            at = self.digits(at + 1)?;
        }
        if let b'e' | b'E' = self.byte(at) {
            at += 1;
            if let b'+' | b'-' = self.byte(at) {
                at += 1;
            }
            at = self.digits(at)?;
        }
        Ok(at)
    }

    fn digits(&mut self, at: usize) -> Result<usize, Broken> {
        let count = self.rest(at).iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 { self.unexpected(at) } else { Ok(at + count) }
    }
}

#[cfg(test)]
mod tests;
