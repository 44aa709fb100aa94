//! HTTP/1.1 connections between two requests, by the server they lead to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use foldhash::HashMap;
use http::Uri;
use http::uri::{Authority, Scheme};

use super::http1::Connection;
use super::{POOL_IDLE, POOL_IDLE_PER_HOST};
use crate::clock;

/// How often connections that nobody will use again are looked for, while there are any.
const SWEEP_EVERY: Duration = Duration::from_secs(2);

/// Where a connection leads: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin(Scheme, Authority);

impl Origin {
    /// The origin of an absolute URI.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        Some(Self(uri.scheme()?.clone(), uri.authority()?.clone()))
    }

    /// Whether it is reached over TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.0 == Scheme::HTTPS
    }
}

/// The connections. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Pool(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    /// By origin, the one used last at the end.
    idle: HashMap<Origin, VecDeque<Waiting>>,
    /// Whether somebody looks after them.
    swept: bool,
}

/// A connection, and since when it waits.
struct Waiting {
    connection: Box<Connection>,
    since: Instant,
}

impl Waiting {
    fn is_good(&mut self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < POOL_IDLE && self.connection.is_idle()
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection to `origin` that was used last, if the server has not closed it.
    pub(super) fn take(&self, origin: &Origin) -> Option<Box<Connection>> {
        let mut held = self.lock();
        let idle = held.idle.get_mut(origin)?;
        let now = clock::monotonic();
        while let Some(mut waiting) = idle.pop_back() {
            if waiting.is_good(now) {
                return Some(waiting.connection);
            }
        }
        None
    }

    /// Closes the connections to `origin`.
    pub(super) fn forget(&self, origin: &Origin) {
        let forgotten = self.lock().idle.remove(origin);
        drop(forgotten);
    }

    /// Closes all of them.
    pub(super) fn clear(&self) {
        let forgotten = std::mem::take(&mut self.lock().idle);
        drop(forgotten);
    }

    fn put(&self, origin: Origin, connection: Box<Connection>) {
        let mut held = self.lock();
        let idle = held.idle.entry(origin).or_default();
        if idle.len() == POOL_IDLE_PER_HOST {
            idle.pop_front();
        }
        idle.push_back(Waiting { connection, since: clock::monotonic() });
        if !std::mem::replace(&mut held.swept, true) {
            sweep_from_now(Arc::downgrade(&self.0));
        }
    }

    /// Closes the connections that have waited too long, and those whose server has closed them;
    /// whether none is left.
    pub(super) fn discard(&self, now: Instant) -> bool {
        let mut held = self.lock();
        held.idle.retain(|_, idle| {
            idle.retain_mut(|waiting| waiting.is_good(now));
            !idle.is_empty()
        });
        held.swept = !held.idle.is_empty();
        !held.swept
    }
}

#[expect(clippy::disallowed_methods, reason = "it ends with the pool; shutdown need not wait")]
fn sweep_from_now(pool: Weak<Mutex<Held>>) {
    tokio::spawn(sweep(pool));
}

/// Looks after the connections until none is left.
async fn sweep(pool: Weak<Mutex<Held>>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(pool) = pool.upgrade().map(Pool) else { return };
        if pool.discard(clock::monotonic()) {
            return;
        }
    }
}

/// Where a connection goes when its answer has been read.
pub(super) struct Home {
    pool: Pool,
    origin: Origin,
}

impl Home {
    /// The place of connections to `origin`.
    pub(super) fn new(pool: Pool, origin: Origin) -> Self {
        Self { pool, origin }
    }

    /// Takes back a connection that may carry another request.
    pub(super) fn welcome(self, connection: Box<Connection>) {
        self.pool.put(self.origin, connection);
    }
}
