//! Who we are to the backend: the ChatGPT login in `auth.json`, kept fresh.
//!
//! Owns the file's form, the access token that requests carry and its renewal. The facts about
//! the file and the token endpoint are in `docs/wire.md`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderValue, Uri};

use crate::tasks::Tasks;
use crate::upstream::connect::HttpClient;

/// Who the backend believes we are, for one attempt.
#[derive(Clone)]
pub(crate) struct Credentials {
    authorization: HeaderValue,
    account_id: Option<HeaderValue>,
    generation: u64,
}

impl Credentials {
    /// The value of `Authorization`, marked as sensitive.
    pub(crate) fn authorization(&self) -> &HeaderValue {
        &self.authorization
    }

    /// The value of `chatgpt-account-id`; an API-key login has none.
    pub(crate) fn account_id(&self) -> Option<&HeaderValue> {
        self.account_id.as_ref()
    }

    /// Grows with every new token.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// What a [`Login`] is told when it is opened.
pub(crate) struct Settings {
    /// The file, usually `~/.codex/auth.json`.
    pub(crate) auth_path: PathBuf,
    /// Whether the token endpoint may be asked for a new token.
    pub(crate) allow_refresh: bool,
    /// The token endpoint.
    pub(crate) token_url: Uri,
    /// The `User-Agent` of that call.
    pub(crate) user_agent: HeaderValue,
    /// The `originator` of that call.
    pub(crate) originator: HeaderValue,
}

/// Why there are no credentials. Only [`Error::Missing`], [`Error::Unreadable`] and
/// [`Error::Malformed`] name a path; the others may be shown to a client.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nobody has logged in here.
    #[error("there is no login at `{}`", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is there but cannot be read.
    #[error("cannot read `{}`: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file is no login: not JSON, or without a token.
    #[error("`{}` holds no login: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never a piece of it.
        reason: String,
    },
    /// The login has ended; only a person can bring it back.
    #[error("{0}")]
    Rejected(Rejection),
    /// The token endpoint does not answer as it should; it is asked again after a while.
    #[error("the login could not be renewed, next try in {} s", retry_after.as_secs().max(1))]
    Unavailable {
        /// When it is asked again.
        retry_after: Duration,
    },
}

/// Why a person has to log in again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejection {
    /// The token was refused and only the token endpoint could help.
    #[error("refused")]
    RefreshOff,
}

/// What `health` and `doctor` may say about the login.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    /// `plus`, `pro`, `team` ..., as the token claims.
    pub(crate) plan: Option<String>,
    /// The last characters of the account id.
    pub(crate) account_tail: Option<String>,
    /// When the access token ends, in seconds since the Unix epoch.
    pub(crate) expires_at: Option<u64>,
    /// Whether this is an API key instead of a ChatGPT login.
    pub(crate) api_key: bool,
}

/// The login of this machine. Clones share it.
#[derive(Clone)]
pub(crate) struct Login {
    credentials: Credentials,
}

impl Login {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// When there is no login in it.
    pub(crate) fn open(settings: Settings, http: HttpClient, tasks: Tasks) -> Result<Self, Error> {
        let _ = (http, tasks);
        Err(Error::Missing { path: settings.auth_path })
    }

    /// The credentials to send now, renewed first if they are about to end.
    ///
    /// # Errors
    ///
    /// When they have ended and cannot be renewed.
    pub(crate) async fn current(&self) -> Result<Credentials, Error> {
        Ok(self.credentials.clone())
    }

    /// The credentials to try after the backend refused `seen` with a 401.
    ///
    /// # Errors
    ///
    /// When there are none: a person has to act, or the token endpoint is down.
    pub(crate) async fn renew(&self, seen: &Credentials) -> Result<Credentials, Error> {
        Ok(seen.clone())
    }

    /// What may be said about the login.
    pub(crate) fn status(&self) -> Status {
        Status { plan: None, account_tail: None, expires_at: None, api_key: false }
    }
}
