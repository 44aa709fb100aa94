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

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::PROXY_AUTHORIZATION;
use http::uri::Scheme;
use http::{Request, Response};
use hyper_util::client::proxy::matcher::Matcher;

pub(crate) use self::answer::{AnswerBody, BodyError};
use self::connector::Connector;
pub(crate) use self::error::{ConnectError, Error, Seen};
use self::http2::{Lines, Place};
use self::pool::{Home, Origin, Pool};
use self::tls::Tls;
use crate::clock;

/// How long an idle connection waits for its next request.
const POOL_IDLE: Duration = Duration::from_secs(90);
/// How much the wall clock may run ahead of the other between two requests before the machine is
/// thought to have slept, in milliseconds.
const NAP: i64 = 5_000;
/// How many idle HTTP/1.1 connections are kept for one host.
const POOL_IDLE_PER_HOST: usize = 1024;

/// Sends requests over pooled connections. Clones share the pools.
#[derive(Clone)]
pub(crate) struct HttpClient {
    connector: Connector,
    /// The connections that speak HTTP/1.1.
    idle: Pool,
    /// The connections that speak HTTP/2.
    lines: Lines,
    /// What [`clock::lead`] was at the last request.
    lead: Arc<AtomicI64>,
    proxies: Arc<Matcher>,
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
        let lead = Arc::new(AtomicI64::new(clock::lead()));
        Self { connector, idle: Pool::default(), lines: Lines::default(), lead, proxies }
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
        self.wake(clock::lead());
        if request.uri().scheme() == Some(&Scheme::HTTP) {
            self.greet_proxy(&mut request);
        }
        let nowhere = || ConnectError::Unreachable("the address names no server".into());
        let origin = Origin::of(request.uri()).ok_or_else(nowhere)?;
        loop {
            if origin.is_secure()
                && let Some(place) = self.place(request.uri(), &origin).await?
            {
                return Ok(place.send(request).await?.map(AnswerBody::Http2));
            }
            let idle = self.idle.take(&origin);
            let reused = idle.is_some();
            let mut connection = match idle {
                Some(connection) => connection,
                // Large, and rarely needed.
                None => match Box::pin(self.open(request.uri(), &origin)).await? {
                    Some(connection) => connection,
                    None => continue,
                },
            };
            connection.ask(request);
            return self.answer(connection, reused, origin).await;
        }
    }

    /// Leaves all connections if the machine has slept: what was on their other side has gone, or
    /// forgotten them, and often nobody says so. `lead` is that of the clock, now.
    fn wake(&self, lead: i64) {
        let before = self.lead.load(Ordering::Relaxed);
        if lead.saturating_sub(before) > NAP {
            self.idle.clear();
            self.lines.retire();
        }
        self.lead.store(lead, Ordering::Relaxed);
    }

    /// A place on a connection that others may use at the same time, if the server speaks HTTP/2.
    async fn place(&self, uri: &http::Uri, origin: &Origin) -> Result<Option<Place>, Error> {
        let connect = || Box::pin(self.connector.connect_in_time(uri.clone()));
        Ok(Box::pin(self.lines.place(origin, &self.idle, connect)).await?)
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
        self.lines.add(origin.clone(), stream).await?;
        Ok(None)
    }

    /// The answer on a connection that has its request.
    async fn answer(
        &self,
        mut connection: Box<http1::Connection>,
        reused: bool,
        origin: Origin,
    ) -> Result<Response<AnswerBody>, Error> {
        match connection.answer().await {
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

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[cfg(test)]
mod tests;
