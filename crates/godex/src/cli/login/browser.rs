//! Signing in in a browser: on this machine, or on another whose browser is sent here through a
//! tunnel or whose last address is pasted.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::callback::{self, Callback};
use super::opener::Opener;
use super::{failed, too_late};
use crate::auth::signin::{Attempt, Issuer, NewLogin, Return};
use crate::cli::report::{Exit, Failure};
use crate::cli::talk::Talk;
use crate::tasks::Tasks;

/// How the page gets in front of somebody.
pub(super) struct Way<'a> {
    /// What opens a browser here, if one shall be opened.
    pub(super) opener: Option<Opener>,
    /// Who is logged in here, for the tunnel.
    pub(super) user: Option<&'a str>,
    /// How long signing in may take.
    pub(super) patience: Duration,
}

/// Waits for somebody to sign in.
///
/// # Errors
///
/// When they refuse, take too long, or the issuer gives no login.
pub(super) async fn sign_in(
    issuer: &Issuer,
    callback: Callback,
    mut pasted: mpsc::Receiver<String>,
    way: &Way<'_>,
    tasks: &Tasks,
    talk: &mut Talk<'_>,
) -> Result<NewLogin, Failure> {
    let port = callback.port();
    let attempt = Attempt::begin(port).map_err(|error| failed(&error.into()))?;
    let attempt = Arc::new(attempt);
    let page = attempt.page(issuer);
    let open = callback.is_open();
    show(&page, port, open, way, talk);
    let mut returns = callback.serve(Arc::clone(&attempt), tasks);
    let waiting = wait(&attempt, &mut returns, &mut pasted, open, talk);
    let code = tokio::time::timeout(way.patience, waiting)
        .await
        .unwrap_or_else(|_| Err(too_late(way.patience)))?;
    attempt.finish(issuer, &code).await.map_err(|error| failed(&error))
}

/// Opens the page, or says how to get to it.
fn show(page: &str, port: u16, open: bool, way: &Way<'_>, talk: &mut Talk<'_>) {
    let opened = open && way.opener.as_ref().is_some_and(|it| it.open(page));
    if opened {
        talk.note("a browser opens; if it does not, go to");
    } else {
        talk.note("sign in to ChatGPT at");
    }
    talk.note(&format!("\n  {page}\n"));
    if !opened {
        let user = way.user.unwrap_or("USER");
        if open {
            talk.note("with the browser of another machine, first run there");
            talk.note(&format!("\n  ssh -L {port}:localhost:{port} {user}@THIS-MACHINE\n"));
            talk.note("or paste here the address of the page that does not load in the end:");
        } else {
            let why = callback::taken();
            talk.note(&format!(
                "nobody can come back to this machine by itself: ports 1455 and 1457: {why}"
            ));
            talk.note("paste here the address of the page that does not load in the end:");
        }
        talk.note(&format!("  http://localhost:{port}/auth/callback?code=…"));
        talk.note("no browser at all?  godex login --device");
    }
}

/// Waits for a code, by the browser or by hand.
async fn wait(
    attempt: &Attempt,
    returns: &mut mpsc::Receiver<Return>,
    pasted: &mut mpsc::Receiver<String>,
    open: bool,
    talk: &mut Talk<'_>,
) -> Result<String, Failure> {
    let (mut browser, mut hand) = (open, true);
    let mut foreign = false;
    loop {
        let found = tokio::select! {
            found = returns.recv(), if browser => {
                let Some(found) = found else { browser = false; continue };
                found
            }
            line = pasted.recv(), if hand => match line {
                Some(line) if line.trim().is_empty() => continue,
                Some(line) => attempt.judge(callback::query(&line)),
                None => { hand = false; continue }
            },
            else => return Err(nobody(foreign)),
        };
        match found {
            Return::Code(code) => return Ok(code),
            Return::Denied(why) => return Err(denied(&why)),
            Return::Foreign => {
                foreign = true;
                talk.note("that address belongs to another sign-in (its state is not ours)");
                talk.note("use the address above, and paste the one it ends at");
            }
            Return::Nothing => {
                talk.note("that is not the end of a sign-in: it has no code");
            }
        }
        if !browser && !hand {
            return Err(nobody(foreign));
        }
    }
}

fn denied(why: &str) -> Failure {
    let shown: String = why.chars().filter(|c| !c.is_control()).take(200).collect();
    Failure::new(Exit::Failure, "the sign-in was refused")
        .cause(shown)
        .help("godex login            (begins a new one)")
}

/// No browser can come back and nothing more is pasted.
fn nobody(foreign: bool) -> Failure {
    let cause = if foreign {
        "what was pasted belongs to another sign-in: its state is not ours"
    } else {
        "ports 1455 and 1457 are taken and nothing was pasted"
    };
    Failure::new(Exit::Failure, "nobody has signed in")
        .cause(cause)
        .help("godex login --device   (a code that is entered in any browser)")
}
