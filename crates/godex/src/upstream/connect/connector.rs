//! From a URI to a connected stream: directly, or through the proxy that the environment names
//! for it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{DefaultServerNameResolver, HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::proxy::{SocksV4, SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::tls::{Settled, Tls};
use super::{BoxError, ConnectError};

/// Probes a silent peer after 30 s, gives it up about 45 s later.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 3;
/// Gives up what the peer never acknowledges: after a change of the network it is known in half a
/// minute that the connections are gone, instead of a quarter of an hour.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Opens connections.
#[derive(Clone)]
pub(crate) struct Connector {
    tcp: HttpConnector,
    proxies: Arc<Matcher>,
    tls: Tls,
    timeout: Duration,
}

/// Where the bytes go: the server, or a proxy that may itself be reached over TLS.
type Transport = MaybeHttpsStream<TokioIo<TcpStream>>;

/// A connection.
pub(crate) struct Stream {
    io: MaybeHttpsStream<Transport>,
    /// The other end is an HTTP proxy that reads the requests itself.
    proxied: bool,
}

/// How one destination is reached.
enum Route {
    Direct,
    /// A plain request, handed to an HTTP proxy to pass on.
    Forward(Intercept),
    /// A tunnel by `CONNECT`.
    Tunnel(Intercept),
    Socks4(Intercept),
    Socks5(Intercept),
}

impl Connector {
    pub(super) fn new(proxies: Arc<Matcher>, tls: Tls, timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
        tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
        // Shared between the addresses of a name, so that a dead one does not use up all of it.
        tcp.set_connect_timeout(Some(timeout));
        Self { tcp, proxies, tls, timeout }
    }

    fn route(&self, to: &Uri) -> Route {
        let Some(proxy) = self.proxies.intercept(to) else {
            return Route::Direct;
        };
        match proxy.uri().scheme_str() {
            Some("socks5" | "socks5h") => Route::Socks5(proxy),
            Some("socks4" | "socks4a") => Route::Socks4(proxy),
            _ if to.scheme() == Some(&Scheme::HTTP) => Route::Forward(proxy),
            _ => Route::Tunnel(proxy),
        }
    }

    /// A connection to the server that `to` names.
    pub(super) async fn connect_in_time(&self, to: Uri) -> Result<Stream, ConnectError> {
        tokio::time::timeout(self.timeout, self.connect(to))
            .await
            .unwrap_or(Err(ConnectError::TimedOut(self.timeout)))
    }

    async fn connect(&self, to: Uri) -> Result<Stream, ConnectError> {
        let route = self.route(&to);
        let to_server = to.scheme() == Some(&Scheme::HTTPS);
        let to_proxy = matches!(&route, Route::Forward(proxy) | Route::Tunnel(proxy)
            if proxy.uri().scheme() == Some(&Scheme::HTTPS));
        let tls = if to_server || to_proxy { Some(self.tls.settle().await?) } else { None };
        let proxied = matches!(route, Route::Forward(_));
        let transport = self.transport(route, &to, tls.as_ref()).await?;
        let io = match tls {
            Some(tls) if to_server => secure(transport, tls.server, to).await?,
            Some(_) | None => MaybeHttpsStream::Http(transport),
        };
        Ok(Stream { io, proxied })
    }

    async fn transport(
        &self,
        route: Route,
        to: &Uri,
        tls: Option<&Settled>,
    ) -> Result<Transport, ConnectError> {
        match route {
            Route::Direct => self.reach(to.clone(), None).await,
            Route::Forward(proxy) => self.reach(proxy.uri().clone(), tls).await,
            Route::Tunnel(proxy) => {
                let transport = self.reach(proxy.uri().clone(), tls).await?;
                let mut tunnel = Tunnel::new(proxy.uri().clone(), Ready(Some(transport)));
                if let Some(password) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(password.clone());
                }
                tunnel.call(to.clone()).await.map_err(refused)
            }
            Route::Socks4(proxy) => {
                let transport = self.reach(socks_address(&proxy)?, None).await?;
                // The proxy resolves the name (4a): what resolves here may mean nothing there.
                let mut socks = SocksV4::new(proxy.uri().clone(), Ready(Some(transport)));
                socks.call(with_port(to)?).await.map_err(refused)
            }
            Route::Socks5(proxy) => {
                let transport = self.reach(socks_address(&proxy)?, None).await?;
                let mut socks = SocksV5::new(proxy.uri().clone(), Ready(Some(transport)));
                if let Some((user, password)) = proxy.raw_auth() {
                    socks = socks.with_auth(user.to_owned(), password.to_owned());
                }
                socks.call(with_port(to)?).await.map_err(refused)
            }
        }
    }
}

impl Connector {
    /// A connection to `to` itself, over TLS when it is an `https://` proxy.
    async fn reach(&self, to: Uri, tls: Option<&Settled>) -> Result<Transport, ConnectError> {
        let secured = tls.filter(|_| to.scheme() == Some(&Scheme::HTTPS));
        let tcp = self.tcp.clone().call(to.clone()).await;
        let tcp = tcp.map_err(|error| ConnectError::Unreachable(error.into()))?;
        match secured {
            Some(tls) => secure(tcp, Arc::clone(&tls.proxy), to).await,
            None => Ok(MaybeHttpsStream::Http(tcp)),
        }
    }
}

/// Speaks TLS with `to` over `transport`.
async fn secure<T>(
    transport: T,
    settings: Arc<rustls::ClientConfig>,
    to: Uri,
) -> Result<MaybeHttpsStream<T>, ConnectError>
where
    T: Connection + Read + Write + Unpin + Send + 'static,
{
    let names = Arc::new(DefaultServerNameResolver::default());
    let mut connector = HttpsConnector::new(Ready(Some(transport)), settings, true, names);
    connector.call(to).await.map_err(ConnectError::Tls)
}

fn refused(error: impl Into<BoxError>) -> ConnectError {
    ConnectError::Proxy(error.into())
}

/// The TCP address of a SOCKS proxy; its usual port is 1080.
pub(super) fn socks_address(proxy: &Intercept) -> Result<Uri, ConnectError> {
    address(proxy.uri(), proxy.uri().port_u16().unwrap_or(1080))
}

/// `to` with its port written out: SOCKS would take 443 for `http` too.
pub(super) fn with_port(to: &Uri) -> Result<Uri, ConnectError> {
    let usual = if to.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 };
    address(to, to.port_u16().unwrap_or(usual))
}

fn address(uri: &Uri, port: u16) -> Result<Uri, ConnectError> {
    let host = uri.host().unwrap_or_default();
    let authority = Authority::try_from(format!("{host}:{port}")).map_err(refused)?;
    Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(authority)
        .path_and_query(PathAndQuery::from_static("/"))
        .build()
        .map_err(refused)
}

/// A connection that is there already, for the layers that want a connector below them.
struct Ready<T>(Option<T>);

impl<T> Service<Uri> for Ready<T> {
    type Response = T;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<T>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        std::future::ready(self.0.take().ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}

impl Stream {
    /// Whether the other end is a proxy that reads the requests itself.
    pub(super) fn is_proxied(&self) -> bool {
        self.proxied
    }

    /// Whether the server has chosen HTTP/2.
    pub(super) fn speaks_h2(&self) -> bool {
        self.io.connected().is_negotiated_h2()
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }
}
