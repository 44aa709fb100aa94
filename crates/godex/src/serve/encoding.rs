//! Encoded request bodies: what `Content-Encoding` names is taken off, as far as the limit goes.
//! There is one coding at most. Of two, the inner one could be fed without end by a few bytes of
//! the outer one while nothing comes out that would count; one alone reads no more than was
//! received and hands out no more than the limit.

mod zstd;

use std::io::{self, Read};
use std::sync::Weak;

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use super::error::ApiError;

/// The codings that are read, as an answer names them.
pub(super) const ACCEPTED: &str = "zstd, gzip, deflate, br";

/// How much a decoder takes from the body at a time, in bytes.
const PIECE: usize = 16 << 10;
/// How much is unpacked at a time, in bytes, until it is asked whether anybody still wants it.
const WANTED: usize = 1 << 20;

/// One way to make a body small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Zstd,
    Gzip,
    Deflate,
    Brotli,
}

impl Coding {
    fn of(name: &str) -> Option<Self> {
        let names = [
            ("zstd", Self::Zstd),
            ("gzip", Self::Gzip),
            // The name it had before it had one.
            ("x-gzip", Self::Gzip),
            ("deflate", Self::Deflate),
            ("br", Self::Brotli),
        ];
        names.iter().find(|(it, _)| name.eq_ignore_ascii_case(it)).map(|(_, coding)| *coding)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
        }
    }

    /// What `body` holds. A frame of zstd that says it is over `limit` is not begun.
    fn off(self, body: &[u8], limit: u64) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::Zstd => Box::new(zstd::Frames::new(body, limit)),
            Self::Gzip => Box::new(MultiGzDecoder::new(body)),
            Self::Deflate => inflated(body)?,
            Self::Brotli => expanded(body)?,
        })
    }
}

/// `deflate` means the zlib format, and some send what is inside of it.
fn inflated(body: &[u8]) -> io::Result<Box<dyn Read + '_>> {
    let start = *body.first_chunk::<2>().ok_or(io::ErrorKind::UnexpectedEof)?;
    let zlib = start[0] & 0x0f == 8 && u16::from_be_bytes(start).is_multiple_of(31);
    Ok(if zlib { Box::new(ZlibDecoder::new(body)) } else { Box::new(DeflateDecoder::new(body)) })
}

/// `br` without the extension of large windows, which would hold a gigabyte before anything
/// comes out. Source: RFC 7932, section 9.1, where its mark is the one value without a meaning.
fn expanded(body: &[u8]) -> io::Result<Box<dyn Read + '_>> {
    const LARGE_WINDOW: u8 = 0x11;
    let start = *body.first().ok_or(io::ErrorKind::UnexpectedEof)?;
    if start & 0x7f == LARGE_WINDOW {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Box::new(brotli_decompressor::Decompressor::new(body, PIECE)))
}

/// The coding of a body; none as a rule. `identity` is none, however often it is named.
///
/// # Errors
///
/// When it is not read here, or there is more than one.
pub(super) fn of(headers: &HeaderMap) -> Result<Option<Coding>, ApiError> {
    let refused = || {
        let values = headers.get_all(CONTENT_ENCODING).iter();
        let values: Vec<_> = values.map(|it| String::from_utf8_lossy(it.as_bytes())).collect();
        ApiError::Encoding(values.join(", "))
    };
    let mut coding = None;
    for value in headers.get_all(CONTENT_ENCODING) {
        let names = value.to_str().map_err(|_| refused())?.split(',').map(str::trim);
        for name in names.filter(|it| !it.is_empty() && !it.eq_ignore_ascii_case("identity")) {
            let one = Coding::of(name).ok_or_else(refused)?;
            if coding.replace(one).is_some() {
                return Err(refused());
            }
        }
    }
    Ok(coding)
}

/// What is unpacked for as long as somebody wants it.
struct Wanted<R> {
    packed: R,
    by: Weak<()>,
}

impl<R: Read> Read for Wanted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.by.strong_count() == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let most = into.len().min(WANTED);
        self.packed.read(into.get_mut(..most).unwrap_or_default())
    }
}

/// Takes the coding off, for as long as `wanted` by somebody. Blocks the thread meanwhile.
///
/// # Errors
///
/// When the body is not what it says, larger than `limit` without it, or not wanted any more.
pub(super) fn decode(
    body: &[u8],
    coding: Coding,
    limit: usize,
    wanted: Weak<()>,
) -> Result<Bytes, ApiError> {
    let mut whole = Vec::with_capacity(body.len().saturating_mul(4).min(limit));
    let most = limit as u64;
    // One byte more tells a body at the limit from one over it.
    let read = coding
        .off(body, most)
        .map(|packed| Wanted { packed, by: wanted })
        .and_then(|held| held.take(most.saturating_add(1)).read_to_end(&mut whole));
    match read {
        Ok(length) if length <= limit => Ok(whole.into()),
        Ok(_) => Err(ApiError::TooLarge { limit }),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            Err(ApiError::TooLarge { limit })
        }
        Err(_) => Err(ApiError::Garbled(coding.name())),
    }
}

#[cfg(test)]
mod tests;
