//! One HTTP/2 connection: how many requests it carries, whether it takes more, what became of
//! those that got no answer.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::oneshot;

use super::super::connector::Stream;
use super::super::{ConnectError, POOL_IDLE};
use super::heard::Heard;
use crate::clock;

/// The most requests at a time on one connection, if the server takes so many.
const MOST: usize = 100;
/// How long a server may take to greet on a connection that is there.
const GREETING: Duration = Duration::from_secs(10);
/// How often HTTP/2 asks whether the other side is still there, and how long it waits for a word.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// What one stream may send ahead of its reader, and all streams of a connection together. The
/// second is so much larger that a few clients that do not read never stop the others.
const STREAM_WINDOW: u32 = 512 << 10;
const CONNECTION_WINDOW: u32 = 128 << 20;
/// After a request and so much silence, others go over another connection.
const SUSPICIOUS: Duration = Duration::from_secs(5);

/// A connection.
pub(in super::super) struct Line {
    sender: SendRequest<Full<Bytes>>,
    opened: Instant,
    connection: Shared,
    /// How many requests it carries.
    running: AtomicUsize,
    /// It takes no further request.
    retired: AtomicBool,
    /// How often something has been read from it.
    heard: Arc<AtomicU64>,
    times: Mutex<Times>,
    forget: Forget,
}

/// What is called when a connection takes no further request.
type Forget = Box<dyn Fn(&Arc<Line>) + Send + Sync>;

struct Times {
    /// When it was used last.
    used: Instant,
    /// The first request since it carried none or something was heard: how much had been heard by
    /// then, and when.
    asked: Option<(u64, Instant)>,
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
#[error("{fault}")]
pub(crate) struct Unanswered {
    /// What the server has made of it.
    pub(in super::super) taken: Taken,
    /// What happened.
    #[source]
    fault: hyper::Error,
}

/// What a server has made of a request that it did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Taken {
    /// Nothing: it has said so, or cannot have read it.
    Nothing,
    /// Nobody knows: the connection, opened then, broke.
    Unknown(Instant),
    /// It has read it.
    Read,
}

impl Line {
    /// Exchanges greetings on a new connection; the server's says how many requests it takes.
    /// `forget` is called when the connection takes no further one.
    ///
    /// # Errors
    ///
    /// When the connection breaks before.
    pub(super) async fn open(
        stream: Stream,
        forget: impl Fn(&Arc<Self>) + Send + Sync + 'static,
    ) -> Result<Arc<Self>, ConnectError> {
        let (greet, greeted) = oneshot::channel();
        let stream = Heard::new(TokioIo::new(stream), greet);
        let heard = stream.times();
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| ConnectError::Unreachable(error.into()))?;
        let now = clock::monotonic();
        let connection = Arc::new(Mutex::new(Some(connection)));
        let line = Arc::new(Self {
            sender,
            connection: Arc::clone(&connection),
            opened: now,
            running: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
            heard,
            times: Mutex::new(Times { used: now, asked: None }),
            forget: Box::new(forget),
        });
        drive(connection, &line);
        let error = match tokio::time::timeout(GREETING, greeted).await {
            Ok(Ok(())) => return Ok(line),
            Ok(Err(_)) => ConnectError::Unreachable("closed before a greeting".into()),
            Err(_) => ConnectError::TimedOut(GREETING),
        };
        // Nobody will use it.
        let gone = lock(&line.connection).take();
        drop(gone);
        Err(error)
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more request, if the server takes it at once, as far as is known.
    pub(super) fn place(self: &Arc<Self>) -> Option<Place> {
        let is_good = !self.is_retired() && !self.sender.is_closed();
        if is_good && !self.is_suspicious() { self.first_place() } else { None }
    }

    /// A place on a connection that was just opened, whatever has become of it.
    pub(super) fn first_place(self: &Arc<Self>) -> Option<Place> {
        let takes = lock(&self.connection).as_ref().map(Connection::current_max_send_streams);
        let limit = takes.unwrap_or(MOST).clamp(1, MOST);
        let more = |running| (running < limit).then_some(running + 1);
        let before = self.running.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more).ok()?;
        let (heard, now) = (self.heard.load(Ordering::Relaxed), clock::monotonic());
        let mut times = self.times();
        if before == 0 || times.asked.is_none_or(|(then, _)| then != heard) {
            times.asked = Some((heard, now));
        }
        drop(times);
        Some(Place(Arc::clone(self)))
    }

    /// Whether the other side has been silent since a request, for some time.
    fn is_suspicious(&self) -> bool {
        let heard = self.heard.load(Ordering::Relaxed);
        let asked = self.times().asked.filter(|(before, _)| *before == heard);
        let busy = self.running.load(Ordering::Relaxed) > 0;
        let late = |(_, since)| clock::monotonic().saturating_duration_since(since) > SUSPICIOUS;
        busy && asked.is_some_and(late)
    }

    /// Whether it takes no further request. One that is retired is forgotten after this is true.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Takes no further request.
    pub(super) fn retire(self: &Arc<Self>) {
        self.retired.store(true, Ordering::Release);
        (self.forget)(self);
    }

    /// What the server has made of a request that failed like this.
    fn taken(&self, fault: &hyper::Error) -> Taken {
        let Some(source) = std::error::Error::source(fault) else { return Taken::Read };
        if source.is::<std::io::Error>() {
            return Taken::Unknown(self.opened);
        }
        let Some(fault) = source.downcast_ref::<h2::Error>() else { return Taken::Read };
        let refused = fault.is_reset() && fault.reason() == Some(h2::Reason::REFUSED_STREAM);
        // A server that goes away fails those requests only that it has not taken.
        let is_unread = (refused || fault.is_go_away()) && fault.is_remote();
        if is_unread { Taken::Nothing } else { Taken::Read }
    }
}

/// The place of one request on a connection, until its answer is read or nobody wants it.
pub(in super::super) struct Place(Arc<Line>);

impl Place {
    /// Sends the request; resolves when the head of the answer is in.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub(in super::super) async fn send(
        self,
        request: Request<Bytes>,
    ) -> Result<Response<Answer>, Unanswered> {
        let mut sender = self.0.sender.clone();
        let mut failed = match sender.try_send_request(request.map(Full::new)).await {
            Ok(answer) => return Ok(answer.map(|body| Answer { body, _place: self })),
            Err(failed) => failed,
        };
        let unsent = failed.take_message().is_some();
        let fault = failed.into_error();
        let of_stream = std::error::Error::source(&fault)
            .and_then(|it| it.downcast_ref::<h2::Error>())
            .is_some_and(h2::Error::is_reset);
        if !of_stream {
            self.0.retire();
        }
        let taken = if unsent { Taken::Nothing } else { self.0.taken(&fault) };
        Err(Unanswered { taken, fault })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.times().used = clock::monotonic();
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The body of an answer. Dropping it before its end cancels the request.
pub(crate) struct Answer {
    body: Incoming,
    _place: Place,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

type Driven = Connection<TokioIo<Heard<TokioIo<Stream>>>, Full<Bytes>, TokioExecutor>;

/// What moves the requests of a connection, and knows how many the server takes. It is gone with
/// the connection: those whose requests it still has would wait for ever.
type Shared = Arc<Mutex<Option<Driven>>>;

fn lock(connection: &Shared) -> MutexGuard<'_, Option<Driven>> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Moves what can be moved; ready when the connection has ended.
fn poll(connection: &Shared, cx: &mut Context<'_>) -> Poll<()> {
    let mut held = lock(connection);
    let ended = held.as_mut().is_none_or(|it| Pin::new(it).poll(cx).is_ready());
    let gone = held.take_if(|_| ended);
    drop(held);
    // Why it ended is told to those whose requests it carried.
    drop(gone);
    if ended { Poll::Ready(()) } else { Poll::Pending }
}

#[expect(
    clippy::disallowed_methods,
    reason = "it ends with the connection; shutdown need not wait"
)]
fn drive(connection: Shared, line: &Arc<Line>) {
    tokio::spawn(driving(connection, Arc::clone(line)));
}

/// Moves the requests of a connection until it ends; retires it when nobody has used it for long.
async fn driving(connection: Shared, line: Arc<Line>) {
    let ended = std::future::poll_fn(|cx| poll(&connection, cx));
    let mut ended = pin!(ended);
    let mut until = clock::monotonic() + POOL_IDLE;
    loop {
        tokio::select! {
            () = &mut ended => return line.retire(),
            () = tokio::time::sleep_until(until.into()) => {}
        }
        let now = clock::monotonic();
        let busy = line.running.load(Ordering::Acquire) > 0;
        until = if busy { now } else { line.times().used } + POOL_IDLE;
        if until <= now {
            break;
        }
    }
    line.retire();
    // It ends with the last place on it.
    drop(line);
    ended.await;
}
