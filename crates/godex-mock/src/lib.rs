//! A strict simulator of the Codex backend and of its OAuth issuer.
//!
//! It judges every request by the contract (`docs/wire.md`) and refuses, in the backend's own
//! words, what the backend refuses; where the backend's answer is not known it is stricter
//! on purpose. It answers with streams in the backend's order and form, and plays scripts:
//! `[[mock: tool add {"a":1}]]` in a prompt makes the model call a tool, others cut, slow
//! down or fail an answer. [`mod@script`] lists all of them.
//!
//! It shares no code with `godex-core`, so that the two readings of the contract cannot err
//! together. It owns no policy of its own and never talks to another machine.
//!
//! In reading order: `server` (sockets, routes), `backend` (endpoints), `check` (the
//! contract), `conversation` (what was asked), `script` and `scripted` (what was ordered),
//! `stream` (events), `outflow` (the body on the wire), `issuer`, `signin`, `catalogue`, `limits`,
//! `record` and `inspect` (what tests look at).

mod backend;
mod blob;
mod catalogue;
pub mod check;
mod clock;
mod conversation;
mod inspect;
mod instance;
mod issuer;
mod limits;
mod outflow;
pub mod record;
pub mod refusal;
pub mod script;
mod scripted;
mod server;
mod signin;
mod stream;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::task::AbortHandle;

use backend::Backend;
pub use limits::Window;
use record::{Counts, Received};
use refusal::Refusal;

/// How a mock is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Pause before each delta.
    pub pace: Duration,
    /// Which access tokens are good.
    pub tokens: TokenPolicy,
    /// How many requests to keep for inspection.
    pub record: usize,
    /// How many seconds a device that signs in is told to wait between its questions.
    pub device_interval: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            pace: Duration::ZERO,
            tokens: TokenPolicy::Any,
            record: 1000,
            device_interval: 5,
        }
    }
}

/// Which access tokens a mock takes.
#[derive(Clone, Debug, Default)]
pub enum TokenPolicy {
    /// Any bearer token, until [`Mock::expire_tokens`].
    #[default]
    Any,
    /// Those of its own issuer.
    Issued,
    /// These, and those of its own issuer.
    Listed(Vec<String>),
}

/// A running simulator. It stops when dropped.
pub struct Mock {
    address: SocketAddr,
    backend: Arc<Backend>,
    server: AbortHandle,
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Mock {
    /// Binds, and serves in the background of the current runtime.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound.
    pub async fn start(options: Options) -> io::Result<Self> {
        let (listener, address) = server::bind(options.listen).await?;
        let backend = Arc::new(Backend::new(options));
        let server = server::serve(listener, Arc::clone(&backend));
        Ok(Self { address, backend, server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL of the backend.
    pub fn base_url(&self) -> String {
        format!("http://{}/backend-api/codex", self.address)
    }

    /// The URL of the token endpoint.
    pub fn token_url(&self) -> String {
        format!("http://{}/oauth/token", self.address)
    }

    /// The address of the issuer, for `godex login --issuer`.
    pub fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets whoever is asked to sign in refuse, or agree again.
    pub fn deny_sign_ins(&self, denied: bool) {
        self.backend.sign_ins.deny(denied);
    }

    /// Enters the code of a device, as somebody would at `/codex/device`, to agree or to deny.
    /// Whether a device waited for it.
    pub fn enter_code(&self, user_code: &str, agrees: bool) -> bool {
        let action = if agrees { "" } else { "&action=deny" };
        let answer = self.backend.sign_ins.enter(&format!("user_code={user_code}{action}"));
        answer.status == StatusCode::OK
    }

    /// The login file of the latest tokens: unsigned, good for this mock alone.
    pub fn auth_json(&self) -> String {
        self.backend.issuer.auth_json()
    }

    /// The login file of a new login whose access token lives for `lifetime`.
    pub fn new_login(&self, lifetime: Duration) -> String {
        self.backend.issuer.new_login(clock::unix_seconds(), lifetime)
    }

    /// The latest access token.
    pub fn access_token(&self) -> String {
        self.backend.issuer.access_token()
    }

    /// The account every login belongs to.
    pub fn account_id(&self) -> &'static str {
        issuer::ACCOUNT
    }

    /// What was received, oldest first.
    pub fn requests(&self) -> Vec<Received> {
        self.backend.log.kept()
    }

    /// Forgets what was received; the counters stay.
    pub fn forget_requests(&self) {
        self.backend.log.clear();
    }

    /// Counters over its life.
    pub fn counts(&self) -> Counts {
        self.backend.log.counts()
    }

    /// Waits until what was received looks as wanted, for example until a request is
    /// cancelled.
    pub async fn until(&self, wanted: impl Fn(&[Received]) -> bool) {
        self.backend.log.until(wanted).await;
    }

    /// Makes every access token of the past stale: calls answer 401 `token_expired` until
    /// they carry a token issued later.
    pub fn expire_tokens(&self) {
        self.backend.issuer.expire();
    }

    /// How many requests the token endpoint has seen.
    pub fn token_posts(&self) -> u64 {
        self.backend.issuer.posts()
    }

    /// Lets every refresh fail with this status and error code, 401 `refresh_token_expired`
    /// for example, until [`Mock::mend_refresh`].
    pub fn fail_refresh(&self, status: u16, code: &str) {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let message = "This failure was ordered by the test.";
        let refusal = Refusal::code(status, "invalid_request_error", code, message);
        self.backend.issuer.fail(Some(refusal));
    }

    /// Ends what [`Mock::fail_refresh`] began.
    pub fn mend_refresh(&self) {
        self.backend.issuer.fail(None);
    }

    /// Lets every refresh wait before it is looked at.
    pub fn delay_refresh(&self, delay: Duration) {
        self.backend.issuer.delay(delay);
    }

    /// Leaves these fields (`id_token`, `access_token`, `refresh_token`) out of the answers
    /// to refreshes. Without a new refresh token the old one stays live.
    pub fn withhold_from_refresh(&self, fields: &[&str]) {
        self.backend.issuer.withhold(fields);
    }

    /// Lets `GET /models` fail with a status, or work again.
    pub fn fail_models(&self, status: Option<u16>) {
        self.backend.fail_models(status);
    }

    /// Replaces the primary and the secondary window of the plan.
    pub fn set_windows(&self, primary: Option<Window>, secondary: Option<Window>) {
        self.backend.limits.replace((primary, secondary));
    }

    /// Puts a script over every prompt, written in markers as in [`mod@script`]; an empty
    /// text takes it away.
    ///
    /// # Errors
    ///
    /// The marker that cannot be read.
    pub fn direct(&self, script: &str) -> Result<(), String> {
        self.backend.direct(script)
    }
}
