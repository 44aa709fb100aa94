//! Whether a key may make one more request: its rate and its quota, checked in one step.
//!
//! This is the embedded form of the admission seam: [`Admission::admit`], [`Reservation::raise`],
//! [`Reservation::settle`] and [`Admission::state`] are all that the request path knows, none of
//! them waits, and a shared store could answer each in one round trip. Buckets are in memory only; what a quota has spent
//! comes back from the usage log through [`Admission::restore`].

pub(crate) mod headers;

use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::HashMap;
use foldhash::fast::RandomState;
use godex_core::key::KeyId;
use godex_core::policy::quota::{Balance, Meter, Quota, Spent};
use godex_core::policy::rate::{Bucket, Burst, Level, Rate};
use godex_core::usage::Usage;
use jiff::Timestamp;

use crate::clock;
use crate::store::keys::{Allowance, Key};

const SHARDS: usize = 16;
/// Tokens of `--allow-any-key` that one shard tells apart; all further ones share one bucket.
const TOKENS_PER_SHARD: usize = 4096;
/// The name of that bucket.
const OTHERS: &str = "any_others";
/// A shard looks for idle buckets when it has grown to this, and then to twice what it kept.
const FIRST_SWEEP: usize = 256;
/// A full shard looks for them no more often than this.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// One moment on both clocks: rates run on the first, quotas on the second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// For rates.
    pub(crate) monotonic: Instant,
    /// For quotas.
    pub(crate) wall: Timestamp,
}

impl Now {
    /// This moment.
    pub(crate) fn read() -> Self {
        Self { monotonic: clock::monotonic(), wall: clock::timestamp() }
    }
}

/// The limits of keys that have none of their own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults {
    /// `--rate`.
    pub(crate) rate: Rate,
    /// `--burst`.
    pub(crate) burst: Burst,
    /// `--quota-tokens`; none for zero.
    pub(crate) quota: Option<Quota>,
}

/// How a key stands: what the `x-ratelimit-*` headers and `GET /v1/usage` say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    /// Its requests.
    pub(crate) requests: Level,
    /// Its tokens, if it has a quota.
    pub(crate) tokens: Option<Balance>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Too many requests.
    Rate {
        /// After which one passes; never zero.
        wait: Duration,
        /// How the key stands.
        state: State,
    },
    /// Too many tokens: spent, or all held by requests under way ([`Balance::is_spent`]).
    Quota {
        /// The quota that is too low.
        balance: Balance,
        /// How the key stands.
        state: State,
    },
}

impl Denied {
    /// How the key stands.
    pub(crate) fn state(&self) -> &State {
        match self {
            Self::Rate { state, .. } | Self::Quota { state, .. } => state,
        }
    }
}

/// Rates and quotas of all keys.
pub(crate) struct Admission {
    defaults: Defaults,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    accounts: HashMap<KeyId, Account>,
    sweep_at: usize,
    swept: Option<Instant>,
}

struct Account {
    bucket: Bucket,
    meter: Meter,
    has_quota: bool,
}

/// The limits that hold for one key.
#[derive(Clone, Copy)]
struct Limits {
    rate: Rate,
    burst: Burst,
    quota: Option<Quota>,
}

impl Admission {
    /// Nobody has spent anything yet.
    pub(crate) fn new(defaults: Defaults) -> Arc<Self> {
        let shards = std::array::from_fn(|_| Mutex::default());
        Arc::new(Self { defaults, hasher: RandomState::default(), shards })
    }

    /// Adds what the usage log knows from before this run.
    pub(crate) fn restore(&self, spent: &std::collections::HashMap<KeyId, Spent>, now: Now) {
        let Defaults { rate, burst, quota } = self.defaults;
        for (id, spent) in spent {
            let mut shard = self.shard(self.place(id));
            shard.account(id, Limits { rate, burst, quota }, now).1.meter.restore(spent);
        }
    }

    /// Takes one request and holds `estimate` tokens.
    ///
    /// # Errors
    ///
    /// Which limit is in the way, until when, and how the key stands.
    pub(crate) fn admit(
        self: &Arc<Self>,
        key: &Key,
        estimate: u64,
        now: Now,
    ) -> Result<Reservation, Denied> {
        let limits = self.limits(key);
        let Limits { rate, burst, quota } = limits;
        let place = self.place(&key.id);
        let mut shard = self.shard(place);
        let (id, account) = shard.account(&key.id, limits, now);
        let taken = account.bucket.take(now.monotonic, rate, burst);
        let requests = match taken {
            Ok(level) => level,
            Err(refused) => {
                let tokens = quota.map(|it| account.meter.balance(it, now.wall));
                let state = State { requests: refused.level, tokens };
                return Err(Denied::Rate { wait: refused.wait, state });
            }
        };
        let held = match quota {
            None => 0,
            Some(quota) => account.meter.reserve(quota, estimate, now.wall).map_err(|balance| {
                Denied::Quota { balance, state: State { requests, tokens: Some(balance) } }
            })?,
        };
        let tokens = quota.map(|it| account.meter.balance(it, now.wall));
        let state = State { requests, tokens };
        Ok(Reservation { admission: Arc::clone(self), place, id, held, open: true, state })
    }

    /// How `key` stands, without taking anything.
    pub(crate) fn state(&self, key: &Key, now: Now) -> State {
        let limits = self.limits(key);
        let Limits { rate, burst, quota } = limits;
        let shard = self.shard(self.place(&key.id));
        let new = Account::new(limits, now);
        let account = shard.known(&key.id).unwrap_or(&new);
        State {
            requests: account.bucket.peek(now.monotonic, rate, burst),
            tokens: quota.map(|it| account.meter.balance(it, now.wall)),
        }
    }

    /// Whether a key has a quota, its own or the default.
    pub(crate) fn has_quota(&self, key: &Key) -> bool {
        self.limits(key).quota.is_some()
    }

    fn limits(&self, key: &Key) -> Limits {
        let Defaults { rate, burst, quota } = self.defaults;
        Limits {
            rate: key.limits.rate.unwrap_or(rate),
            burst: key.limits.burst.unwrap_or(burst),
            quota: match key.limits.quota {
                Allowance::Default => quota,
                Allowance::Unlimited => None,
                Allowance::Tokens(quota) => Some(quota),
            },
        }
    }

    fn place(&self, id: &KeyId) -> usize {
        usize::try_from(self.hasher.hash_one(id) % SHARDS as u64).unwrap_or(0)
    }

    fn shard(&self, place: usize) -> MutexGuard<'_, Shard> {
        let [first, ..] = &self.shards;
        let shard = self.shards.get(place).unwrap_or(first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    /// The account of `id`, and the id under which it is kept.
    fn account(&mut self, id: &KeyId, limits: Limits, now: Now) -> (KeyId, &mut Account) {
        let mut id = id.clone();
        if !self.accounts.contains_key(&id) {
            self.sweep(now);
            if id.is_token() && self.accounts.len() >= TOKENS_PER_SHARD {
                id = KeyId::from(OTHERS);
            }
        }
        let account = self.accounts.entry(id.clone()).or_insert_with(|| Account::new(limits, now));
        account.has_quota = limits.quota.is_some();
        (id, account)
    }

    fn known(&self, id: &KeyId) -> Option<&Account> {
        let full = id.is_token() && self.accounts.len() >= TOKENS_PER_SHARD;
        let others = || self.accounts.get(OTHERS).filter(|_| full);
        self.accounts.get(id).or_else(others)
    }

    /// Forgets idle tokens when there have become many.
    fn sweep(&mut self, now: Now) {
        let grown = self.accounts.len() >= self.sweep_at.max(FIRST_SWEEP);
        let full = self.accounts.len() >= TOKENS_PER_SHARD;
        let rested = |it| now.monotonic.saturating_duration_since(it) >= SWEEP_EVERY;
        if grown || (full && self.swept.is_none_or(rested)) {
            self.accounts.retain(|id, it| !(id.is_token() && it.is_idle(now)));
            self.sweep_at = 2 * self.accounts.len();
            self.swept = Some(now.monotonic);
        }
    }
}

impl Account {
    fn new(Limits { rate, burst, quota }: Limits, now: Now) -> Self {
        let bucket = Bucket::full(now.monotonic, rate, burst);
        Self { bucket, meter: Meter::default(), has_quota: quota.is_some() }
    }

    /// Whether forgetting it changes nothing.
    fn is_idle(&self, now: Now) -> bool {
        self.bucket.is_full(now.monotonic) && !self.meter.is_held() && !self.has_quota
    }
}

/// One admitted request. Dropped without being settled, it gives back the tokens it holds.
pub(crate) struct Reservation {
    admission: Arc<Admission>,
    place: usize,
    id: KeyId,
    held: u64,
    open: bool,
    state: State,
}

impl Reservation {
    /// How the key stood when the request was admitted.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Replaces the estimate by a larger one, once more is known; a smaller one changes nothing.
    ///
    /// # Errors
    ///
    /// When the quota is too low for it. What was held stays held.
    pub(crate) fn raise(&mut self, key: &Key, estimate: u64, now: Now) -> Result<(), Denied> {
        let Some(quota) = self.admission.limits(key).quota else { return Ok(()) };
        let mut shard = self.admission.shard(self.place);
        let Some(account) = shard.accounts.get_mut(&self.id) else { return Ok(()) };
        let raised = account.meter.raise(quota, self.held, estimate, now.wall);
        self.state.tokens = Some(account.meter.balance(quota, now.wall));
        self.held = raised.map_err(|balance| Denied::Quota { balance, state: self.state })?;
        Ok(())
    }

    /// Replaces the estimate by what the request cost. Only the first call counts.
    pub(crate) fn settle(&mut self, usage: &Usage, now: Timestamp) {
        let held = self.held;
        self.close(|meter| meter.settle(held, usage.billed(), now));
    }

    fn close(&mut self, last: impl FnOnce(&mut Meter)) {
        if std::mem::take(&mut self.open)
            && let Some(account) = self.admission.shard(self.place).accounts.get_mut(&self.id)
        {
            last(&mut account.meter);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let held = self.held;
        self.close(|meter| meter.release(held));
    }
}

#[cfg(test)]
mod tests;
