//! Server-sent events: bytes become frames, whatever the cut. It knows the framing of the
//! WHATWG specification (LF, CRLF, CR, comments, BOM, several `data` lines) and nothing of
//! what the frames mean.
//!
//! A frame that already has the canonical form `event: T\ndata: D\n\n` is handed on as a slice
//! of the bytes that came in, so that a relay can forward it untouched.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use memchr::{memchr2, memchr2_iter};

/// One event of the stream.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    raw: Bytes,
    event: Range<usize>,
    data: Range<usize>,
    canonical: bool,
}

shape!(Frame, it => "Frame({} bytes)", it.raw.len());

impl Frame {
    /// Makes a frame in canonical form.
    pub fn new(event: &str, data: &[u8]) -> Self {
        let mut raw = BytesMut::with_capacity(event.len() + data.len() + 16);
        raw.extend_from_slice(b"event: ");
        raw.extend_from_slice(event.as_bytes());
        raw.extend_from_slice(b"\ndata: ");
        let start = raw.len();
        raw.extend_from_slice(data);
        let end = raw.len();
        raw.extend_from_slice(b"\n\n");
        Self { raw: raw.freeze(), event: 7..7 + event.len(), data: start..end, canonical: true }
    }

    /// The event's name; empty when the stream gave none.
    pub fn event(&self) -> &str {
        let name = self.raw.get(self.event.clone()).unwrap_or_default();
        std::str::from_utf8(name).unwrap_or_default()
    }

    /// Whether this is the event's name.
    pub fn is_named(&self, name: &str) -> bool {
        self.raw.get(self.event.clone()) == Some(name.as_bytes())
    }

    /// The event's data, its lines joined by LF.
    pub fn data(&self) -> &[u8] {
        self.raw.get(self.data.clone()).unwrap_or_default()
    }

    /// The bytes as they came, blank line included, when they are in canonical form.
    pub fn verbatim(&self) -> Option<&Bytes> {
        self.canonical.then_some(&self.raw)
    }
}

/// Writes an event whose data is a JSON text: that may be broken into lines, an event's data may
/// not, and so it becomes one line.
pub fn write(event: &str, json: &str, out: &mut Vec<u8>) {
    out.reserve(event.len() + json.len() + 16);
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(event.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    let mut start = 0;
    for end in memchr2_iter(b'\n', b'\r', json.as_bytes()) {
        out.extend_from_slice(json.as_bytes().get(start..end).unwrap_or_default());
        start = end + 1;
    }
    out.extend_from_slice(json.as_bytes().get(start..).unwrap_or_default());
    out.extend_from_slice(b"\n\n");
}

/// An event grew past the limit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {limit} bytes")]
pub struct TooLong {
    /// The limit in bytes.
    pub limit: usize,
}

/// Splits a stream into frames.
pub struct Decoder {
    limit: usize,
    /// A chunk that is being read in place.
    whole: Bytes,
    /// The head of a frame whose end has not come yet, and what follows it.
    pieces: BytesMut,
    lines: Lines,
    at_start: bool,
}

shape!(Decoder, it => "Decoder({} bytes)", it.waiting());

/// What is known of the frame being read. Offsets count from the first unconsumed byte.
#[derive(Debug, Default)]
struct Lines {
    /// Where the frame begins, after blank lines in front of it.
    start: usize,
    /// Where the line being read begins.
    line: usize,
    /// How far the search for the line's end has come.
    scanned: usize,
    /// The last line ended in CR: an LF right after it belongs to that end.
    after_cr: bool,
    event: Option<Range<usize>>,
    data: Option<Range<usize>>,
    /// `data` lines after the first one.
    more: Vec<Range<usize>>,
    /// Anything that the canonical form has not.
    irregular: bool,
}

impl Decoder {
    /// A decoder that refuses frames longer than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            whole: Bytes::new(),
            pieces: BytesMut::new(),
            lines: Lines::default(),
            at_start: true,
        }
    }

    /// Takes the next bytes of the stream. Call [`Decoder::next_frame`] until it has no more
    /// before the next push.
    pub fn push(&mut self, chunk: Bytes) {
        if self.whole.is_empty() && self.pieces.is_empty() {
            self.whole = chunk;
        } else {
            let whole = std::mem::take(&mut self.whole);
            self.pieces.extend_from_slice(&whole);
            self.pieces.extend_from_slice(&chunk);
        }
    }

    /// How much has come that is in no frame yet, in bytes.
    pub fn waiting(&self) -> usize {
        self.whole.len() + self.pieces.len()
    }

    /// The next whole frame that has data. A trailing frame without its blank line is not
    /// one: see [`Decoder::finish`].
    ///
    /// # Errors
    ///
    /// When the frame being read is over the limit.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, TooLong> {
        loop {
            if self.at_start && !self.skip_byte_order_mark() {
                return Ok(None);
            }
            if let Some(frame) = self.take_canonical() {
                return if frame.raw.len() > self.limit {
                    Err(TooLong { limit: self.limit })
                } else {
                    Ok(Some(frame))
                };
            }
            let found = {
                let bytes = if self.whole.is_empty() { &self.pieces[..] } else { &self.whole[..] };
                self.lines.scan(bytes)
            };
            let Some(end) = found else {
                self.drop_blank_lines();
                return if self.waiting() - self.lines.start > self.limit {
                    Err(TooLong { limit: self.limit })
                } else {
                    Ok(None)
                };
            };
            if let Some(frame) = self.take(end) {
                if frame.raw.len() > self.limit {
                    return Err(TooLong { limit: self.limit });
                }
                return Ok(Some(frame));
            }
        }
    }

    /// The last frame of a stream that ended without the blank line after it.
    ///
    /// # Errors
    ///
    /// When that frame is over the limit.
    pub fn finish(&mut self) -> Result<Option<Frame>, TooLong> {
        self.push(Bytes::from_static(b"\n\n"));
        self.next_frame()
    }

    /// Blank lines in front of a frame are no part of it.
    fn drop_blank_lines(&mut self) {
        let start = std::mem::take(&mut self.lines.start);
        if self.whole.is_empty() {
            drop(self.pieces.split_to(start));
        } else {
            drop(self.whole.split_to(start));
        }
        self.lines.move_back(start);
    }

    /// Takes a frame off the front that is whole and in canonical form, as nearly all are. Any
    /// other is left to be read line by line.
    fn take_canonical(&mut self) -> Option<Frame> {
        if self.lines.scanned > 0 || self.lines.after_cr {
            return None;
        }
        let rest = self.whole.strip_prefix(b"event: ")?;
        let name = rest.get(..memchr2(b'\n', b'\r', rest)?).filter(|it| !it.is_empty())?;
        let rest = rest.get(name.len()..)?.strip_prefix(b"\ndata: ")?;
        let length = memchr2(b'\n', b'\r', rest).filter(|length| *length > 0)?;
        if !rest.get(length..)?.starts_with(b"\n\n") || !name.is_ascii() {
            return None;
        }
        let event = 7..7 + name.len();
        let data = event.end + 7..event.end + 7 + length;
        let raw = self.whole.split_to(data.end + 2);
        Some(Frame { raw, event, data, canonical: true })
    }

    /// Takes the frame that ends at `end` off the front; `None` when it has no data.
    fn take(&mut self, end: usize) -> Option<Frame> {
        let after_cr = self.lines.after_cr;
        let lines = std::mem::take(&mut self.lines);
        self.lines.after_cr = after_cr;
        let raw = if self.whole.is_empty() {
            self.pieces.split_to(end).freeze()
        } else {
            self.whole.split_to(end)
        };
        lines.frame(&raw)
    }

    /// Whether the start of the stream is decided: a byte order mark is dropped.
    fn skip_byte_order_mark(&mut self) -> bool {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        let bytes = if self.whole.is_empty() { &self.pieces[..] } else { &self.whole[..] };
        if bytes.is_empty() || (bytes.len() < MARK.len() && MARK.starts_with(bytes)) {
            return false;
        }
        if bytes.starts_with(MARK) {
            if self.whole.is_empty() {
                drop(self.pieces.split_to(MARK.len()));
            } else {
                drop(self.whole.split_to(MARK.len()));
            }
        }
        self.at_start = false;
        true
    }
}

impl Lines {
    /// The first `count` bytes are gone.
    fn move_back(&mut self, count: usize) {
        let back = |range: &mut Range<usize>| *range = range.start - count..range.end - count;
        self.line -= count;
        self.scanned -= count;
        self.event.iter_mut().for_each(back);
        self.data.iter_mut().for_each(back);
        self.more.iter_mut().for_each(back);
    }

    /// Reads on to the end of the frame: the offset after its blank line.
    fn scan(&mut self, bytes: &[u8]) -> Option<usize> {
        loop {
            if self.after_cr && self.scanned == self.line {
                match bytes.get(self.line) {
                    None => return None,
                    Some(b'\n') => {
                        if self.start == self.line {
                            self.start += 1;
                        }
                        self.line += 1;
                        self.scanned = self.line;
                    }
                    Some(_) => {}
                }
                self.after_cr = false;
            }
            let rest = bytes.get(self.scanned..).unwrap_or_default();
            let Some(at) = memchr2(b'\n', b'\r', rest) else {
                self.scanned = bytes.len();
                return None;
            };
            let end = self.scanned + at;
            let line = self.line..end;
            self.after_cr = rest.get(at) == Some(&b'\r');
            self.irregular |= self.after_cr;
            self.line = end + 1;
            self.scanned = self.line;
            if !line.is_empty() {
                self.note(bytes, line);
            } else if self.start == end {
                self.start = self.line;
            } else {
                return Some(self.line);
            }
        }
    }

    /// Files one line under the field it sets.
    fn note(&mut self, bytes: &[u8], line: Range<usize>) {
        let text = bytes.get(line.clone()).unwrap_or_default();
        let colon = memchr::memchr(b':', text.get(..text.len().min(16)).unwrap_or_default());
        let name = text.get(..colon.unwrap_or(text.len())).unwrap_or_default();
        let space = colon.is_some_and(|at| text.get(at + 1) == Some(&b' '));
        let skip = colon.map_or(text.len(), |at| at + 1 + usize::from(space));
        let value = line.start + skip..line.end;
        self.irregular |= !space;
        match name {
            b"event" => {
                self.irregular |= self.event.is_some() || self.data.is_some();
                self.event = Some(value);
            }
            b"data" if self.data.is_some() => {
                self.irregular = true;
                self.more.push(value);
            }
            b"data" => self.data = Some(value),
            _ => self.irregular = true,
        }
    }

    /// The frame these lines make of `raw`.
    fn frame(self, raw: &Bytes) -> Option<Frame> {
        let event = self.event.unwrap_or(0..0);
        let data = self.data?;
        if self.more.is_empty() {
            if data.is_empty() {
                return None;
            }
            let name = raw.get(event.clone()).unwrap_or_default();
            let named = !name.is_empty() && std::str::from_utf8(name).is_ok();
            let canonical = named && !self.irregular;
            let shift = |it: Range<usize>| {
                it.start.saturating_sub(self.start)..it.end.saturating_sub(self.start)
            };
            return Some(Frame {
                raw: raw.slice(self.start..),
                event: shift(event),
                data: shift(data),
                canonical,
            });
        }
        let mut joined = raw.get(data).unwrap_or_default().to_vec();
        for line in self.more {
            joined.push(b'\n');
            joined.extend_from_slice(raw.get(line).unwrap_or_default());
        }
        let name = raw.get(event).unwrap_or_default();
        let mut frame = Frame::new(std::str::from_utf8(name).unwrap_or_default(), &joined);
        frame.canonical = false;
        Some(frame)
    }
}

#[cfg(test)]
mod tests;
