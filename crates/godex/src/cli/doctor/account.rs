//! The login: whose it is, and until when.

use std::path::Path;

use super::check::{Category, Checks};
use super::files::private;
use super::remedy::Remedy;
use crate::auth;
use crate::cli::talk::rough;
use crate::cli::ways::Ways;
use crate::clock;

/// A token that ends within this is worth a word.
const SOON: i64 = 3600;
const HERE: Category = Category::Account;

/// What the login is worth to somebody who only looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// It can be shown to the backend.
    Good,
    /// There is none, or it has ended and the proxy would renew it.
    NotNow,
}

/// Who is signed in, until when, and who can read it.
pub(super) fn login(
    path: &Path,
    allow_refresh: bool,
    ways: &Ways<'_>,
    checks: &mut Checks,
) -> Login {
    let shown = checks.shown(path);
    let sign_in = ways.with("godex login", &["auth_path"]);
    let found = match auth::describe(path) {
        Ok(found) => found,
        Err(auth::Error::Missing { .. }) => {
            let what = format!("nobody is signed in: {shown} is not there");
            checks.fail("login", HERE, what, sign_in);
            return Login::NotNow;
        }
        Err(error @ auth::Error::Unreadable { .. }) => {
            let allow = format!("chmod 600 {}", checks.typed(path));
            checks.fail("login", HERE, error.to_string(), allow);
            return Login::NotNow;
        }
        Err(error) => {
            checks.fail("login", HERE, error.to_string(), sign_in);
            return Login::NotNow;
        }
    };
    let plan = found.plan.as_deref().unwrap_or("plan unknown");
    let tail = found.account_tail.as_deref().unwrap_or("?");
    checks.ok("login", HERE, format!("ChatGPT {plan} (account …{tail}), {shown}"));
    let end = found.expires_at.and_then(|it| i64::try_from(it).ok());
    let left = end.map(|end| end - clock::timestamp().as_second());
    let renew = || {
        let renew = Remedy::from(ways.set("allow_refresh", "true"));
        renew.or(format!("or sign in again: {sign_in}"))
    };
    let renews = allow_refresh && found.renewable;
    let span = rough(left.unwrap_or(0).unsigned_abs());
    match left {
        None => checks.ok("token", HERE, "has no date"),
        Some(left) if left > SOON || (left > 0 && renews) => {
            checks.ok("token", HERE, format!("ends in {span}"));
        }
        Some(left) if left > 0 => {
            let remedy = if found.renewable { renew() } else { sign_in.clone().into() };
            checks.warn("token", HERE, format!("ends in {span} and is not renewed"), remedy);
        }
        Some(_) if renews => {
            let what = format!("ended {span} ago; it is renewed with the next request");
            checks.ok("token", HERE, what);
        }
        Some(_) if found.renewable => {
            checks.fail("token", HERE, format!("ended {span} ago and renewing it is off"), renew());
        }
        Some(_) => {
            let what = format!("ended {span} ago and cannot be renewed");
            checks.fail("token", HERE, what, sign_in.clone());
        }
    }
    private("login-mode", HERE, path, checks);
    if renews && left.is_some_and(|left| left <= 0) { Login::NotNow } else { Login::Good }
}
