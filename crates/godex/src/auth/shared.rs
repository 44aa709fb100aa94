//! What all clones of a login share: the identity in memory, what the file last said, and the one
//! renewal that may be under way.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::file::{self, Snapshot, Stamp, Tokens};
use super::gate::Gate;
use super::held::Held;
use super::refresh::{self, Reason};
use super::{Error, Rejection, Settings};
use crate::clock;
use crate::tasks::Tasks;
use crate::upstream::connect::HttpClient;

/// How long a change of the file may go unnoticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often tokens that could not be written are tried again.
const SAVE_EVERY: Duration = Duration::from_mins(1);

type Outcome = Result<Arc<Held>, Error>;

/// A renewal under way: nothing until it is over.
type Flight = watch::Receiver<Option<Outcome>>;

pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) http: HttpClient,
    tasks: Tasks,
    opened: Instant,
    /// When the file was last looked at, in milliseconds since `opened`.
    looked: AtomicU64,
    held: ArcSwap<Held>,
    disk: Mutex<Disk>,
    flight: Mutex<Option<Flight>>,
}

/// What we know of the file and of the endpoint. Writers of `held` hold this.
struct Disk {
    /// The state of the file that was read last; nothing after a write of ours.
    seen: Option<Stamp>,
    /// What that state says.
    tokens: Tokens,
    /// When to try again to write the tokens that only memory has.
    unsaved: Option<Instant>,
    gate: Gate,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Reads the file. Blocks the thread for a moment.
    ///
    /// # Errors
    ///
    /// When there is no login in it.
    pub(super) fn open(settings: Settings, http: HttpClient, tasks: Tasks) -> Result<Self, Error> {
        let snapshot = file::read(&settings.auth_path)?;
        let held = held(&settings, snapshot.tokens.clone(), 1)?;
        let disk = Disk {
            seen: Some(snapshot.stamp),
            tokens: snapshot.tokens,
            unsaved: None,
            gate: Gate::default(),
        };
        Ok(Self {
            settings,
            http,
            tasks,
            opened: clock::monotonic(),
            looked: AtomicU64::new(0),
            held: ArcSwap::from_pointee(held),
            disk: Mutex::new(disk),
            flight: Mutex::new(None),
        })
    }

    pub(super) fn held(&self) -> Arc<Held> {
        self.held.load_full()
    }

    /// Notices, at most once a second, that somebody else has written the file.
    pub(super) async fn look(self: &Arc<Self>) {
        let now = clock::monotonic();
        if !self.is_time_to_look(now) {
            return;
        }
        let stamp = file::stamp(&self.settings.auth_path);
        let (changed, unsaved) = {
            let disk = lock(&self.disk);
            (stamp.is_some() && stamp != disk.seen, disk.unsaved.is_some_and(|at| at <= now))
        };
        if changed && let Err(error) = self.reread().await {
            if let Error::Rejected(rejection) = error {
                tracing::error!("{rejection}");
            } else {
                let what = "auth.json has changed but cannot be used: keeping the last login";
                tracing::error!(%error, "{what}");
            }
            lock(&self.disk).seen = stamp;
        }
        if unsaved {
            drop(self.join(Reason::Unsaved));
        }
    }

    fn is_time_to_look(&self, now: Instant) -> bool {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let now = millis(now.saturating_duration_since(self.opened));
        let last = self.looked.load(Ordering::Relaxed);
        now >= last.saturating_add(millis(LOOK_EVERY))
            && self.looked.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Reads the file and serves what is new in it.
    ///
    /// # Errors
    ///
    /// When the file holds no login; the one in memory stays, unless somebody has put an API key
    /// in its place.
    pub(super) async fn reread(&self) -> Result<(Snapshot, Arc<Held>), Error> {
        let path = self.settings.auth_path.clone();
        let snapshot =
            tokio::task::spawn_blocking(move || file::read(&path)).await.map_err(|error| {
                Error::Unreadable {
                    path: self.settings.auth_path.clone(),
                    reason: error.to_string(),
                }
            })?;
        let snapshot = match snapshot {
            Err(Error::ApiKey { .. }) => {
                self.end(Rejection::ApiKey);
                // Whatever comes next is news, even the file of before.
                lock(&self.disk).seen = None;
                return Err(Error::Rejected(Rejection::ApiKey));
            }
            other => other?,
        };
        let held = self.adopt(&snapshot)?;
        Ok((snapshot, held))
    }

    /// Serves what `snapshot` says, if the file has not said it before.
    ///
    /// # Errors
    ///
    /// When no header can carry it.
    pub(super) fn adopt(&self, snapshot: &Snapshot) -> Result<Arc<Held>, Error> {
        let mut disk = lock(&self.disk);
        let old = self.held();
        if disk.seen != Some(snapshot.stamp) {
            disk.seen = Some(snapshot.stamp);
            disk.gate.doubt();
        }
        if disk.tokens == snapshot.tokens {
            // Possibly older than what we hold, if ours could not be written.
            return Ok(old);
        }
        let generation = old.credentials.generation();
        let mut new = held(&self.settings, snapshot.tokens.clone(), generation)?;
        disk.tokens = snapshot.tokens.clone();
        disk.unsaved = None;
        disk.gate = Gate::default();
        if !new.credentials.is_same(&old.credentials) {
            new.credentials.generation += 1;
            tracing::info!("auth.json holds a new login");
        }
        let new = Arc::new(new);
        self.held.store(Arc::clone(&new));
        Ok(new)
    }

    /// Serves `new`, which the file holds as `written` or not at all.
    pub(super) fn serve(&self, new: Arc<Held>, written: Option<Tokens>) -> Arc<Held> {
        let mut disk = lock(&self.disk);
        disk.gate = Gate::default();
        disk.unsaved = written.is_none().then(|| clock::monotonic() + SAVE_EVERY);
        if let Some(tokens) = written {
            disk.tokens = tokens;
            disk.seen = None;
        }
        self.held.store(Arc::clone(&new));
        new
    }

    /// Whether the tokens in memory are newer than those in the file.
    pub(super) fn is_unsaved(&self) -> bool {
        lock(&self.disk).unsaved.is_some()
    }

    /// Passes when the endpoint may be asked.
    ///
    /// # Errors
    ///
    /// As [`Gate::pass`].
    pub(super) fn may_ask_now(&self) -> Result<(), Error> {
        lock(&self.disk).gate.pass(clock::monotonic())
    }

    /// The endpoint failed; returns how long it is left alone.
    pub(super) fn fail(&self) -> Duration {
        lock(&self.disk).gate.fail(clock::monotonic())
    }

    /// Leaves the endpoint alone for a moment, however many ask for that at once.
    pub(super) fn pause(&self) {
        let (mut disk, now) = (lock(&self.disk), clock::monotonic());
        if disk.gate.pass(now).is_ok() {
            let _ = disk.gate.fail(now);
        }
    }

    /// The login is over until the file changes.
    pub(super) fn end(&self, rejection: Rejection) {
        lock(&self.disk).gate.end(rejection);
    }

    /// Why the login is over, if it is.
    pub(super) fn ended(&self) -> Option<Rejection> {
        lock(&self.disk).gate.ended()
    }

    /// Joins the renewal under way, or starts one. It runs to its end whoever stops waiting: a
    /// refresh token that was sent and whose answer is not written down is lost.
    pub(super) fn join(self: &Arc<Self>, reason: Reason) -> impl Future<Output = Outcome> + use<> {
        let mut flight = lock(&self.flight);
        let mut waiting = match flight.as_ref() {
            Some(under_way) if is_under_way(under_way) => under_way.clone(),
            Some(_) | None => {
                let (done, waiting) = watch::channel(None);
                let shared = Arc::clone(self);
                self.tasks.spawn(async move {
                    let outcome = refresh::run(&shared, reason).await;
                    done.send_replace(Some(outcome));
                });
                *flight = Some(waiting.clone());
                waiting
            }
        };
        async move {
            let crashed = Error::Unavailable { retry_after: Duration::from_secs(1) };
            match waiting.wait_for(Option::is_some).await {
                Ok(outcome) => outcome.clone().unwrap_or(Err(crashed)),
                Err(_) => Err(crashed),
            }
        }
    }
}

fn is_under_way(flight: &Flight) -> bool {
    flight.has_changed().is_ok() && flight.borrow().is_none()
}

fn held(settings: &Settings, tokens: Tokens, generation: u64) -> Result<Held, Error> {
    Held::new(tokens, generation).map_err(|_| Error::Malformed {
        path: settings.auth_path.clone(),
        reason: "its token has characters that no header can carry",
    })
}
