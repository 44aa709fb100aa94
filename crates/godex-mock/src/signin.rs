//! The sign-ins of the issuer: the browser's authorization code with PKCE and the device code
//! (`docs/wire.md#login`). Whoever asks is signed in and agrees, unless ordered otherwise; a device
//! code waits until somebody enters it.
//!
//! A code is `issued --exchange--> spent`; a device is `waiting --entered--> approved or denied`.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::issuer::CLIENT;
use crate::refusal::Refusal;

/// The addresses a browser may be sent back to.
const REDIRECTS: [&str; 2] =
    ["http://localhost:1455/auth/callback", "http://localhost:1457/auth/callback"];
/// Where a device's code is exchanged for, behind the issuer's own address.
const DEVICE_REDIRECT: &str = "/deviceauth/callback";
const SCOPE: &str = "openid profile email offline_access api.connectors.read api.connectors.invoke";
/// Shortest and longest verifier that PKCE allows.
const VERIFIER: std::ops::RangeInclusive<usize> = 43..=128;

/// Sign-ins that have begun.
#[derive(Default)]
pub(crate) struct SignIns {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    count: u64,
    codes: HashMap<String, Code>,
    devices: HashMap<String, Device>,
    denied: bool,
    interval: u64,
}

struct Code {
    challenge: String,
    redirect: Redirect,
}

enum Redirect {
    Exact(String),
    /// Any address of the issuer: it does not know its own.
    Device,
}

struct Device {
    user_code: String,
    answer: Answer,
}

#[derive(Clone, Copy, PartialEq)]
enum Answer {
    Waiting,
    Approved,
    Denied,
    Spent,
}

impl SignIns {
    /// Devices are told to ask every `interval` seconds.
    pub(crate) fn new(interval: u64) -> Self {
        let state = State { interval, ..State::default() };
        Self { state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets whoever is asked refuse, or agree again.
    pub(crate) fn deny(&self, denied: bool) {
        self.state().denied = denied;
    }

    /// Answers `GET /oauth/authorize` with the address the browser goes to next.
    ///
    /// # Errors
    ///
    /// A page that says what is wrong with the request.
    pub(crate) fn authorize(&self, query: &str) -> Result<String, Refusal> {
        let fields = form(query);
        let expect = |name: &str, wanted: &str| match fields.get(name) {
            Some(found) if found == wanted => Ok(()),
            Some(_) | None => Err(page(StatusCode::BAD_REQUEST, &format!("{name} is not right"))),
        };
        expect("response_type", "code")?;
        expect("client_id", CLIENT)?;
        expect("scope", SCOPE)?;
        expect("code_challenge_method", "S256")?;
        expect("id_token_add_organizations", "true")?;
        expect("codex_cli_simplified_flow", "true")?;
        let some = |name: &str, length: usize| {
            let found = fields.get(name).filter(|it| it.len() >= length);
            found.ok_or_else(|| page(StatusCode::BAD_REQUEST, &format!("{name} is missing")))
        };
        some("originator", 1)?;
        let (state, challenge) = (some("state", 16)?, some("code_challenge", 43)?);
        let redirect = some("redirect_uri", 1)?;
        if !REDIRECTS.contains(&redirect.as_str()) {
            return Err(page(StatusCode::BAD_REQUEST, "redirect_uri is not registered"));
        }
        let mut held = self.state();
        if held.denied {
            let why = "error=access_denied&error_description=The+request+was+denied";
            return Ok(format!("{redirect}?{why}&state={}", escape(state)));
        }
        let code = held.issue(challenge.clone(), Redirect::Exact(redirect.clone()));
        Ok(format!("{redirect}?code={code}&state={}", escape(state)))
    }

    /// Spends the code of `POST /oauth/token` with `grant_type=authorization_code`.
    ///
    /// # Errors
    ///
    /// 400 when anything does not fit.
    pub(crate) fn spend(&self, body: &str) -> Result<(), Refusal> {
        let fields = form(body);
        let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        if field("grant_type") != "authorization_code" {
            return Err(malformed(
                "unsupported_grant_type",
                "grant_type must be authorization_code",
            ));
        }
        if field("client_id") != CLIENT {
            return Err(malformed("invalid_client", "client_id is not registered"));
        }
        let code = self.state().codes.remove(field("code"));
        let code = code.ok_or_else(|| malformed("invalid_grant", "The code is not known"))?;
        let redirect = field("redirect_uri");
        let returns = match &code.redirect {
            Redirect::Exact(registered) => redirect == registered,
            Redirect::Device => redirect.ends_with(DEVICE_REDIRECT),
        };
        if !returns {
            return Err(malformed("invalid_grant", "redirect_uri is not that of the code"));
        }
        let verifier = field("code_verifier");
        if !VERIFIER.contains(&verifier.len()) || challenge(verifier) != code.challenge {
            return Err(malformed("invalid_grant", "code_verifier does not fit the code"));
        }
        Ok(())
    }

    /// Answers `POST /api/accounts/deviceauth/usercode`.
    ///
    /// # Errors
    ///
    /// 400 for another client.
    pub(crate) fn device(&self, body: &Value) -> Result<Value, Refusal> {
        if body.get("client_id").and_then(Value::as_str) != Some(CLIENT) {
            return Err(malformed("invalid_client", "client_id is not registered"));
        }
        let mut state = self.state();
        state.count += 1;
        let (id, user_code) =
            (format!("deviceauth_{:06}", state.count), format!("MOCK-{:05}", state.count));
        let answer = if state.denied { Answer::Denied } else { Answer::Waiting };
        let device = Device { user_code: user_code.clone(), answer };
        state.devices.insert(id.clone(), device);
        let interval = state.interval.to_string();
        Ok(json!({ "device_auth_id": id, "user_code": user_code, "interval": interval }))
    }

    /// Answers `POST /api/accounts/deviceauth/token`.
    ///
    /// # Errors
    ///
    /// 403 while the code waits, 400 when it never will be good.
    pub(crate) fn poll(&self, body: &Value) -> Result<Value, Refusal> {
        let field = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        let mut state = self.state();
        let unknown = || malformed("deviceauth_unknown", "The device code is not known");
        let device = state.devices.get_mut(field("device_auth_id")).ok_or_else(unknown)?;
        if device.user_code != field("user_code") {
            return Err(unknown());
        }
        match device.answer {
            Answer::Waiting => {
                let message = "Device authorization is pending.";
                let code = "deviceauth_authorization_pending";
                Err(Refusal::code(StatusCode::FORBIDDEN, "invalid_request_error", code, message))
            }
            Answer::Denied => Err(malformed("access_denied", "The request was denied")),
            Answer::Spent => Err(malformed("deviceauth_expired", "The device code was used")),
            Answer::Approved => {
                device.answer = Answer::Spent;
                let verifier = "mock-verifier-".repeat(4);
                let challenge = challenge(&verifier);
                let code = state.issue(challenge.clone(), Redirect::Device);
                Ok(json!({
                    "authorization_code": code,
                    "code_verifier": verifier,
                    "code_challenge": challenge,
                }))
            }
        }
    }

    /// Answers `POST /codex/device`, the form of [`entry_page`]: `user_code`, and
    /// `action=deny` to refuse.
    pub(crate) fn enter(&self, body: &str) -> Refusal {
        let fields = form(body);
        let entered = fields.get("user_code").map(|it| it.trim().to_ascii_uppercase());
        let mut state = self.state();
        let waiting = |it: &&mut Device| it.answer == Answer::Waiting;
        let known = |it: &&mut Device| Some(&it.user_code) == entered.as_ref();
        let Some(device) = state.devices.values_mut().filter(waiting).find(known) else {
            return page(StatusCode::NOT_FOUND, "No device waits with this code.");
        };
        if fields.get("action").is_some_and(|it| it == "deny") {
            device.answer = Answer::Denied;
            return page(StatusCode::OK, "Denied. The device has been told.");
        }
        device.answer = Answer::Approved;
        page(StatusCode::OK, "Signed in. You may close this page.")
    }
}

impl State {
    fn issue(&mut self, challenge: String, redirect: Redirect) -> String {
        self.count += 1;
        let code = format!("ac_mock_{:06}", self.count);
        self.codes.insert(code.clone(), Code { challenge, redirect });
        code
    }
}

/// What `GET /codex/device` shows.
pub(crate) fn entry_page() -> Refusal {
    Refusal::html(
        StatusCode::OK,
        "<!DOCTYPE html><html><head><title>Mock sign-in</title></head><body>\
         <form method=\"post\"><label>Code <input name=\"user_code\"></label> \
         <button>Sign in</button> <button name=\"action\" value=\"deny\">Deny</button>\
         </form></body></html>\n",
    )
}

fn page(status: StatusCode, text: &str) -> Refusal {
    Refusal::html(status, &format!("<!DOCTYPE html><html><body><p>{text}</p></body></html>\n"))
}

fn malformed(code: &str, message: &str) -> Refusal {
    Refusal::code(StatusCode::BAD_REQUEST, "invalid_request_error", code, message)
}

/// The challenge of a verifier, method S256.
fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

fn form(text: &str) -> HashMap<String, String> {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

fn escape(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
