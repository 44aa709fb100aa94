//! Who we are to the backend: the ChatGPT login in `auth.json`, kept fresh.
//!
//! Owns the file's form, the access token that requests carry and its renewal. The facts about
//! the file and the token endpoint are in `docs/wire.md`.

mod endpoint;
mod file;
mod gate;
mod held;
mod refresh;
mod shared;
pub(crate) mod signin;
mod token;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Uri};

use self::refresh::Reason;
use self::shared::Shared;
use crate::tasks::Tasks;
use crate::upstream::connect::HttpClient;

/// How long a request waits for a renewal while its token is still good.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a refused request joins a renewal before it gives up.
const JOINS: usize = 3;

/// Who the backend believes we are, for one attempt.
#[derive(Clone)]
pub(crate) struct Credentials {
    authorization: HeaderValue,
    account_id: Option<HeaderValue>,
    generation: u64,
    issued: bool,
}

impl Credentials {
    /// The value of `Authorization`, marked as sensitive.
    pub(crate) fn authorization(&self) -> &HeaderValue {
        &self.authorization
    }

    /// The value of `chatgpt-account-id`, if the login tells.
    pub(crate) fn account_id(&self) -> Option<&HeaderValue> {
        self.account_id.as_ref()
    }

    /// Grows with every new token.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether the token endpoint has issued them to this process, so that no newer ones can be had.
    pub(crate) fn is_issued(&self) -> bool {
        self.issued
    }

    /// Whether the backend sees no difference.
    fn is_same(&self, other: &Self) -> bool {
        self.authorization == other.authorization && self.account_id == other.account_id
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

/// Why there are no credentials. Only [`Error::Rejected`] and [`Error::Unavailable`] name no path
/// and may be shown to a client.
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
        reason: &'static str,
    },
    /// The file is a login of another kind, which the backend does not take.
    #[error("`{}` holds an API key, not a ChatGPT login", path.display())]
    ApiKey {
        /// The file.
        path: PathBuf,
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

/// Why a person has to act. The text may be shown to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejection {
    /// The token was refused and nobody may ask for another.
    #[error(
        "the ChatGPT login was refused and renewing it is off: log in again with `godex login` \
         or `codex login`, or start the proxy with `--allow-refresh`"
    )]
    RefreshOff,
    /// There is nothing to ask with.
    #[error(
        "the ChatGPT login was refused and has no refresh token: log in again with \
         `godex login` or `codex login`"
    )]
    NoRefreshToken,
    /// Somebody has put an API key in the place of the login.
    #[error(
        "the login file holds an API key now, not a ChatGPT login: log in again with `godex login` \
         or `codex login`"
    )]
    ApiKey,
    /// Another program has used the refresh token.
    #[error(
        "the ChatGPT login has ended because its refresh token was used elsewhere: log in again \
         with `godex login` or `codex login`"
    )]
    Reused,
    /// The login is too old.
    #[error("the ChatGPT login has expired: log in again with `godex login` or `codex login`")]
    Expired,
    /// Somebody has ended the login.
    #[error("the ChatGPT login was revoked: log in again with `godex login` or `codex login`")]
    Invalidated,
    /// The issuer refuses without a reason that we know.
    #[error("the ChatGPT login was refused: log in again with `godex login` or `codex login`")]
    Refused,
}

/// What `health` and `doctor` may say about the login.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    /// `plus`, `pro`, `team` ..., as the token claims.
    pub(crate) plan: Option<String>,
    /// The last four characters of the account id.
    pub(crate) account_tail: Option<String>,
    /// When the access token ends, in seconds since the Unix epoch.
    pub(crate) expires_at: Option<u64>,
    /// Whether it is renewed before that: it may be, and there is something to renew it with.
    pub(crate) renews: bool,
    /// Why the login is over, if it is.
    pub(crate) ended: Option<Rejection>,
}

impl Status {
    /// Whether the access token has ended and nothing will renew it.
    pub(crate) fn is_over(&self, now: u64) -> bool {
        !self.renews && self.expires_at.is_some_and(|at| at <= now)
    }
}

/// The login of this machine. Clones share it.
#[derive(Clone)]
pub(crate) struct Login {
    shared: Arc<Shared>,
}

impl Login {
    /// Reads the file. Blocks the thread for a moment.
    ///
    /// # Errors
    ///
    /// When there is no login in it.
    pub(crate) fn open(settings: Settings, http: HttpClient, tasks: Tasks) -> Result<Self, Error> {
        Ok(Self { shared: Arc::new(Shared::open(settings, http, tasks)?) })
    }

    /// The credentials to send now, renewed first if they are about to end.
    ///
    /// Without the right to renew, credentials that have ended are still given out: the backend
    /// is the judge of that, and its clock is the better one.
    ///
    /// # Errors
    ///
    /// When they have ended and cannot be renewed.
    pub(crate) async fn current(&self) -> Result<Credentials, Error> {
        self.current_within(PATIENCE).await
    }

    async fn current_within(&self, patience: Duration) -> Result<Credentials, Error> {
        self.look().await;
        if let Some(rejection @ Rejection::ApiKey) = self.shared.ended() {
            return Err(Error::Rejected(rejection));
        }
        let held = self.shared.held();
        let now = refresh::now();
        if !self.shared.settings.allow_refresh || !held.is_due(now) {
            return Ok(held.credentials.clone());
        }
        let renewed = match self.shared.may_ask_now() {
            Err(error) => Err(error),
            Ok(()) if held.is_alive(now) => {
                let renewal = self.shared.join(Reason::Expiry);
                let Ok(renewed) = tokio::time::timeout(patience, renewal).await else {
                    return Ok(held.credentials.clone());
                };
                renewed
            }
            Ok(()) => self.shared.join(Reason::Expiry).await,
        };
        match renewed {
            Ok(held) => Ok(held.credentials.clone()),
            Err(_) if held.is_alive(now) => Ok(held.credentials.clone()),
            Err(error) => Err(error),
        }
    }

    /// The credentials to try after the backend refused `seen` with a 401: those in the file if
    /// they are newer, else new ones from the token endpoint, one call for however many wait.
    ///
    /// # Errors
    ///
    /// When there are none: a person has to act, or the token endpoint is down.
    pub(crate) async fn renew(&self, seen: &Credentials) -> Result<Credentials, Error> {
        // The renewal we join first may have been started for another reason and bring nothing.
        for _ in 0..JOINS {
            let held = self.shared.held();
            if held.credentials.generation != seen.generation {
                return Ok(held.credentials.clone());
            }
            let held = self.shared.join(Reason::Unauthorized { seen: seen.generation }).await?;
            if held.credentials.generation != seen.generation {
                return Ok(held.credentials.clone());
            }
        }
        Err(Error::Rejected(Rejection::Refused))
    }

    /// The backend has refused these as well. New ones would hardly fare better: the token
    /// endpoint is left alone for a moment, so that not every request asks it.
    pub(crate) fn is_of_no_use(&self, credentials: &Credentials) {
        if credentials.issued && self.shared.held().credentials.generation == credentials.generation
        {
            self.shared.pause();
        }
    }

    /// Notices that somebody else has written the file, if that was not looked at just now.
    pub(crate) async fn look(&self) {
        self.shared.look().await;
    }

    /// What may be said about the login.
    pub(crate) fn status(&self) -> Status {
        let held = self.shared.held();
        let account_tail = held.claims.account_id.as_deref().map(token::tail);
        Status {
            plan: held.claims.plan.clone(),
            account_tail,
            expires_at: held.claims.expires_at,
            renews: self.shared.settings.allow_refresh && held.tokens.refresh.is_some(),
            ended: self.shared.ended(),
        }
    }
}

/// A login file as it lies there, for whoever wants to tell about it.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    /// `plus`, `pro`, `team` ..., as the token claims.
    pub(crate) plan: Option<String>,
    /// The address of the account, as the token claims.
    pub(crate) email: Option<String>,
    /// The last four characters of the account id.
    pub(crate) account_tail: Option<String>,
    /// When the access token ends, in seconds since the Unix epoch.
    pub(crate) expires_at: Option<u64>,
    /// When it was last renewed.
    pub(crate) last_refresh: Option<jiff::Timestamp>,
    /// Whether there is something to renew it with.
    pub(crate) renewable: bool,
}

/// Reads a login file without using it. Blocks the thread for a moment.
///
/// # Errors
///
/// When there is no login in it.
pub(crate) fn describe(path: &std::path::Path) -> Result<Described, Error> {
    let tokens = file::read(path)?.tokens;
    let claims = tokens.claims();
    Ok(Described {
        plan: claims.plan,
        email: tokens.id.as_deref().and_then(token::email),
        account_tail: claims.account_id.as_deref().map(token::tail),
        expires_at: claims.expires_at,
        last_refresh: tokens.last_refresh,
        renewable: tokens.refresh.is_some(),
    })
}

#[cfg(test)]
mod tests;
