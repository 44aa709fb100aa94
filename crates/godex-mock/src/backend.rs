//! The backend behind the routes: what each endpoint answers.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::check::{self, headers};
use crate::conversation;
use crate::issuer::Issuer;
use crate::limits::Limits;
use crate::outflow::{Fate, Outflow, Step};
use crate::record::{Body, Ending, Entry, Log};
use crate::refusal::Refusal;
use crate::script::{self, Act, Script};
use crate::scripted::{self, Attempts};
use crate::server::{self, Answer};
use crate::signin::{self, SignIns};
use crate::stream::cache::Cache;
use crate::stream::envelope::Envelope;
use crate::stream::{self, plan};
use crate::{Options, catalogue, clock};

/// Everything that lives as long as the mock.
pub(crate) struct Backend {
    pub(crate) issuer: Issuer,
    pub(crate) sign_ins: SignIns,
    pub(crate) limits: Limits,
    pub(crate) log: Arc<Log>,
    attempts: Attempts,
    cache: Cache,
    direction: Mutex<Option<Script>>,
    models_failure: Mutex<Option<Refusal>>,
    pace: Duration,
}

impl Backend {
    /// A backend without a past.
    pub(crate) fn new(options: Options) -> Self {
        Self {
            issuer: Issuer::new(options.tokens, clock::unix_seconds()),
            sign_ins: SignIns::new(options.device_interval),
            limits: Limits::new(),
            log: Arc::new(Log::new(options.record)),
            attempts: Attempts::default(),
            cache: Cache::default(),
            direction: Mutex::new(None),
            models_failure: Mutex::new(None),
            pace: options.pace,
        }
    }

    /// Puts a script over every prompt; an empty one takes it away.
    ///
    /// # Errors
    ///
    /// The marker that cannot be read.
    pub(crate) fn direct(&self, text: &str) -> Result<(), String> {
        let direction = if text.trim().is_empty() { None } else { Some(script::parse(text)?) };
        *self.direction.lock().unwrap_or_else(PoisonError::into_inner) = direction;
        Ok(())
    }

    /// Lets the catalogue fail with a status, or answer again.
    pub(crate) fn fail_models(&self, status: Option<u16>) {
        let failure = status.map(|it| scripted::status(it, "", clock::unix_seconds()));
        *self.models_failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    fn direction(&self) -> Option<Script> {
        self.direction.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The token of a caller who passed [`headers::caller`].
    fn admit(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let token = headers::bearer(headers).unwrap_or_default();
        let account = headers::text(headers, "chatgpt-account-id").unwrap_or_default();
        self.issuer.admit(token, account, clock::unix_seconds())
    }

    /// Caller and token together, noted in the record.
    fn enter(&self, headers: &HeaderMap, entry: &Entry) -> Result<(), Refusal> {
        headers::caller(headers).inspect_err(|refusal| entry.refuse(refusal))?;
        self.admit(headers).inspect_err(|refusal| entry.deny(refusal))
    }

    /// `POST /responses`.
    pub(crate) async fn responses(
        &self,
        headers: &HeaderMap,
        body: &Bytes,
        entry: Entry,
        fate: &Arc<Fate>,
    ) -> io::Result<Answer> {
        let read = self.read(headers, body, &entry);
        match read {
            Ok(body) => match body.as_object() {
                Some(fields) => self.play(headers, fields, entry, fate).await,
                None => Ok(server::plain(Refusal::detail("Bad Request"), Some(entry), fate)),
            },
            Err(refusal) => Ok(server::plain(refusal, Some(entry), fate)),
        }
    }

    /// Judges a request; what comes back is within the contract.
    fn read(
        &self,
        headers: &HeaderMap,
        body: &Bytes,
        entry: &Entry,
    ) -> Result<Arc<Value>, Refusal> {
        let note = |refusal: &Refusal| entry.refuse(refusal);
        let decoded = server::decode(headers, body);
        let parsed = decoded.as_ref().ok().and_then(|it| serde_json::from_slice(it).ok());
        let parsed: Option<Arc<Value>> = parsed.map(Arc::new);
        entry.body(match &parsed {
            Some(value) => Body::Json(Arc::clone(value)),
            None => Body::Raw(body.clone()),
        });
        self.enter(headers, entry)?;
        headers::exchange(headers).inspect_err(note)?;
        decoded.inspect_err(note)?;
        let parsed = parsed.ok_or_else(|| Refusal::detail("Invalid JSON")).inspect_err(note)?;
        check::body(headers, &parsed).inspect_err(note)?;
        entry.advise(headers::advice(headers));
        entry.accept();
        Ok(parsed)
    }

    /// Plays the script of an accepted request, or the default answer.
    async fn play(
        &self,
        headers: &HeaderMap,
        fields: &Map<String, Value>,
        mut entry: Entry,
        fate: &Arc<Fate>,
    ) -> io::Result<Answer> {
        let input = fields.get("input").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let turn = conversation::last_turn(input);
        let script = match self.direction().map_or_else(|| script::parse(&turn.prompt), Ok) {
            Ok(script) => script,
            Err(error) => {
                let refusal = Refusal::detail(format!("mock: {error}"));
                entry.refuse(&refusal);
                return Ok(server::plain(refusal, Some(entry), fate));
            }
        };
        let parallel = fields.get("parallel_tool_calls") != Some(&Value::Bool(false));
        let act = self.attempts.due(&script, &turn.scripted, turn.outputs.len(), parallel);
        if !script.slow_headers.is_zero() {
            tokio::time::sleep(script.slow_headers).await;
        }
        let now = clock::unix_seconds();
        let number = entry.number();
        let steps: VecDeque<Step> = match &act {
            Some(Act::Status(status, code)) => {
                let refusal = scripted::status(*status, code, now);
                return Ok(self.with_limits(server::plain(refusal, Some(entry), fate), now));
            }
            Some(Act::Html200) => {
                let page = "<!DOCTYPE html><html><body>Not an API</body></html>";
                let page = Refusal::html(StatusCode::OK, page);
                return Ok(server::plain(page, Some(entry), fate));
            }
            Some(Act::HangBeforeHeaders) => std::future::pending().await,
            Some(Act::ResetBefore) => {
                entry.end(Ending::Broken);
                fate.reset();
                return Err(io::Error::other("reset by script"));
            }
            Some(Act::CutBefore) => [Step::Flush, Step::Cut].into(),
            Some(Act::Hang) => [Step::Hang].into(),
            act => {
                let measured = self.cache.measure(headers::session(headers), fields);
                let envelope = Envelope::new(fields, number, now, &measured);
                let plan = plan::settle(act.as_ref(), &script, &turn, fields, number);
                let account = headers::text(headers, "chatgpt-account-id").unwrap_or_default();
                let limits = self.limits.event(now);
                stream::compose(plan, &envelope, &limits, &script, self.pace, (number, account))
            }
        };
        let mut response = Response::new(Outflow::stream(steps, entry, fate));
        if !script.no_content_type {
            insert(response.headers_mut(), "content-type", "text/event-stream; charset=utf-8");
        }
        head(response.headers_mut(), headers, fields, number);
        Ok(self.with_limits(response, now))
    }

    fn with_limits(&self, mut response: Answer, now: u64) -> Answer {
        for (name, value) in self.limits.headers(now) {
            insert(response.headers_mut(), &name, &value);
        }
        response
    }

    /// `POST /oauth/token`.
    pub(crate) async fn token(&self, headers: &HeaderMap, body: &Bytes, entry: &Entry) -> Refusal {
        let delay = self.issuer.arrive();
        let parsed: Option<Value> = serde_json::from_slice(body).ok();
        entry.body(match &parsed {
            Some(value) => Body::Json(Arc::new(value.clone())),
            None => Body::Raw(body.clone()),
        });
        if let Err(refusal) = headers::agent(headers) {
            entry.refuse(&refusal);
            return refusal;
        }
        let content_type = headers::text(headers, "content-type").unwrap_or_default();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let now = clock::unix_seconds();
        let answer = if content_type.starts_with("application/x-www-form-urlencoded") {
            let spent = self.sign_ins.spend(&String::from_utf8_lossy(body));
            spent.and_then(|()| self.issuer.exchange(now))
        } else if let Some(parsed) = parsed.filter(|_| content_type.starts_with("application/json"))
        {
            self.issuer.refresh(&parsed, now)
        } else {
            Err(Refusal::code(
                StatusCode::BAD_REQUEST,
                "invalid_request_error",
                "invalid_request",
                "The body must be JSON, or a form that exchanges a code",
            ))
        };
        judged(answer, entry)
    }

    /// `POST /api/accounts/deviceauth/*`.
    pub(crate) fn device(
        &self,
        headers: &HeaderMap,
        body: &Bytes,
        entry: &Entry,
        answer: impl FnOnce(&SignIns, &Value) -> Result<Value, Refusal>,
    ) -> Refusal {
        if let Err(refusal) = headers::agent(headers) {
            entry.refuse(&refusal);
            return refusal;
        }
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            let refusal = Refusal::detail("Invalid JSON");
            entry.refuse(&refusal);
            return refusal;
        };
        entry.body(Body::Json(Arc::new(body.clone())));
        judged(answer(&self.sign_ins, &body), entry)
    }

    /// What a browser sees of the issuer.
    pub(crate) fn visit(&self, parts: &Parts, body: &Bytes, entry: &Entry) -> Refusal {
        entry.accept();
        if parts.uri.path() == "/codex/device" {
            return if parts.method == Method::POST {
                self.sign_ins.enter(&String::from_utf8_lossy(body))
            } else {
                signin::entry_page()
            };
        }
        match self.sign_ins.authorize(parts.uri.query().unwrap_or_default()) {
            Ok(next) => {
                let mut answer = Refusal::html(StatusCode::FOUND, "");
                answer.headers.push(("location", next));
                answer
            }
            Err(page) => {
                entry.refuse(&page);
                page
            }
        }
    }

    /// `GET /models`.
    pub(crate) fn models(&self, headers: &HeaderMap, query: &str, entry: &Entry) -> Refusal {
        if let Err(refusal) = self.enter(headers, entry) {
            return refusal;
        }
        let version = query.split('&').find_map(|it| it.strip_prefix("client_version="));
        if version.is_none_or(str::is_empty) {
            let detail = json!([{
                "type": "missing",
                "loc": ["query", "client_version"],
                "msg": "Field required",
                "input": null,
            }]);
            let refusal = Refusal::gateway(StatusCode::BAD_REQUEST, detail);
            entry.refuse(&refusal);
            return refusal;
        }
        entry.accept();
        let failure = self.models_failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(failure) = failure {
            return failure;
        }
        let catalogue::Document { body, etag } = catalogue::document();
        let fresh = headers::text(headers, "if-none-match") == Some(etag);
        let mut answer = Refusal::json(StatusCode::OK, &Value::Null);
        answer.status = if fresh { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
        answer.body = if fresh { String::new() } else { body.clone() };
        answer.headers.push(("etag", etag.clone()));
        answer
    }

    /// `GET /wham/usage`.
    pub(crate) fn usage(&self, headers: &HeaderMap, entry: &Entry) -> Refusal {
        if let Err(refusal) = self.enter(headers, entry) {
            return refusal;
        }
        entry.accept();
        Refusal::json(StatusCode::OK, &self.limits.document(clock::unix_seconds()))
    }
}

/// An answer of the issuer: 400 is against the contract, anything else is part of the play.
fn judged(answer: Result<Value, Refusal>, entry: &Entry) -> Refusal {
    match answer {
        Ok(answer) => {
            entry.accept();
            Refusal::json(StatusCode::OK, &answer)
        }
        Err(refusal) if refusal.status == StatusCode::BAD_REQUEST => {
            entry.refuse(&refusal);
            refusal
        }
        Err(refusal) => {
            entry.deny(&refusal);
            refusal
        }
    }
}

/// The headers of every stream.
fn head(head: &mut HeaderMap, request: &HeaderMap, fields: &Map<String, Value>, number: u64) {
    insert(head, "cache-control", "no-cache");
    insert(head, "x-request-id", &request_id(number));
    insert(head, "cf-ray", &ray(number));
    insert(head, "x-models-etag", &catalogue::document().etag);
    insert(head, "openai-model", fields.get("model").and_then(Value::as_str).unwrap_or_default());
    let state = headers::text(request, "x-codex-turn-state").map(str::to_owned);
    let state = state.unwrap_or_else(|| format!("{}{number:016x}", headers::TURN_STATE));
    insert(head, "x-codex-turn-state", &state);
}

/// Adds a header; what is no legal header is left out.
pub(crate) fn insert(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) =
        (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
    {
        headers.insert(name, value);
    }
}

/// The id of an answer.
pub(crate) fn request_id(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

/// The id that the network in front of the backend gives.
pub(crate) fn ray(number: u64) -> String {
    format!("{number:016x}-MCK")
}
