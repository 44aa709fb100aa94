//! The managed keys: a file of hashes that commands change and a running proxy follows.
//!
//! `record` is the file and how it changes; `Keys` is what the request path asks. A change is
//! made under a lock, on what the file then says, and replaces the file as a whole. The proxy
//! looks at the file twice a second while requests come, and before the first one that comes after
//! a pause; what it cannot read it reports, and keeps the last good keys.

pub(crate) mod record;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use foldhash::{HashMap, HashMapExt};
use godex_core::key::{ApiKey, KeyHash, KeyId};
use godex_core::policy::quota::Quota;
use godex_core::policy::rate::{Burst, Rate};
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::record::Records;
use crate::clock;

/// A file that is gone must stay gone this many looks, so that an editor's save is no revocation.
const LOOKS_UNTIL_GONE: u32 = 2;
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After this many looks between which nobody has come, the next is not before somebody comes.
const LOOKS_UNTIL_REST: u32 = 4;

/// Why the keys cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file system refuses.
    #[error("cannot {doing} the key file `{}`", path.display())]
    File {
        /// Like `read` or `write`.
        doing: &'static str,
        /// The key file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// The file has no keys in it, or keys with impossible values.
    #[error("the key file `{}` is damaged: {why}", path.display())]
    Damaged {
        /// The key file.
        path: PathBuf,
        /// Where and how.
        why: String,
    },
    /// The file has a form that this version does not know.
    #[error("the key file `{}` has version {version}, written by a newer godex", path.display())]
    TooNew {
        /// The key file.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
}

impl Error {
    /// What to do about it, a line each.
    pub(crate) fn help(&self) -> Vec<String> {
        match self {
            Self::File { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                vec!["free some space on the disk of the key file".to_owned()]
            }
            Self::File { .. } => {
                vec!["check that you own it, or name another file with --keys-path".to_owned()]
            }
            Self::Damaged { path, .. } => {
                let path = path.display();
                vec![
                    "repair it or restore it from a backup".to_owned(),
                    format!("or start without keys: mv '{path}' '{path}.damaged'"),
                ]
            }
            Self::TooNew { .. } => {
                vec!["update godex, or name another file with --keys-path".to_owned()]
            }
        }
    }
}

/// A key as the request path knows it: who pays, and with which limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// Its public name.
    pub(crate) id: KeyId,
    /// What its owner calls it.
    pub(crate) label: Arc<str>,
    /// Its own limits.
    pub(crate) limits: Limits,
    /// The models it may ask for; all if none.
    pub(crate) models: Option<Vec<String>>,
}

/// Limits of one key. What is not set is up to the proxy's flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Limits {
    /// Requests per time.
    pub(crate) rate: Option<Rate>,
    /// Requests at once.
    pub(crate) burst: Option<Burst>,
    /// Tokens.
    pub(crate) quota: Allowance,
}

/// How many tokens a key may spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Allowance {
    /// What the proxy's flags say.
    #[default]
    Default,
    /// No quota, whatever the flags say.
    Unlimited,
    /// A quota of its own.
    Tokens(Quota),
}

impl Key {
    fn plain(id: KeyId) -> Self {
        Self { id, label: "".into(), limits: Limits::default(), models: None }
    }

    /// Whether this key may ask for `model`.
    pub(crate) fn allows(&self, model: &str) -> bool {
        self.models.as_ref().is_none_or(|all| all.iter().any(|it| it == model))
    }
}

/// Who is let in besides the managed keys.
pub(crate) enum Others {
    /// Nobody.
    Nobody,
    /// Whoever presents this key.
    Shared(KeyHash, Arc<Key>),
    /// Whoever presents anything.
    Anyone,
}

impl Others {
    /// Whoever presents the key given with `--api-key`.
    pub(crate) fn shared(key: &ApiKey) -> Self {
        Self::Shared(key.hash(), Arc::new(Key::plain(KeyId::fixed())))
    }
}

/// The keys that are valid now.
pub(crate) struct Keys {
    path: PathBuf,
    others: Others,
    managed: ArcSwap<Managed>,
    seen: Mutex<Seen>,
    /// Somebody has come since the last look.
    came: AtomicBool,
    /// Nobody looks at the file: whoever comes does first.
    resting: AtomicBool,
    woken: Notify,
}

/// What a secret opens, by its hash.
#[derive(Default)]
struct Managed {
    secrets: HashMap<KeyHash, Secret>,
}

struct Secret {
    key: Arc<Key>,
    until: Option<Timestamp>,
}

/// What the file looked like when it was last read.
#[derive(Default)]
struct Seen {
    mark: Option<Mark>,
    looks_without: u32,
    /// The keys are other ones since the watch went to rest, which has still to tell.
    untold: bool,
}

/// Changes whenever the file is replaced or written.
type Mark = (u64, u64, u64, [i64; 4]);

impl Keys {
    /// Reads the keys. A file that does not exist has none.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is damaged.
    pub(crate) fn open(path: &Path, others: Others) -> Result<Arc<Self>, Error> {
        let mark = mark(path);
        let managed = Managed::of(&Records::read(path)?);
        Ok(Arc::new(Self {
            path: path.to_owned(),
            others,
            managed: ArcSwap::from_pointee(managed),
            seen: Mutex::new(Seen { mark, ..Seen::default() }),
            came: AtomicBool::new(false),
            resting: AtomicBool::new(false),
            woken: Notify::new(),
        }))
    }

    /// The key that a presented secret opens, if any. Unknown, revoked and expired look alike.
    pub(crate) fn resolve(&self, presented: &KeyHash, now: Timestamp) -> Option<Arc<Key>> {
        self.attend();
        let managed = self.managed.load();
        let found = managed.secrets.get(presented);
        if let Some(secret) = found.filter(|it| it.until.is_none_or(|until| now < until)) {
            return Some(Arc::clone(&secret.key));
        }
        match &self.others {
            Others::Nobody => None,
            Others::Shared(hash, key) => (hash == presented).then(|| Arc::clone(key)),
            Others::Anyone => Some(Arc::new(Key::plain(KeyId::of_token(presented)))),
        }
    }

    /// Whether nobody at all is let in.
    pub(crate) fn is_empty(&self, now: Timestamp) -> bool {
        matches!(self.others, Others::Nobody) && self.active(now) == 0
    }

    /// How many managed keys open the door now.
    pub(crate) fn active(&self, now: Timestamp) -> usize {
        let managed = self.managed.load();
        let valid = managed.secrets.values().filter(|it| it.until.is_none_or(|until| now < until));
        valid.map(|it| &it.key.id).collect::<std::collections::HashSet<_>>().len()
    }

    /// Whether a request may still be paid by this key. Tokens of `--allow-any-key` always may.
    pub(crate) fn knows(&self, id: &KeyId) -> bool {
        let shared = matches!(&self.others, Others::Shared(_, key) if key.id == *id);
        shared || id.is_token() || self.managed.load().secrets.values().any(|it| it.key.id == *id)
    }

    /// Follows the file until `stop`; tells of every change.
    pub(crate) async fn watch(self: Arc<Self>, stop: CancellationToken, changed: impl Fn(&Self)) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut quiet = 0;
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let keys = Arc::clone(&self);
            // A panic in there has been reported by the panic hook; the next look tries again.
            if tokio::task::spawn_blocking(move || keys.look()).await.unwrap_or_default() {
                changed(&self);
            }
            quiet = if self.came.swap(false, Ordering::Relaxed) { 0 } else { quiet + 1 };
            if quiet < LOOKS_UNTIL_REST || self.seen().looks_without > 0 {
                continue;
            }
            self.resting.store(true, Ordering::Release);
            if stop.run_until_cancelled(self.woken.notified()).await.is_some()
                && std::mem::take(&mut self.seen().untold)
            {
                changed(&self);
            }
            quiet = 0;
            ticks.reset();
        }
    }

    /// Somebody comes, for whom the file counts as it is: looks at it if nobody else does.
    pub(crate) fn attend(&self) {
        self.came.store(true, Ordering::Relaxed);
        if self.resting.load(Ordering::Acquire) {
            let mut seen = self.seen();
            // Others who come meanwhile wait for the look of the first.
            if self.resting.load(Ordering::Acquire) {
                seen.untold |= self.look_past(&mut seen);
                self.resting.store(false, Ordering::Release);
                self.woken.notify_one();
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file if it has changed since the last look. Whether the keys are other ones now.
    pub(crate) fn look(&self) -> bool {
        self.look_past(&mut self.seen())
    }

    fn look_past(&self, seen: &mut Seen) -> bool {
        let mark = mark(&self.path);
        if mark == seen.mark {
            seen.looks_without = 0;
            return false;
        }
        if mark.is_none() {
            seen.looks_without += 1;
            if seen.looks_without < LOOKS_UNTIL_GONE {
                return false;
            }
        }
        (seen.mark, seen.looks_without) = (mark, 0);
        match Records::read(&self.path) {
            Ok(records) => {
                self.managed.store(Arc::new(Managed::of(&records)));
                let active = self.active(clock::timestamp());
                tracing::info!(active, "the keys have changed: {active} are active");
                true
            }
            Err(error) => {
                let why = std::error::Error::source(&error).map(ToString::to_string);
                let why = why.map(|it| format!(": {it}")).unwrap_or_default();
                tracing::error!("{error}{why}; the last good keys stay valid");
                false
            }
        }
    }
}

impl Managed {
    fn of(records: &Records) -> Self {
        let mut secrets = HashMap::new();
        for record in records.keys.iter().filter(|it| it.revoked_at.is_none()) {
            let key = Arc::new(record.key());
            let until = record.expires_at;
            secrets.insert(record.hash, Secret { key: Arc::clone(&key), until });
            for old in &record.previous {
                let until = Some(until.map_or(old.until, |it| it.min(old.until)));
                secrets.insert(old.hash, Secret { key: Arc::clone(&key), until });
            }
        }
        Self { secrets }
    }
}

fn mark(path: &Path) -> Option<Mark> {
    use std::os::unix::fs::MetadataExt;
    let it = std::fs::metadata(path).ok()?;
    let times = [it.mtime(), it.mtime_nsec(), it.ctime(), it.ctime_nsec()];
    Some((it.dev(), it.ino(), it.size(), times))
}

#[cfg(test)]
mod tests;
