//! HTTP/1 as far as both ends need it: heads by `httparse`, bodies by length or in chunks.

use bytes::{Buf, BytesMut};

/// How many headers a head may have.
const MOST_HEADERS: usize = 96;

/// Why bytes could not be read as HTTP.
#[derive(Debug)]
pub enum Malformed {
    /// The head.
    Head(httparse::Error),
    /// The size of a chunk.
    Chunk,
}

/// A head: of a request (`path`) or of an answer (`status`).
#[derive(Debug)]
pub struct Head {
    /// Path and query of a request.
    pub path: String,
    /// Status of an answer.
    pub status: u16,
    /// How the body ends.
    pub body: Body,
    /// The connection ends with this message.
    pub close: bool,
}

/// How a body ends, and how much of it is to come.
#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    /// After so many bytes.
    Length(usize),
    /// In chunks; so many bytes of the present one, with its line end, are to come.
    Chunks(usize),
    /// With the connection.
    UntilClose,
}

/// What the buffer held of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of the body.
    Data(BytesMut),
    /// Nothing: read more.
    More,
    /// The end.
    End,
}

impl Head {
    /// Takes the head of a request off the buffer, if it is whole.
    ///
    /// # Errors
    /// When it is no head.
    pub fn of_request(buffer: &mut BytesMut) -> Result<Option<Self>, Malformed> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let status = request.parse(buffer).map_err(Malformed::Head)?;
        let httparse::Status::Complete(length) = status else { return Ok(None) };
        let mut head = Self::read(request.headers, Body::Length(0));
        request.path.unwrap_or_default().clone_into(&mut head.path);
        buffer.advance(length);
        Ok(Some(head))
    }

    /// Takes the head of an answer off the buffer, if it is whole.
    ///
    /// # Errors
    /// When it is no head.
    pub fn of_answer(buffer: &mut BytesMut) -> Result<Option<Self>, Malformed> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut answer = httparse::Response::new(&mut headers);
        let status = answer.parse(buffer).map_err(Malformed::Head)?;
        let httparse::Status::Complete(length) = status else { return Ok(None) };
        let mut head = Self::read(answer.headers, Body::UntilClose);
        head.status = answer.code.unwrap_or(0);
        buffer.advance(length);
        Ok(Some(head))
    }

    fn read(headers: &[httparse::Header<'_>], otherwise: Body) -> Self {
        let mut head = Self { path: String::new(), status: 0, body: otherwise, close: false };
        for header in headers {
            let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
            match header.name.to_ascii_lowercase().as_str() {
                "content-length" => head.body = Body::Length(value.parse().unwrap_or(0)),
                "transfer-encoding" => head.body = Body::Chunks(0),
                "connection" => head.close |= value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        head
    }
}

impl Body {
    /// Takes what the buffer holds of the body.
    ///
    /// # Errors
    /// When a chunk has no size.
    pub fn take(&mut self, buffer: &mut BytesMut) -> Result<Piece, Malformed> {
        match self {
            Self::Length(0) => Ok(Piece::End),
            Self::UntilClose | Self::Length(_) if buffer.is_empty() => Ok(Piece::More),
            Self::UntilClose => Ok(Piece::Data(buffer.split())),
            Self::Length(left) => {
                let size = buffer.len().min(*left);
                *left -= size;
                Ok(Piece::Data(buffer.split_to(size)))
            }
            Self::Chunks(left) => take_chunk(left, buffer),
        }
    }
}

/// The line end after a chunk.
const LINE_END: usize = 2;

fn take_chunk(left: &mut usize, buffer: &mut BytesMut) -> Result<Piece, Malformed> {
    loop {
        if *left > LINE_END && !buffer.is_empty() {
            let size = buffer.len().min(*left - LINE_END);
            *left -= size;
            return Ok(Piece::Data(buffer.split_to(size)));
        }
        if *left > 0 {
            let size = buffer.len().min(*left);
            if size < *left {
                return Ok(Piece::More);
            }
            buffer.advance(size);
            *left = 0;
        }
        let Some(end) = memchr::memmem::find(buffer, b"\r\n") else { return Ok(Piece::More) };
        let line =
            buffer.get(..end).and_then(|it| std::str::from_utf8(it).ok()).unwrap_or_default();
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(digits, 16).map_err(|_| Malformed::Chunk)?;
        if size == 0 {
            if buffer.len() < end + 2 * LINE_END {
                return Ok(Piece::More);
            }
            buffer.advance(end + 2 * LINE_END);
            return Ok(Piece::End);
        }
        buffer.advance(end + LINE_END);
        *left = size + LINE_END;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], step: usize) -> Vec<u8> {
        let (mut buffer, mut head, mut whole) = (BytesMut::new(), None, Vec::new());
        for part in text.chunks(step) {
            buffer.extend_from_slice(part);
            if head.is_none() {
                head = Head::of_answer(&mut buffer).unwrap();
            }
            let Some(head) = &mut head else { continue };
            loop {
                match head.body.take(&mut buffer).unwrap() {
                    Piece::Data(data) => whole.extend_from_slice(&data),
                    Piece::More => break,
                    Piece::End => return whole,
                }
            }
        }
        panic!("no end of {text:?} in steps of {step}");
    }

    #[test]
    fn a_body_is_the_same_however_it_is_cut() {
        let chunked =
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n";
        let counted = b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\nabc0123456789";
        for step in 1..chunked.len() {
            assert_eq!(read(chunked, step), b"abc0123456789");
            assert_eq!(read(counted, step), b"abc0123456789");
        }
    }
}
