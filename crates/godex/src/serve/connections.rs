//! Connections: accepted, served, and ended in good order. HTTP/1.1 on loopback is all that
//! local clients speak; every connection is one task.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::router;
use super::stall::Unstalled;
use super::state::App;
use crate::tasks::Tasks;

/// How long a client may take to send the head of a request, and how long a connection may
/// wait for its next one.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// How long a client may take nothing of what it is sent.
const STALL: Duration = Duration::from_secs(120);
/// How large a head may be, in bytes, with room for the start of a body.
const BUFFER: usize = 128 << 10;
/// How many header lines a request may have.
const MOST_HEADERS: usize = 100;
/// How long the last words of a cut stream may take.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long nothing is accepted when the process has no file descriptors left.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

/// Accepts until `shutdown`, then waits for running answers at most `drain`.
pub(super) async fn serve(
    app: &Arc<App>,
    tasks: &Tasks,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
    drain: Duration,
) {
    let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
    let open = TaskTracker::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection =
                    connection(Arc::clone(app), stream, peer, stop.clone(), cut.clone());
                tasks.spawn(open.track_future(connection));
            }
            Err(error) => refused(&error).await,
        }
    }
    drop(listener);
    app.drain();
    stop.cancel();
    open.close();
    if tokio::time::timeout(drain, open.wait()).await.is_err() {
        tracing::warn!(
            connections = open.len(),
            "the drain timeout is over: running answers are cut off"
        );
        app.cut();
        cut.cancel();
        open.wait().await;
    }
}

/// A connection that could not be accepted. Most of these concern that connection alone; with
/// no file descriptors left, trying again at once would only spin.
async fn refused(error: &io::Error) {
    let own_fault = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    );
    if !own_fault {
        tracing::error!("cannot accept connections: {error}");
        tokio::time::sleep(OUT_OF_FILES).await;
    }
}

async fn connection(
    app: Arc<App>,
    stream: TcpStream,
    peer: SocketAddr,
    stop: CancellationToken,
    cut: CancellationToken,
) {
    // Without it, small events wait for the acknowledgement of the ones before them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("cannot set TCP_NODELAY: {error}");
    }
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
        .max_headers(MOST_HEADERS)
        .serve_connection(TokioIo::new(Unstalled::new(stream, STALL)), service);
    let mut serving = pin!(serving);
    tokio::select! {
        ended = serving.as_mut() => return closed(ended),
        () = stop.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        ended = serving.as_mut() => return closed(ended),
        () = cut.cancelled() => {}
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
