//! A client that keeps everything it gets: status, headers, the bytes of the body as they
//! arrived, and how the body ended.

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::published::Asked;

pub(crate) type Http = Client<HttpConnector, Full<Bytes>>;

/// A client with a pool of connections of its own.
pub(crate) fn http() -> Http {
    Client::builder(TokioExecutor::new()).build_http()
}

/// A request to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Call {
    pub(crate) fn new(method: Method, path: &str, body: impl Into<Bytes>) -> Self {
        Self { method, path: path.to_owned(), headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::new(Method::GET, path, "")
    }

    pub(crate) fn post(path: &str, body: &Value) -> Self {
        Self::new(Method::POST, path, body.to_string())
    }

    pub(crate) fn responses(body: &Value) -> Self {
        Self::post("/v1/responses", body)
    }

    pub(crate) fn chat(body: &Value) -> Self {
        Self::post("/v1/chat/completions", body)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    /// As the Codex CLI says who it is.
    pub(crate) fn by_codex(self) -> Self {
        self.header("originator", "codex_exec").header("user-agent", "codex_exec/0.169.0 (x)")
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(it, _)| it == name)
    }

    pub(crate) async fn open(self, http: &Http, address: &str) -> Stream {
        let by_codex = self.headers.iter().any(|(name, value)| {
            name == "x-openai-internal-codex-responses-lite"
                || (["originator", "user-agent"].contains(&name.as_str())
                    && value.starts_with("codex"))
        });
        let asked = Asked { method: self.method.clone(), path: self.path.clone(), by_codex };
        let mut request = Request::builder()
            .method(self.method)
            .uri(format!("http://{address}{}", self.path))
            .header("content-type", "application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let answer = http.request(request.body(Full::new(self.body)).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        let status = head.status.as_u16();
        Stream { status, headers: head.headers, body: Some(body), seen: Vec::new(), asked }
    }
}

/// An answer whose body is still coming. Dropped, the connection is closed.
pub(crate) struct Stream {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// `None` once it was read to its end.
    body: Option<Incoming>,
    seen: Vec<u8>,
    asked: Asked,
}

/// An answer that was read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    /// Whether the body ended as HTTP wants it.
    pub(crate) whole: bool,
}

/// One event of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// The `event` line; empty without one.
    pub(crate) name: String,
    pub(crate) data: String,
}

impl Stream {
    /// The next bytes as they arrive; `None` at the end.
    pub(crate) async fn piece(&mut self) -> Option<String> {
        let data = self.body.as_mut()?.frame().await?.unwrap().into_data().unwrap();
        self.seen.extend_from_slice(&data);
        Some(String::from_utf8(data.into()).unwrap())
    }

    /// Reads until the text so far has `wanted` in it; returns all of it.
    pub(crate) async fn until(&mut self, wanted: &str) -> String {
        loop {
            let seen = String::from_utf8_lossy(&self.seen).into_owned();
            if seen.contains(wanted) {
                return seen;
            }
            assert!(self.piece().await.is_some(), "no `{wanted}` in {seen}");
        }
    }

    /// Reads the rest.
    pub(crate) async fn rest(mut self) -> Reply {
        let mut whole = true;
        while let Some(frame) = self.body.as_mut().unwrap().frame().await {
            let Ok(frame) = frame else {
                whole = false;
                break;
            };
            self.seen.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
        self.body = None;
        let body = String::from_utf8(std::mem::take(&mut self.seen)).unwrap();
        self.keeps_to_what_is_published(&body);
        Reply { status: self.status, headers: std::mem::take(&mut self.headers), body, whole }
    }

    fn keeps_to_what_is_published(&self, body: &str) {
        let complaints = self.asked.complaints(self.status, &self.headers, body);
        assert!(complaints.is_empty(), "{:?}: {complaints:#?} in {body}", self.asked);
    }
}

/// What was not read to its end is held against what is published as far as it came.
impl Drop for Stream {
    fn drop(&mut self) {
        if self.body.is_some() && !self.seen.is_empty() && !std::thread::panicking() {
            self.keeps_to_what_is_published(&String::from_utf8_lossy(&self.seen));
        }
    }
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| fail(&error, &self.body))
    }

    /// The body of a success.
    #[track_caller]
    pub(crate) fn fine(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.json()
    }

    /// Status, type and code of an error, which is checked to look like OpenAI's.
    #[track_caller]
    pub(crate) fn error(&self) -> (u16, String, String) {
        assert_eq!(self.header("content-type"), "application/json", "{}", self.body);
        let error = &self.json()["error"];
        shape(error);
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        (self.status, text("type"), text("code"))
    }

    /// The message of an error.
    #[track_caller]
    pub(crate) fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap().to_owned()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        events(&self.body)
    }

    /// The types of the events.
    pub(crate) fn kinds(&self) -> Vec<String> {
        self.events().iter().map(|it| it.json()["type"].as_str().unwrap().to_owned()).collect()
    }

    /// The chunks of a chat stream, which is checked to end in `[DONE]`.
    #[track_caller]
    pub(crate) fn chunks(&self) -> Vec<Value> {
        let mut events = self.events();
        assert_eq!(events.pop().map(|it| it.data).as_deref(), Some("[DONE]"), "{}", self.body);
        events.iter().map(Event::json).collect()
    }

    /// The error that a stream on `/v1/responses` ended in, which is checked to be told in the
    /// one form that every SDK raises.
    #[track_caller]
    pub(crate) fn failure(&self) -> Value {
        assert_eq!((self.status, self.whole), (200, true), "{}", self.body);
        let events = self.events();
        let [.., failed, error] = events.as_slice() else { return fail_on(&self.body) };
        let (failed, told) = (failed.json(), error.json());
        assert_eq!((&failed["type"], &told["type"]), (&json!("response.failed"), &json!("error")));
        assert_eq!(error.name, "error");
        assert_eq!(failed["response"]["status"], "failed");
        for name in ["code", "message"] {
            assert!(failed["response"]["error"][name].is_string(), "{failed}");
        }
        for name in ["message", "param"] {
            assert_eq!(told[name], told["error"][name], "{told}");
        }
        // An error without a code still needs one where the flat form wants a text.
        let code = told["error"]["code"].as_str().or(told["error"]["type"].as_str());
        assert_eq!(told["code"].as_str(), code, "{told}");
        shape(&told["error"]);
        let numbers: Vec<u64> =
            events.iter().map(|it| it.json()["sequence_number"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (0..).take(numbers.len()).collect::<Vec<u64>>());
        told["error"].clone()
    }

    /// The error that a chat stream ended in.
    #[track_caller]
    pub(crate) fn chat_failure(&self) -> Value {
        assert_eq!((self.status, self.whole), (200, true), "{}", self.body);
        let chunks = self.chunks();
        let [before @ .., last] = chunks.as_slice() else { return fail_on(&self.body) };
        let finished = |it: &Value| it["choices"][0]["finish_reason"].is_string();
        assert!(!before.iter().any(finished), "{}", self.body);
        shape(&last["error"]);
        last["error"].clone()
    }

    /// The last event of a stream.
    #[track_caller]
    pub(crate) fn last(&self) -> Value {
        self.events().last().unwrap().json()
    }
}

impl Event {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| fail(&error, &self.data))
    }
}

/// Whether an error object has the four keys in their types.
#[track_caller]
pub(crate) fn shape(error: &Value) {
    assert!(error["message"].as_str().is_some_and(|it| !it.is_empty()), "{error}");
    assert!(error["type"].is_string(), "{error}");
    for name in ["param", "code"] {
        let value = error.get(name);
        assert!(value.is_some_and(|it| it.is_null() || it.is_string()), "{name}: {error}");
    }
}

/// The events of a text; comments are none.
pub(crate) fn events(text: &str) -> Vec<Event> {
    let text = text.replace("\r\n", "\n");
    let mut events = Vec::new();
    for frame in text.split("\n\n") {
        let (mut name, mut data) = (String::new(), Vec::new());
        for line in frame.lines() {
            if let Some(value) = line.strip_prefix("event: ") {
                value.clone_into(&mut name);
            } else if let Some(value) = line.strip_prefix("data: ") {
                data.push(value);
            }
        }
        if !data.is_empty() {
            events.push(Event { name, data: data.join("\n") });
        }
    }
    events
}

#[track_caller]
#[expect(clippy::panic, reason = "a test that cannot go on says what it saw")]
fn fail(error: &serde_json::Error, text: &str) -> Value {
    panic!("{error}: {text}")
}

#[track_caller]
#[expect(clippy::panic, reason = "a test that cannot go on says what it saw")]
fn fail_on(text: &str) -> Value {
    panic!("too short: {text}")
}
