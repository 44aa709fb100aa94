//! The server: connections in, answers out. A request walks `router` → `admit` → `body` →
//! `exchange` → `relay` or `collect`; the rules it meets on the way live in `godex-core`.

mod admin;
mod admit;
mod answer;
mod board;
mod body;
mod browser;
mod chat;
mod collect;
mod connections;
mod encoding;
mod entry;
mod error;
mod exchange;
mod face;
mod health;
mod models;
mod openapi;
mod passed;
mod relay;
mod remote;
mod responses;
mod rest;
mod router;
mod stall;
mod state;
pub(crate) mod tls;
mod unreadable;
mod usage;
mod watch;

use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::auth::Login;
use crate::config::{Admission, Config, socket_name};
use crate::limits::Now;
use crate::logging::Tail;
use crate::store::keys::Keys;
use crate::store::ledger::Ledger;
use crate::store::secret;
use crate::tasks::Tasks;
use crate::upstream::connect::HttpClient;
pub(crate) use admin::Socket;
use connections::Door;
use state::App;
use tls::Tls;

/// A usage log whose unread part takes a moment, in bytes.
const LARGE_LOG: u64 = 64 << 20;
/// How long background work may still run once everything else has ended: a renewal of the
/// login must not be cut off, its refresh token is good for one use only.
const LAST_WORK: Duration = Duration::from_secs(35);

/// What is opened before the listener.
pub(crate) struct Parts {
    /// The way out.
    pub(crate) http: HttpClient,
    /// Who we are to the backend.
    pub(crate) login: Login,
    /// Whose requests are served.
    pub(crate) keys: Arc<Keys>,
    /// Where usage is written down.
    pub(crate) ledger: Arc<Ledger>,
    /// The certificate, if connections shall be private.
    pub(crate) tls: Option<Arc<Tls>>,
    /// Asks for keys and certificate to be read again.
    pub(crate) reload: Arc<Notify>,
    /// Background work.
    pub(crate) tasks: Tasks,
    /// What was logged lately.
    pub(crate) tail: Tail,
}

/// Serves until `shutdown` resolves and the running answers have ended, or have been cut off
/// after the drain timeout.
///
/// # Errors
///
/// When the listener cannot be used.
pub(crate) async fn run(
    config: Config,
    parts: Parts,
    socket: Option<Socket>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let Parts { http, login, keys, ledger, tls, reload, tasks, tail } = parts;
    let listen = listener.local_addr()?;
    let about = admin::About {
        listen: listen.to_string(),
        backend: config.base_url.to_string(),
        mock: config.mock,
        tls: config.tls.is_some(),
        access: match &config.admission {
            Admission::Anyone => "any",
            Admission::Keys { shared: Some(_) } => "shared",
            Admission::Keys { shared: None } => "managed",
        },
        keys_path: std::path::absolute(&config.keys_path)?,
    };
    let secret = secret::of_installation(&config.keys_path);
    let stop = CancellationToken::new();
    let ledger_stop = CancellationToken::new();
    let (drain, most) = (config.drain_timeout, config.max_connections);
    let app = App::new(
        config,
        http,
        login,
        keys,
        Arc::clone(&ledger),
        secret,
        tasks.clone(),
        tail.clone(),
    )
    .ok_or_else(|| io::Error::other("the backend's address cannot be used"))?;
    restore(&app, &tasks);
    tasks.spawn(stop.clone().run_until_cancelled_owned(warn_of_aliases(Arc::clone(&app))));
    let memory = Arc::clone(&app);
    // A key that was revoked leaves nothing behind.
    let forget = move |keys: &Keys| {
        memory.memory().forget_unless(|id| keys.knows(id));
        memory.turns().forget_unless(|id| keys.knows(id));
    };
    tasks.spawn(Arc::clone(&app.keys).watch(stop.clone(), forget));
    let again = read_again(Arc::clone(&app), tls.clone(), reload);
    tasks.spawn(stop.clone().run_until_cancelled_owned(again));
    let keeping = tasks.spawn(Arc::clone(&ledger).run(ledger_stop.clone()));

    if let Some(socket) = socket {
        let serving = socket.serve(Arc::clone(&app), about, tail, tasks.clone(), stop.clone());
        tasks.spawn(serving);
    }
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let door = Door { most, tls };
    connections::serve(&app, &tasks, listener, door, shutdown, drain).await;
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

/// Opens the admin socket of the proxy on `port`. Nobody is refused an answer because there is
/// none.
pub(crate) fn open_socket(config: &Config, port: u16) -> Option<Socket> {
    let path = config.socket_folder.as_ref()?.join(socket_name(port));
    Socket::open(&path)
        .inspect_err(|error| {
            tracing::warn!(
                "cannot open `{}` ({error}): godex status, logs and top will not find this proxy",
                path.display()
            );
        })
        .ok()
}

/// Reads the keys and the certificate again whenever it is asked for. What cannot be read
/// leaves the last good ones in use.
async fn read_again(app: Arc<App>, tls: Option<Arc<Tls>>, asked: Arc<Notify>) {
    loop {
        asked.notified().await;
        let (app, tls) = (Arc::clone(&app), tls.clone());
        let reading = move || {
            tracing::info!(
                "keys{} are read again",
                if tls.is_some() { " and certificate" } else { "" }
            );
            if app.keys.look() {
                app.memory().forget_unless(|id| app.keys.knows(id));
                app.turns().forget_unless(|id| app.keys.knows(id));
            }
            if let Some(Err(error)) = tls.as_ref().map(|tls| tls.reload()) {
                tracing::error!("{error}; the last good certificate stays in use");
            }
            let what = if tls.is_some() { "keys and certificate" } else { "keys" };
            tracing::info!("{what} have been looked at again");
        };
        // A panic in there has been reported by the panic hook.
        let _ = tokio::task::spawn_blocking(reading).await;
    }
}

/// Says which aliases stand for nothing, once the account's models are known.
async fn warn_of_aliases(app: Arc<App>) {
    let models = app.models.settled().await;
    for (alias, _) in &app.names.aliases {
        if let Some(target) = models.dead_end(&app.names, alias) {
            tracing::warn!(
                "the alias `{alias}` stands for `{target}`, which the account does not have: \
                 requests for it are refused"
            );
        }
    }
}

/// Adds what the usage log knows of the past to what keys have spent, while requests are served:
/// only those whose key has a quota wait for it.
fn restore(app: &Arc<App>, tasks: &Tasks) {
    let app = Arc::clone(app);
    tasks.spawn(async move {
        let reading = Arc::clone(&app);
        let restoring = tokio::task::spawn_blocking(move || {
            let unread = reading.ledger.unread();
            if unread > LARGE_LOG {
                tracing::info!(bytes = unread, "reading the usage log to know what keys have spent");
            }
            reading.admission.restore(&reading.ledger.restore()?, Now::read());
            Ok::<_, io::Error>(())
        });
        // A panic in there has been reported by the panic hook.
        if let Ok(Err(error)) = restoring.await {
            tracing::error!(
                "cannot read the usage log: {error}; what keys spent before this start is not counted"
            );
        }
        app.past_is_known();
    });
}
