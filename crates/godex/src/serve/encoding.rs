//! Encoded request bodies: what `Content-Encoding` names is taken off, as far as the limit goes.
//! Layers are decoded piece by piece, so that a small body that stands for a huge one stops at
//! the limit and holds no more memory than that.

mod zstd;

use std::io::{self, Read};

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use super::error::ApiError;

/// The codings that are read, as an answer names them.
pub(super) const ACCEPTED: &str = "zstd, gzip, deflate, br";

/// How many layers a body may have. Nobody needs two.
const MOST_LAYERS: usize = 4;
/// How much a decoder takes from the layer below at a time, in bytes.
const PIECE: usize = 16 << 10;

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

    /// What this layer holds, up to `limit`.
    fn off(self, below: Layer<'_>, limit: u64) -> io::Result<Layer<'_>> {
        Ok(match self {
            Self::Zstd => Box::new(zstd::Frames::new(below, limit)),
            Self::Gzip => Box::new(MultiGzDecoder::new(below)),
            Self::Deflate => inflated(below)?,
            Self::Brotli => expanded(below)?,
        })
    }
}

type Layer<'b> = Box<dyn Read + 'b>;

/// `deflate` means the zlib format, and some send what is inside of it.
fn inflated(mut below: Layer<'_>) -> io::Result<Layer<'_>> {
    let mut start = [0; 2];
    below.read_exact(&mut start)?;
    let zlib = start[0] & 0x0f == 8 && u16::from_be_bytes(start).is_multiple_of(31);
    let whole = io::Cursor::new(start).chain(below);
    Ok(if zlib { Box::new(ZlibDecoder::new(whole)) } else { Box::new(DeflateDecoder::new(whole)) })
}

/// `br` without the extension of large windows, which would hold a gigabyte before anything
/// comes out. Source: RFC 7932, section 9.1, where its mark is the one value without a meaning.
fn expanded(mut below: Layer<'_>) -> io::Result<Layer<'_>> {
    const LARGE_WINDOW: u8 = 0x11;
    let mut start = [0; 1];
    below.read_exact(&mut start)?;
    if start[0] & 0x7f == LARGE_WINDOW {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let whole = io::Cursor::new(start).chain(below);
    Ok(Box::new(brotli_decompressor::Decompressor::new(whole, PIECE)))
}

/// The codings of a body, in the order in which they were put on; none as a rule.
///
/// # Errors
///
/// When one of them is not read here, or there are too many.
pub(super) fn of(headers: &HeaderMap) -> Result<Vec<Coding>, ApiError> {
    let mut codings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let refused = || ApiError::Encoding(String::from_utf8_lossy(value.as_bytes()).into_owned());
        let names = value.to_str().map_err(|_| refused())?.split(',').map(str::trim);
        for name in names.filter(|it| !it.is_empty() && !it.eq_ignore_ascii_case("identity")) {
            codings.push(Coding::of(name).ok_or_else(refused)?);
            if codings.len() > MOST_LAYERS {
                return Err(refused());
            }
        }
    }
    Ok(codings)
}

/// Takes the codings off. Blocks the thread for as long as that takes.
///
/// # Errors
///
/// When the body is not what they say, or larger than `limit` without them.
pub(super) fn decode(body: &Bytes, codings: &[Coding], limit: usize) -> Result<Bytes, ApiError> {
    let name = codings.last().map_or("identity", |it| it.name());
    let mut whole = Vec::with_capacity(body.len().saturating_mul(4).min(limit));
    let most = limit as u64;
    // One byte more tells a body at the limit from one over it.
    let read = layers(body, codings, most)
        .and_then(|top| top.take(most.saturating_add(1)).read_to_end(&mut whole));
    match read {
        Ok(length) if length <= limit => Ok(whole.into()),
        Ok(_) => Err(ApiError::TooLarge { limit }),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            Err(ApiError::TooLarge { limit })
        }
        Err(_) => Err(ApiError::Garbled(name)),
    }
}

fn layers<'b>(body: &'b Bytes, codings: &[Coding], limit: u64) -> io::Result<Layer<'b>> {
    let bottom: Layer<'b> = Box::new(body.as_ref());
    codings.iter().rev().try_fold(bottom, |below, coding| coding.off(below, limit))
}

#[cfg(test)]
mod tests;
