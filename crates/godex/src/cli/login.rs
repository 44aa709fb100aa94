//! `godex login`: somebody signs in to ChatGPT, in a browser or with a code, and the login is
//! written where the proxy looks for it. `godex login status` tells about it.

mod browser;
mod callback;
mod device;
mod opener;
mod status;

use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use http::StatusCode;
use tokio::sync::mpsc;

use self::callback::Callback;
use self::opener::Opener;
use super::report::{Exit, Failure};
use super::talk::Talk;
use super::ways::quoted;
use super::{proxy, settings};
use crate::auth::signin::{self, Issuer, NewLogin};
use crate::clock;
use crate::config::{IssuerArgs, LoginFiles, LoginPath, Owner, Surroundings};
use crate::store::file;
use crate::tasks::Tasks;
use crate::upstream::connect;

/// `godex login`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,

    /// Show a code that is entered in a browser on any machine, for servers
    #[arg(long)]
    device: bool,

    /// Show the address of the sign-in page instead of opening it
    #[arg(long, conflicts_with = "device")]
    no_browser: bool,

    /// Write the login of the Codex CLI, ~/.codex/auth.json, instead of one of our own
    #[arg(long)]
    codex: bool,

    #[command(flatten)]
    place: LoginPath,

    #[command(flatten)]
    issuer: IssuerArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    Status(status::Args),
}

/// How long somebody may take to sign in, as the issuer has it. Source: `docs/wire.md#login`.
const PATIENCE: Duration = Duration::from_mins(15);
/// How long connecting to the issuer may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the browser may take to read our last page.
const LAST_PAGE: Duration = Duration::from_millis(500);

/// Signs somebody in, or tells who is.
///
/// # Errors
///
/// When nobody signs in, the issuer refuses, or the login cannot be written.
pub(super) fn run(
    args: Args,
    surroundings: &Surroundings,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    if let Some(Action::Status(args)) = args.action {
        return status::run(&args, surroundings, talk);
    }
    let (path, owner) = target(args.codex, &args.place, surroundings)?;
    let (address, user_agent, originator) =
        args.issuer.settle().map_err(|error| settings::refused(&error))?;
    let made = prepare(&path)?;
    let runtime = proxy::runtime(1)?;
    let signed_in = runtime.block_on(async {
        let issuer = Issuer {
            http: connect::client(CONNECT),
            address: address.as_str().to_owned(),
            user_agent,
            originator,
        };
        if args.device {
            device::sign_in(&issuer, PATIENCE, talk).await
        } else {
            in_browser(&issuer, args.no_browser, surroundings, talk).await
        }
    });
    // A thread that still reads standard input must not hold us up.
    runtime.shutdown_background();
    let saved = signed_in.and_then(|login| {
        login.save(&path).map_err(|error| unwritable(&path, &error))?;
        Ok(login)
    });
    let login = match saved {
        Ok(login) => login,
        Err(failure) => {
            if let Some(folder) = made {
                // It was made for the login alone; with something in it, it stays.
                let _ = std::fs::remove_dir(folder);
            }
            return Err(failure);
        }
    };
    announce(&login, &path, owner, talk);
    Ok(Exit::Success)
}

/// The file that a sign-in writes.
fn target(
    codex: bool,
    place: &LoginPath,
    surroundings: &Surroundings,
) -> Result<(PathBuf, Owner), Failure> {
    let named = place.auth_path.as_deref().filter(|_| !codex);
    let files = LoginFiles::find(named, surroundings).map_err(|error| settings::refused(&error))?;
    let (path, owner) = if codex { (files.codex(), Owner::Codex) } else { files.of_sign_in() };
    Ok((path.to_owned(), owner))
}

/// Makes sure that the login can be written before anybody signs in: its refresh token must not
/// be lost. Returns the folder that had to be made for it.
fn prepare(path: &Path) -> Result<Option<PathBuf>, Failure> {
    let refused = |error: io::Error| unwritable(path, &error);
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty() && !it.exists());
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder).map_err(refused)?;
    }
    file::rehearse(path).map_err(refused)?;
    Ok(folder.map(Path::to_owned))
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Config, format!("cannot write the login to {}", path.display()))
        .cause(error.to_string())
        .help("make its folder writable for this user")
        .help("or name another file    godex login --auth-path PATH, and the same for godex proxy")
}

async fn in_browser(
    issuer: &Issuer,
    no_browser: bool,
    surroundings: &Surroundings,
    talk: &mut Talk<'_>,
) -> Result<NewLogin, Failure> {
    let tasks = Tasks::default();
    let callback = Callback::listen(&callback::PORTS).await;
    let opens = !no_browser && !surroundings.is_remote();
    let way = browser::Way {
        opener: opens.then(|| Opener::of(surroundings)),
        user: surroundings.user(),
        patience: PATIENCE,
    };
    let pasted = read_lines();
    let login = browser::sign_in(issuer, callback, pasted, &way, &tasks, talk).await;
    // The browser may still be reading its page.
    let _ = tokio::time::timeout(LAST_PAGE, tasks.ended()).await;
    login
}

/// The lines of standard input, read by a thread of its own.
fn read_lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn announce(login: &NewLogin, path: &Path, owner: Owner, talk: &mut Talk<'_>) {
    let plan = login.plan().unwrap_or_else(|| "plan unknown".to_owned());
    let email = login.email().map(|it| format!(", {it}")).unwrap_or_default();
    let tail = login.account_tail().unwrap_or_else(|| "?".to_owned());
    talk.note(&format!("signed in to ChatGPT {plan}{email} (account …{tail})"));
    talk.note(&format!("  written to  {}", path.display()));
    match owner {
        Owner::Codex => talk.note("  shared with the Codex CLI, which renews it when it is used"),
        Owner::Godex | Owner::Named => {}
    }
    let place = given(path, owner);
    talk.note("  next        godex proxy keys add --label my-laptop");
    talk.note(&format!(
        "              godex proxy --allow-refresh{place}        (keeps the login fresh)"
    ));
}

/// The flag that names a login file, if it is none that is found without.
fn given(path: &Path, owner: Owner) -> String {
    match owner {
        Owner::Named => format!(" --auth-path={}", quoted(&path.display().to_string())),
        Owner::Codex | Owner::Godex => String::new(),
    }
}

/// Why nobody was signed in, and what to do.
fn failed(error: &signin::Error) -> Failure {
    match error {
        signin::Error::Unreachable(_) => {
            Failure::new(Exit::Unreachable, "the sign-in service cannot be reached")
                .cause(error.to_string())
                .help("godex doctor        (looks at the network and the proxy variables)")
        }
        signin::Error::Blocked(_) => {
            Failure::new(Exit::Unreachable, "the sign-in service does not talk to this program")
                .cause(error.to_string())
                .help("try another network, or another name with --user-agent")
        }
        signin::Error::Refused { status, .. }
            if *status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() =>
        {
            Failure::new(Exit::Temporary, "the sign-in service has no time for this now")
                .cause(error.to_string())
                .help("godex login            (try again in a few minutes)")
        }
        signin::Error::Refused { .. } | signin::Error::Incomplete(_) => {
            Failure::new(Exit::Failure, "signing in has failed").cause(error.to_string()).help(
                "godex login            (try again; a code is good for one use and 15 minutes)",
            )
        }
        signin::Error::Random(_) => {
            Failure::new(Exit::Failure, "signing in has failed").cause(error.to_string())
        }
    }
}

/// Nobody signed in in time.
fn too_late(patience: Duration) -> Failure {
    let minutes = patience.as_secs() / 60;
    Failure::new(Exit::Failure, "nobody has signed in")
        .cause(format!("the sign-in was not finished within {minutes} minutes"))
        .help("godex login            (begins a new one)")
}

/// Seconds since the Unix epoch as a date.
fn date(seconds: u64) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}

/// The time until `at`, or since, in words.
fn distance(at: jiff::Timestamp) -> String {
    let seconds = at.as_second() - clock::timestamp().as_second();
    let span = super::talk::rough(seconds.unsigned_abs());
    if seconds >= 0 { format!("in {span}") } else { format!("{span} ago") }
}

#[cfg(test)]
mod tests;
