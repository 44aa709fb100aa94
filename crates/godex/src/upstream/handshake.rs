//! The beginning of an answer. The backend can say 200, greet, and only then fail: its first
//! events are held back until the model has begun to answer, so that a failure before that
//! still gets a status of its own and may be tried again. Source: `docs/wire.md#handshake`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use godex_core::codex::fault::{self, Break, Fault};
use godex_core::responses::event::{Event, Kind};
use godex_core::responses::response;
use godex_core::sse::{Decoder, Frame};
use godex_core::tap;
use http::HeaderMap;

use super::backend::Failed;
use super::connect::AnswerBody;
use super::patience::{Patience, Silent};
use crate::clock;

/// The longest event of the backend's stream, in bytes: 16 MiB, and what stands around them.
const LONGEST_EVENT: usize = (16 << 20) + (64 << 10);
/// How much of a beginning is held back, in bytes, and for how long. Past that a failure can
/// only be told inside the stream.
const MOST_HELD: usize = 4 << 20;
const LONGEST_HELD: Duration = Duration::from_secs(20);

/// An answer whose model has begun to speak.
pub(crate) struct Opened {
    /// The head of the backend's answer.
    pub(crate) headers: HeaderMap,
    /// Whose login it was asked with.
    pub(crate) generation: u64,
    /// Events that have come already.
    pub(crate) held: VecDeque<Frame>,
    /// The reader of what is still to come.
    pub(crate) decoder: Decoder,
    /// Where it comes from.
    pub(crate) body: AnswerBody,
    /// When something of it came last.
    pub(crate) heard: Instant,
}

impl Opened {
    /// How much has come that nobody has taken, in bytes.
    pub(crate) fn waiting(&self) -> usize {
        let held = self.held.iter().map(|frame| frame.data().len());
        held.sum::<usize>() + self.decoder.waiting()
    }
}

/// Reads on until the model has begun to speak.
///
/// # Errors
///
/// When the answer ends or fails before that, or is no stream.
pub(super) async fn shake(
    headers: HeaderMap,
    generation: u64,
    body: AnswerBody,
    idle: Duration,
) -> Result<Box<Opened>, Failed> {
    let (held, decoder) = (VecDeque::new(), Decoder::new(LONGEST_EVENT));
    // Large, and handed on from here to where the answer goes.
    let mut opened =
        Box::new(Opened { headers, generation, held, decoder, body, heard: clock::monotonic() });
    match begin(&mut opened, idle).await {
        Ok(()) => Ok(opened),
        Err(failed) => Err(Failed { headers: opened.headers, ..failed }),
    }
}

async fn begin(opened: &mut Opened, idle: Duration) -> Result<(), Failed> {
    let Opened { held, decoder, body, heard, .. } = opened;
    let (mut bytes, mut first) = (0, true);
    let mut greeted_at = None;
    let mut patience = Patience::new((clock::monotonic() + LONGEST_HELD.min(idle)).into());
    loop {
        let until = match greeted_at {
            None => *heard + idle,
            Some(at) => at + LONGEST_HELD.min(idle),
        };
        let chunk = match patience.next(body, until.into()).await {
            Err(Silent) if !held.is_empty() && clock::monotonic() < *heard + idle => return Ok(()),
            Err(Silent) => return Err(Fault::Broken(Break::Idle).into()),
            Ok(None) => return Err(last_words(decoder)),
            Ok(Some(Err(_))) => return Err(Fault::Broken(Break::Cut).into()),
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        };
        if chunk.is_empty() {
            continue;
        }
        if std::mem::take(&mut first) {
            no_stream(&chunk)?;
        }
        *heard = clock::monotonic();
        bytes += chunk.len();
        decoder.push(chunk);
        let mut begun = bytes > MOST_HELD;
        while let Some(frame) = decoder.next_frame().map_err(|_| Fault::Broken(Break::TooLong))? {
            match Event::of(&frame) {
                None => continue,
                Some(event) if matches!(event.kind, Kind::Failed | Kind::Error) && !begun => {
                    return Err(failed(&event));
                }
                Some(event) => begun |= !event.kind.is_handshake(),
            }
            held.push_back(frame);
            greeted_at.get_or_insert_with(clock::monotonic);
            if begun {
                return Ok(());
            }
        }
        if begun {
            return Ok(());
        }
    }
}

/// A page or a bare error object in place of a stream. The content type is no help: the
/// backend's is sometimes absent or wrong.
fn no_stream(chunk: &Bytes) -> Result<(), Fault> {
    if fault::looks_like_html(chunk) {
        return Err(Fault::Broken(Break::NotAStream));
    }
    if chunk.trim_ascii_start().starts_with(b"{") {
        let told = Fault::of_answer(500, None, chunk);
        let wordless = matches!(told, Fault::Server { .. });
        return Err(if wordless { Fault::Broken(Break::NotAStream) } else { told });
    }
    Ok(())
}

/// What a failure says, and what it has cost.
fn failed(event: &Event<'_>) -> Failed {
    let usage = event.response().and_then(response::usage).unwrap_or_default();
    Failed { usage, ..tap::fault_of(event).into() }
}

/// The stream ended during the greeting; perhaps its last event lacked the blank line.
fn last_words(decoder: &mut Decoder) -> Failed {
    let frame = decoder.finish().ok().flatten();
    let event = frame.as_ref().and_then(Event::of);
    match event.filter(|event| matches!(event.kind, Kind::Failed | Kind::Error)) {
        Some(event) => failed(&event),
        None => Fault::Broken(Break::Cut).into(),
    }
}
