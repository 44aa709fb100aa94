//! Facts over a socket, as a client sees them.

mod broken;
mod endpoints;
mod login;
mod signin;
mod streams;

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use bytes::Bytes;
use http::{HeaderMap, Method, Request};

use crate::record::Ending;
use crate::{Mock, Options, TokenPolicy};

type Http = Client<HttpConnector, Full<Bytes>>;

/// A client that behaves, and its mock.
struct Stage {
    mock: Mock,
    http: Http,
}

/// An answer that was read to its end.
struct Reply {
    status: u16,
    headers: HeaderMap,
    body: String,
    /// Whether the body ended as HTTP wants it.
    whole: bool,
}

impl Stage {
    async fn new() -> Self {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Self {
        let mock = Mock::start(options).await.unwrap();
        Self { mock, http: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// A request with everything that the backend wants to see.
    fn request(&self, method: &Method, url: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
        Request::builder()
            .method(method)
            .uri(url)
            .header("authorization", format!("Bearer {}", self.mock.access_token()))
            .header("chatgpt-account-id", self.mock.account_id())
            .header("originator", "codex_cli_rs")
            .header("user-agent", "godex/0.1.0 (linux; x86_64)")
            .header("accept", "text/event-stream")
            .header("content-type", "application/json")
            .header("session-id", "session")
            .body(Full::new(body.into()))
            .unwrap()
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Reply {
        let (parts, mut body) = self.http.request(request).await.unwrap().into_parts();
        let mut bytes = Vec::new();
        let mut whole = true;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                whole = false;
                break;
            };
            bytes.extend_from_slice(frame.data_ref().unwrap());
        }
        let body = String::from_utf8(bytes).unwrap();
        Reply { status: parts.status.as_u16(), headers: parts.headers, body, whole }
    }

    async fn responses(&self, body: &Value) -> Reply {
        let url = format!("{}/responses", self.mock.base_url());
        self.send(self.request(&Method::POST, &url, body.to_string())).await
    }

    /// Asks one question.
    async fn ask(&self, prompt: &str) -> Reply {
        self.responses(&question(prompt)).await
    }

    async fn get(&self, path: &str) -> Reply {
        let url = format!("http://{}{path}", self.mock.address());
        self.send(self.request(&Method::GET, &url, "")).await
    }

    async fn post(&self, path: &str, body: &str) -> Reply {
        let url = format!("http://{}{path}", self.mock.address());
        self.send(self.request(&Method::POST, &url, body.to_owned())).await
    }
}

fn question(prompt: &str) -> Value {
    json!({
        "model": "gpt-5.5",
        "instructions": "Be brief.",
        "input": [{ "type": "message", "role": "user", "content": prompt }],
        "store": false,
        "stream": true,
    })
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The events, each checked to be named twice alike.
    fn events(&self) -> Vec<Value> {
        let frames = self.body.split("\n\n").filter(|it| !it.is_empty() && !it.starts_with(':'));
        frames
            .map(|frame| {
                let (name, event) = frame.split_once('\n').unwrap();
                let event: Value =
                    serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
                assert_eq!(name.strip_prefix("event: ").unwrap(), event["type"]);
                event
            })
            .collect()
    }

    fn kinds(&self) -> Vec<String> {
        self.events().iter().map(|it| it["type"].as_str().unwrap().to_owned()).collect()
    }

    /// The output items as a client has to gather them.
    fn items(&self) -> Vec<Value> {
        let mut done: Vec<Value> = self
            .events()
            .into_iter()
            .filter(|it| it["type"] == "response.output_item.done")
            .collect();
        done.sort_by_key(|it| it["output_index"].as_u64());
        done.into_iter().map(|it| it["item"].clone()).collect()
    }

    /// The text of the last message.
    fn text(&self) -> String {
        let items = self.items();
        items.last().unwrap()["content"][0]["text"].as_str().unwrap().to_owned()
    }

    fn last(&self) -> Value {
        self.events().last().unwrap().clone()
    }
}
