//! The one HTTP client of the program: every call to the backend and to the token endpoint goes
//! through it.
//!
//! Owns how a connection comes about: TCP, TLS, HTTP/1.1 or HTTP/2, and the proxy of the
//! environment (`HTTPS_PROXY` and its family). Knows nothing of what is asked or answered, and
//! follows no redirect.

mod answer;
mod connector;
mod error;
mod http1;
mod http2;
mod pool;
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
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};

pub(crate) use self::answer::{AnswerBody, BodyError};
use self::connector::Connector;
pub(crate) use self::error::{ConnectError, Error};
use self::http2::Offers;
use self::pool::{Home, Origin, Pool};
use self::tls::Tls;

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

/// Sends requests over pooled connections. Clones share the pools.
#[derive(Clone)]
pub(crate) struct HttpClient {
    connector: Connector,
    /// The connections that speak HTTP/1.1.
    idle: Pool,
    /// The connections of servers that offer HTTP/2.
    shared: Client<Connector, Full<Bytes>>,
    /// Which servers these are.
    offers: Offers,
    proxies: Arc<Matcher>,
}

/// How many requests an HTTP/2 connection has been given.
#[derive(Clone, Default)]
struct Assigned(Arc<AtomicU32>);

/// When a connection was opened.
#[derive(Clone, Copy)]
struct Since(Instant);

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
        let offers = Offers::default();
        let connector = Connector::new(Arc::clone(&proxies), tls, offers.clone(), connect_timeout);
        let shared = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_IDLE_PER_HOST)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(true)
            .build(connector.clone());
        Self { connector, idle: Pool::default(), shared, offers, proxies }
    }

    /// Sends `request` to the absolute URI it names and resolves when the head of the answer is in.
    /// Dropping the future, or the body of the answer, cancels the request.
    ///
    /// # Errors
    ///
    /// When there is no connection ([`Error::connect`] says why) or it breaks before the answer.
    pub(crate) async fn request(
        &self,
        mut request: Request<Bytes>,
    ) -> Result<Response<AnswerBody>, Error> {
        if request.uri().scheme() == Some(&Scheme::HTTP) {
            self.greet_proxy(&mut request);
        }
        let Some(origin) = Origin::of(request.uri()).filter(|it| !self.offers.has(it)) else {
            return Box::pin(self.share(request)).await;
        };
        let idle = self.idle.take(&origin);
        let reused = idle.is_some();
        let connection = match idle {
            Some(connection) => connection,
            // Large, and rarely needed.
            None => match Box::pin(self.open(request.uri(), &origin)).await? {
                Some(connection) => connection,
                None => return Box::pin(self.share_first(request, &origin)).await,
            },
        };
        self.exchange(connection, reused, origin, request).await
    }

    /// A new connection, unless the server wants it to be shared.
    async fn open(
        &self,
        uri: &http::Uri,
        origin: &Origin,
    ) -> Result<Option<Box<http1::Connection>>, Error> {
        let stream = self.connector.connect_in_time(uri.clone()).await?;
        if !stream.speaks_h2() {
            return Ok(Some(http1::Connection::new(stream)));
        }
        self.offers.add(origin.clone(), stream);
        Ok(None)
    }

    async fn share_first(
        &self,
        request: Request<Bytes>,
        origin: &Origin,
    ) -> Result<Response<AnswerBody>, Error> {
        let answer = self.share(request).await;
        // Another connection may have served as well.
        drop(self.offers.take(origin));
        answer
    }

    /// Sends a request on a connection of its own.
    async fn exchange(
        &self,
        mut connection: Box<http1::Connection>,
        reused: bool,
        origin: Origin,
        request: Request<Bytes>,
    ) -> Result<Response<AnswerBody>, Error> {
        match connection.exchange(request).await {
            // It was said to a connection without a request, which one has crossed on the way.
            Ok(answered) if reused && answered.gives_up() => {
                self.idle.forget(&origin);
                Err(Error::Http1 { reused, fault: http1::Error::Closed })
            }
            Ok(answered) => {
                let home = Home::new(self.idle.clone(), origin);
                Ok(answered.over(connection, home).map(AnswerBody::Http1))
            }
            Err(fault) => {
                let reused = reused && !connection.was_heard();
                if reused {
                    // The others have waited for longer.
                    self.idle.forget(&origin);
                }
                Err(Error::Http1 { reused, fault })
            }
        }
    }

    /// Sends a request on a connection that others may use at the same time.
    async fn share(&self, request: Request<Bytes>) -> Result<Response<AnswerBody>, Error> {
        let mut request = request.map(Full::new);
        let captured = capture_connection(&mut request);
        let answer = retiring(self.shared.request(request), &captured).await?;
        Ok(answer.map(AnswerBody::Shared))
    }

    /// Whether a proxy is on the way to an address.
    pub(crate) fn has_proxy(&self, uri: &http::Uri) -> bool {
        self.proxies.intercept(uri).is_some()
    }

    /// Plain requests are read by the proxy itself, so the password travels with each of them.
    fn greet_proxy(&self, request: &mut Request<Bytes>) {
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

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[cfg(test)]
mod tests;
