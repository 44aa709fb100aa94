//! Asks a running proxy what it serves, and whom.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use godex_core::key::ApiKey;

use http::header::{AUTHORIZATION, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::cli::{admin, proxy};
use crate::config::Surroundings;
use crate::upstream::connect::{self, HttpClient};

/// A key that was just made counts within a second or two.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(200);
const MAX_ANSWER: usize = 1 << 20;

#[derive(Deserialize)]
struct List {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}

/// What the proxy of this user that listens there tells about itself.
#[derive(Deserialize)]
pub(super) struct Running {
    /// Whether it is the simulator.
    pub(super) mock: bool,
    /// Whether it speaks TLS.
    pub(super) tls: bool,
    /// Who is let in: `any`, `shared` or `managed`.
    access: String,
    /// Where its managed keys are.
    pub(super) keys_path: PathBuf,
    /// The model of a request that names none.
    pub(super) model: String,
    /// What it serves, as far as it knows.
    pub(super) models: Vec<String>,
}

impl Running {
    /// The one on this port; `None` when there is none, or one of another user.
    pub(super) fn on(port: u16, surroundings: &Surroundings) -> Option<Self> {
        serde_json::from_value(admin::on_port(port, surroundings)?).ok()
    }

    /// Whether it has no file of keys, but one that it shows.
    pub(super) fn reads_no_keys(&self) -> bool {
        self.mock && !self.is_open()
    }

    /// Whether any key opens it.
    pub(super) fn is_open(&self) -> bool {
        self.access == "any"
    }
}

/// What somebody says who is asked for the models with a key.
pub(super) enum Said {
    /// These are served.
    Models(Vec<String>),
    /// The key opens nothing there.
    WrongKey,
    /// Something else.
    Other(StatusCode),
    /// Nobody answers.
    Nothing,
}

/// Asks for the models at `url` with this key.
pub(super) fn models(url: &str, key: &ApiKey) -> Said {
    let Ok(runtime) = proxy::runtime(1) else { return Said::Nothing };
    let said = runtime.block_on(ask(url, key));
    runtime.shutdown_background();
    said
}

/// Whether `url` says that it does not serve this model. Its list has a model once, requests may
/// name it with an effort.
pub(super) fn refuses(url: &str, key: &ApiKey, model: &str) -> bool {
    let Ok(runtime) = proxy::runtime(1) else { return false };
    let http = connect::direct_client(PATIENCE);
    let answer = async {
        let model = utf8_percent_encode(model, NON_ALPHANUMERIC);
        http.request(get(&format!("{url}/models/{model}"), key)?).await.ok()
    };
    let said = runtime.block_on(async { tokio::time::timeout(PATIENCE, answer).await });
    runtime.shutdown_background();
    said.ok().flatten().is_some_and(|it| it.status() == StatusCode::NOT_FOUND)
}

async fn ask(url: &str, key: &ApiKey) -> Said {
    let http = connect::direct_client(PATIENCE);
    let mut said = Said::Nothing;
    let asking = async {
        loop {
            said = once(&http, url, key).await.unwrap_or(Said::Nothing);
            if !matches!(said, Said::WrongKey) {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    // What was said last counts.
    let _ = tokio::time::timeout(PATIENCE, asking).await;
    said
}

async fn once(http: &HttpClient, url: &str, key: &ApiKey) -> Option<Said> {
    let response = http.request(get(&format!("{url}/models"), key)?).await.ok()?;
    match response.status() {
        StatusCode::UNAUTHORIZED => Some(Said::WrongKey),
        status if status.is_success() => {
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.ok()?;
            Some(match serde_json::from_slice::<List>(&body.to_bytes()) {
                Ok(list) => Said::Models(list.data.into_iter().map(|it| it.id).collect()),
                Err(_) => Said::Other(status),
            })
        }
        status => Some(Said::Other(status)),
    }
}

fn get(url: &str, key: &ApiKey) -> Option<Request<Bytes>> {
    Request::builder()
        .uri(url)
        .header(AUTHORIZATION, format!("Bearer {}", key.expose()))
        .header(USER_AGENT, concat!("godex/", env!("CARGO_PKG_VERSION")))
        .body(Bytes::new())
        .ok()
}
