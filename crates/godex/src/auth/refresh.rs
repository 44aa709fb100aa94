//! One renewal, from the lock to the disk. At most one runs in this process (see `shared.rs`),
//! and at most one on this machine.
//!
//! Refresh tokens work once, so the order is everything: lock, read the file again and adopt what
//! somebody else has brought, ask, write the file, and only then use the new tokens.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::endpoint::{self, Refusal};
use super::file::{self, Snapshot, Tokens};
use super::held::Held;
use super::shared::Shared;
use super::{Error, Rejection};
use crate::clock;
use crate::store::file::Lock;

/// Other holders of the lock wait for the endpoint themselves: a little longer than it may take.
const LOCK_PATIENCE: Duration = Duration::from_secs(45);
const LOCK_PAUSE: Duration = Duration::from_millis(25);
/// What the winner of a race for the refresh token needs to write the file.
const WINNER_WRITES: Duration = Duration::from_millis(100);

/// What makes us renew.
#[derive(Clone, Copy)]
pub(super) enum Reason {
    /// The token is about to end.
    Expiry,
    /// The backend refused the credentials of this generation.
    Unauthorized { seen: u64 },
    /// New tokens could not be written the last time.
    Unsaved,
}

impl Reason {
    /// Whether `held` leaves nothing to do. Without the right to ask, any other token will do.
    fn is_settled(self, held: &Held, may_ask: bool) -> bool {
        let now = now();
        match self {
            Self::Expiry => !held.is_due(now),
            Self::Unauthorized { seen } => {
                held.credentials.generation() != seen && (held.is_alive(now) || !may_ask)
            }
            Self::Unsaved => true,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Expiry | Self::Unsaved => "proactive_expiry",
            Self::Unauthorized { .. } => "unauthorized_recovery",
        }
    }
}

pub(super) fn now() -> Timestamp {
    clock::timestamp()
}

/// Brings a token that settles `reason`, from the file or from the endpoint.
///
/// # Errors
///
/// When neither has one.
pub(super) async fn run(shared: &Shared, reason: Reason) -> Result<Arc<Held>, Error> {
    let may_ask = shared.settings.allow_refresh;
    // The common case needs no lock: somebody else was faster, and the file says so.
    let held = shared.reread().await?.1;
    if reason.is_settled(&held, may_ask) && !shared.is_unsaved() {
        return Ok(held);
    }
    if !may_ask {
        return Err(Error::Rejected(Rejection::RefreshOff));
    }
    shared.may_ask_now()?;
    let _lock = exclusive(&shared.settings.auth_path).await?;
    let (mut snapshot, mut held) = shared.reread().await?;
    if shared.is_unsaved() {
        save(shared, held.tokens.clone(), snapshot, Arc::clone(&held)).await;
        (snapshot, held) = shared.reread().await?;
    }
    if reason.is_settled(&held, may_ask) {
        return Ok(held);
    }
    let old = &held.tokens;
    let Some(refresh_token) = &old.refresh else {
        return Err(Error::Rejected(Rejection::NoRefreshToken));
    };
    match endpoint::ask(&shared.http, &shared.settings, refresh_token, reason.name()).await {
        Ok(answer) => issued(shared, answer.over(old, now()), snapshot, &held).await,
        Err(Refusal::Final(rejection)) => lost(shared, reason, rejection, &held).await,
        Err(Refusal::Passing(why)) => {
            let retry_after = shared.fail();
            tracing::warn!(
                reason = why,
                retry_after_s = retry_after.as_secs(),
                "the ChatGPT login could not be renewed"
            );
            Err(Error::Unavailable { retry_after })
        }
    }
}

/// The lock of the file between processes. A folder that takes no lock file is no reason to stop:
/// whoever else cannot write there cannot bring new tokens either.
async fn exclusive(path: &Path) -> Result<Option<Lock>, Error> {
    let waiting = async {
        loop {
            match Lock::try_acquire(path) {
                Ok(Some(lock)) => return Some(lock),
                Ok(None) => tokio::time::sleep(LOCK_PAUSE).await,
                Err(error) => {
                    tracing::debug!(%error, "the login is renewed without a lock");
                    return None;
                }
            }
        }
    };
    tokio::time::timeout(LOCK_PATIENCE, waiting).await.map_err(|_| {
        tracing::warn!("another program holds the lock of auth.json");
        Error::Unavailable { retry_after: Duration::from_secs(1) }
    })
}

/// The endpoint has issued `tokens` in place of those of `old`.
async fn issued(
    shared: &Shared,
    tokens: Tokens,
    snapshot: Snapshot,
    old: &Held,
) -> Result<Arc<Held>, Error> {
    let generation = old.credentials.generation() + 1;
    let Ok(new) = Held::issued(tokens.clone(), generation, now()) else {
        let retry_after = shared.fail();
        tracing::error!("the token endpoint issued a token that no header can carry");
        return Err(Error::Unavailable { retry_after });
    };
    tracing::info!("the ChatGPT login is renewed");
    Ok(save(shared, tokens, snapshot, Arc::new(new)).await)
}

/// Writes `tokens` to the file and then serves `new`, or whatever the file has come to hold.
async fn save(shared: &Shared, tokens: Tokens, snapshot: Snapshot, new: Arc<Held>) -> Arc<Held> {
    let (path, issued) = (shared.settings.auth_path.clone(), tokens.clone());
    let saved = tokio::task::spawn_blocking(move || store(&path, &issued, snapshot)).await;
    match saved.unwrap_or_else(|error| Saved::Failed(io::Error::other(error))) {
        Saved::Written => shared.serve(new, Some(tokens)),
        Saved::Theirs(found) => shared.adopt(&found).unwrap_or_else(|_| shared.serve(new, None)),
        Saved::Failed(error) => {
            if !shared.is_unsaved() {
                tracing::error!(
                    %error,
                    "the renewed login cannot be written to auth.json: it lives in memory only \
                     and is lost at the next start"
                );
            }
            shared.serve(new, None)
        }
    }
}

/// What became of an attempt to write the file.
enum Saved {
    Written,
    /// Somebody has logged in since we asked: theirs counts.
    Theirs(Box<Snapshot>),
    Failed(io::Error),
}

fn store(path: &Path, tokens: &Tokens, before: Snapshot) -> Saved {
    let mut raw: Map<String, Value> = match file::read(path) {
        Ok(found) if found.tokens.refresh != before.tokens.refresh => {
            return Saved::Theirs(Box::new(found));
        }
        Ok(found) => found.raw,
        // Logged out while we asked, or in with an API key.
        Err(Error::Missing { .. } | Error::ApiKey { .. }) => {
            return Saved::Failed(io::ErrorKind::NotFound.into());
        }
        Err(_) => before.raw,
    };
    file::merge(&mut raw, tokens);
    match file::write(path, &raw) {
        Ok(()) => Saved::Written,
        Err(error) => Saved::Failed(error),
    }
}

/// The endpoint says that the login is over. If somebody else has used the refresh token, their
/// tokens are about to be in the file.
async fn lost(
    shared: &Shared,
    reason: Reason,
    rejection: Rejection,
    held: &Held,
) -> Result<Arc<Held>, Error> {
    tokio::time::sleep(WINNER_WRITES).await;
    if let Ok((_, found)) = shared.reread().await {
        let is_new = found.credentials.generation() != held.credentials.generation();
        if is_new && (reason.is_settled(&found, true) || found.is_alive(now())) {
            return Ok(found);
        }
    }
    tracing::error!("{rejection}");
    shared.end(rejection);
    Err(Error::Rejected(rejection))
}
