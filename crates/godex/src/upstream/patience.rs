//! Waiting for the next piece of an answer, but not for ever. Most waits are short and there
//! are many: one timer serves all of them, and is set anew only when it has rung.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::Body;
use tokio::time::{Instant, Sleep};

use super::connect::{AnswerBody, BodyError};
use crate::clock;

/// What a body has to say next: a piece, its end, or that it broke.
pub(crate) type Next = Option<Result<http_body::Frame<bytes::Bytes>, BodyError>>;

/// Nothing came in time.
#[derive(Debug)]
pub(crate) struct Silent;

/// A timer for the waits of one answer.
pub(crate) struct Patience {
    timer: Pin<Box<Sleep>>,
}

impl Patience {
    /// A timer for waits that end at `first` or later.
    pub(crate) fn new(first: Instant) -> Self {
        Self { timer: Box::pin(tokio::time::sleep_until(first)) }
    }

    /// The next piece of `body`, if it comes before `until`.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub(crate) async fn next(
        &mut self,
        body: &mut AnswerBody,
        until: Instant,
    ) -> Result<Next, Silent> {
        std::future::poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(next) => Poll::Ready(Ok(next)),
            Poll::Pending => self.poll_silence(cx, until).map(Err),
        })
        .await
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<Silent> {
        if until < self.timer.deadline() {
            self.timer.as_mut().reset(until);
        }
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if Instant::from(clock::monotonic()) >= until {
                return Poll::Ready(Silent);
            }
            self.timer.as_mut().reset(until);
        }
    }
}
