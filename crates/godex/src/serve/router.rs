//! Which request goes where, and what every answer carries. The parsed path alone decides.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use godex_core::hex;
use http::header::TRANSFER_ENCODING;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, request};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;

use super::answer::{self, AnswerBody};
use super::body::Upload;
use super::browser::{self, Page};
use super::entry::Entry;
use super::error::ApiError;
use super::exchange::{self, Exchange};
use super::state::App;
use super::{admit, body, chat, health, models, openapi, remote, responses, usage};
use crate::clock;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const VERSION: HeaderName = HeaderName::from_static("openai-version");
const PROCESSING: HeaderName = HeaderName::from_static("openai-processing-ms");

/// How large a head may be, in bytes.
const LARGEST_HEAD: usize = 64 << 10;

/// Where a path leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route<'p> {
    Responses,
    Chat,
    Models,
    Model(&'p str),
    Usage,
    Document,
    Health,
    Ready,
    Root,
}

impl<'p> Route<'p> {
    /// Clients leave out `/v1`, end with a slash or double one often enough; `squeezed` is where
    /// a path without its double slashes is kept.
    fn find(path: &'p str, squeezed: &'p mut String) -> Option<Self> {
        if let Some(route) = Self::of(path) {
            return Some(route);
        }
        if !path.contains("//") {
            return None;
        }
        for part in path.split('/').filter(|it| !it.is_empty()) {
            squeezed.push('/');
            squeezed.push_str(part);
        }
        Self::of(squeezed)
    }

    fn of(path: &'p str) -> Option<Self> {
        let path = if path.len() > 1 { path.strip_suffix('/').unwrap_or(path) } else { path };
        match path {
            "/" => Some(Self::Root),
            "/health" | "/healthz" | "/v1/health" => Some(Self::Health),
            "/readyz" => Some(Self::Ready),
            _ => match path.strip_prefix("/v1").unwrap_or(path) {
                "/responses" => Some(Self::Responses),
                "/chat/completions" => Some(Self::Chat),
                "/models" => Some(Self::Models),
                "/usage" => Some(Self::Usage),
                "/openapi.json" => Some(Self::Document),
                rest => rest.strip_prefix("/models/").filter(|id| !id.is_empty()).map(Self::Model),
            },
        }
    }

    fn methods(self) -> &'static str {
        match self {
            Self::Responses | Self::Chat => "POST, OPTIONS",
            Self::Models
            | Self::Model(_)
            | Self::Usage
            | Self::Document
            | Self::Health
            | Self::Ready
            | Self::Root => "GET, HEAD, OPTIONS",
        }
    }

    fn allows(self, method: &Method) -> bool {
        match self {
            Self::Responses | Self::Chat => method == Method::POST,
            Self::Models
            | Self::Model(_)
            | Self::Usage
            | Self::Document
            | Self::Health
            | Self::Ready
            | Self::Root => method == Method::GET || method == Method::HEAD,
        }
    }
}

/// Answers one request, whatever happens.
pub(super) async fn answer(
    app: Arc<App>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let started = clock::monotonic();
    let id = request_id();
    let remote = remote::client(peer.ip(), request.headers(), &app.trusted);
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let page = app.browser.page(request.headers());
    // On the heap, so that connections that wait for a request do not hold the room for one.
    let outcome = caught(Box::pin(route(Arc::clone(&app), remote, request, &page, &id))).await;
    let exchanged = matches!(&outcome, Ok(Routed::Exchanged(_)));
    let (mut response, code) = match outcome {
        Ok(Routed::Exchanged(response) | Routed::Plain(response)) => (response, None),
        Err(error) => {
            let code = error.look().code;
            (error.into_response(), code)
        }
    };
    if !exchanged && app.logs(response.status().as_u16()) {
        log(&id, remote, (&method, uri.path()), (response.status(), code), started);
    }
    finish(response.headers_mut(), &id, started);
    page.describe(response.headers_mut());
    response
}

enum Routed {
    /// It has a record, and a log line, of its own.
    Exchanged(Response<AnswerBody>),
    Plain(Response<AnswerBody>),
}

async fn route(
    app: Arc<App>,
    remote: IpAddr,
    request: Request<Incoming>,
    page: &Page,
    id: &str,
) -> Result<Routed, ApiError> {
    let (parts, incoming) = request.into_parts();
    let mut upload = Upload::new(incoming, &parts.headers);
    let routed = match admissible(&app, &parts, page) {
        Ok(()) => direct(&app, remote, parts, &mut upload, id).await,
        Err(error) => Err(error),
    };
    if let Some(rest) = upload.rest() {
        app.tasks.spawn(body::discard(rest));
    }
    routed
}

/// Whether anybody may ask like this, whatever for.
fn admissible(app: &App, parts: &request::Parts, page: &Page) -> Result<(), ApiError> {
    let line = parts.uri.path().len() + parts.uri.query().map_or(0, str::len);
    let lines = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    if line + parts.headers.iter().map(lines).sum::<usize>() > LARGEST_HEAD {
        return Err(ApiError::HeadTooLarge);
    }
    // Other codings of a transfer are not taken off, and somebody in front may read them in another way.
    let transfer = parts.headers.get_all(TRANSFER_ENCODING);
    if transfer.iter().any(|it| !it.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(ApiError::NoRequest);
    }
    app.browser.host(parts)?;
    match page {
        Page::None | Page::Welcome(_) => Ok(()),
        Page::Stranger(origin) => Err(ApiError::Origin(origin.clone())),
    }
}

async fn direct(
    app: &Arc<App>,
    remote: IpAddr,
    parts: request::Parts,
    body: &mut Upload,
    id: &str,
) -> Result<Routed, ApiError> {
    let asked = parts.method == Method::OPTIONS;
    if asked && browser::is_preflight(&parts.headers) {
        return Ok(Routed::Plain(browser::preflight(&parts.headers)));
    }
    if asked && parts.uri.path() == "*" {
        return Ok(Routed::Plain(browser::all_options()));
    }
    let mut squeezed = String::new();
    let Some(route) = Route::find(parts.uri.path(), &mut squeezed) else {
        return Err(ApiError::NoRoute(parts.uri.path().to_owned()));
    };
    if asked {
        let methods = HeaderValue::from_static(route.methods());
        return Ok(Routed::Plain(browser::options(methods)));
    }
    if !route.allows(&parts.method) {
        return Err(ApiError::NoMethod(route.methods()));
    }
    let mut plain = match route {
        Route::Document => return Ok(Routed::Plain(openapi::document())),
        Route::Health => return Ok(Routed::Plain(health::health())),
        Route::Ready => return Ok(Routed::Plain(health::ready(app).await)),
        Route::Root => return Ok(Routed::Plain(answer::json(StatusCode::OK, ROOT))),
        Route::Responses | Route::Chat => {
            let key = admit::caller(app, &parts.headers).await?;
            admit::announced(&key, &parts.headers)?;
            if app.is_draining() {
                return Err(ApiError::Draining);
            }
            let path = if route == Route::Chat { "/v1/chat/completions" } else { "/v1/responses" };
            let entry = Entry::open(Arc::clone(app), Arc::clone(&key), id.to_owned(), path, remote);
            let app = Arc::clone(app);
            let mut exchange = Box::new(Exchange { app, key, remote, entry, standing: None });
            let prepared = if route == Route::Chat {
                chat::prepare(&mut exchange, &parts, body).await
            } else {
                responses::prepare(&mut exchange, &parts, body).await
            };
            drop(parts);
            return Ok(Routed::Exchanged(exchange.finish(prepared).await));
        }
        Route::Models => {
            let key = admit::caller(app, &parts.headers).await?;
            (models::list(app, &key).await, key)
        }
        Route::Model(model) => {
            let key = admit::caller(app, &parts.headers).await?;
            let model = percent_decode_str(model).decode_utf8_lossy();
            (models::retrieve(app, &key, &model).await?, key)
        }
        Route::Usage => {
            let key = admit::caller(app, &parts.headers).await?;
            (usage::show(app, &key), key)
        }
    };
    exchange::standing(app, &plain.1, plain.0.headers_mut());
    Ok(Routed::Plain(plain.0))
}

/// What somebody sees who looks at the address alone.
const ROOT: &str = concat!(
    r#"{"name":"godex","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#"","description":"An OpenAI-compatible API in front of the ChatGPT Codex backend","#,
    r#""base_url":"/v1","endpoints":["POST /v1/responses","POST /v1/chat/completions","#,
    r#""GET /v1/models","GET /v1/usage","GET /health","GET /readyz","GET /openapi.json"],"health":"/health"}"#
);

/// A panic on the way becomes an answer: one request's bug is no other's.
async fn caught(
    mut work: Pin<Box<impl Future<Output = Result<Routed, ApiError>>>>,
) -> Result<Routed, ApiError> {
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(polled) => polled,
        Err(_) => Poll::Ready(Err(ApiError::Panic)),
    })
    .await
}

fn finish(headers: &mut HeaderMap, id: &str, started: Instant) {
    answer::set(headers, REQUEST_ID, id);
    let millis = clock::monotonic().saturating_duration_since(started).as_millis();
    headers.insert(PROCESSING, HeaderValue::from(u64::try_from(millis).unwrap_or(u64::MAX)));
    headers.insert(VERSION, HeaderValue::from_static("2020-10-01"));
}

/// A name for one request.
pub(super) fn request_id() -> String {
    let mut id = String::with_capacity(36);
    id.push_str("req_");
    for byte in clock::unique() {
        hex::push(&mut id, byte);
    }
    id
}

fn log(
    id: &str,
    remote: IpAddr,
    (method, path): (&Method, &str),
    (status, code): (StatusCode, Option<String>),
    started: Instant,
) {
    let path: String = path.chars().filter(|c| !c.is_control()).take(200).collect();
    let duration_ms =
        u64::try_from(clock::monotonic().saturating_duration_since(started).as_millis())
            .unwrap_or(u64::MAX);
    let status = status.as_u16();
    tracing::info!(
        target: crate::logging::REQUESTS,
        request_id = %id,
        remote = %remote,
        method = %method,
        path = %path,
        status,
        code,
        duration_ms,
        "{method} {path}: {status}"
    );
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[test]
    fn paths_lead_where_clients_expect() {
        #[track_caller]
        fn check(path: &str, expected: Option<Route<'_>>) {
            assert_eq!(Route::find(path, &mut String::new()), expected);
        }
        check("/v1/responses", Some(Route::Responses));
        check("/responses", Some(Route::Responses));
        check("/v1/responses/", Some(Route::Responses));
        check("/v1/chat/completions", Some(Route::Chat));
        check("/v1/models", Some(Route::Models));
        check("/v1/models/gpt-5.5", Some(Route::Model("gpt-5.5")));
        check("/v1/models/", Some(Route::Models));
        check("/health", Some(Route::Health));
        check("/", Some(Route::Root));
        check("//v1//responses/", Some(Route::Responses));
        check("/v1//models/openai/x", Some(Route::Model("openai/x")));
        check("/v1/./responses", None);
        check("/v1/models/../responses", Some(Route::Model("../responses")));
        check("/v1/%72esponses", None);
        check("//", Some(Route::Root));
        check("/v1", None);
        check("/v1/embeddings", None);
        check("/v1/v1/responses", None);
        check("/v1responses", None);
    }

    fn documented() -> serde_json::Value {
        serde_json::from_str(include_str!("openapi.json")).unwrap()
    }

    #[test]
    fn every_documented_path_leads_somewhere_and_answers_to_what_is_documented() {
        let document = documented();
        for (path, item) in document["paths"].as_object().unwrap() {
            let reference = item["$ref"].as_str().unwrap().trim_start_matches('#');
            let item = document.pointer(reference).unwrap();
            let path = path.replace("{id}", "gpt-5.5");
            let route = Route::of(&path);
            for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
                let served = route.is_some_and(|it| it.allows(&method.parse().unwrap()));
                let told = item.get(method.to_ascii_lowercase()).is_some();
                assert_eq!(served, told, "{method} {path}");
            }
            let keyless = item.pointer("/get/security").is_some();
            let open =
                matches!(route, Some(Route::Document | Route::Health | Route::Ready | Route::Root));
            assert_eq!(keyless, open, "{path}");
        }
    }

    #[tokio::test]
    async fn a_panic_on_the_way_becomes_an_answer_in_the_usual_form() {
        let work = async { panic!("a bug, on purpose") };
        let Err(error) = caught(Box::pin(work)).await else { panic!("it was caught") };
        let answer = error.into_response();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let error = body["error"].as_object().unwrap();
        assert_eq!(error.keys().collect::<Vec<_>>(), ["message", "type", "param", "code"]);
        assert!(!body.to_string().contains("on purpose"), "{body}");
    }

    #[test]
    fn every_route_is_documented_under_all_its_names() {
        let documented = documented();
        let told: Vec<&str> =
            documented["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut next = Some(Route::Responses);
        while let Some(route) = next {
            // A new route is named here before this compiles.
            let (name, after) = match route {
                Route::Responses => ("/responses", Some(Route::Chat)),
                Route::Chat => ("/chat/completions", Some(Route::Models)),
                Route::Models => ("/models", Some(Route::Model("{id}"))),
                Route::Model(_) => ("/models/{id}", Some(Route::Usage)),
                Route::Usage => ("/usage", Some(Route::Document)),
                Route::Document => ("/openapi.json", Some(Route::Health)),
                Route::Health => ("/health", Some(Route::Ready)),
                Route::Ready => ("/readyz", Some(Route::Root)),
                Route::Root => ("/", None),
            };
            for name in [name.to_owned(), format!("/v1{name}"), format!("{name}z")] {
                let served = Route::of(&name) == Some(route);
                assert!(!served || told.contains(&name.as_str()), "{name}");
            }
            assert!(told.contains(&name), "{name}");
            next = after;
        }
    }
}
