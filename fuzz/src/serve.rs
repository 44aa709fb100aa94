//! What clients see of an answer: the program's own faces, and around them what its relay and
//! its collector do with each event.

use bytes::Bytes;
use godex_core::codex::draft::Dialect;
use godex_core::responses::event::{Event, Kind};
use godex_core::responses::response::Patches;
use godex_core::sse::Frame;
use godex_core::tap::{End, Tap};
use godex_core::translate::chat_from_responses::Look;
use godex_core::translate::completion_from_responses::completion;

use self::face::{Face, Out, unfinished};

mod error {
    //! Stands in for the program's table of errors.

    /// How an error looks.
    pub(super) struct Look {
        pub(super) kind: &'static str,
        pub(super) code: Option<String>,
        pub(super) param: Option<String>,
        pub(super) message: String,
    }

    impl Look {
        /// A broken stream.
        pub(super) fn broken() -> Self {
            let (code, message) = (Some("upstream_error".to_owned()), "It broke off.".to_owned());
            Self { kind: "server_error", code, param: None, message }
        }

        /// The error object.
        pub(super) fn json(&self) -> String {
            format!(r#"{{"type":"{}","message":"{}"}}"#, self.kind, self.message)
        }
    }
}

#[path = "../../crates/godex/src/serve/face.rs"]
#[expect(dead_code, reason = "the program uses all of it")]
mod face;

/// Who listens.
#[derive(Clone)]
pub(crate) enum Client {
    /// A client of `/v1/responses`.
    Responses(Patches, Dialect),
    /// A client of `/v1/chat/completions`.
    Chat(Look),
}

impl Client {
    fn face(&self) -> Face {
        match self {
            Self::Responses(patches, dialect) => {
                Face::responses(patches.clone(), *dialect, "resp_0".to_owned())
            }
            Self::Chat(look) => Face::chat(look.clone()),
        }
    }
}

/// What a client got of a stream.
pub(crate) struct Streamed {
    /// All bytes.
    pub(crate) bytes: Vec<u8>,
    /// How it ended; `None` when it broke off.
    pub(crate) end: Option<End>,
}

/// The relay: each event is shown until the last one; a stream that fails or breaks off ends
/// with an error.
pub(crate) fn relay(
    frames: &[Frame],
    client: &Client,
    mut breathes: impl FnMut() -> bool,
) -> Streamed {
    let mut face = client.face();
    let mut tap = Tap { ignores_output: !face.needs_output(), ..Tap::default() };
    let mut bytes = Vec::new();
    let mut out = Out::default();
    for frame in frames {
        let Some(event) = Event::of(frame) else { continue };
        tap.push(&event);
        match &tap.end {
            Some(End::Failed(_)) => {
                face.fail(&error::Look::broken(), Some(&event), &mut out);
                bytes.extend(out.take().unwrap_or_default());
                return Streamed { bytes, end: tap.end };
            }
            None if event.kind.is_terminal() => {}
            end => {
                face.show(frame, &event, &tap, &mut out);
                bytes.extend(out.take().unwrap_or_default());
                if end.is_some() {
                    return Streamed { bytes, end: tap.end };
                }
            }
        }
        if breathes() {
            face.breathe(&tap, &mut out);
            bytes.extend(out.take().unwrap_or_default());
        }
    }
    face.fail(&error::Look::broken(), None, &mut out);
    bytes.extend(out.take().unwrap_or_default());
    Streamed { bytes, end: None }
}

/// The collector: the whole answer, once the stream has ended well.
pub(crate) fn collect(frames: &[Frame], client: &Client) -> Option<Bytes> {
    let mut face = client.face();
    let mut tap = Tap::default();
    for frame in frames {
        let Some(event) = Event::of(frame) else { continue };
        tap.push(&event);
        match &tap.end {
            None => face.listen(&event),
            Some(End::Failed(_)) => return None,
            Some(End::Completed | End::Incomplete) => {
                return event.response().map(|_| whole(&event, &face, &tap)).map(Bytes::from);
            }
        }
    }
    None
}

fn whole(event: &Event<'_>, face: &Face, tap: &Tap) -> String {
    let response = event.response().expect("the last event has a response");
    let status = unfinished(event.kind);
    match face {
        Face::Responses(face) => {
            face.patches().apply(event.text, response, tap.output.json(status).as_deref())
        }
        Face::Chat(stream) => {
            completion(event.kind, response, &tap.output.items(status), stream.look())
        }
    }
}

/// Whether an event is one of those that end a stream well.
pub(crate) fn ends_well(kind: Kind) -> bool {
    matches!(kind, Kind::Completed | Kind::Incomplete)
}
