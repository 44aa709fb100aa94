//! One pass over a JSON text. A checking scanner proves that the text is valid (RFC 8259) and
//! not nested too deeply; a trusting one walks over text that has been proven before. Strings
//! make up most of a request: they are crossed many bytes at a time.

use std::borrow::Cow;

use super::run::Specials;
use super::{Element, MAX_DEPTH, MOST_HELD, Malformed, Object, Raw, Value, unescape};

/// The fields of an object, in the order written.
pub(super) type Fields<'a, V> = Vec<(Cow<'a, str>, V)>;
/// The fields of an object, and those of one of its members.
type FieldsWith<'a> = (Fields<'a, Raw<'a>>, Option<Fields<'a, Raw<'a>>>);

/// Why a text is not valid JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Something that JSON has not at this place, in bytes from the start.
    Unexpected(usize),
    /// The text ends too early.
    Unfinished,
    /// Too many levels.
    TooDeep,
    /// Too many members and elements to hold.
    TooMany,
    /// A whole value, but no object.
    NotAnObject,
}

impl Fault {
    /// The fault for people.
    pub(super) fn explain(self, text: &str) -> Malformed {
        match self {
            Self::TooDeep => Malformed::TooDeep,
            Self::TooMany => Malformed::TooMany,
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
    bytes: &'a [u8],
    at: usize,
    specials: Specials,
    /// The text has been proven valid.
    trusting: bool,
    /// How many members and elements may still be held.
    room: usize,
}

impl<'a> Scanner<'a> {
    /// A scanner that checks every byte.
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
            specials: Specials::default(),
            trusting: false,
            room: MOST_HELD,
        }
    }

    /// A scanner for text that is valid JSON.
    pub(super) fn trusting(text: &'a str) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
            specials: Specials::default(),
            trusting: true,
            room: MOST_HELD,
        }
    }

    /// Only white space is left.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(Fault::Unexpected(self.at)),
        }
    }

    /// One object, each of its values read by `value`.
    fn members<V>(
        &mut self,
        mut value: impl FnMut(&mut Self, &str) -> Result<V, Fault>,
    ) -> Result<Fields<'a, V>, Fault> {
        match self.peek() {
            Some(b'{') => self.at += 1,
            Some(_) => {
                self.value()?;
                return Err(Fault::NotAnObject);
            }
            None => return Err(Fault::Unfinished),
        }
        let mut fields = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(fields);
        }
        fields.reserve(8);
        loop {
            self.hold()?;
            let key = self.key()?;
            let value = value(self, &key)?;
            fields.push((key, value));
            if !self.goes_on(b'}')? {
                return Ok(fields);
            }
        }
    }

    /// Counts one more member or element.
    fn hold(&mut self) -> Result<(), Fault> {
        self.room = self.room.checked_sub(1).ok_or(Fault::TooMany)?;
        Ok(())
    }

    /// Whether a comma follows, and not the end of the object or list.
    fn goes_on(&mut self, end: u8) -> Result<bool, Fault> {
        match self.peek() {
            Some(b',') => self.at += 1,
            Some(byte) if byte == end => {
                self.at += 1;
                return Ok(false);
            }
            Some(_) => return Err(Fault::Unexpected(self.at)),
            None => return Err(Fault::Unfinished),
        }
        Ok(true)
    }

    /// One object as its fields.
    pub(super) fn fields(&mut self) -> Result<Fields<'a, Raw<'a>>, Fault> {
        self.members(|scanner, _| scanner.value_at_depth(1))
    }

    /// One object as its fields, and the fields of the object under `name` if there is one.
    pub(super) fn fields_with(&mut self, name: &str) -> Result<FieldsWith<'a>, Fault> {
        let mut member = None;
        let fields = self.members(|scanner, key| {
            let start = scanner.begin();
            if key != name {
                return scanner.value_at_depth(1);
            }
            if scanner.byte() != Some(b'{') {
                member = None;
                return scanner.value_at_depth(1);
            }
            member = Some(scanner.members(|scanner, _| scanner.value_at_depth(2))?);
            scanner.since(start)
        })?;
        Ok((fields, member))
    }

    /// One object as its fields, the lists among their values taken apart on the way.
    pub(super) fn body(&mut self) -> Result<Fields<'a, Value<'a>>, Fault> {
        self.members(|scanner, _| {
            let start = scanner.begin();
            if scanner.byte() == Some(b'[') {
                let elements = scanner.elements(1)?;
                return Ok(Value { raw: scanner.since(start)?, elements: Some(elements) });
            }
            scanner.value_at_depth(1).map(Value::from)
        })
    }

    /// One list, which stands at `depth` levels already, its elements read by `element`.
    fn list<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        match self.peek() {
            Some(b'[') => self.at += 1,
            Some(_) => return Err(Fault::Unexpected(self.at)),
            None => return Err(Fault::Unfinished),
        }
        let mut elements = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(elements);
        }
        loop {
            self.hold()?;
            elements.push(element(self)?);
            if !self.goes_on(b']')? {
                return Ok(elements);
            }
        }
    }

    /// One list as its elements, the objects among them taken apart on the way.
    pub(super) fn elements(&mut self, depth: u32) -> Result<Vec<Element<'a>>, Fault> {
        self.list(|scanner| {
            let start = scanner.begin();
            if scanner.byte() != Some(b'{') {
                return Ok(Element { raw: scanner.value_at_depth(depth + 1)?, object: None });
            }
            let fields = scanner.members(|scanner, _| scanner.value_at_depth(depth + 2))?;
            Ok(Element { raw: scanner.since(start)?, object: Some(Object::of_fields(fields)) })
        })
    }

    /// One list as the texts of its elements.
    pub(super) fn values(&mut self) -> Result<Vec<Raw<'a>>, Fault> {
        self.list(Self::value)
    }

    /// Where the next value begins.
    fn begin(&mut self) -> usize {
        self.peek();
        self.at
    }

    /// The text read since `start`.
    fn since(&self, start: usize) -> Result<Raw<'a>, Fault> {
        self.text.get(start..self.at).map(Raw).ok_or(Fault::Unfinished)
    }

    /// One value of whatever kind.
    pub(super) fn value(&mut self) -> Result<Raw<'a>, Fault> {
        self.value_at_depth(0)
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
        let plain = self.string()?;
        let escaped = self.text.get(start..self.at - 1).unwrap_or_default();
        let key = if plain { Some(Cow::Borrowed(escaped)) } else { unescape(escaped) };
        let key = key.ok_or(Fault::Unexpected(start))?;
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
        self.bytes.get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Walks over one valid value.
    fn skip(&mut self) {
        let mut depth = 0_u32;
        while let Some(byte) = self.byte() {
            match byte {
                b'"' => {
                    self.skip_string();
                }
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

    /// Walks over one valid string; whether it has no escapes.
    fn skip_string(&mut self) -> bool {
        self.at += 1;
        let mut plain = true;
        loop {
            self.at = self.specials.next(self.bytes, self.at);
            if self.byte() != Some(b'\\') {
                self.at += 1;
                return plain;
            }
            plain = false;
            self.at += 2;
        }
    }

    /// Proves one value, which stands at `depth` levels already. Which levels are objects is
    /// kept in the bits of one number: there are never more than 128.
    fn check(&mut self, mut depth: u32) -> Result<(), Fault> {
        let ground = depth;
        let mut objects = 0_u128;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                }
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
            Some(b'"') => {
                self.string()?;
            }
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

    /// A string, from its opening quote to behind its closing one; whether it has no escapes.
    fn string(&mut self) -> Result<bool, Fault> {
        if self.trusting {
            return Ok(self.skip_string());
        }
        self.at += 1;
        let mut plain = true;
        loop {
            self.at = self.specials.next(self.bytes, self.at);
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(plain);
                }
                Some(b'\\') => {
                    plain = false;
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

#[cfg(test)]
mod tests;
