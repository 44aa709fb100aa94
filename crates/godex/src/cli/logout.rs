//! `godex logout`: removes the login from this machine.

use std::io;

use super::report::{Exit, Failure};
use super::settings;
use super::talk::Talk;
use crate::config::{LoginFiles, LoginPath, Owner, Surroundings};
use crate::store::file::Lock;

/// `godex logout`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Remove the login of the Codex CLI, which then has none either
    #[arg(long)]
    codex: bool,

    #[command(flatten)]
    place: LoginPath,
}

/// Removes a login file.
///
/// # Errors
///
/// When it is the Codex CLI's and that was not asked for, or it cannot be removed.
pub(super) fn run(
    args: &Args,
    surroundings: &Surroundings,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let named = args.place.auth_path.as_deref().filter(|_| !args.codex);
    let files = LoginFiles::find(named, surroundings).map_err(|error| settings::refused(&error))?;
    let (path, owner) = files.in_use();
    let path = if args.codex { files.codex() } else { path };
    if !path.try_exists().map_err(|error| closed(path, &error))? {
        talk.note(&format!("nobody is logged in: {} does not exist", path.display()));
        return Ok(Exit::Success);
    }
    if owner == Owner::Codex && !args.codex {
        let what = "godex has no login of its own; the one in use belongs to the Codex CLI";
        return Err(Failure::new(Exit::Failure, what)
            .cause(path.display().to_string())
            .help("godex logout --codex   (removes it; the Codex CLI has none then either)")
            .help("codex logout           (the same, by the CLI itself)"));
    }
    remove(path).map_err(|error| closed(path, &error))?;
    talk.note(&format!("removed {}", path.display()));
    talk.note("a running proxy keeps its login in memory until it is stopped");
    let next = files.in_use();
    if next.0 != path && next.0.exists() {
        talk.note(&format!("from now on the login of the Codex CLI is used: {}", next.0.display()));
    }
    Ok(Exit::Success)
}

/// A file that this user may not remove.
fn closed(path: &std::path::Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Config, format!("cannot remove {}", path.display()))
        .cause(error.to_string())
        .help("let its owner remove it, or somebody who may write to its folder")
}

/// Removes the file while nobody renews it.
fn remove(path: &std::path::Path) -> io::Result<()> {
    let _lock = Lock::acquire(path)?;
    std::fs::remove_file(path)
}
