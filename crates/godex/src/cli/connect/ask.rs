//! Asks a running proxy which models it serves.

use std::time::Duration;

use bytes::Bytes;
use godex_core::key::ApiKey;
use http::Request;
use http::header::{AUTHORIZATION, USER_AGENT};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;

use crate::cli::proxy;
use crate::upstream::connect;

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

/// The models that the proxy at `url` serves to this key; none when nobody answers.
pub(super) fn models(url: &str, key: &ApiKey) -> Option<Vec<String>> {
    let runtime = proxy::runtime(1).ok()?;
    let asking = async { tokio::time::timeout(PATIENCE, ask(url, key)).await.ok().flatten() };
    let models = runtime.block_on(asking);
    runtime.shutdown_background();
    models
}

async fn ask(url: &str, key: &ApiKey) -> Option<Vec<String>> {
    let http = connect::direct_client(PATIENCE);
    loop {
        let request = Request::builder()
            .uri(format!("{url}/models"))
            .header(AUTHORIZATION, format!("Bearer {}", key.expose()))
            .header(USER_AGENT, concat!("godex/", env!("CARGO_PKG_VERSION")))
            .body(Bytes::new())
            .ok()?;
        let response = http.request(request).await.ok()?;
        let status = response.status();
        if status.is_success() {
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.ok()?;
            let list: List = serde_json::from_slice(&body.to_bytes()).ok()?;
            return Some(list.data.into_iter().map(|it| it.id).collect());
        }
        if status != http::StatusCode::UNAUTHORIZED {
            return None;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
