//! Signing in: what is asked of the issuer, in a browser or with a device code, and the login file
//! that comes of it. The form of all of it is in `docs/wire.md#login`.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::endpoint::{self, CLIENT_ID};
use super::file::{self, Tokens};
use super::token;
use crate::clock;
use crate::store::file::Lock;
use crate::upstream::connect::HttpClient;

const SCOPE: &str = "openid profile email offline_access api.connectors.read api.connectors.invoke";
/// How often a device asks when the issuer does not say, and the limits of what it may say.
const USUAL_INTERVAL: Duration = Duration::from_secs(5);
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);
/// How often a question may fail in a row before the device gives up.
const PATIENCE: u32 = 5;

/// Who is asked to sign somebody in.
pub(crate) struct Issuer {
    /// The way there.
    pub(crate) http: HttpClient,
    /// Its address, without a slash at the end.
    pub(crate) address: String,
    /// The `User-Agent` of every call.
    pub(crate) user_agent: HeaderValue,
    /// The `originator` of every call.
    pub(crate) originator: HeaderValue,
}

/// Why nobody was signed in. Never quotes an answer: it may hold tokens.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The issuer cannot be reached.
    #[error("{0}")]
    Unreachable(String),
    /// The network in front of the issuer wants to see a browser.
    #[error("the issuer's network answered with a page for browsers ({0})")]
    Blocked(StatusCode),
    /// The issuer said no.
    #[error("the issuer answered {status}{}", code.as_ref().map(|it| format!(", {it}")).unwrap_or_default())]
    Refused {
        /// Its status.
        status: StatusCode,
        /// Its word for it, if it is one.
        code: Option<String>,
    },
    /// The answer is not what it should be.
    #[error("the issuer's answer has no {0}")]
    Incomplete(&'static str),
    /// The system has no randomness.
    #[error("the system has no randomness to give: {0}")]
    Random(#[from] io::Error),
}

/// One sign-in in a browser. Not printable: it is two secrets.
pub(crate) struct Attempt {
    state: String,
    verifier: String,
    redirect: String,
}

/// What somebody brings back from the sign-in page.
pub(crate) enum Return {
    /// A code to exchange.
    Code(String),
    /// The sign-in page said no.
    Denied(String),
    /// It belongs to another sign-in.
    Foreign,
    /// It is no return at all.
    Nothing,
}

impl Attempt {
    /// Begins a sign-in that comes back to `port` of this machine.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub(crate) fn begin(port: u16) -> io::Result<Self> {
        let redirect = format!("http://localhost:{port}/auth/callback");
        let state = URL_SAFE_NO_PAD.encode(clock::random::<32>()?);
        let verifier = URL_SAFE_NO_PAD.encode(clock::random::<64>()?);
        Ok(Self { state, verifier, redirect })
    }

    /// The page where somebody signs in.
    pub(crate) fn page(&self, issuer: &Issuer) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&self.verifier));
        let query = form(&[
            ("response_type", "code"),
            ("client_id", CLIENT_ID),
            ("redirect_uri", &self.redirect),
            ("scope", SCOPE),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("id_token_add_organizations", "true"),
            ("codex_cli_simplified_flow", "true"),
            ("state", &self.state),
            ("originator", issuer.originator.to_str().unwrap_or_default()),
        ]);
        format!("{}/oauth/authorize?{}", issuer.address, query.replace('+', "%20"))
    }

    /// What the query of a return says.
    pub(crate) fn judge(&self, query: &str) -> Return {
        let fields: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let field = |name: &str| {
            let found = fields.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.to_string()).filter(|value| !value.is_empty())
        };
        let (code, error) = (field("code"), field("error"));
        if code.is_none() && error.is_none() {
            return Return::Nothing;
        }
        if field("state").is_none_or(|it| it != self.state) {
            return Return::Foreign;
        }
        match (error, code) {
            (Some(error), _) => Return::Denied(field("error_description").unwrap_or(error)),
            (None, Some(code)) => Return::Code(code),
            (None, None) => Return::Nothing,
        }
    }

    /// Exchanges a code for a login.
    ///
    /// # Errors
    ///
    /// When the issuer gives none.
    pub(crate) async fn finish(&self, issuer: &Issuer, code: &str) -> Result<NewLogin, Error> {
        exchange(issuer, code, &self.verifier, &self.redirect).await
    }
}

/// One sign-in with a code that is entered elsewhere.
pub(crate) struct Device {
    id: String,
    code: String,
    interval: Duration,
}

impl Device {
    /// Asks for a code.
    ///
    /// # Errors
    ///
    /// When the issuer gives none.
    pub(crate) async fn begin(issuer: &Issuer) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Answer {
            device_auth_id: Option<String>,
            #[serde(alias = "usercode")]
            user_code: Option<String>,
            #[serde(default)]
            interval: Value,
        }
        let body = json!({ "client_id": CLIENT_ID });
        let answer: Answer = post(issuer, "/api/accounts/deviceauth/usercode", &body).await?;
        let told = &answer.interval;
        let seconds = told.as_u64().or_else(|| told.as_str()?.trim().parse().ok());
        let interval = seconds.map_or(USUAL_INTERVAL, Duration::from_secs);
        Ok(Self {
            id: answer.device_auth_id.ok_or(Error::Incomplete("device_auth_id"))?,
            code: answer.user_code.ok_or(Error::Incomplete("user_code"))?,
            interval: interval.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL),
        })
    }

    /// The code to enter.
    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// Where it is entered.
    pub(crate) fn page(issuer: &Issuer) -> String {
        format!("{}/codex/device", issuer.address)
    }

    /// Asks until somebody has entered the code, and exchanges what comes of it.
    ///
    /// # Errors
    ///
    /// When the issuer says no, or has been silent for too long.
    pub(crate) async fn finish(&self, issuer: &Issuer) -> Result<NewLogin, Error> {
        #[derive(Deserialize)]
        struct Answer {
            authorization_code: Option<String>,
            code_verifier: Option<String>,
        }
        let body = json!({ "device_auth_id": self.id, "user_code": self.code });
        let mut failures = 0;
        let answer: Answer = loop {
            match post(issuer, "/api/accounts/deviceauth/token", &body).await {
                Ok(answer) => break answer,
                Err(Error::Refused {
                    status: StatusCode::FORBIDDEN | StatusCode::NOT_FOUND,
                    ..
                }) => {
                    failures = 0;
                }
                Err(error) if error.may_pass() && failures < PATIENCE => failures += 1,
                Err(error) => return Err(error),
            }
            tokio::time::sleep(self.interval).await;
        };
        let code = answer.authorization_code.ok_or(Error::Incomplete("authorization_code"))?;
        let verifier = answer.code_verifier.ok_or(Error::Incomplete("code_verifier"))?;
        let redirect = format!("{}/deviceauth/callback", issuer.address);
        exchange(issuer, &code, &verifier, &redirect).await
    }
}

impl Error {
    /// Whether the same question may be answered later.
    fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Blocked(_) | Self::Incomplete(_) | Self::Random(_) => false,
        }
    }
}

/// A login that is not written down yet.
pub(crate) struct NewLogin {
    tokens: Tokens,
    email: Option<String>,
}

impl fmt::Debug for NewLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewLogin").finish_non_exhaustive()
    }
}

impl NewLogin {
    /// The plan, as the tokens claim.
    pub(crate) fn plan(&self) -> Option<String> {
        self.tokens.claims().plan
    }

    /// The address of the account, as the tokens claim.
    pub(crate) fn email(&self) -> Option<&str> {
        self.email.as_deref()
    }

    /// The last four characters of the account id.
    pub(crate) fn account_tail(&self) -> Option<String> {
        self.tokens.claims().account_id.as_deref().map(token::tail)
    }

    /// Writes the login file as the Codex CLI does, in the place of what was there. Blocks the
    /// thread.
    ///
    /// # Errors
    ///
    /// When the folder or the file cannot be written.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let _lock = Lock::acquire(path)?;
        let mut raw = Map::new();
        raw.insert("auth_mode".to_owned(), json!("chatgpt"));
        raw.insert("OPENAI_API_KEY".to_owned(), Value::Null);
        raw.insert("tokens".to_owned(), json!({}));
        file::merge(&mut raw, &self.tokens);
        if let Some(Value::Object(tokens)) = raw.get_mut("tokens") {
            tokens.insert("account_id".to_owned(), json!(self.tokens.claims().account_id));
        }
        file::write(path, &raw)
    }
}

async fn exchange(
    issuer: &Issuer,
    code: &str,
    verifier: &str,
    redirect: &str,
) -> Result<NewLogin, Error> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "id_token")]
        id: Option<String>,
        #[serde(rename = "access_token")]
        access: Option<String>,
        #[serde(rename = "refresh_token")]
        refresh: Option<String>,
    }
    let body = form(&[
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect),
        ("client_id", CLIENT_ID),
        ("code_verifier", verifier),
    ]);
    let kind = "application/x-www-form-urlencoded";
    let answer: Answer = send(issuer, "/oauth/token", kind, body).await?;
    let id = answer.id.ok_or(Error::Incomplete("id_token"))?;
    let email = token::email(&id);
    let tokens = Tokens {
        access: answer.access.ok_or(Error::Incomplete("access_token"))?,
        id: Some(id),
        refresh: Some(answer.refresh.ok_or(Error::Incomplete("refresh_token"))?),
        account_id: None,
        last_refresh: Some(clock::timestamp()),
    };
    Ok(NewLogin { tokens, email })
}

async fn post<T: serde::de::DeserializeOwned>(
    issuer: &Issuer,
    path: &str,
    body: &Value,
) -> Result<T, Error> {
    send(issuer, path, "application/json", body.to_string()).await
}

async fn send<T: serde::de::DeserializeOwned>(
    issuer: &Issuer,
    path: &str,
    kind: &'static str,
    body: String,
) -> Result<T, Error> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{}{path}", issuer.address))
        .header(CONTENT_TYPE, kind)
        .header(ACCEPT, "application/json")
        // Without a Codex-like name the call is answered by a challenge page.
        .header(USER_AGENT, &issuer.user_agent)
        .header("originator", &issuer.originator)
        .body(Bytes::from(body))
        .map_err(|error| Error::Unreachable(error.to_string()))?;
    let (status, body) =
        endpoint::exchange_in_time(&issuer.http, request).await.map_err(Error::Unreachable)?;
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|_| Error::Incomplete("JSON"));
    }
    if status == StatusCode::FORBIDDEN && body.trim_ascii_start().starts_with(b"<") {
        return Err(Error::Blocked(status));
    }
    let code = endpoint::code(&body);
    // A word is repeated; what could be a sentence with somebody's data in it is not.
    let word = !code.is_empty()
        && code.len() <= 64
        && code.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_');
    Err(Error::Refused { status, code: word.then_some(code) })
}

fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer() -> Issuer {
        Issuer {
            http: crate::upstream::connect::direct_client(Duration::from_secs(10)),
            address: "http://127.0.0.1:1".to_owned(),
            user_agent: HeaderValue::from_static("godex/1 (linux; x86_64)"),
            originator: HeaderValue::from_static("codex_cli_rs"),
        }
    }

    #[test]
    fn only_the_state_of_this_sign_in_opens_the_door() {
        let attempt = Attempt::begin(1455).unwrap();
        let state = attempt.state.clone();
        let page = attempt.page(&issuer());
        assert!(page.contains(&format!("&state={state}&")), "{page}");
        assert!(!page.contains(&attempt.verifier) && !page.contains('+'), "{page}");
        let judged = |query: &str| match attempt.judge(query) {
            Return::Code(code) => format!("code {code}"),
            Return::Denied(why) => format!("denied {why}"),
            Return::Foreign => "foreign".to_owned(),
            Return::Nothing => "nothing".to_owned(),
        };
        assert_eq!(judged(&format!("code=a%20b&state={state}")), "code a b");
        assert_eq!(judged("code=a&state=other"), "foreign");
        assert_eq!(judged("code=a"), "foreign");
        assert_eq!(judged("error=access_denied"), "foreign");
        assert_eq!(judged(&format!("error=access_denied&state={state}")), "denied access_denied");
        let told = format!("error=x&error_description=not+today&state={state}&code=a");
        assert_eq!(judged(&told), "denied not today");
        assert_eq!(judged(&format!("code=&state={state}")), "nothing");
        assert_eq!(judged(""), "nothing");
    }

    #[test]
    fn no_two_sign_ins_share_a_secret() {
        let (one, other) = (Attempt::begin(1455).unwrap(), Attempt::begin(1455).unwrap());
        assert!(one.state != other.state && one.verifier != other.verifier);
        assert!((43..=128).contains(&one.verifier.len()));
    }

    #[tokio::test]
    async fn an_issuer_that_is_not_there_is_unreachable() {
        let error = Device::begin(&issuer()).await.map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Unreachable(_)), "{error}");
    }
}
