//! A backend that a test plays by hand, byte by byte, where the simulator cannot misbehave
//! enough.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// The head of a stream without a length.
pub(crate) const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

/// A backend that lists one model and leaves everything else to the test.
pub(crate) struct Backend {
    address: SocketAddr,
    turns: mpsc::UnboundedReceiver<Turn>,
    server: AbortHandle,
}

/// One request, and the connection on which to answer it.
pub(crate) struct Turn {
    /// Request line and headers.
    pub(crate) head: String,
    /// The body as it arrived.
    pub(crate) text: String,
    socket: TcpStream,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, turns) = mpsc::unbounded_channel();
        let server = spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                spawn(connection(socket, sender.clone()));
            }
        });
        Self { address, turns, server }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/backend-api/codex", self.address)
    }

    /// The next request.
    pub(crate) async fn turn(&mut self) -> Turn {
        self.turns.recv().await.unwrap()
    }

    /// Answers everything that comes with the same bytes, then hangs up.
    pub(crate) fn always(&mut self, answer: impl Into<Vec<u8>>) {
        let answer = answer.into();
        let (_, none) = mpsc::unbounded_channel();
        let mut turns = std::mem::replace(&mut self.turns, none);
        spawn(async move {
            while let Some(turn) = turns.recv().await {
                turn.answer(&answer).await;
            }
        });
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Turn {
    pub(crate) fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// Sends some bytes.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).await.unwrap();
        self.socket.flush().await.unwrap();
    }

    /// Sends some bytes and hangs up.
    pub(crate) async fn answer(mut self, bytes: impl AsRef<[u8]>) {
        // A proxy that has seen enough may be gone already.
        let _ = self.socket.write_all(bytes.as_ref()).await;
        let _ = self.socket.shutdown().await;
    }

    /// Answers with a JSON document.
    pub(crate) async fn json(self, status: &str, body: &Value) {
        self.answer(whole(status, "application/json", &body.to_string())).await;
    }

    /// Waits until the proxy hangs up.
    pub(crate) async fn left(mut self) {
        let mut rest = [0; 1024];
        while self.socket.read(&mut rest).await.is_ok_and(|read| read > 0) {}
    }
}

/// A complete answer.
pub(crate) fn whole(status: &str, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A recorded stream with its head.
pub(crate) fn recorded(name: &str) -> Vec<u8> {
    [STREAM.as_bytes(), &fixture(name)].concat()
}

/// A recorded stream.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/upstream");
    std::fs::read(format!("{folder}/{name}.sse")).unwrap()
}

/// One event in the backend's form.
pub(crate) fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap())
}

/// The beginning of an answer, until the first piece of text: `Hel`.
pub(crate) fn opening() -> String {
    let response = |status: &str| {
        json!({
            "id": "resp_1", "object": "response", "created_at": 1_795_348_800, "status": status,
            "model": "gpt-5.5", "output": [], "safety_identifier": "user-account",
        })
    };
    let item = json!({"id": "msg_1", "type": "message", "status": "in_progress", "content": [], "role": "assistant"});
    let part = json!({"type": "output_text", "annotations": [], "logprobs": [], "text": ""});
    [
        json!({"type": "response.created", "response": response("in_progress"), "sequence_number": 0}),
        json!({"type": "response.in_progress", "response": response("in_progress"), "sequence_number": 1}),
        json!({"type": "response.output_item.added", "item": item, "output_index": 0, "sequence_number": 2}),
        json!({"type": "response.content_part.added", "part": part, "item_id": "msg_1", "output_index": 0, "content_index": 0, "sequence_number": 3}),
        delta("Hel", 4),
    ]
    .iter()
    .map(event)
    .collect()
}

fn delta(text: &str, number: u64) -> Value {
    json!({"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": text, "logprobs": [], "sequence_number": number})
}

/// What follows [`opening`]: `lo`, and the end.
pub(crate) fn closing() -> String {
    let part = json!({"type": "output_text", "annotations": [], "logprobs": [], "text": "Hello"});
    let item = json!({"id": "msg_1", "type": "message", "status": "completed", "content": [part], "role": "assistant"});
    let usage = json!({
        "input_tokens": 11, "input_tokens_details": {"cached_tokens": 5}, "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 18,
    });
    let response = json!({
        "id": "resp_1", "object": "response", "created_at": 1_795_348_800, "status": "completed",
        "model": "gpt-5.5", "output": [], "safety_identifier": "user-account", "usage": usage,
    });
    [
        delta("lo", 5),
        json!({"type": "response.output_text.done", "item_id": "msg_1", "output_index": 0, "content_index": 0, "text": "Hello", "logprobs": [], "sequence_number": 6}),
        json!({"type": "response.content_part.done", "part": part, "item_id": "msg_1", "output_index": 0, "content_index": 0, "sequence_number": 7}),
        json!({"type": "response.output_item.done", "item": item, "output_index": 0, "sequence_number": 8}),
        json!({"type": "response.completed", "response": response, "sequence_number": 9}),
    ]
    .iter()
    .map(event)
    .collect()
}

/// A whole answer: `Hello`.
pub(crate) fn hello() -> Vec<u8> {
    [STREAM, &opening(), &closing()].concat().into_bytes()
}

const MODELS: &str = r#"{"models":[{"slug":"gpt-5.5","visibility":"list","priority":1}]}"#;

/// Reads one request; those for the list of models are answered here.
async fn connection(mut socket: TcpStream, turns: mpsc::UnboundedSender<Turn>) {
    let Some((head, text)) = request(&mut socket).await else { return };
    if head.starts_with("GET ") {
        let answer = whole("200 OK", "application/json", MODELS);
        let _ = socket.write_all(&answer).await;
    } else {
        let _ = turns.send(Turn { head, text, socket });
    }
}

async fn request(socket: &mut TcpStream) -> Option<(String, String)> {
    let mut seen = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&seen);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |it| it.parse().unwrap()) {
                return Some((head.to_owned(), body.to_owned()));
            }
        }
        if socket.read_buf(&mut seen).await.ok()? == 0 {
            return None;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test has no tasks to wait for")]
fn spawn(work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    tokio::spawn(work).abort_handle()
}
