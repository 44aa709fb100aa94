//! What all requests share.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use godex_core::codex::catalogue::{Chosen, Names};
use godex_core::identity::Namer;
use godex_core::json;
use godex_core::session::{self, Memory};
use godex_core::translate::chat_from_responses::ReasoningMode;
use godex_core::turns::{self, Turns};

use ipnet::IpNet;
use tokio::sync::{Semaphore, SetOnce};
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::browser::Browser;
use crate::auth::Login;
use crate::config::{self, Config};
use crate::limits::{Admission, Defaults};
use crate::logging::Tail;
use crate::store::keys::Keys;
use crate::store::ledger::Ledger;
use crate::tasks::Tasks;
use crate::upstream::backend::Backend;
use crate::upstream::connect::HttpClient;
use crate::upstream::models::Models;
use crate::upstream::open::Opener;

/// How many unknown events are worth a line in the log.
const MOST_UNKNOWN: usize = 64;

/// What all requests share.
pub(super) struct App {
    /// Opens answers.
    pub(super) opener: Arc<Opener>,
    /// The account's models.
    pub(super) models: Models,
    /// The names this proxy adds to them.
    pub(super) names: Names,
    /// Names sessions and conversations.
    pub(super) namer: Namer,
    /// Whose requests are served.
    pub(super) keys: Arc<Keys>,
    /// Rates and quotas.
    pub(super) admission: Arc<Admission>,
    /// The usage log.
    pub(super) ledger: Arc<Ledger>,
    /// The login, for readiness.
    pub(super) login: Login,
    /// Whether the login may be renewed over the network.
    pub(super) may_refresh: bool,
    /// What keeps pages of strangers out.
    pub(super) browser: Browser,
    /// Networks whose word on where a request comes from is taken.
    pub(super) trusted: Vec<IpNet>,
    /// Background work.
    pub(super) tasks: Tasks,
    /// Instructions of last resort, with the escapes of a JSON string.
    pub(super) instructions: String,
    /// How reasoning shows in chat.
    pub(super) reasoning: ReasoningMode,
    /// How long a stream may be silent to its client; `None` for ever.
    pub(super) heartbeat: Option<Duration>,
    /// How long the backend may be silent.
    pub(super) idle: Duration,
    /// The largest request body in bytes.
    pub(super) max_body: usize,
    /// How many packed bodies are unpacked at once. It is work for a processor, and what comes
    /// out is held, so that the rest of the house has the other half of the processors.
    pub(super) unpacking: Arc<Semaphore>,
    /// Whether every request gets a log line.
    log_requests: bool,
    tail: Tail,
    /// What goes on, for the admin socket.
    pub(super) board: Board,
    memory: Mutex<Memory>,
    turns: Mutex<Turns>,
    unknown: Mutex<BTreeSet<String>>,
    /// What keys spent before this start is counted.
    past: SetOnce<()>,
    stand_in_noted: AtomicBool,
    draining: AtomicBool,
    cutting: AtomicBool,
    cut: CancellationToken,
}

impl App {
    /// `None` when the backend's address cannot be used.
    #[expect(clippy::too_many_arguments, reason = "each is opened before, by another room")]
    pub(super) fn new(
        config: Config,
        http: HttpClient,
        login: Login,
        keys: Arc<Keys>,
        ledger: Arc<Ledger>,
        secret: [u8; 32],
        tasks: Tasks,
        tail: Tail,
    ) -> Option<Arc<Self>> {
        let backend = Arc::new(Backend::new(&config, http, login.clone())?);
        let defaults = Defaults { rate: config.rate, burst: config.burst, quota: config.quota };
        let idle = config.upstream_idle_timeout;
        Some(Arc::new(Self {
            browser: Browser::new(&config),
            trusted: config.trusted_proxies,
            opener: Arc::new(Opener::new(Arc::clone(&backend), idle)),
            models: Models::new(backend, tasks.clone()),
            names: Names {
                default: config.model,
                aliases: config.model_aliases.into_iter().collect(),
            },
            namer: Namer::new(secret),
            keys,
            admission: Admission::new(defaults),
            ledger,
            login,
            tasks,
            may_refresh: config.allow_refresh,
            instructions: json::escape(&config.instructions).into_owned(),
            reasoning: match config.reasoning_mode {
                config::ReasoningMode::ReasoningContent => ReasoningMode::Content,
                config::ReasoningMode::Think => ReasoningMode::Think,
                config::ReasoningMode::Off => ReasoningMode::Off,
            },
            heartbeat: config.heartbeat,
            idle,
            max_body: config.max_body,
            unpacking: Arc::new(Semaphore::new(config.workers.div_ceil(2).max(1))),
            log_requests: config.logging.requests,
            tail,
            board: Board::new(),
            memory: Mutex::new(Memory::new(session::Limits::with_ttl(config.cache_ttl))),
            turns: Mutex::new(Turns::new(turns::Limits::with_ttl(config.cache_ttl))),
            unknown: Mutex::default(),
            past: SetOnce::new(),
            stand_in_noted: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            cutting: AtomicBool::new(false),
            cut: CancellationToken::new(),
        }))
    }

    /// What sessions remember. Never held across an await.
    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What requests may name of earlier ones. Never held across an await.
    pub(super) fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request that got this status gets a log line: every one does that failed, others
    /// by choice, or because somebody reads along.
    pub(super) fn logs(&self, status: u16) -> bool {
        status >= 400 || self.log_requests || self.tail.is_followed()
    }

    /// Says once that the backend has an event which nobody here knows.
    pub(super) fn note_unknown(&self, event: &str) {
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if unknown.len() < MOST_UNKNOWN && !unknown.contains(event) {
            tracing::info!(event, "the backend sent an event that godex does not know yet");
            unknown.insert(event.to_owned());
        }
    }

    /// Says once which model answers for the default.
    pub(super) fn note_stand_in(&self, chosen: &Chosen) {
        if self.stand_in_noted.swap(true, Ordering::Relaxed) {
            return;
        }
        let (default, upstream) = (&self.names.default, &chosen.upstream);
        tracing::warn!(
            "the backend does not list the default model `{default}`: `{upstream}` stands in for it"
        );
    }

    /// What keys spent before this start has been counted.
    pub(super) fn past_is_known(&self) {
        // Known already is known.
        let _ = self.past.set(());
    }

    /// Resolves when what keys spent before this start has been counted.
    pub(super) async fn past_known(&self) {
        self.past.wait().await;
    }

    /// Shutdown has begun: no new work.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether shutdown has begun.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// The drain timeout is over: running streams end now.
    pub(super) fn cut(&self) {
        self.cutting.store(true, Ordering::Release);
        self.cut.cancel();
    }

    /// Resolves when the drain timeout is over.
    pub(super) async fn cut_off(&self) {
        self.cut.cancelled().await;
    }

    /// Whether running streams must end now. Streams ask at every step: this costs nothing.
    pub(super) fn is_cutting(&self) -> bool {
        self.cutting.load(Ordering::Acquire)
    }
}
