//! The login, the keys and the usage log.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use jiff::Timestamp;

use super::check::{Category, Checks};
use crate::auth;
use crate::cli::talk::rough;
use crate::clock;
use crate::config::{Admission, Config, File, FileError};
use crate::store::keys::record::Records;

/// A token that ends within this is worth a word.
const SOON: i64 = 3600;

/// Whether the settings file is understood, and who can read it.
pub(super) fn settings(file: &Result<Option<File>, FileError>, checks: &mut Checks) {
    const HERE: Category = Category::Files;
    match file {
        Ok(None) => checks.ok("config", HERE, "no settings file, which is fine"),
        Ok(Some(file)) => {
            let shown = checks.shown(file.path());
            match file.exposed() {
                None => checks.ok("config", HERE, format!("{} settings, {shown}", file.len())),
                Some(mode) => checks.warn(
                    "config",
                    HERE,
                    format!("others can read {shown} ({mode:04o}), which holds api_key"),
                    format!("chmod 600 {shown}"),
                ),
            }
        }
        Err(FileError::Unreadable { path, source }) => checks.fail(
            "config",
            HERE,
            format!("{} cannot be read: {source}", checks.shown(path)),
            "godex config check",
        ),
        Err(FileError::Wrong { path, problems }) => {
            let first = problems.first().map(|it| it.headline(path)).unwrap_or_default();
            let shown = checks.shown(path);
            checks.fail("config", HERE, first, format!("godex config check {shown}"));
        }
    }
}

/// Who is signed in, until when, and who can read it.
pub(super) fn login(path: &Path, allow_refresh: bool, checks: &mut Checks) {
    const HERE: Category = Category::Account;
    let shown = checks.shown(path);
    let found = match auth::describe(path) {
        Ok(found) => found,
        Err(auth::Error::Missing { .. }) => {
            checks.fail(
                "login",
                HERE,
                format!("nobody is signed in: {shown} is not there"),
                "godex login",
            );
            return;
        }
        Err(error) => {
            checks.fail("login", HERE, error.to_string(), "godex login");
            return;
        }
    };
    if found.api_key {
        checks.fail(
            "login",
            HERE,
            format!("{shown} holds an API key, which the backend refuses"),
            "godex login",
        );
        return;
    }
    let plan = found.plan.as_deref().unwrap_or("plan unknown");
    let tail = found.account_tail.as_deref().unwrap_or("?");
    checks.ok("login", HERE, format!("ChatGPT {plan} (account …{tail}), {shown}"));
    let end = found.expires_at.and_then(|it| i64::try_from(it).ok());
    match end.map(|end| end - clock::timestamp().as_second()) {
        None => checks.ok("token", HERE, "has no date"),
        Some(left) if left <= 0 => {
            let ago = rough(left.unsigned_abs());
            match (allow_refresh, found.renewable) {
                (true, true) => checks.ok(
                    "token",
                    HERE,
                    format!("ended {ago} ago; it is renewed with the next request"),
                ),
                (false, true) => checks.fail(
                    "token",
                    HERE,
                    format!("ended {ago} ago and renewing it is off"),
                    "godex proxy --allow-refresh\ngodex login",
                ),
                (_, false) => checks.fail(
                    "token",
                    HERE,
                    format!("ended {ago} ago and cannot be renewed"),
                    "godex login",
                ),
            }
        }
        Some(left) => {
            let span = rough(left.unsigned_abs());
            if left < SOON && !(allow_refresh && found.renewable) {
                checks.warn(
                    "token",
                    HERE,
                    format!("ends in {span} and is not renewed"),
                    "godex proxy --allow-refresh",
                );
            } else {
                checks.ok("token", HERE, format!("ends in {span}"));
            }
        }
    }
    private("login-mode", HERE, path, checks);
}

/// Whether only its owner can read a file.
fn private(id: &'static str, category: Category, path: &Path, checks: &mut Checks) {
    let Ok(metadata) = fs::metadata(path) else { return };
    let mode = metadata.permissions().mode() & 0o777;
    let shown = checks.shown(path);
    let others = mode & 0o077;
    if others == 0 {
        checks.ok(id, category, format!("only you can read {shown}"));
    } else {
        checks.warn(
            id,
            category,
            format!("others can read {shown} ({mode:04o})"),
            format!("chmod 600 {shown}"),
        );
    }
}

/// Whether anybody may call.
pub(super) fn keys(config: &Config, checks: &mut Checks) {
    const HERE: Category = Category::Files;
    let shown = checks.shown(&config.keys_path);
    let records = match Records::read(&config.keys_path) {
        Ok(records) => records,
        Err(error) => {
            let remedy = error.help().first().cloned();
            let remedy = remedy.unwrap_or_else(|| format!("mv {shown} {shown}.damaged"));
            checks.fail("keys", HERE, error.to_string(), remedy);
            return;
        }
    };
    let now: Timestamp = clock::timestamp();
    let active = records.keys.iter().filter(|it| it.is_active(now)).count();
    let others = records.keys.len() - active;
    let counted = format!("{active} active, {others} revoked or expired, {shown}");
    match &config.admission {
        Admission::Anyone => {
            checks.warn("keys", HERE, "any key is accepted", "godex proxy --allow-any-key=false");
        }
        Admission::Keys { shared: Some(_) } => {
            checks.ok("keys", HERE, format!("the shared key; {counted}"));
        }
        Admission::Keys { shared: None } if active == 0 => {
            checks.fail(
                "keys",
                HERE,
                format!("nobody could call: {counted}"),
                "godex proxy keys add --label my-laptop",
            );
        }
        Admission::Keys { shared: None } => checks.ok("keys", HERE, counted),
    }
    private("keys-mode", HERE, &config.keys_path, checks);
}

/// Whether usage can be written down.
pub(super) fn usage(path: &Path, checks: &mut Checks) {
    const HERE: Category = Category::Files;
    let shown = checks.shown(path);
    let remedy = format!("chown $(id -un) {shown}\ngodex proxy --stats-path ANOTHER");
    // Opened for appending and closed again: nothing is written.
    match OpenOptions::new().append(true).open(path).and_then(|it| it.metadata()) {
        Ok(metadata) if metadata.is_file() => {
            let mib = metadata.len() >> 20;
            checks.ok("usage", HERE, format!("{mib} MiB, {shown}"));
        }
        Ok(_) => checks.fail("usage", HERE, format!("{shown} is no file"), remedy),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.ancestors().skip(1).find(|it| it.exists());
            let closed = folder
                .and_then(|it| fs::metadata(it).ok())
                .is_none_or(|it| !it.is_dir() || it.permissions().readonly());
            if closed {
                checks.fail(
                    "usage",
                    HERE,
                    format!("{shown} cannot be made: its folder is closed"),
                    remedy,
                );
            } else {
                checks.ok("usage", HERE, format!("not begun yet, {shown}"));
            }
        }
        Err(error) => {
            checks.fail("usage", HERE, format!("{shown} cannot be written: {error}"), remedy);
        }
    }
}
