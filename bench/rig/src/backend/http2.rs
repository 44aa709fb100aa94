//! The backend over HTTP/2: every stream is a task of its own, within the peer's windows.

use std::future::poll_fn;
use std::rc::Rc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::{Answer, Framing};
use super::{Asked, Backend, MODELS};
use crate::order::Order;

/// Requests of megabytes come without waiting for the window.
const WINDOW: u32 = 8 << 20;

/// Answers the streams of one connection until it ends.
///
/// # Errors
/// When the connection breaks or carries something else than HTTP/2.
pub async fn serve<S>(backend: Rc<Backend>, stream: S) -> Result<(), h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW);
    builder.max_concurrent_streams(20_000);
    let mut connection = builder.handshake(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        let backend = Rc::clone(&backend);
        tokio::task::spawn_local(async move {
            let (head, body) = request.into_parts();
            // A stream that is cancelled is the client's word; it has no other reader.
            let _ = answer(&backend, head.uri.path(), body, respond).await;
        });
    }
    Ok(())
}

async fn answer(
    backend: &Backend,
    path: &str,
    mut body: RecvStream,
    mut respond: SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let mut request = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        request.extend_from_slice(&data);
    }
    match Asked::of(path) {
        Asked::Answer(wire) => {
            let answer = backend.answer(wire, Framing::Bare, Order::find(&request));
            drop(request);
            let mut stream = respond.send_response(head("text/event-stream"), false)?;
            send(&answer, backend.next_id(), &mut stream).await
        }
        Asked::Models => {
            let mut stream = respond.send_response(head("application/json"), false)?;
            put(&mut stream, Bytes::from_static(MODELS.as_bytes())).await?;
            stream.send_data(Bytes::new(), true)
        }
        Asked::Nothing => {
            let mut head = http::Response::new(());
            *head.status_mut() = http::StatusCode::NOT_FOUND;
            respond.send_response(head, true).map(drop)
        }
    }
}

fn head(kind: &'static str) -> http::Response<()> {
    let mut head = http::Response::new(());
    let headers = head.headers_mut();
    for (name, value) in [
        ("content-type", kind),
        ("x-request-id", "req_0123456789abcdef"),
        ("openai-processing-ms", "12"),
        ("x-codex-primary-used-percent", "7"),
        ("x-codex-primary-window-minutes", "300"),
        ("x-codex-plan-type", "plus"),
    ] {
        headers.insert(name, http::HeaderValue::from_static(value));
    }
    head
}

async fn send(answer: &Answer, id: u64, stream: &mut SendStream<Bytes>) -> Result<(), h2::Error> {
    if answer.at_once() {
        let mut out = Vec::new();
        answer.whole.write(id, &mut out);
        put(stream, out.into()).await?;
        return stream.send_data(Bytes::new(), true);
    }
    let mut pauses = answer.pauses();
    for (at, event) in answer.events.iter().enumerate() {
        pauses.before(at).await;
        let mut out = Vec::new();
        event.write(id, &mut out);
        put(stream, out.into()).await?;
    }
    stream.send_data(Bytes::new(), true)
}

/// Sends data as the peer's window allows.
async fn put(stream: &mut SendStream<Bytes>, mut data: Bytes) -> Result<(), h2::Error> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let room = poll_fn(|context| stream.poll_capacity(context)).await;
        let room = room.unwrap_or(Err(h2::Reason::CANCEL.into()))?;
        stream.send_data(data.split_to(room.min(data.len())), false)?;
    }
    Ok(())
}
