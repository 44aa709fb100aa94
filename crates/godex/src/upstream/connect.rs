//! The one HTTP client of the program: every call to the backend and to the token endpoint goes
//! through it.
//!
//! Owns how a connection comes about: TCP, TLS, HTTP/1.1 or HTTP/2, and the proxy of the
//! environment (`HTTPS_PROXY` and its family). Knows nothing of what is asked or answered, and
//! follows no redirect.

mod connector;
mod tls;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::PROXY_AUTHORIZATION;
use http::uri::Scheme;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use self::connector::Connector;
use self::tls::Tls;
use crate::clock;

/// What a request carries upstream: the whole body, in one piece.
pub(crate) type UpstreamBody = Full<Bytes>;

/// How long an idle connection waits for its next request.
const POOL_IDLE: Duration = Duration::from_secs(90);
/// How many idle HTTP/1.1 connections are kept for one host.
const POOL_IDLE_PER_HOST: usize = 1024;
/// How often HTTP/2 asks whether the other side is still there, and how long it waits for a word.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// What one HTTP/2 stream may send ahead of its reader, and all streams of a connection together.
/// The second is so much larger that a few clients that do not read never stop the others.
const STREAM_WINDOW: u32 = 512 << 10;
const CONNECTION_WINDOW: u32 = 128 << 20;
/// After so many requests an HTTP/2 connection takes no further one. Servers let about a hundred
/// streams run at a time and the rest wait in line, behind answers that may last for minutes.
const REQUESTS_PER_H2: u32 = 100;

/// Sends requests over pooled connections. Clones share the pool.
#[derive(Clone)]
pub(crate) struct HttpClient {
    pool: Client<Connector, UpstreamBody>,
    proxies: Arc<Matcher>,
}

/// How many requests an HTTP/2 connection has been given.
#[derive(Clone, Default)]
struct Assigned(Arc<AtomicU32>);

/// When a connection was opened.
#[derive(Clone, Copy)]
struct Since(Instant);

/// How soon a connection that the other side has closed before shows it.
const STALE: Duration = Duration::from_secs(5);

/// Whether `error` broke a request that began at `begun` on a connection that was older: as a rule
/// the other side was about to close it, unused for long, when the request was on its way.
pub(crate) fn was_stale(error: &Error, begun: Instant) -> bool {
    let mut extras = http::Extensions::new();
    if let Some(connected) = error.connect_info() {
        connected.get_extras(&mut extras);
    }
    let older = extras.get().is_some_and(|Since(opened)| *opened < begun);
    older && clock::monotonic().saturating_duration_since(begun) < STALE
}

/// The client for this machine: its trust store, its proxies.
///
/// `connect_timeout` bounds everything before the request: name, TCP, proxy and TLS.
pub(crate) fn client(connect_timeout: Duration) -> HttpClient {
    HttpClient::new(Matcher::from_env(), Tls::of_this_machine(), connect_timeout)
}

/// A client that leaves the proxies of the environment alone: for the simulator inside this
/// process, which no proxy could reach.
pub(crate) fn direct_client(connect_timeout: Duration) -> HttpClient {
    HttpClient::new(Matcher::builder().build(), Tls::of_this_machine(), connect_timeout)
}

impl HttpClient {
    fn new(proxies: Matcher, tls: Tls, connect_timeout: Duration) -> Self {
        let proxies = Arc::new(proxies);
        let connector = Connector::new(Arc::clone(&proxies), tls, connect_timeout);
        let pool = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_IDLE_PER_HOST)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(true)
            .build(connector);
        Self { pool, proxies }
    }

    /// Sends `request` to the absolute URI it names and resolves when the head of the answer is in.
    /// Dropping the future, or the body of the answer, cancels the request.
    ///
    /// # Errors
    ///
    /// When there is no connection ([`ConnectError::of`] says why) or it breaks before the answer.
    pub(crate) async fn request(
        &self,
        mut request: Request<UpstreamBody>,
    ) -> Result<Response<Incoming>, Error> {
        if request.uri().scheme() == Some(&Scheme::HTTP) {
            self.greet_proxy(&mut request);
            return self.pool.request(request).await;
        }
        let captured = capture_connection(&mut request);
        retiring(self.pool.request(request), &captured).await
    }

    /// Plain requests are read by the proxy itself, so the password travels with each of them.
    /// Whether a proxy is on the way to an address.
    pub(crate) fn has_proxy(&self, uri: &http::Uri) -> bool {
        self.proxies.intercept(uri).is_some()
    }

    fn greet_proxy(&self, request: &mut Request<UpstreamBody>) {
        let proxy = self.proxies.intercept(request.uri());
        if let Some(password) = proxy.as_ref().and_then(|it| it.basic_auth()) {
            request.headers_mut().insert(PROXY_AUTHORIZATION, password.clone());
        }
    }
}

/// Runs `sending` and counts the request against its connection as soon as it has one.
async fn retiring<F: Future>(sending: F, captured: &CaptureConnection) -> F::Output {
    let mut sending = pin!(sending);
    let mut counted = false;
    std::future::poll_fn(|context| {
        let polled = sending.as_mut().poll(context);
        if !counted {
            counted = count(captured);
        }
        polled
    })
    .await
}

/// Whether the request has its connection by now, and thus was counted.
fn count(captured: &CaptureConnection) -> bool {
    let metadata = captured.connection_metadata();
    let Some(connected) = metadata.as_ref() else {
        return false;
    };
    let mut extras = http::Extensions::new();
    connected.get_extras(&mut extras);
    if let Some(Assigned(requests)) = extras.get()
        && requests.fetch_add(1, Ordering::Relaxed) + 1 >= REQUESTS_PER_H2
    {
        connected.poison();
    }
    true
}

/// Why there is no connection. Names no URL: a proxy's may carry a password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// Name, TCP, proxy and TLS together took longer than the connect timeout.
    #[error("no connection within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The name does not resolve, or nobody listens there.
    #[error("cannot connect")]
    Unreachable(#[source] BoxError),
    /// The proxy of the environment refused, or does not speak the protocol it should.
    #[error("the proxy refused the connection")]
    Proxy(#[source] BoxError),
    /// The certificate is not trusted, or the other side does not speak TLS.
    #[error("no secure connection")]
    Tls(#[source] BoxError),
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl ConnectError {
    /// Why `error` happened, if it happened before there was a connection.
    pub(crate) fn of(error: &Error) -> Option<&Self> {
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }
}

#[cfg(test)]
mod tests;
