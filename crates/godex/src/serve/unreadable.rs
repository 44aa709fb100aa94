//! What is no request that can be read is answered by hyper itself, with a bare status. Here that
//! answer gets the form of all others, and the connection stays open for a moment so that a
//! client which is still sending does not lose it to a reset.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::error::ApiError;
use super::router;

/// How long a client may go on sending what nobody reads, and how much, in bytes.
const REST_TIME: Duration = Duration::from_secs(1);
const REST: usize = 16 << 20;

/// A bare answer is not longer than this.
const BARE: usize = 256;

/// A stream on which bare answers get a body.
pub(super) struct Clothed<S> {
    stream: S,
    /// What is left to be written of the answer that takes the place of a bare one.
    instead: Option<Bytes>,
    /// What is left to be read of a client whose request could not be.
    rest: Option<Rest>,
}

struct Rest {
    bytes: usize,
    alarm: Pin<Box<Sleep>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Clothed<S> {
    /// `stream`, which is written to by hyper.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, instead: None, rest: None }
    }

    /// Begins to write another answer if `bytes` is a bare one. Whether it is being written.
    fn dress(&mut self, bytes: &[u8]) -> bool {
        if self.instead.is_none()
            && let Some(answer) = dressed(bytes)
        {
            self.instead = Some(answer);
            let alarm = Box::pin(tokio::time::sleep(REST_TIME));
            self.rest = Some(Rest { bytes: REST, alarm });
        }
        self.instead.is_some()
    }

    /// Writes the other answer.
    fn poll_dressed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(left) = self.instead.as_mut().filter(|it| !it.is_empty()) {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, left))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            left.advance(written);
        }
        self.instead = None;
        Poll::Ready(Ok(()))
    }

    /// Takes what the client still sends.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(rest) = &mut self.rest else { return Poll::Ready(()) };
        let mut piece = [0; 4096];
        while rest.bytes > 0 && rest.alarm.as_mut().poll(cx).is_pending() {
            let mut into = ReadBuf::new(&mut piece);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut into)) {
                Ok(()) if !into.filled().is_empty() => {
                    rest.bytes = rest.bytes.saturating_sub(into.filled().len());
                }
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }
}

/// The answer in place of a bare one; nothing if it is another.
fn dressed(answer: &[u8]) -> Option<Bytes> {
    if !answer.starts_with(b"HTTP/1.1 4") || answer.len() > BARE {
        return None;
    }
    let head = std::str::from_utf8(answer).ok()?.strip_suffix("\r\n\r\n")?;
    let status = head.get(9..12)?.parse::<u16>().ok()?;
    let error = match StatusCode::from_u16(status).ok()? {
        StatusCode::BAD_REQUEST => ApiError::NoRequest,
        StatusCode::URI_TOO_LONG => ApiError::LineTooLong,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => ApiError::HeadTooLarge,
        _ => return None,
    };
    // Our own answers have a name.
    let (before, after) = head.split_once("content-length: 0")?;
    if head.contains("x-request-id") {
        return None;
    }
    let body = error.body();
    let (length, id) = (body.len(), router::request_id());
    let lines =
        format!("content-type: application/json\r\ncontent-length: {length}\r\nx-request-id: {id}");
    Some(format!("{before}{lines}{after}\r\n\r\n{body}").into())
}

impl<S: AsyncRead + Unpin> AsyncRead for Clothed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Clothed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.dress(bytes) {
            return self.poll_dressed(cx).map_ok(|()| bytes.len());
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [bytes] = pieces
            && self.dress(bytes)
        {
            return self.poll_dressed(cx).map_ok(|()| bytes.len());
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        ready!(self.poll_rest(cx));
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const BARE_ANSWER: &str = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: Sun, 22 Nov 2026 10:00:00 GMT\r\n\r\n";

    /// What arrives when this is written through a pipe with little room.
    async fn through(answer: &str) -> String {
        let (stream, mut client) = tokio::io::duplex(16);
        let answer = answer.to_owned();
        let writing = async move {
            let mut stream = Clothed::new(stream);
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        };
        let reading = async {
            let mut text = String::new();
            client.read_to_string(&mut text).await.unwrap();
            drop(client);
            text
        };
        tokio::join!(writing, reading).1
    }

    #[tokio::test(start_paused = true)]
    async fn a_bare_answer_gets_a_body_and_a_name() {
        let text = through(BARE_ANSWER).await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{head}");
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{head}");
        assert!(head.contains("\r\nx-request-id: req_") && head.ends_with("GMT"), "{head}");
        assert!(body.contains("request_header_fields_too_large"), "{body}");
    }

    #[tokio::test(start_paused = true)]
    async fn other_answers_pass_untouched() {
        for answer in [
            "HTTP/1.1 400 Bad Request\r\nx-request-id: req_1\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\nab",
            "HTTP/1.1 4",
        ] {
            assert_eq!(through(answer).await, answer);
        }
    }
}
