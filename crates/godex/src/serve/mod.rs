//! The server: connections in, answers out. A request walks `router` → `admit` → `body` →
//! `exchange` → `relay` or `collect`; the rules it meets on the way live in `godex-core`.

mod admit;
mod answer;
mod body;
mod chat;
mod collect;
mod connections;
mod entry;
mod error;
mod exchange;
mod face;
mod health;
mod models;
mod passed;
mod relay;
mod responses;
mod rest;
mod router;
mod stall;
mod state;
mod usage;
mod watch;

use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::auth::Login;
use crate::config::Config;
use crate::limits::Now;
use crate::store::keys::Keys;
use crate::store::ledger::{Ledger, Rotation};
use crate::store::secret;
use crate::tasks::Tasks;
use crate::upstream::connect::HttpClient;
use state::App;

/// A usage log whose unread part takes a moment, in bytes.
const LARGE_LOG: u64 = 64 << 20;
/// How long background work may still run once everything else has ended.
const LAST_WORK: Duration = Duration::from_secs(1);

/// What is opened before the listener.
pub(crate) struct Parts {
    /// The way out.
    pub(crate) http: HttpClient,
    /// Who we are to the backend.
    pub(crate) login: Login,
    /// Whose requests are served.
    pub(crate) keys: Arc<Keys>,
    /// Background work.
    pub(crate) tasks: Tasks,
}

/// Serves until `shutdown` resolves and the running answers have ended, or have been cut off
/// after the drain timeout.
///
/// # Errors
///
/// When the usage log cannot be opened or the listener cannot be used.
pub(crate) async fn run(
    config: Config,
    parts: Parts,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let Parts { http, login, keys, tasks } = parts;
    let ledger = Ledger::open(&config.stats_path, Rotation::default())?;
    let secret = secret::of_installation(&config.keys_path);
    let stop = CancellationToken::new();
    let ledger_stop = CancellationToken::new();
    let drain = config.drain_timeout;
    let app = App::new(config, http, login, keys, Arc::clone(&ledger), secret, tasks.clone())
        .ok_or_else(|| io::Error::other("the backend's address cannot be used"))?;
    if app.any_quota() {
        if ledger.unread() > LARGE_LOG {
            tracing::info!(
                bytes = ledger.unread(),
                "reading the usage log to know what quotas have spent"
            );
        }
        app.admission.restore(&ledger.restore()?, Now::read());
    }
    tasks.spawn(Arc::clone(&app.keys).watch(stop.clone()));
    let keeping = tasks.spawn(Arc::clone(&ledger).run(ledger_stop.clone()));

    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    connections::serve(&app, &tasks, listener, shutdown, drain).await;
    stop.cancel();
    app.models.stop();
    ledger_stop.cancel();
    // It ends by itself; a panic in there has been reported by the panic hook.
    let _ = keeping.await;
    if tokio::time::timeout(LAST_WORK, tasks.ended()).await.is_err() {
        tracing::warn!("background work has not ended in time: it is cut off");
    }
    Ok(())
}
