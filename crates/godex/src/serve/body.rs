//! The body of a request: bounded in size and in time.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::encoding::{self, Coding};
use super::error::ApiError;
use crate::clock;

/// How long a client may pause while it sends.
const PAUSE: Duration = Duration::from_secs(30);
/// How long it may take in all.
const WHOLE: Duration = Duration::from_secs(120);
/// From when on the bytes so far must have come at the slowest pace or faster.
const GRACE: Duration = Duration::from_secs(30);
/// The slowest pace, in bytes a second, and how late a body at that pace may be.
const PACE: u32 = 1 << 10;
const SLACK: Duration = Duration::from_secs(5);
/// How much memory a body gets before it has come, in bytes, whatever length it declares.
const AHEAD: usize = 1 << 20;

/// How much of a body nobody wants is taken off the connection, and for how long: a client
/// that is still sending would otherwise lose the answer to a reset.
const REST: usize = 64 << 20;
const REST_TIME: Duration = Duration::from_secs(1);

/// The body of a request, until somebody reads it.
pub(super) struct Upload {
    incoming: Incoming,
    /// The client sends it only when it is told to go on, which asking for it does.
    held_back: bool,
}

impl Upload {
    /// The body that follows a head.
    pub(super) fn new(incoming: Incoming, headers: &HeaderMap) -> Self {
        Self { incoming, held_back: headers.contains_key(EXPECT) }
    }

    /// What has to be taken off the connection before it can serve again. A body that was held
    /// back and never asked for is not on its way.
    pub(super) fn rest(self) -> Option<Incoming> {
        (!self.held_back && !self.incoming.is_end_stream()).then_some(self.incoming)
    }
}

/// Takes what is left of a body off the connection, so that the answer arrives and the
/// connection can serve again; past the bounds it is closed.
pub(super) async fn discard(body: Incoming) {
    let mut rest = Limited::new(body, REST);
    let reading = async { while let Some(Ok(_)) = rest.frame().await {} };
    // Past the time the body is dropped, which closes the connection.
    let _ = tokio::time::timeout(REST_TIME, reading).await;
}

/// A body as it was received.
pub(super) enum Received {
    /// As it is meant.
    Plain(Bytes),
    /// What it stands for is known once it is unpacked.
    Packed(Packed),
}

impl Received {
    /// How large it is as it came, in bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Plain(bytes) => bytes.len(),
            Self::Packed(packed) => packed.bytes.len(),
        }
    }
}

/// A body that is still encoded.
pub(super) struct Packed {
    bytes: Bytes,
    coding: Coding,
    limit: usize,
}

impl Packed {
    /// Takes off what it was encoded with, when there is `room`. Dropping the future ends the
    /// work, too.
    ///
    /// # Errors
    ///
    /// When it is too large without it, or not what it says.
    pub(super) async fn unpack(self, room: &Arc<Semaphore>) -> Result<Bytes, ApiError> {
        let Self { bytes, coding, limit } = self;
        let place = Arc::clone(room).acquire_owned().await;
        let wanting = Arc::new(());
        let wanted = Arc::downgrade(&wanting);
        let decoding = tokio::task::spawn_blocking(move || {
            let _place = place;
            encoding::decode(&bytes, coding, limit, wanted)
        });
        // A panic in there has been reported by the panic hook.
        decoding.await.unwrap_or(Err(ApiError::Panic))
    }
}

/// Reads the whole body.
///
/// # Errors
///
/// When it is too large, too slow, encoded in a way that is not read, or the client goes away.
pub(super) async fn read(
    headers: &HeaderMap,
    body: &mut Upload,
    limit: usize,
) -> Result<Received, ApiError> {
    let coding = encoding::of(headers)?;
    let declared =
        headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(ApiError::TooLarge { limit });
    }
    let ahead = declared.unwrap_or(0).min(AHEAD);
    body.held_back = false;
    let whole = gather(&mut body.incoming, ahead, limit, clock::monotonic().into()).await?;
    Ok(match coding {
        None => Received::Plain(whole),
        Some(coding) => Received::Packed(Packed { bytes: whole, coding, limit }),
    })
}

async fn gather<B>(
    body: &mut B,
    ahead: usize,
    limit: usize,
    started: Instant,
) -> Result<Bytes, ApiError>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut whole = BytesMut::new();
    loop {
        let frame = timeout_at(started + due(whole.len()), timeout(PAUSE, body.frame())).await;
        let Ok(Ok(frame)) = frame else { return Err(ApiError::TooSlow) };
        let Some(frame) = frame else { return Ok(whole.freeze()) };
        let Ok(data) = frame.map_err(|_| ApiError::ClientGone)?.into_data() else { continue };
        if whole.len() + data.len() > limit {
            return Err(ApiError::TooLarge { limit });
        }
        if whole.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        if whole.is_empty() {
            whole.reserve(ahead.max(data.len()));
        }
        whole.extend_from_slice(&data);
    }
}

/// When more must have come, or the end, after the start of a body of which `received` bytes
/// are here.
fn due(received: usize) -> Duration {
    (Duration::from_secs(received as u64) / PACE + SLACK).clamp(GRACE, WHOLE)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};

    use http_body::Frame;
    use tokio::time::Sleep;

    use super::*;

    /// A body of equal pieces that come at equal times.
    struct Dripping {
        pieces: u32,
        bytes: usize,
        every: Duration,
        next: Pin<Box<Sleep>>,
    }

    fn dripping(pieces: u32, bytes: usize, every: Duration) -> Dripping {
        Dripping { pieces, bytes, every, next: Box::pin(tokio::time::sleep(every)) }
    }

    impl Body for Dripping {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.pieces == 0 {
                return Poll::Ready(None);
            }
            ready!(self.next.as_mut().poll(cx));
            self.pieces -= 1;
            self.next = Box::pin(tokio::time::sleep(self.every));
            Poll::Ready(Some(Ok(Frame::data(vec![b'x'; self.bytes].into()))))
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    /// Reads a body; how long it is, or why it is not taken, and how many seconds that took.
    async fn read_through(mut body: Dripping) -> (Result<usize, ApiError>, u64) {
        let started = Instant::now();
        let read = gather(&mut body, 0, usize::MAX, started).await;
        (read.map(|bytes| bytes.len()), started.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_be_as_slow_as_a_kibibyte_a_second() {
        for (pieces, bytes, every) in [
            (100, 1 << 10, SECOND),
            (100, 4 << 10, SECOND),
            (25, 4 << 10, 4 * SECOND),
            // Short ones may take their time.
            (29, 1, SECOND),
            (1, 1, 29 * SECOND),
        ] {
            let (read, _) = read_through(dripping(pieces, bytes, every)).await;
            assert_eq!(read.unwrap(), pieces as usize * bytes, "{bytes} every {every:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn slower_bodies_are_cut_off() {
        for (pieces, bytes, every, cut_after) in [
            // A byte now and then.
            (1000, 1, 2 * SECOND, 30),
            // Nothing at all.
            (1, 1, 1000 * SECOND, 30),
            // Enough on average, with pauses that are too long.
            (3, 100 << 10, 31 * SECOND, 30),
            // A little below the pace: the end of the slack.
            (1000, 900, SECOND, 30),
            // Fast enough, and without an end.
            (1000, 2 << 10, SECOND, 120),
        ] {
            let (read, seconds) = read_through(dripping(pieces, bytes, every)).await;
            assert!(matches!(read, Err(ApiError::TooSlow)), "{bytes} every {every:?}");
            let expected = cut_after..cut_after + 10;
            assert!(expected.contains(&seconds), "{bytes} every {every:?}: {seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_kept_than_may_come() {
        let mut body = dripping(100, 1 << 10, Duration::ZERO);
        let read = gather(&mut body, 0, 10 << 10, Instant::now()).await;
        assert!(matches!(read, Err(ApiError::TooLarge { limit: 10_240 })));
        assert_eq!(body.pieces, 100 - 11, "the rest was not asked for");
    }
}
