//! HTTP/1.1 towards a server (RFC 9112), one request on one connection: the head is written and
//! read here, the body of the answer goes through [`Framing`].
//!
//! Our own, because events are what this program moves: everything that has come is handed on in
//! one piece, with no task and no queue in between, and an answer that waits holds no buffer.

mod body;
mod framing;
mod head;

use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use hyper::rt::{Read, ReadBuf, Write};

pub(super) use self::body::Body;
use self::framing::{After, Framing};
use self::head::{Head, Heads};
use super::connector::Stream;
use super::pool::Home;

/// How much is read at a time, at most, in bytes.
const PIECE: usize = 16 << 10;

/// Why a request got no answer, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The connection failed.
    #[error("the connection broke")]
    Io(#[from] io::Error),
    /// The other side closed the connection too early.
    #[error("the connection was closed before the answer was complete")]
    Closed,
    /// What came is not HTTP/1.1.
    #[error("the answer is not valid HTTP: {0}")]
    Malformed(&'static str),
}

/// A connection, and what of the request it has not been given yet.
pub(super) struct Connection {
    stream: Stream,
    unsent: Option<Unsent>,
    /// What has come of the head of the answer.
    heads: Heads,
    /// Whether the other side has begun to answer.
    heard: bool,
    /// Why the other side takes no more of the request.
    refused: Option<io::Error>,
}

/// The rest of a request.
struct Unsent {
    head: Bytes,
    body: Bytes,
}

impl Connection {
    /// A connection that carries nothing. A stream with its TLS is large; it stays in its place.
    pub(super) fn new(stream: Stream) -> Box<Self> {
        let heads = Heads::new(&Method::GET);
        Box::new(Self { stream, unsent: None, heads, heard: false, refused: None })
    }

    /// Whether the other side keeps it open and silent, as far as is known without asking.
    pub(super) fn is_idle(&mut self) -> bool {
        let read = std::future::poll_fn(|cx| {
            let mut room = [MaybeUninit::uninit()];
            let mut buffer = ReadBuf::uninit(&mut room);
            Poll::Ready(Pin::new(&mut self.stream).poll_read(cx, buffer.unfilled()).is_pending())
        });
        // Of many that are looked at, the runtime would call all silent from some point on.
        let read = pin!(tokio::task::unconstrained(read));
        read.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(true)
    }

    /// Whether the server has begun to answer the last request.
    pub(super) fn was_heard(&self) -> bool {
        self.heard
    }

    /// Takes the next request.
    pub(super) fn ask(&mut self, request: Request<Bytes>) {
        let head = head::write(&request, self.stream.is_proxied());
        self.heads = Heads::new(request.method());
        self.unsent = Some(Unsent { head: head.into(), body: request.into_body() });
        self.heard = false;
    }

    /// Sends the request and reads the head of the answer. The connection goes `home` once the
    /// answer has been read to its end, if it may be used again; it is closed when the body is
    /// dropped before.
    ///
    /// # Errors
    ///
    /// When the connection breaks before there is an answer, or what comes is none.
    pub(super) async fn answer(&mut self) -> Result<Answered, Error> {
        std::future::poll_fn(|cx| self.poll_answer(cx)).await
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answered, Error>> {
        self.send_on(cx);
        loop {
            let mut room = [MaybeUninit::uninit(); PIECE];
            let mut buffer = ReadBuf::uninit(&mut room);
            // Who takes no more of a request may have said why: that is read up to its end.
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer.unfilled()))?;
            let read = buffer.filled();
            if read.is_empty() {
                let refused = self.refused.take();
                return Poll::Ready(Err(refused.map_or(Error::Closed, Error::Io)));
            }
            self.heard = true;
            if let Some((mut head, rest)) = self.heads.read(read)? {
                let first = head.framing.decode(&rest);
                return Poll::Ready(Ok(Answered { head, first }));
            }
        }
    }

    /// Whether it may carry another request.
    fn is_free(&self) -> bool {
        self.unsent.is_none() && self.refused.is_none()
    }

    /// Writes what is left of the request, as long as the other side takes it.
    fn send_on(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            (self.unsent, self.refused) = (None, Some(error));
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(Unsent { head, body }) = &mut self.unsent {
            let mut stream = Pin::new(&mut self.stream);
            if head.is_empty() && body.is_empty() {
                ready!(stream.poll_flush(cx))?;
                self.unsent = None;
                break;
            }
            let slices = [IoSlice::new(head), IoSlice::new(body)];
            let written = ready!(stream.as_mut().poll_write_vectored(cx, &slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = written.min(head.len());
            drop(head.split_to(of_head));
            drop(body.split_to(written - of_head));
        }
        Poll::Ready(Ok(()))
    }
}

/// The head of an answer, and what of its body came with it.
pub(super) struct Answered {
    head: Head,
    first: (Bytes, After),
}

impl Answered {
    /// Whether the server says that it has waited for a request in vain and closes (RFC 9110,
    /// 15.5.9).
    pub(super) fn gives_up(&self) -> bool {
        self.head.response.status() == StatusCode::REQUEST_TIMEOUT && !self.head.reusable
    }

    /// The answer, whose body goes on with what comes over `connection`.
    pub(super) fn over(self, connection: Box<Connection>, home: Home) -> Response<Body> {
        let Head { response, framing, reusable } = self.head;
        let home = reusable.then_some(home);
        response.map(|()| Body::begin(connection, framing, home, self.first))
    }
}

#[cfg(test)]
mod tests;
