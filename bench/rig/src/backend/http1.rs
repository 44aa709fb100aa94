//! The backend over HTTP/1, in TLS or not.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::answer::{Answer, Framing};
use super::{Asked, Backend, MODELS};
use crate::http1::{Head, Piece};
use crate::order::Order;

const STREAM_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-request-id: req_0123456789abcdef\r\nopenai-processing-ms: 12\r\nx-codex-primary-used-percent: 7\r\nx-codex-primary-window-minutes: 300\r\nx-codex-plan-type: plus\r\ntransfer-encoding: chunked\r\n\r\n";

/// Buffers that grew for a large request are given back above this.
const KEPT: usize = 256 << 10;

fn malformed(_: crate::http1::Malformed) -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// Answers the requests of one connection until it ends.
///
/// # Errors
/// When the connection breaks or carries something else than HTTP.
pub async fn serve<S>(backend: &Backend, mut stream: S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut buffer, mut body, mut out) = (BytesMut::new(), Vec::new(), Vec::new());
    loop {
        let mut head = loop {
            if let Some(head) = Head::of_request(&mut buffer).map_err(malformed)? {
                break head;
            }
            if read(&mut stream, &mut buffer).await? == 0 {
                return Ok(());
            }
        };
        body.clear();
        loop {
            match head.body.take(&mut buffer).map_err(malformed)? {
                Piece::Data(data) => body.extend_from_slice(&data),
                Piece::End => break,
                Piece::More if read(&mut stream, &mut buffer).await? == 0 => return Ok(()),
                Piece::More => {}
            }
        }
        out.clear();
        match Asked::of(&head.path) {
            Asked::Answer(wire) => {
                let answer = backend.answer(wire, Framing::Chunked, Order::find(&body));
                if body.capacity() > KEPT {
                    body = Vec::new();
                    buffer = BytesMut::new();
                }
                send(&answer, backend.next_id(), &mut stream, &mut out).await?;
            }
            Asked::Models => plain(&mut stream, "200 OK", MODELS).await?,
            Asked::Nothing => plain(&mut stream, "404 Not Found", r#"{"error":null}"#).await?,
        }
        if head.close {
            return Ok(());
        }
    }
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut BytesMut) -> io::Result<usize> {
    buffer.reserve(16 << 10);
    stream.read_buf(buffer).await
}

async fn plain<S: AsyncWrite + Unpin>(stream: &mut S, status: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await?;
    stream.flush().await
}

async fn send<S: AsyncWrite + Unpin>(
    answer: &Answer,
    id: u64,
    stream: &mut S,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    out.extend_from_slice(STREAM_HEAD);
    if answer.at_once() {
        answer.whole.write(id, out);
        stream.write_all(out).await?;
        return stream.flush().await;
    }
    let mut pauses = answer.pauses();
    for (at, event) in answer.events.iter().enumerate() {
        pauses.before(at).await;
        event.write(id, out);
        stream.write_all(out).await?;
        stream.flush().await?;
        out.clear();
    }
    Ok(())
}
