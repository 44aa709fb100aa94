//! Requests byte for byte, for what no client library would send.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::shape;

/// Longer than any answer here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// One answer as it was on the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// A header, empty if there is none; the values of several lines joined.
    pub(crate) fn header(&self, name: &str) -> String {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let values = lines.filter(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        values.collect::<Vec<_>>().join(", ")
    }

    /// The code of an error in the one form they all have.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_else(|_| self.odd());
        shape(&body["error"]);
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        assert!(self.header("x-request-id").starts_with("req_"), "{self:?}");
        body["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "a test that cannot go on says what it saw")]
    fn odd(&self) -> Value {
        panic!("no JSON: {self:?}")
    }
}

/// The answers in what a connection said.
pub(crate) fn answers(said: &[u8]) -> Vec<Answer> {
    let mut rest = String::from_utf8_lossy(said).into_owned();
    let mut answers = Vec::new();
    while let Some((head, body)) = rest.split_once("\r\n\r\n") {
        let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or_default();
        let mut answer = Answer { status, head: head.to_owned(), body: String::new() };
        let length = answer.header("content-length").parse().unwrap_or(match status {
            100..200 | 204 => 0,
            _ => body.len(),
        });
        let (own, next) = body.split_at(length.min(body.len()));
        (answer.body, rest) = (own.to_owned(), next.to_owned());
        answers.push(answer);
    }
    answers
}

/// Says something on a connection of its own and listens until the other side hangs up.
pub(crate) async fn said(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).await.unwrap();
    // The other side may hang up before it has heard everything.
    let _ = socket.write_all(bytes).await;
    heard(&mut socket).await
}

/// What the other side says until it hangs up.
pub(crate) async fn heard(socket: &mut TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    let read = timeout(PATIENCE, socket.read_to_end(&mut heard)).await;
    assert!(read.is_ok(), "it does not hang up: {}", String::from_utf8_lossy(&heard));
    heard
}

/// The one answer to one request, which should ask for the connection to be closed.
pub(crate) async fn answer(address: &str, request: &str) -> Answer {
    let mut answers = answers(&said(address, request.as_bytes()).await);
    assert_eq!(answers.len(), 1, "{request}: {answers:?}");
    answers.remove(0)
}
