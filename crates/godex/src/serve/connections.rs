//! Connections: accepted as far as there is room, served, in TLS if there is a certificate, and
//! ended in good order. HTTP/1.1 is all that clients need; every connection is one task.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::router;
use super::stall::Unstalled;
use super::state::App;
use super::tls::Tls;
use super::unreadable::Clothed;
use crate::clock;
use crate::tasks::Tasks;

/// How long a client may take to agree on TLS, to send the head of a request, and to come with
/// its next one.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a client may take nothing of what it is sent.
const STALL: Duration = Duration::from_secs(120);
/// How much is read of a head, in bytes, with room for the start of a body; a head that is too
/// large is refused by the router, one that does not fit here by hyper, as is one of more than
/// a hundred lines.
const BUFFER: usize = 128 << 10;
/// How long the last words of a cut stream may take.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long nothing is accepted when the process has no file descriptors left.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

/// How long a trouble that goes on is not told again.
const TOLD: Duration = Duration::from_secs(60);

/// Who gets in, and how.
pub(super) struct Door {
    /// How many connections are served at once; others wait to be accepted.
    pub(super) most: usize,
    /// The certificate, if connections are private.
    pub(super) tls: Option<Arc<Tls>>,
}

/// What ends connections.
#[derive(Clone, Default)]
struct Ends {
    /// After the answer that they are at.
    stop: CancellationToken,
    /// At once.
    cut: CancellationToken,
}

/// Accepts until `shutdown`, then waits for running answers at most `drain`.
pub(super) async fn serve(
    app: &Arc<App>,
    tasks: &Tasks,
    listener: TcpListener,
    door: Door,
    shutdown: impl Future<Output = ()>,
    drain: Duration,
) {
    let (closed, ends) = (CancellationToken::new(), Ends::default());
    let open = TaskTracker::new();
    let accepting =
        accept(Arc::clone(app), tasks.clone(), open.clone(), listener, door, ends.clone());
    let mut accepting = tasks.spawn(closed.clone().run_until_cancelled_owned(accepting));
    tokio::select! {
        () = shutdown => {
            closed.cancel();
            settled(accepting.await);
        }
        ended = &mut accepting => settled(ended),
    }
    app.drain();
    ends.stop.cancel();
    open.close();
    if tokio::time::timeout(drain, open.wait()).await.is_err() {
        tracing::warn!(
            connections = open.len(),
            "the drain timeout is over: running answers are cut off"
        );
        app.cut();
        ends.cut.cancel();
        open.wait().await;
    }
}

/// The end of accepting: a panic in there is one of the server.
fn settled(ended: Result<Option<Infallible>, JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

/// Accepts for ever. A task, so that a thread that serves requests takes connections in: the one
/// that waits for the end of the program would have to be woken for each.
async fn accept(
    app: Arc<App>,
    tasks: Tasks,
    open: TaskTracker,
    listener: TcpListener,
    door: Door,
    ends: Ends,
) -> Infallible {
    let (room, mut full, mut failing) =
        (Arc::new(Semaphore::new(door.most)), Trouble::default(), Trouble::default());
    loop {
        if room.available_permits() == 0 && full.is_news() {
            tracing::warn!("{} connections are open: others wait (--max-connections)", door.most);
        }
        let place = Arc::clone(&room).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (app, tls) = (Arc::clone(&app), door.tls.clone());
                let serving = connection(app, stream, peer, tls, ends.clone());
                tasks.spawn(open.track_future(async move {
                    serving.await;
                    drop(place);
                }));
            }
            Err(error) => refused(&error, &mut failing).await,
        }
    }
}

/// A connection that could not be accepted. Most of these concern that connection alone; with
/// no file descriptors left, trying again at once would only spin.
async fn refused(error: &io::Error, trouble: &mut Trouble) {
    let own_fault = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    );
    if !own_fault {
        if trouble.is_news() {
            tracing::error!("cannot accept connections: {error}");
        }
        tokio::time::sleep(OUT_OF_FILES).await;
    }
}

/// Something that may go on for long and is told now and then.
#[derive(Default)]
struct Trouble {
    told: Option<Instant>,
}

impl Trouble {
    fn is_news(&mut self) -> bool {
        let now = clock::monotonic();
        let news = self.told.is_none_or(|told| now.saturating_duration_since(told) >= TOLD);
        if news {
            self.told = Some(now);
        }
        news
    }
}

async fn connection(
    app: Arc<App>,
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<Tls>>,
    ends: Ends,
) {
    // Without it, small events wait for the acknowledgement of the ones before them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("cannot set TCP_NODELAY: {error}");
    }
    let Some(tls) = tls else {
        return talk(app, stream, peer, ends).await;
    };
    // On the heap: it is large, and most connections have none of it.
    Box::pin(private(app, tls.acceptor().accept(stream), peer, ends)).await;
}

/// Agrees on TLS, then serves.
async fn private(
    app: Arc<App>,
    agreeing: tokio_rustls::Accept<TcpStream>,
    peer: SocketAddr,
    ends: Ends,
) {
    let agreeing = tokio::time::timeout(HEAD_TIME, agreeing);
    match ends.stop.run_until_cancelled(agreeing).await {
        Some(Ok(Ok(stream))) => talk(app, stream, peer, ends).await,
        Some(Ok(Err(error))) => tracing::debug!("connection ended before TLS: {error}"),
        Some(Err(_)) | None => {}
    }
}

/// Serves what comes on an open stream.
async fn talk<S>(app: Arc<App>, stream: S, peer: SocketAddr, ends: Ends)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = Clothed::new(Unstalled::new(stream, STALL));
    let service = service_fn(move |request| {
        let app = Arc::clone(&app);
        // Apart from the connection, which is small while it waits for a request.
        let answering = Box::pin(router::answer(app, peer, request));
        async move { Ok::<_, Infallible>(answering.await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    tokio::select! {
        ended = serving.as_mut() => return closed(ended),
        () = ends.stop.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        ended = serving.as_mut() => return closed(ended),
        () = ends.cut.cancelled() => {}
    }
    if let Ok(ended) = tokio::time::timeout(LAST_WORDS, serving).await {
        closed(ended);
    }
}

/// Clients come and go; what went wrong on the wire interests only somebody who looks for it.
fn closed(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!("connection ended: {error}");
    }
}
