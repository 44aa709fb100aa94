//! A zstd body: one frame after the other. A frame that would need a window larger than RFC 9659
//! allows, or that says it is over the limit, is refused before it is decoded.

use std::io::{self, Cursor, Read};

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The largest window a frame may ask for, in bytes. Source: RFC 9659, section 3.
const WINDOW: u64 = 8 << 20;
/// What the frames begin with that hold data, and those that hold none.
const MAGIC: u32 = 0xfd2f_b528;
const SKIPPABLE: std::ops::RangeInclusive<u32> = 0x184d_2a50..=0x184d_2a5f;
/// Every frame begins with at least this: the magic number, a byte that describes the rest, and
/// a byte of the window or of the size.
const START: usize = 6;

/// What frames hold.
pub(super) struct Frames<R> {
    source: R,
    frame: FrameDecoder,
    limit: u64,
    begun: bool,
}

impl<R: Read> Frames<R> {
    /// The frames of `source`, none of them larger than `limit`.
    pub(super) fn new(source: R, limit: u64) -> Self {
        Self { source, frame: FrameDecoder::new(), limit, begun: false }
    }

    /// Goes to the next frame with data. Whether there is one.
    fn next(&mut self) -> io::Result<bool> {
        loop {
            let mut start = [0; START];
            if self.source.read(&mut start[..1])? == 0 {
                // A body without any frame is no zstd.
                return if self.begun { Ok(false) } else { Err(invalid()) };
            }
            self.source.read_exact(&mut start[1..])?;
            self.begun = true;
            let [a, b, c, d, descriptor, after] = start;
            let magic = u32::from_le_bytes([a, b, c, d]);
            if SKIPPABLE.contains(&magic) {
                // What is skipped was received, so the limit on that bounds the work.
                let mut high = [0; 2];
                self.source.read_exact(&mut high)?;
                let length = u32::from_le_bytes([descriptor, after, high[0], high[1]]);
                let skipped =
                    io::copy(&mut self.source.by_ref().take(length.into()), &mut io::sink())?;
                if skipped < length.into() {
                    return Err(invalid());
                }
                continue;
            }
            if magic != MAGIC || window(descriptor, after) > WINDOW {
                return Err(invalid());
            }
            let source = Cursor::new(start).chain(&mut self.source);
            self.frame.init(source).map_err(io::Error::other)?;
            if self.frame.content_size() > self.limit {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            return Ok(true);
        }
    }

    /// Whether the end of the frame is the end that was packed.
    fn proven(&self) -> bool {
        self.frame
            .get_checksum_from_data()
            .is_none_or(|sum| self.frame.get_calculated_checksum() == Some(sum))
    }
}

/// The window of a frame, in bytes. A frame in one segment has none: it is as large as itself,
/// and the limit of the body bounds it.
fn window(descriptor: u8, after: u8) -> u64 {
    const ONE_SEGMENT: u8 = 1 << 5;
    if descriptor & ONE_SEGMENT != 0 {
        return 0;
    }
    let base = 1_u64 << (10 + (after >> 3));
    base + base / 8 * u64::from(after & 7)
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if self.frame.can_collect() > 0 {
                return self.frame.read(into);
            }
            if self.frame.is_finished() {
                if !self.proven() {
                    return Err(invalid());
                }
                if !self.next()? {
                    return Ok(0);
                }
            }
            let piece = BlockDecodingStrategy::UptoBlocks(1);
            self.frame.decode_blocks(&mut self.source, piece).map_err(io::Error::other)?;
        }
    }
}
