//! The SSE decoder: any split of the bytes gives the same frames, and what is handed on
//! verbatim means what it says.

use bytes::Bytes;
use godex_core::sse::{Decoder, Frame, TooLong};

use crate::deep;

/// More than any input has.
const ROOMY: usize = 1 << 30;

/// Checks one stream.
pub fn check(data: &[u8]) {
    let whole = frames([data], ROOMY).expect("no frame is over the limit");
    let mut dice = deep::dice(data);
    for most in [1, 3, 64, 4096] {
        let split = frames(deep::cut(data, most, &mut dice), ROOMY);
        assert_eq!(split.as_ref().map(|it| seen(it)), Ok(seen(&whole)), "pieces of up to {most}");
    }
    for frame in &whole {
        assert!(!frame.data().contains(&b'\r'), "a line end in data");
        if let Some(raw) = frame.verbatim() {
            let again = frames([&raw[..]], ROOMY).expect("it was read before");
            assert_eq!(seen(&again), seen(std::slice::from_ref(frame)), "not what it was");
            assert_eq!(Frame::new(frame.event(), frame.data()).verbatim(), Some(raw));
        }
    }
    let limit = 1 + deep::next(&mut dice) % 256;
    if let Ok(frames) = frames(deep::cut(data, 32, &mut dice), limit) {
        assert!(frames.iter().all(|it| it.data().len() <= limit), "over the limit");
    }
}

/// The frames of a stream that comes in pieces.
pub(crate) fn frames<'d>(
    pieces: impl IntoIterator<Item = &'d [u8]>,
    limit: usize,
) -> Result<Vec<Frame>, TooLong> {
    let mut decoder = Decoder::new(limit);
    let mut frames = Vec::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(frame) = decoder.next_frame()? {
            frames.push(frame);
        }
    }
    frames.extend(decoder.finish()?);
    Ok(frames)
}

fn seen(frames: &[Frame]) -> Vec<(&str, &[u8], bool)> {
    frames.iter().map(|it| (it.event(), it.data(), it.verbatim().is_some())).collect()
}
