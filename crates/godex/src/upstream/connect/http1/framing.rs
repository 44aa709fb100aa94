//! Where the body of an answer ends, and which of the bytes on the way are its own
//! (RFC 9112, 6 and 7.1).

use bytes::{Bytes, BytesMut};

use super::Error;

/// How many bytes a chunk may spend on its size and extensions, and the trailer on its fields.
const MOST_AROUND: usize = 16 << 10;

/// How a body is delimited, and how far it has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many more bytes.
    Length(u64),
    /// Chunks that tell their size.
    Chunked(Chunks),
    /// Until the connection is closed.
    UntilClosed,
}

/// What comes after a piece of a body.
#[derive(Debug)]
pub(super) enum After {
    /// More of it, as far as is known.
    More,
    /// Its end. `clean` if nothing else came with it.
    End { clean: bool },
    /// Something that cannot be.
    Broken(Error),
}

/// A place in a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunks {
    at: At,
    /// What is left of the chunk, or what is known of its size.
    left: u64,
    /// Bytes read of the line with the size, or of the trailer.
    around: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// The first digit of a size.
    Begin,
    /// Further digits.
    Size,
    /// White space behind a size.
    Space,
    /// Between the size and the end of its line.
    Extension,
    /// The line feed that ends the line of a size.
    SizeEnd,
    Data,
    /// Carriage return and line feed behind the data.
    DataReturn,
    DataEnd,
    /// The beginning of a line of the trailer.
    TrailerLine,
    /// Inside a field of the trailer.
    Trailer,
    TrailerEnd,
    /// The line feed of the last line.
    LastEnd,
    Done,
}

impl Framing {
    /// A chunked body from its beginning.
    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunks { at: At::Begin, left: 0, around: 0 })
    }

    /// Whether nothing more belongs to the body.
    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.at == At::Done,
            Self::UntilClosed => false,
        }
    }

    /// Whether the body may end where the connection was closed.
    pub(super) fn may_close(&self) -> bool {
        match self {
            Self::UntilClosed => true,
            Self::Length(_) | Self::Chunked(_) => self.is_done(),
        }
    }

    /// What of `input` is body, and what comes after it.
    pub(super) fn decode(&mut self, input: &[u8]) -> (Bytes, After) {
        let mut data = BytesMut::with_capacity(input.len());
        let after = match self.read(input, &mut data) {
            Ok(own) if self.is_done() => After::End { clean: own == input.len() },
            Ok(_) => After::More,
            Err(error) => After::Broken(error),
        };
        (data.freeze(), after)
    }

    /// Reads on in `input` and appends what is body to `body`; how many bytes of the input
    /// belong to the answer.
    ///
    /// # Errors
    ///
    /// When the chunks are not well formed.
    fn read(&mut self, input: &[u8], body: &mut BytesMut) -> Result<usize, Error> {
        match self {
            Self::UntilClosed => {
                body.extend_from_slice(input);
                Ok(input.len())
            }
            Self::Length(left) => Ok(take(left, input, body)),
            Self::Chunked(chunks) => chunks.read(input, body),
        }
    }
}

/// Moves up to `left` bytes of `input` to `body`; how many.
fn take(left: &mut u64, input: &[u8], body: &mut BytesMut) -> usize {
    let own = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
    body.extend_from_slice(input.split_at(own).0);
    *left -= own as u64;
    own
}

impl Chunks {
    fn read(&mut self, input: &[u8], body: &mut BytesMut) -> Result<usize, Error> {
        let mut at = 0;
        while self.at != At::Done {
            if self.at == At::Data {
                at += take(&mut self.left, input.get(at..).unwrap_or_default(), body);
                if self.left > 0 {
                    break;
                }
                self.at = At::DataReturn;
            }
            let Some(byte) = input.get(at) else { break };
            self.step(*byte)?;
            at += 1;
        }
        Ok(at)
    }

    /// Reads one byte that is no data.
    fn step(&mut self, byte: u8) -> Result<(), Error> {
        self.around += 1;
        if self.around > MOST_AROUND {
            return Err(Error::Malformed("too much around a chunk"));
        }
        self.at = match (self.at, byte) {
            (At::Begin | At::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = (byte as char).to_digit(16).map_or(0, u64::from);
                let shifted = self.left.checked_mul(16).ok_or(Error::Malformed("a huge chunk"))?;
                self.left = shifted | digit;
                At::Size
            }
            (At::Size | At::Space | At::Extension, b'\r') => At::SizeEnd,
            (At::Size | At::Space, b' ' | b'\t') => At::Space,
            (At::Size | At::Space, b';') => At::Extension,
            (At::Extension, _) if byte != b'\n' => At::Extension,
            (At::SizeEnd, b'\n') if self.left == 0 => At::TrailerLine,
            (At::SizeEnd, b'\n') => {
                self.around = 0;
                At::Data
            }
            (At::DataReturn, b'\r') => At::DataEnd,
            (At::DataEnd, b'\n') => {
                self.around = 0;
                At::Begin
            }
            (At::TrailerLine, b'\r') => At::LastEnd,
            (At::Trailer, b'\r') => At::TrailerEnd,
            (At::TrailerLine | At::Trailer, _) if byte != b'\n' => At::Trailer,
            (At::TrailerEnd, b'\n') => At::TrailerLine,
            (At::LastEnd, b'\n') => At::Done,
            _ => return Err(Error::Malformed("a chunk that is none")),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests;
