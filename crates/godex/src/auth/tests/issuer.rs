//! A token endpoint on a loopback port that answers as each test says.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

type Script = dyn Fn(usize, &Value) -> (u16, Value) + Send + Sync;

/// A token endpoint. It answers when it is allowed to, and remembers what it was asked.
pub(super) struct Issuer {
    pub(super) url: Uri,
    pub(super) asked: Arc<Mutex<Vec<Value>>>,
    pub(super) permits: Arc<Semaphore>,
    _server: JoinSet<()>,
}

impl Issuer {
    /// Answers the nth call as `script` says.
    pub(super) async fn start(
        script: impl Fn(usize, &Value) -> (u16, Value) + Send + Sync + 'static,
    ) -> Self {
        let issuer = Self::hesitant(script).await;
        issuer.permits.add_permits(1000);
        issuer
    }

    /// As [`Issuer::start`], but each answer needs a permit.
    pub(super) async fn hesitant(
        script: impl Fn(usize, &Value) -> (u16, Value) + Send + Sync + 'static,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/oauth/token", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let permits = Arc::new(Semaphore::new(0));
        let script: Arc<Script> = Arc::new(script);
        let mut server = JoinSet::new();
        let (heard, allowed) = (Arc::clone(&asked), Arc::clone(&permits));
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (heard, allowed) = (Arc::clone(&heard), Arc::clone(&allowed));
                let script = Arc::clone(&script);
                let service = service_fn(move |request| {
                    answer(request, Arc::clone(&heard), Arc::clone(&allowed), Arc::clone(&script))
                });
                connections.spawn(async move {
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url: url.parse().unwrap(), asked, permits, _server: server }
    }

    pub(super) fn calls(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    pub(super) async fn called(&self, times: usize) {
        while self.calls() < times {
            tokio::task::yield_now().await;
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    heard: Arc<Mutex<Vec<Value>>>,
    allowed: Arc<Semaphore>,
    script: Arc<Script>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let text = |name: &str| parts.headers.get(name).map(|it| it.to_str().unwrap().to_owned());
    let body: Value = serde_json::from_slice(&body.collect().await?.to_bytes()).unwrap();
    let call = json!({
        "request": format!("{} {}", parts.method, parts.uri),
        "content-type": text("content-type"),
        "user-agent": text("user-agent"),
        "originator": text("originator"),
        "body": body,
    });
    let nth = {
        let mut heard = heard.lock().unwrap();
        heard.push(call);
        heard.len()
    };
    allowed.acquire().await.unwrap().forget();
    let (status, answer) = script(nth, &body);
    let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    Ok(response)
}

/// Gives out `a2` with `r2`, then `a3` with `r3` ...
pub(super) fn rotating(nth: usize, _: &Value) -> (u16, Value) {
    let n = nth + 1;
    (200, json!({"access_token": format!("a{n}"), "refresh_token": format!("r{n}")}))
}

pub(super) fn refusing(code: &'static str) -> impl Fn(usize, &Value) -> (u16, Value) {
    move |_, _| (401, json!({"error": {"code": code, "message": "m"}}))
}
