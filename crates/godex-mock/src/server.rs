//! Sockets and routes: bytes come in, the other modules decide, bytes go out.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::backend::Backend;
use crate::outflow::{Fate, Outflow};
use crate::record::{Body, Entry};
use crate::refusal::Refusal;
use crate::signin::SignIns;
use crate::{backend, inspect};

/// The most that a request body may be, before and after decoding.
const LIMIT: usize = 256 << 20;

/// An answer on its way out.
pub(crate) type Answer = Response<Outflow>;

/// Serves until the returned handle is aborted, then drops every connection.
pub(crate) fn serve(listener: TcpListener, backend: Arc<Backend>) -> AbortHandle {
    spawn(accept(listener, backend))
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that spawns; drop aborts it")]
fn spawn(work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    tokio::spawn(work).abort_handle()
}

async fn accept(listener: TcpListener, backend: Arc<Backend>) {
    let connections = AtomicU64::new(0);
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let number = connections.fetch_add(1, Ordering::Relaxed) + 1;
                    open.spawn(connection(stream, number, Arc::clone(&backend)));
                }
                // Out of file descriptors: existing connections must end first.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            Some(_) = open.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, number: u64, backend: Arc<Backend>) {
    // A peer that is gone already is noticed by the first read.
    let _ = stream.set_nodelay(true);
    let fate = Arc::new(Fate::default());
    let wire = Wire { stream, fate: Arc::clone(&fate) };
    let service = service_fn(move |request| {
        let (backend, fate) = (Arc::clone(&backend), Arc::clone(&fate));
        async move { answer(&backend, request, number, &fate).await }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    // Broken connections are part of the play.
    let _ = server.serve_connection(TokioIo::new(wire), service).await;
}

/// A socket that can be told to end with a reset.
struct Wire {
    stream: TcpStream,
    fate: Arc<Fate>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.fate.is_reset() {
            // Best effort: the peer sees a regular close otherwise.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.fate.is_reset() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Answers one request. An error closes the connection without an answer.
async fn answer(
    backend: &Arc<Backend>,
    request: Request<Incoming>,
    connection: u64,
    fate: &Arc<Fate>,
) -> io::Result<Answer> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    if let Some(what) = path.strip_prefix("/__mock/") {
        let body = Limited::new(body, LIMIT).collect().await.map_err(io::Error::other)?;
        let refusal = inspect::answer(backend, &parts.method, what, &body.to_bytes());
        return Ok(plain(refusal, None, fate));
    }
    let entry = backend.log.open(&parts, connection);
    let body = match Limited::new(body, LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Err(io::Error::other(error)),
    };
    let outcome = match (&parts.method, path) {
        (&Method::POST, "/backend-api/codex/responses") => {
            return backend.responses(&parts.headers, &body, entry, fate).await;
        }
        (&Method::POST, "/oauth/token") => backend.token(&parts.headers, &body, &entry).await,
        (&Method::POST, "/api/accounts/deviceauth/usercode") => {
            backend.device(&parts.headers, &body, &entry, SignIns::device)
        }
        (&Method::POST, "/api/accounts/deviceauth/token") => {
            backend.device(&parts.headers, &body, &entry, SignIns::poll)
        }
        (&Method::GET, "/oauth/authorize") | (&Method::GET | &Method::POST, "/codex/device") => {
            backend.visit(&parts, &body, &entry)
        }
        (&Method::GET, "/backend-api/codex/models") => {
            backend.models(&parts.headers, parts.uri.query().unwrap_or_default(), &entry)
        }
        (&Method::GET, "/backend-api/wham/usage" | "/backend-api/codex/usage") => {
            backend.usage(&parts.headers, &entry)
        }
        // A WebSocket handshake: the CLI falls back to plain requests on this status.
        (&Method::GET, "/backend-api/codex/responses") => {
            Refusal::gateway(StatusCode::UPGRADE_REQUIRED, "Upgrade Required")
        }
        (_, "/backend-api/codex/responses" | "/oauth/token" | "/backend-api/codex/models") => {
            reject(&entry, Refusal::gateway(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"))
        }
        _ => {
            if !body.is_empty() {
                entry.body(Body::Raw(body));
            }
            reject(&entry, Refusal::gateway(StatusCode::NOT_FOUND, "Not Found"))
        }
    };
    Ok(plain(outcome, Some(entry), fate))
}

fn reject(entry: &Entry, refusal: Refusal) -> Refusal {
    entry.refuse(&refusal);
    refusal
}

/// An answer in one piece.
pub(crate) fn plain(refusal: Refusal, entry: Option<Entry>, fate: &Arc<Fate>) -> Answer {
    let number = entry.as_ref().map_or(0, Entry::number);
    let mut response = Response::new(Outflow::whole(refusal.body.into(), entry, fate));
    *response.status_mut() = refusal.status;
    let headers = response.headers_mut();
    backend::insert(headers, "content-type", refusal.content_type);
    backend::insert(headers, "x-request-id", &backend::request_id(number));
    backend::insert(headers, "cf-ray", &backend::ray(number));
    for (name, value) in &refusal.headers {
        backend::insert(headers, name, value);
    }
    response
}

/// Undoes the content encoding of a request body.
///
/// # Errors
///
/// 400 for a body that is not what its headers say.
pub(crate) fn decode(headers: &HeaderMap, body: &[u8]) -> Result<Vec<u8>, Refusal> {
    use std::io::Read as _;
    if headers.get("content-encoding").is_none_or(|it| it == "identity") {
        return Ok(body.to_vec());
    }
    let broken = |error: String| Refusal::detail(format!("Invalid zstd body: {error}"));
    let reader =
        ruzstd::decoding::StreamingDecoder::new(body).map_err(|error| broken(error.to_string()))?;
    let mut decoded = Vec::new();
    let limit = LIMIT as u64 + 1;
    reader.take(limit).read_to_end(&mut decoded).map_err(|error| broken(error.to_string()))?;
    if decoded.len() > LIMIT {
        return Err(Refusal::gateway(StatusCode::PAYLOAD_TOO_LARGE, "Request body too large"));
    }
    Ok(decoded)
}

/// Binds the listener of a mock.
///
/// # Errors
///
/// When the address is taken or not ours.
pub(crate) async fn bind(listen: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}
