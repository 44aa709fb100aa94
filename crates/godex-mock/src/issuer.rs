//! The OAuth token endpoint: fake tokens, rotation, reuse detection (`docs/wire.md`, auth).
//!
//! A refresh token is live until its first use, then used for ever:
//! `live --refresh--> used`. An access token is good until it expires by its own date or
//! by [`Issuer::expire`].

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Value, json};

use crate::TokenPolicy;
use crate::refusal::Refusal;

/// The account of every login.
pub(crate) const ACCOUNT: &str = "00000000-0000-4000-8000-00000000ac01";
const USER: &str = "user-mock0000000000000001";
/// The client that everybody here is.
pub(crate) const CLIENT: &str = "app_EMoamEEZ73f0CkXaXp7hrann";
const LIFETIME: u64 = 3600;

/// Issues tokens, and says which ones are good.
pub(crate) struct Issuer {
    policy: TokenPolicy,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    count: u64,
    current: Login,
    access: HashMap<String, Access>,
    refresh: HashMap<String, Refresh>,
    /// After an expiry nothing that was not issued here later is good.
    all_expired: bool,
    posts: u64,
    failure: Option<Refusal>,
    delay: Duration,
    withheld: Vec<String>,
}

#[derive(Clone, Default)]
struct Login {
    id: String,
    access: String,
    refresh: String,
    issued_at: u64,
}

struct Access {
    expires_at: u64,
    expired: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Refresh {
    Live,
    Used,
}

impl Issuer {
    /// An issuer with one login.
    pub(crate) fn new(policy: TokenPolicy, now: u64) -> Self {
        let mut state = State::default();
        state.log_in(now, LIFETIME);
        Self { policy, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges an access token.
    ///
    /// # Errors
    ///
    /// 401 with the code of what is wrong.
    pub(crate) fn admit(&self, token: &str, account: &str, now: u64) -> Result<(), Refusal> {
        let state = self.state();
        if let Some(access) = state.access.get(token) {
            if access.expired || access.expires_at <= now {
                return Err(expired());
            }
            if account != ACCOUNT {
                return Err(Refusal::unauthorized());
            }
            return Ok(());
        }
        if state.all_expired {
            return Err(expired());
        }
        match &self.policy {
            TokenPolicy::Any => Ok(()),
            TokenPolicy::Listed(tokens) if tokens.iter().any(|it| it == token) => Ok(()),
            TokenPolicy::Issued | TokenPolicy::Listed(_) => Err(invalidated()),
        }
    }

    /// Answers `POST /oauth/token`.
    ///
    /// # Errors
    ///
    /// 400 for a malformed request, 401 for a refresh token that is not live, or what
    /// [`Issuer::fail`] ordered.
    pub(crate) fn refresh(&self, body: &Value, now: u64) -> Result<Value, Refusal> {
        let mut state = self.state();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let field = |name: &str| body.get(name).and_then(Value::as_str);
        if field("grant_type") != Some("refresh_token") {
            return Err(malformed("unsupported_grant_type", "grant_type must be refresh_token"));
        }
        if field("client_id") != Some(CLIENT) {
            return Err(malformed("invalid_client", "client_id is not registered"));
        }
        let reasons = ["proactive_expiry", "unauthorized_recovery"];
        if body.get("refresh_reason").is_some()
            && !field("refresh_reason").is_some_and(|it| reasons.contains(&it))
        {
            return Err(malformed("invalid_request", "refresh_reason is not known"));
        }
        let Some(token) = field("refresh_token") else {
            return Err(malformed("invalid_request", "refresh_token is missing"));
        };
        match state.refresh.get(token) {
            Some(Refresh::Live) => {}
            Some(Refresh::Used) => return Err(reused()),
            None => return Err(unknown()),
        }
        let token = token.to_owned();
        let old = state.current.refresh.clone();
        let login = state.log_in(now, LIFETIME);
        let mut answer = answer(&login);
        let withheld = state.withheld.clone();
        if let Some(fields) = answer.as_object_mut() {
            fields.retain(|name, _| !withheld.contains(name));
        }
        if withheld.iter().any(|it| it == "refresh_token") {
            state.current.refresh = old;
        } else {
            state.refresh.insert(token, Refresh::Used);
        }
        Ok(answer)
    }

    /// The tokens of a new login, for a code that was spent.
    ///
    /// # Errors
    ///
    /// What [`Issuer::fail`] ordered.
    pub(crate) fn exchange(&self, now: u64) -> Result<Value, Refusal> {
        let mut state = self.state();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let login = state.log_in(now, LIFETIME);
        Ok(answer(&login))
    }

    /// Counts a request to the token endpoint, returns how long to let it wait.
    pub(crate) fn arrive(&self) -> Duration {
        let mut state = self.state();
        state.posts += 1;
        state.delay
    }

    /// How many requests the token endpoint has seen.
    pub(crate) fn posts(&self) -> u64 {
        self.state().posts
    }

    /// Makes every access token of the past stale.
    pub(crate) fn expire(&self) {
        let mut state = self.state();
        state.all_expired = true;
        state.access.values_mut().for_each(|it| it.expired = true);
    }

    /// Lets every refresh fail, or none.
    pub(crate) fn fail(&self, failure: Option<Refusal>) {
        self.state().failure = failure;
    }

    /// Lets every refresh wait before it is looked at.
    pub(crate) fn delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// Leaves fields out of the answers to refreshes.
    pub(crate) fn withhold(&self, fields: &[&str]) {
        self.state().withheld = fields.iter().map(|&it| it.to_owned()).collect();
    }

    /// The latest access token.
    pub(crate) fn access_token(&self) -> String {
        self.state().current.access.clone()
    }

    /// A login file with the latest tokens.
    pub(crate) fn auth_json(&self) -> String {
        auth_json(&self.state().current)
    }

    /// A login file of a new login whose access token lives for `lifetime`.
    pub(crate) fn new_login(&self, now: u64, lifetime: Duration) -> String {
        auth_json(&self.state().log_in(now, lifetime.as_secs()))
    }
}

impl State {
    fn log_in(&mut self, now: u64, lifetime: u64) -> Login {
        self.count += 1;
        let expires_at = now + lifetime;
        let login = Login {
            id: jwt("id", self.count, now, expires_at),
            access: jwt("access", self.count, now, expires_at),
            refresh: format!("rt_mock_{:06}", self.count),
            issued_at: now,
        };
        self.access.insert(login.access.clone(), Access { expires_at, expired: false });
        self.refresh.insert(login.refresh.clone(), Refresh::Live);
        self.current = login.clone();
        login
    }
}

fn answer(login: &Login) -> Value {
    json!({
        "id_token": login.id,
        "access_token": login.access,
        "refresh_token": login.refresh,
        "token_type": "Bearer",
        "expires_in": LIFETIME,
    })
}

/// A token with the claims of the real ones and a signature that signs nothing.
fn jwt(kind: &str, count: u64, now: u64, expires_at: u64) -> String {
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": "mock" });
    let claims = json!({
        "iss": "https://auth.openai.com",
        "aud": [CLIENT],
        "sub": "mock|1",
        "jti": format!("mock-{kind}-{count}"),
        "iat": now,
        "exp": expires_at,
        "email": "mock@example.com",
        "https://api.openai.com/auth": {
            "chatgpt_account_id": ACCOUNT,
            "chatgpt_plan_type": "plus",
            "chatgpt_user_id": USER,
            "user_id": USER,
        },
    });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", encode(&header), encode(&claims), URL_SAFE_NO_PAD.encode("mock"))
}

fn auth_json(login: &Login) -> String {
    let issued_at = i64::try_from(login.issued_at).unwrap_or_default();
    let last_refresh = jiff::Timestamp::from_second(issued_at).unwrap_or_default().to_string();
    let file = json!({
        "auth_mode": "chatgpt",
        "OPENAI_API_KEY": null,
        "tokens": {
            "id_token": login.id,
            "access_token": login.access,
            "refresh_token": login.refresh,
            "account_id": ACCOUNT,
        },
        "last_refresh": last_refresh,
    });
    format!("{file:#}")
}

fn expired() -> Refusal {
    let message = "Provided authentication token is expired. Please try signing in again.";
    Refusal::code(StatusCode::UNAUTHORIZED, "invalid_request_error", "token_expired", message)
}

fn invalidated() -> Refusal {
    let message = "Your authentication token has been invalidated. Please try signing in again.";
    Refusal::code(StatusCode::UNAUTHORIZED, "invalid_request_error", "token_invalidated", message)
}

fn reused() -> Refusal {
    let message = "Your refresh token has already been used to generate a new access token. \
                   Please try signing in again.";
    Refusal::code(
        StatusCode::UNAUTHORIZED,
        "invalid_request_error",
        "refresh_token_reused",
        message,
    )
}

fn unknown() -> Refusal {
    let message = "Your refresh token has been invalidated. Please try signing in again.";
    let code = "refresh_token_invalidated";
    Refusal::code(StatusCode::UNAUTHORIZED, "invalid_request_error", code, message)
}

fn malformed(code: &str, message: &str) -> Refusal {
    Refusal::code(StatusCode::BAD_REQUEST, "invalid_request_error", code, message)
}
