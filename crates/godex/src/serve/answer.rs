//! Answers: their bodies and the headers they all carry.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use super::relay::Relay;

/// The header that names what had to be left out of a request.
pub(super) const DROPPED: HeaderName = HeaderName::from_static("x-godex-dropped");
/// How much of a list of names is told: clients have limits for headers.
const MOST_NAMED: usize = 2048;
/// The header that names the model that answers when it is not the one asked for.
pub(super) const MODEL: HeaderName = HeaderName::from_static("x-godex-model");

/// Tells nginx and its like not to keep a stream back.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How many headers an answer has, as a rule: a map that grows hashes all of them again.
const USUAL: usize = 24;

/// The body of an answer.
pub(super) enum AnswerBody {
    /// All of it.
    Whole(Bytes),
    /// A stream as it comes.
    Stream(Box<Relay>),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(relay) => {
                relay.poll_next(cx).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Stream(relay) => relay.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::Whole(body.into()));
    *response.status_mut() = status;
    response.headers_mut().reserve(USUAL);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A stream of events. Nothing on the way may hold it back or touch it.
pub(super) fn stream(relay: Relay) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::Stream(Box::new(relay)));
    let headers = response.headers_mut();
    headers.reserve(USUAL);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert(BUFFERING, HeaderValue::from_static("no"));
    response
}

/// Adds a header unless its value cannot stand in one.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Names what was left out of the request.
pub(super) fn name_dropped(headers: &mut HeaderMap, dropped: &[String]) {
    if !dropped.is_empty() {
        // A name is the client's own: not all of it may stand in a header.
        let visible = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
        let names: String = dropped.join(", ").chars().map(visible).take(MOST_NAMED).collect();
        set(headers, DROPPED, &names);
    }
}
