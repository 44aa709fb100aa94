//! An answer in one piece: the backend only streams, so its events are gathered first.

use std::time::Duration;

use bytes::Bytes;
use godex_core::codex::fault::{Break, Fault};
use godex_core::responses::event::Event;
use godex_core::sse::Frame;
use godex_core::tap::End;
use godex_core::translate::completion_from_responses::{completion, stopped};

use super::error::ApiError;
use super::face::{Face, unfinished};
use super::relay::GRACE;
use super::rest;
use super::watch::Watch;
use crate::clock;
use crate::upstream::handshake::Opened;
use crate::upstream::patience::{Patience, Silent};

/// Gathers an answer and writes it as the client expects it.
///
/// # Errors
///
/// When the answer fails or breaks off.
pub(super) async fn collect(
    mut opened: Box<Opened>,
    face: &mut Face,
    watch: &mut Watch,
    idle: Duration,
) -> Result<Bytes, Fault> {
    let mut leave_at = None;
    let mut patience = Patience::new((opened.heard + idle).into());
    loop {
        loop {
            let frame = match opened.held.pop_front() {
                Some(frame) => Some(frame),
                None => opened.decoder.next_frame().map_err(|_| Fault::Broken(Break::TooLong))?,
            };
            let Some(frame) = frame else { break };
            let taken = take(&frame, face, watch);
            if let Some(end) = &watch.tap.end {
                if let End::Failed(fault) = end {
                    watch.app.opener.note(opened.generation, fault);
                }
                rest::read_off(opened.body, &watch.app.tasks);
                return taken.and_then(|answer| answer.ok_or(Fault::Broken(Break::Cut)));
            }
        }
        let until = opened.heard + idle;
        let until = if face.is_finished() {
            until.min(*leave_at.get_or_insert_with(|| clock::monotonic() + GRACE))
        } else {
            until
        };
        match patience.next(&mut opened.body, until.into()).await {
            Err(Silent) | Ok(None | Some(Err(_))) if face.is_finished() => {
                return Ok(left(face, watch));
            }
            Err(Silent) => return Err(Fault::Broken(Break::Idle)),
            Ok(Some(Ok(data))) => {
                opened.heard = clock::monotonic();
                opened.decoder.push(data.into_data().unwrap_or_default());
            }
            Ok(Some(Err(_))) => return Err(Fault::Broken(Break::Cut)),
            Ok(None) => {
                let last = opened.decoder.finish().map_err(|_| Fault::Broken(Break::TooLong))?;
                let answer =
                    last.and_then(|frame| take(&frame, face, watch).transpose()).transpose()?;
                return answer.ok_or(Fault::Broken(Break::Cut));
            }
        }
    }
}

/// Takes one frame; the whole answer if it was the last.
fn take(frame: &Frame, face: &mut Face, watch: &mut Watch) -> Result<Option<Bytes>, Fault> {
    let Some(event) = Event::of(frame) else { return Ok(None) };
    watch.see(&event);
    match &watch.tap.end {
        None => {
            face.listen(&event);
            Ok(None)
        }
        Some(End::Failed(_)) if face.is_finished() => Ok(Some(left(face, watch))),
        Some(End::Failed(fault)) => Err(fault.clone()),
        Some(End::Completed | End::Incomplete) => match whole(&event, face, watch) {
            Some(answer) => Ok(Some(answer)),
            None => Err(Fault::Broken(Break::Cut)),
        },
    }
}

fn whole(event: &Event<'_>, face: &Face, watch: &Watch) -> Option<Bytes> {
    let response = event.response()?;
    let status = unfinished(event.kind);
    let text = match face {
        Face::Responses(face) => {
            let output = watch.tap.output.json(status);
            face.patches().apply(event.text, response, output.as_deref())
        }
        Face::Chat(stream) => {
            let items = watch.tap.output.items(status);
            completion(event.kind, response, &items, stream.look())
        }
    };
    Some(text.into())
}

/// The answer to a client that has all it will get, without what the backend has not said yet.
fn left(face: &Face, watch: &mut Watch) -> Bytes {
    let Face::Chat(stream) = face else { return Bytes::new() };
    let usage = watch.leave(face.heard());
    let items = watch.tap.output.items("completed");
    let id = watch.tap.response_id.as_deref();
    stopped(id, &usage, &items, stream.look()).into()
}

/// An answer that cannot be given any more becomes its error.
pub(super) fn failed(watch: &mut Watch, fault: Fault) -> ApiError {
    watch.broke(&fault);
    ApiError::from(fault)
}
