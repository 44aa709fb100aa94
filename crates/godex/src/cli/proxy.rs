//! `godex proxy`: settings are settled, the login, the keys, the port and the usage log are checked
//! in this order, and only what is ready is announced.

mod banner;
pub(super) mod simulated;

use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgMatches, Subcommand};
use sd_notify::NotifyState;

use self::banner::Ready;
use self::simulated::{Folder, Simulated};
use super::listener::{bind, raise_file_limit};
use super::report::{Exit, Failure};
use super::signals::Signals;
use super::talk::with_terminal;
use super::ways::Ways;
use super::{keys, settings, usage};
use crate::auth::{self, Login};
use crate::clock;
use crate::config::{Admission, Config, File, LogFormat, ProxyArgs, Surroundings, TlsFiles};
use crate::logging::{self, Tail};
use crate::serve::tls::Tls;
use crate::serve::{self, Parts};
use crate::store::keys::{Keys, Others};
use crate::store::ledger::{Ledger, Rotation};
use crate::tasks::Tasks;
use crate::upstream::connect::{self, HttpClient};

/// `godex proxy`.
#[derive(Debug, clap::Args)]
#[command(after_help = VARIABLES)]
pub(super) struct Args {
    #[command(flatten)]
    flags: ProxyArgs,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    Keys(keys::Args),
    Usage(usage::Args),
}

/// Where the variables without a flag are.
const VARIABLES: &str = "Variables that have no flag: godex help environment";

/// How long a second signal leaves to what is still running.
const LAST_MOMENTS: Duration = Duration::from_millis(500);

/// Serves until a signal, or does what the subcommand says.
///
/// # Errors
///
/// When something is missing to serve, or serving fails.
pub(super) fn run(
    args: Args,
    matches: &ArgMatches,
    file: Option<&File>,
    surroundings: &Surroundings,
) -> Result<Exit, Failure> {
    let own = matches.subcommand_matches("proxy").unwrap_or(matches);
    let mut flags = args.flags;
    if let Some(action) = args.action {
        return act(action, &flags, own, surroundings);
    }
    flags.prefer_closer_key(own);
    // The simulator's files are its own, and gone with it.
    let folder = flags.mock().then(|| Folder::create(surroundings)).transpose()?;
    let surroundings = match &folder {
        Some(folder) => &surroundings.with_codex_folder(folder.path()),
        None => surroundings,
    };
    let config = flags
        .resolve(surroundings, &mut io::stdin().lock())
        .map_err(|error| settings::refused(&error))?;
    let tail = logging::start(config.logging, surroundings);
    if let Some(warning) = file.and_then(settings::exposed) {
        tracing::warn!("{warning}");
    }
    let runtime = runtime(config.workers)?;
    let ways = Ways::new(own);
    let outcome = runtime.block_on(start(config, &ways, folder.as_ref(), surroundings, tail));
    runtime.shutdown_timeout(LAST_MOMENTS);
    outcome.map(|()| Exit::Success)
}

/// The settings of a proxy that somebody else will start with these arguments; what it would refuse
/// is refused.
///
/// # Errors
///
/// When a setting cannot be used, or a subcommand is meant.
pub(super) fn settle(
    args: Args,
    matches: &ArgMatches,
    surroundings: &Surroundings,
) -> Result<Config, Failure> {
    let mut flags = args.flags;
    if args.action.is_some() {
        let what = "a service runs godex proxy itself, not one of its subcommands";
        return Err(Failure::new(Exit::Usage, what).help("leave the subcommand out"));
    }
    flags.prefer_closer_key(matches.subcommand_matches("proxy").unwrap_or(matches));
    // Nobody is there to type a key.
    let config = flags.resolve(surroundings, &mut io::empty());
    let config = config.map_err(|error| settings::refused(&error))?;
    if let Some(TlsFiles { cert, key }) = &config.tls {
        // A service begins in the home folder.
        let there = |path| surroundings.in_home("").unwrap_or_default().join(path);
        open_tls(&TlsFiles { cert: there(cert), key: there(key) })?;
    }
    Ok(config)
}

/// Does what the subcommand says, with the files that the flags name.
fn act(
    action: Action,
    flags: &ProxyArgs,
    matches: &ArgMatches,
    surroundings: &Surroundings,
) -> Result<Exit, Failure> {
    if let Some(flag) = ProxyArgs::serving_flag(matches) {
        let what = format!("{flag} is a flag of the proxy itself, not of its subcommands");
        return Err(Failure::new(Exit::Usage, what).help("leave it out"));
    }
    let keys = flags.keys_path(surroundings).map_err(|error| settings::refused(&error))?;
    let given = Ways::new(matches).with("", &["keys_path"]);
    let keys = keys::World { path: &keys, given: &given };
    with_terminal(surroundings, |talk| match action {
        Action::Keys(args) => keys::run(args, &keys, talk),
        Action::Usage(args) => {
            let log = flags.stats_path(surroundings).map_err(|error| settings::refused(&error))?;
            let world = usage::World { keys, log: &log, quota: flags.quota() };
            usage::run(args, world, talk)
        }
    })
}

/// The threads that serve requests.
///
/// # Errors
///
/// When the system has no more of them.
pub(super) fn runtime(workers: usize) -> Result<tokio::runtime::Runtime, Failure> {
    // More threads than processors only take turns, and wait for each other's locks.
    let workers =
        std::thread::available_parallelism().map_or(workers, |most| workers.min(most.get()));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    runtime.map_err(|error| {
        Failure::new(Exit::Failure, "cannot start the threads that serve requests")
            .cause(error.to_string())
    })
}

/// From settings to a server, and on until it ends.
async fn start(
    mut config: Config,
    ways: &Ways<'_>,
    folder: Option<&Folder>,
    surroundings: &Surroundings,
    tail: Tail,
) -> Result<(), Failure> {
    let simulated = match folder {
        Some(folder) => Some(Simulated::start(&mut config, folder).await?),
        None => None,
    };
    let tasks = Tasks::default();
    let (parts, listener) = open(&config, ways, surroundings, &tasks, tail)?;
    let address = listener.local_addr().unwrap_or(config.listen);
    let mut signals = Signals::listen()?;
    let socket = serve::open_socket(&config, address.port());
    let keys = ways.with("", &["keys_path"]);
    let ready = Ready { login: &parts.login.status(), keys: &keys, address };
    announce(&config, &ready, simulated.as_ref(), surroundings);
    warn_of_login(&config, &ready, ways);
    // Without a service manager there is nobody to tell.
    let _ = sd_notify::notify(&[NotifyState::Ready]);

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async {
        // Whether it is sent or dropped, it means: stop.
        let _ = stopped.await;
    };
    let reload = Arc::clone(&parts.reload);
    let serving = serve(config, parts, socket, listener, shutdown);
    tokio::pin!(serving);
    tokio::select! {
        outcome = &mut serving => return outcome,
        () = signals.stop(|| reload.notify_one()) => {}
    }
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    tracing::info!("stopping: running requests may finish; a second signal ends them");
    let _ = stop.send(());
    tokio::select! {
        outcome = serving => outcome,
        () = signals.stop(|| ()) => {
            Err(Failure::new(Exit::Failure, "stopped by a second signal, running requests were cut"))
        }
    }
}

/// Says from the start that requests will be refused.
fn warn_of_login(config: &Config, ready: &Ready<'_>, ways: &Ways<'_>) {
    if !ready.login.is_over(clock::unix_seconds()) {
        return;
    }
    let (why, how) = if config.allow_refresh {
        ("it has no refresh token", "")
    } else {
        ("--allow-refresh is off", "start with --allow-refresh, or ")
    };
    let login = ways.with("godex login", &["auth_path"]);
    tracing::warn!(
        "the access token has expired and {why}, so the backend will refuse requests: \
         {how}sign in again with {login} or codex login"
    );
}

/// The way to the backend: to that of this process, no proxy is in between.
pub(super) fn way_out(config: &Config) -> HttpClient {
    if config.mock {
        connect::direct_client(config.connect_timeout)
    } else {
        connect::client(config.connect_timeout)
    }
}

/// Opens what serving needs, and the port. What is made for the first time comes last, so that a
/// refusal leaves nothing behind.
fn open(
    config: &Config,
    ways: &Ways<'_>,
    surroundings: &Surroundings,
    tasks: &Tasks,
    tail: Tail,
) -> Result<(Parts, TcpListener), Failure> {
    let http = way_out(config);
    let settings = auth::Settings {
        auth_path: config.auth_path.clone(),
        allow_refresh: config.allow_refresh,
        token_url: config.token_url.uri().clone(),
        user_agent: config.user_agent.clone(),
        originator: config.originator.clone(),
    };
    let login = Login::open(settings, http.clone(), tasks.clone())
        .map_err(|error| settings::no_login(&error, &ways.with("", &["auth_path"])))?;
    let keys = open_keys(config, ways)?;
    let tls = config.tls.as_ref().map(open_tls).transpose()?;
    raise_file_limit();
    let listener = bind(config.listen, surroundings)?;
    let ledger = open_ledger(config)?;
    let (reload, tasks) = (Arc::default(), tasks.clone());
    Ok((Parts { http, login, keys, ledger, tls, reload, tasks, tail }, listener))
}

/// The certificate of the listener.
fn open_tls(files: &TlsFiles) -> Result<Arc<Tls>, Failure> {
    Tls::open(&files.cert, &files.key).map(Arc::new).map_err(|error| {
        let failure = Failure::new(Exit::Config, error.to_string()).help(settings::TLS_FILES);
        match std::error::Error::source(&error) {
            Some(cause) => failure.cause(cause.to_string()),
            None => failure,
        }
    })
}

/// Where usage is written down.
fn open_ledger(config: &Config) -> Result<Arc<Ledger>, Failure> {
    let rotation =
        Rotation { max_bytes: config.stats_max_bytes, max_backups: config.stats_max_backups };
    Ledger::open(&config.stats_path, rotation).map_err(|error| {
        let path = config.stats_path.display();
        Failure::new(Exit::Config, format!("the usage log {path} cannot be written"))
            .cause(error.to_string())
            .help("name another file       godex proxy --stats-path ~/godex-usage.jsonl")
            .help("or keep none            godex proxy --stats-path /dev/null")
    })
}

/// Whose requests are served; nobody's is a refusal to start.
fn open_keys(config: &Config, ways: &Ways<'_>) -> Result<Arc<Keys>, Failure> {
    let others = match &config.admission {
        Admission::Anyone => Others::Anyone,
        Admission::Keys { shared: Some(key) } => Others::shared(key),
        Admission::Keys { shared: None } => Others::Nobody,
    };
    let keys = Keys::open(&config.keys_path, others).map_err(|error| {
        let failure = Failure::new(Exit::Config, error.to_string());
        let failure = error.help().into_iter().fold(failure, Failure::help);
        match std::error::Error::source(&error) {
            Some(cause) => failure.cause(cause.to_string()),
            None => failure,
        }
    })?;
    if keys.is_empty(clock::timestamp()) {
        let served = |words| ways.with(words, &["listen", "auth_path"]);
        let remedies = [
            (
                ways.with("godex proxy keys add --label my-laptop", &["keys_path"]),
                "stored hashed; shown once",
            ),
            (served("godex proxy --api-key local-dev-key"), "one shared key"),
            (served("godex proxy --allow-any-key"), "loopback only, development"),
        ];
        let width = remedies.iter().map(|it| it.0.len()).max().unwrap_or_default();
        let what = "no API key is configured, so every request would be refused";
        return Err(remedies
            .iter()
            .fold(Failure::new(Exit::Usage, what), |failure, (way, why)| {
                failure.help(format!("{way:<width$}        ({why})"))
            }));
    }
    Ok(keys)
}

/// Says that the listener is open.
fn announce(
    config: &Config,
    ready: &Ready<'_>,
    simulated: Option<&Simulated>,
    surroundings: &Surroundings,
) {
    // Where nobody has chosen a form, somebody may read what was sent to a file.
    if config.logging.format == LogFormat::Json {
        banner::log(config, ready, simulated.and_then(Simulated::key));
        return;
    }
    let mut stderr = io::stderr().lock();
    let colour = surroundings.colour(stderr.is_terminal());
    let address = ready.address;
    let text = match simulated {
        Some(simulated) => banner::mock(config, address, simulated.key(), colour),
        None => banner::ready(config, ready, colour),
    };
    // A closed standard error is no reason not to serve.
    let _ = stderr.write_all(text.as_bytes());
}

/// Answers requests until `shutdown` resolves and the running ones have ended.
async fn serve(
    config: Config,
    parts: Parts,
    socket: Option<serve::Socket>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Failure> {
    serve::run(config, parts, socket, listener, shutdown)
        .await
        .map_err(|error| Failure::new(Exit::Failure, "cannot serve").cause(error.to_string()))
}
