//! `godex doctor`: looks at everything that serving needs, changes nothing, and names the remedy
//! of what is wrong.

mod account;
mod check;
mod clients;
mod files;
mod network;
mod remedy;
mod server;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use clap::ArgMatches;
use serde_json::json;
use tokio::runtime::Runtime;

use self::check::{Category, Check, Checks, Status};
use self::remedy::Remedy;
use super::proxy;
use super::proxy::simulated::{Folder, Simulated};
use super::report::{Exit, Failure};
use super::talk::{Screen, Talk, pretty};
use super::ways::Ways;
use crate::clock;
use crate::config::{Config, File, FileError, ProxyArgs, Surroundings};

/// `godex doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(super) struct Args {
    #[command(flatten)]
    flags: ProxyArgs,

    /// As JSON, without what is private: for issues
    #[arg(long)]
    json: bool,

    /// Leave the network alone
    #[arg(long)]
    offline: bool,
}

const NOTES: &str = "\
It takes the flags and variables of godex proxy, and looks at what that would use; with --mock,
at a simulator and files that are there for as long as it looks.
Exit code 1 when something is wrong that keeps the proxy from serving.";

/// Looks at everything.
///
/// # Errors
///
/// When the output cannot be written.
pub(super) fn run(
    args: Args,
    matches: &ArgMatches,
    file: &Result<Option<File>, FileError>,
    surroundings: &Surroundings,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let Args { mut flags, json, offline } = args;
    let matches = matches.subcommand_matches("doctor").unwrap_or(matches);
    flags.prefer_closer_key(matches);
    let ways = Ways::new(matches);
    let folder = flags.mock().then(|| Folder::create(surroundings)).transpose()?;
    let own = folder.as_ref().map(|it| surroundings.with_codex_folder(it.path()));
    let mut checks = Checks::new(surroundings);
    files::settings(file, &ways, &mut checks);
    // A key that would come through standard input is not waited for.
    let own = own.as_ref().unwrap_or(surroundings);
    match flags.resolve(own, &mut b"from-standard-input".as_slice()) {
        Ok(mut config) => {
            checks.ok("settings", Category::Server, "flags and variables are in order");
            // It answers for as long as it is looked at.
            let _simulated = folder.map(|it| simulate(&mut config, it)).transpose()?;
            let login = account::login(&config, surroundings, &ways, &mut checks);
            files::tls(config.tls.as_ref(), &ways, &mut checks);
            files::keys(&config, &ways, &mut checks);
            files::usage(&config.stats_path, &ways, &mut checks);
            network::check(&config, surroundings, offline, login, &ways, &mut checks);
            server::check(config.listen, surroundings, &ways, &mut checks);
            clients::check(config.listen, surroundings, &ways, &mut checks);
        }
        Err(error) => {
            checks.fail(
                "settings",
                Category::Server,
                error.to_string(),
                Remedy::advice(error.help()),
            );
        }
    }
    let checks = checks.done();
    let failed = checks.iter().any(|it| it.status == Status::Fail);
    talk.say(&if json { document(&checks) } else { text(&checks, &talk.screen) })?;
    Ok(if failed { Exit::Failure } else { Exit::Success })
}

/// The backend of `--mock`, and what it lives in.
fn simulate(config: &mut Config, folder: Folder) -> Result<(Simulated, Runtime, Folder), Failure> {
    let runtime = proxy::runtime(1)?;
    let simulated = runtime.block_on(Simulated::start(config, &folder))?;
    Ok((simulated, runtime, folder))
}

fn platform() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

fn count(checks: &[Check], status: Status) -> usize {
    checks.iter().filter(|it| it.status == status).count()
}

fn document(checks: &[Check]) -> String {
    let worst = if count(checks, Status::Fail) > 0 {
        Status::Fail
    } else if count(checks, Status::Warn) > 0 {
        Status::Warn
    } else {
        Status::Ok
    };
    let rows: Vec<_> = checks
        .iter()
        .map(|it| {
            json!({
                "id": it.id,
                "category": it.category.name(),
                "status": it.status.name(),
                "summary": it.summary,
                "remedy": it.remedy.as_ref().map(|it| it.lines().collect::<Vec<_>>().join("\n")),
                "commands": it.remedy.as_ref().map(|it| it.commands.as_slice()).unwrap_or_default(),
                "duration_ms": u64::try_from(it.duration.as_millis()).unwrap_or(u64::MAX),
            })
        })
        .collect();
    pretty(&json!({
        "schema_version": 1,
        "generated_at": format!("{:.0}", clock::timestamp()),
        "version": env!("CARGO_PKG_VERSION"),
        "platform": platform(),
        "overall_status": worst.name(),
        "checks": rows,
    }))
}

fn text(checks: &[Check], screen: &Screen) -> String {
    let paint = |status: Status| {
        let (mark, code) = status.mark();
        if screen.colour { format!("\u{1b}[{code}m{mark}\u{1b}[0m") } else { mark.to_owned() }
    };
    let mut out = format!("godex doctor {} · {}\n", env!("CARGO_PKG_VERSION"), platform());
    let wrong: Vec<_> =
        checks.iter().filter(|it| matches!(it.status, Status::Warn | Status::Fail)).collect();
    if !wrong.is_empty() {
        out.push_str("\nNotes\n");
    }
    for status in [Status::Fail, Status::Warn] {
        for it in wrong.iter().filter(|it| it.status == status) {
            let _ = writeln!(out, "  {} {:<10}  {}", paint(status), it.id, it.summary);
            for line in it.remedy.iter().flat_map(|it| &it.commands) {
                let _ = writeln!(out, "    {:<10}  → {line}", "");
            }
            for line in it.remedy.iter().flat_map(|it| &it.advice) {
                let _ = writeln!(out, "    {:<10}    {line}", "");
            }
        }
    }
    for category in Category::ALL {
        let _ = writeln!(out, "\n{}", category.title());
        for it in checks.iter().filter(|it| it.category == category) {
            let _ = writeln!(out, "  {} {:<10}  {}", paint(it.status), it.id, it.summary);
        }
    }
    let _ = writeln!(
        out,
        "\n{} ok · {} warn · {} fail",
        count(checks, Status::Ok),
        count(checks, Status::Warn),
        count(checks, Status::Fail)
    );
    out
}
