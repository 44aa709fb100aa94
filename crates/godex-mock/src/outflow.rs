//! The body of every answer: frames, pauses and the ways a stream can break.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use crate::record::{Ending, Entry};

/// What the body does next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Bytes for the peer.
    Send(Bytes),
    /// A pause.
    Wait(Duration),
    /// Lets the server write out what it holds.
    Flush,
    /// Silence for ever.
    Hang,
    /// Silence for ever after all was said.
    Linger,
    /// An end of the body that looks regular to HTTP.
    Cut,
    /// A closed connection in the middle of the body.
    Drop,
    /// A TCP reset.
    Reset,
}

/// What a connection shall do when it is closed.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    reset: AtomicBool,
}

impl Fate {
    /// Asks for a TCP reset instead of a regular close.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }

    /// Whether a reset was asked for.
    pub(crate) fn is_reset(&self) -> bool {
        self.reset.load(Ordering::Relaxed)
    }
}

/// The answer on its way. It tells its record how it ended.
pub(crate) struct Outflow {
    steps: VecDeque<Step>,
    pause: Option<Pin<Box<Sleep>>>,
    entry: Option<Entry>,
    fate: Arc<Fate>,
    length: Option<u64>,
}

impl Outflow {
    /// A body of known length.
    pub(crate) fn whole(bytes: Bytes, entry: Option<Entry>, fate: &Arc<Fate>) -> Self {
        let length = Some(bytes.len() as u64);
        let steps = if bytes.is_empty() { VecDeque::new() } else { [Step::Send(bytes)].into() };
        let mut outflow = Self { steps, pause: None, entry, fate: Arc::clone(fate), length };
        if outflow.steps.is_empty() {
            outflow.end(Ending::Completed);
        }
        outflow
    }

    /// A body of many steps.
    pub(crate) fn stream(steps: VecDeque<Step>, entry: Entry, fate: &Arc<Fate>) -> Self {
        Self { steps, pause: None, entry: Some(entry), fate: Arc::clone(fate), length: None }
    }

    fn end(&mut self, ending: Ending) {
        if let Some(mut entry) = self.entry.take() {
            entry.end(ending);
        }
    }
}

impl Body for Outflow {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            if let Some(pause) = &mut self.pause {
                std::task::ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            match self.steps.pop_front() {
                Some(Step::Send(bytes)) => {
                    if matches!(self.steps.front(), None | Some(Step::Linger)) {
                        self.end(Ending::Completed);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Step::Wait(pause)) => {
                    self.pause = Some(Box::pin(tokio::time::sleep(pause)));
                }
                Some(Step::Flush) => {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(step @ (Step::Hang | Step::Linger)) => {
                    self.steps.push_front(step);
                    return Poll::Pending;
                }
                Some(Step::Cut) => {
                    self.end(Ending::Broken);
                    return Poll::Ready(None);
                }
                Some(Step::Drop) => {
                    self.end(Ending::Broken);
                    return Poll::Ready(Some(Err(io::Error::other("dropped by script"))));
                }
                Some(Step::Reset) => {
                    self.fate.reset();
                    self.end(Ending::Broken);
                    return Poll::Ready(Some(Err(io::Error::other("reset by script"))));
                }
                None => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.pause.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
