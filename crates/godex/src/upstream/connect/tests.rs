//! The client against servers and proxies on loopback ports.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, StatusCode, Uri, Version};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::*;

/// What a server or a proxy has seen, one line each.
pub(super) type Log = Arc<Mutex<Vec<String>>>;

/// Something that listens, until it is dropped.
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    log: Log,
    _tasks: JoinSet<()>,
}

impl Listening {
    pub(super) fn seen(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

/// Accepts connections and leaves each of them to `serve`.
pub(super) async fn listen<F, W>(serve: F) -> Listening
where
    F: Fn(TcpStream, Log) -> W + Send + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let log = Log::default();
    let mut tasks = JoinSet::new();
    let shared = Arc::clone(&log);
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream, Arc::clone(&shared)));
        }
    });
    Listening { address, log, _tasks: tasks }
}

/// Answers every request on one connection; the log tells what it looked like.
async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, h2: bool, log: Log) {
    log.lock().unwrap().push("connection".to_owned());
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let password = text(request.headers(), "proxy-authorization");
        let line =
            format!("{} {} {:?}{password}", request.method(), request.uri(), request.version());
        log.lock().unwrap().push(line);
        std::future::ready(Ok::<_, Infallible>(redirect()))
    });
    let io = TokioIo::new(stream);
    let _ = if h2 {
        let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        http.serve_connection(io, service).await
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
    };
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(|it| format!(" {}", it.to_str().unwrap())).unwrap_or_default()
}

/// An answer that a client which follows redirects would not return.
fn redirect() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from("hello"));
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    let location = http::HeaderValue::from_static("http://127.0.0.1:1/elsewhere");
    response.headers_mut().insert(http::header::LOCATION, location);
    response
}

async fn plain_server() -> Listening {
    listen(|stream, log| answer(stream, false, log)).await
}

/// A certificate for `localhost` and the client that trusts it.
pub(super) struct Secured {
    pub(super) tls: Tls,
    pub(super) server: ServerConfig,
}

pub(super) fn secured() -> Secured {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = certified.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    Secured { tls: Tls::new(move || roots.clone()), server }
}

async fn secure_server(mut settings: ServerConfig, protocols: &[&str]) -> Listening {
    settings.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(settings));
    listen(move |stream, log| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                log.lock().unwrap().push("handshake failed".to_owned());
                return;
            };
            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            answer(stream, h2, log).await;
        }
    })
    .await
}

/// A proxy that connects to whatever `CONNECT` names, if the password is right.
async fn tunnel(mut stream: impl AsyncRead + AsyncWrite + Unpin, log: Log, to: SocketAddr) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    log.lock().unwrap().push(head.lines().next().unwrap().to_owned());
    // `user:pass`
    if head.contains("Proxy-Authorization: Basic dXNlcjpwYXNz\r\n") {
        let mut server = TcpStream::connect(to).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let _ = copy_bidirectional(&mut stream, &mut server).await;
    } else {
        let _ = stream.write_all(b"HTTP/1.1 407 Who are you\r\n\r\n").await;
    }
}

pub(super) fn no_proxy() -> Matcher {
    Matcher::builder().build()
}

fn untrusting() -> Tls {
    Tls::new(RootCertStore::empty)
}

pub(super) fn client_with(proxies: Matcher, tls: Tls) -> HttpClient {
    HttpClient::new(proxies, tls, Duration::from_secs(10))
}

async fn get(client: &HttpClient, uri: &str) -> Result<(StatusCode, Version), Error> {
    let request = Request::get(uri).body(Bytes::new()).unwrap();
    let response = client.request(request).await?;
    let (head, body) = response.into_parts();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
    Ok((head.status, head.version))
}

#[track_caller]
fn assert_reason(error: &Error, expected: fn(&ConnectError) -> bool) {
    let reason = error.connect().expect("a connect error");
    assert!(expected(reason), "{reason:?}");
    assert!(!format!("{error:?} {reason}").contains("pass"));
}

#[tokio::test]
async fn a_plain_connection_is_reused_and_a_redirect_is_not_followed() {
    let server = plain_server().await;
    let client = client_with(no_proxy(), untrusting());
    for _ in 0..2 {
        let found = get(&client, &format!("http://{}/a?b=c", server.address)).await.unwrap();
        assert_eq!(found, (StatusCode::TEMPORARY_REDIRECT, Version::HTTP_11));
    }
    assert_eq!(server.seen(), ["connection", "GET /a?b=c HTTP/1.1", "GET /a?b=c HTTP/1.1"]);
}

#[tokio::test]
async fn no_connection_from_before_a_sleep_of_the_machine_is_used() {
    let server = plain_server().await;
    let client = client_with(no_proxy(), untrusting());
    let uri = format!("http://{}/", server.address);
    for connections in [1, 2] {
        get(&client, &uri).await.unwrap();
        get(&client, &uri).await.unwrap();
        let seen = server.seen();
        assert_eq!(seen.iter().filter(|it| *it == "connection").count(), connections);
        client.wake(clock::lead() + 60_000);
    }
}

#[tokio::test]
async fn http_2_is_spoken_where_the_server_offers_it_and_http_1_where_not() {
    for (protocols, version) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ] {
        let Secured { tls, server } = secured();
        let server = secure_server(server, protocols).await;
        let client = client_with(no_proxy(), tls);
        let uri = format!("https://localhost:{}/", server.address.port());
        assert_eq!(get(&client, &uri).await.unwrap().1, version);
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let server = secure_server(secured().server, &["h2"]).await;
    let client = client_with(no_proxy(), untrusting());
    let uri = format!("https://localhost:{}/", server.address.port());
    let error = get(&client, &uri).await.unwrap_err();
    assert_reason(&error, |it| matches!(it, ConnectError::Tls(_)));
}

#[tokio::test]
async fn where_nobody_listens_the_error_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = client_with(no_proxy(), untrusting());
    let error = get(&client, &format!("http://{address}/")).await.unwrap_err();
    assert_reason(&error, |it| matches!(it, ConnectError::Unreachable(_)));
}

#[tokio::test]
async fn a_server_that_never_shakes_hands_is_given_up_in_time() {
    let silent = listen(|mut stream, _| async move {
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let client = HttpClient::new(no_proxy(), untrusting(), Duration::from_millis(50));
    let uri = format!("https://localhost:{}/", silent.address.port());
    let error = get(&client, &uri).await.unwrap_err();
    assert_reason(&error, |it| matches!(it, ConnectError::TimedOut(_)));
}

#[tokio::test]
async fn a_secure_request_goes_through_the_tunnel_of_the_proxy() {
    let Secured { tls, server } = secured();
    let server = secure_server(server, &["h2"]).await;
    let to = server.address;
    let proxy = listen(move |stream, log| tunnel(stream, log, to)).await;
    let proxies = Matcher::builder().https(format!("http://user:pass@{}", proxy.address)).build();
    let client = client_with(proxies, tls);
    assert_eq!(get(&client, "https://localhost/x").await.unwrap().1, Version::HTTP_2);
    assert_eq!(proxy.seen(), ["CONNECT localhost:443 HTTP/1.1"]);
    assert_eq!(server.seen(), ["connection", "GET https://localhost/x HTTP/2.0"]);
}

#[tokio::test]
async fn the_proxy_itself_may_be_behind_tls() {
    let Secured { tls, server } = secured();
    let acceptor = TlsAcceptor::from(Arc::new(server.clone()));
    let server = secure_server(server, &["h2"]).await;
    let to = server.address;
    let proxy = listen(move |stream, log| {
        let acceptor = acceptor.clone();
        async move { tunnel(acceptor.accept(stream).await.unwrap(), log, to).await }
    })
    .await;
    let port = proxy.address.port();
    let proxies = Matcher::builder().all(format!("https://user:pass@localhost:{port}")).build();
    let client = client_with(proxies, tls);
    assert_eq!(get(&client, "https://localhost/x").await.unwrap().1, Version::HTTP_2);
    assert_eq!(proxy.seen(), ["CONNECT localhost:443 HTTP/1.1"]);
}

#[tokio::test]
async fn a_proxy_that_wants_another_password_is_told_apart() {
    let proxy =
        listen(|stream, log| tunnel(stream, log, SocketAddr::from(([127, 0, 0, 1], 1)))).await;
    let proxies = Matcher::builder().all(format!("http://user:passe@{}", proxy.address)).build();
    let error = get(&client_with(proxies, untrusting()), "https://localhost/").await.unwrap_err();
    assert_reason(&error, |it| matches!(it, ConnectError::Proxy(_)));
}

#[tokio::test]
async fn a_plain_request_is_handed_to_the_proxy_in_full_with_its_password() {
    let proxy = plain_server().await;
    let proxies = Matcher::builder().http(format!("http://user:pass@{}", proxy.address)).build();
    let client = client_with(proxies, untrusting());
    get(&client, "http://backend.invalid/x?y=z").await.unwrap();
    let line = "GET http://backend.invalid/x?y=z HTTP/1.1 Basic dXNlcjpwYXNz";
    assert_eq!(proxy.seen(), ["connection", line]);
}

#[tokio::test]
async fn what_no_proxy_names_is_reached_directly() {
    let server = plain_server().await;
    let proxies = Matcher::builder().all("http://user:pass@127.0.0.1:1").no("127.0.0.0/8").build();
    let client = client_with(proxies, untrusting());
    get(&client, &format!("http://{}/", server.address)).await.unwrap();
    assert_eq!(server.seen(), ["connection", "GET / HTTP/1.1"]);
}

#[tokio::test]
async fn a_socks_proxy_resolves_the_name() {
    let server = plain_server().await;
    let to = server.address;
    let proxy = listen(move |mut stream, log| async move {
        let mut greeting = [0; 3];
        stream.read_exact(&mut greeting).await.unwrap();
        stream.write_all(&[5, 0]).await.unwrap();
        let mut request = [0; 5];
        stream.read_exact(&mut request).await.unwrap();
        let mut name = vec![0; usize::from(request[4])];
        stream.read_exact(&mut name).await.unwrap();
        let port = stream.read_u16().await.unwrap();
        log.lock().unwrap().push(format!("{}:{port}", String::from_utf8(name).unwrap()));
        stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
        let mut server = TcpStream::connect(to).await.unwrap();
        let _ = copy_bidirectional(&mut stream, &mut server).await;
    })
    .await;
    let proxies = Matcher::builder().all(format!("socks5h://{}", proxy.address)).build();
    get(&client_with(proxies, untrusting()), "http://backend.invalid/").await.unwrap();
    assert_eq!(proxy.seen(), ["backend.invalid:80"]);
    assert_eq!(server.seen(), ["connection", "GET / HTTP/1.1"]);
}

#[test]
fn the_usual_port_of_a_proxy_and_of_a_server_are_filled_in() {
    let uri = |text: &'static str| Uri::from_static(text);
    let proxy = Matcher::builder().all("socks5://localhost").build();
    let proxy = proxy.intercept(&uri("http://backend.invalid/")).unwrap();
    assert_eq!(connector::socks_address(&proxy).unwrap(), uri("http://localhost:1080/"));
    assert_eq!(connector::with_port(&uri("http://[::1]/a")).unwrap(), uri("http://[::1]:80/"));
    assert_eq!(connector::with_port(&uri("https://a.b/")).unwrap(), uri("http://a.b:443/"));
    assert_eq!(connector::with_port(&uri("https://a.b:8/")).unwrap(), uri("http://a.b:8/"));
}

#[tokio::test]
async fn nothing_is_read_from_the_trust_store_before_it_is_needed() {
    let server = plain_server().await;
    let client = client_with(no_proxy(), Tls::new(|| panic!("read")));
    get(&client, &format!("http://{}/", server.address)).await.unwrap();
}
