//! The login: whose it is, and until when.

use serde_json::Value;

use super::check::{Category, Checks};
use super::files::private;
use super::remedy::{Remedy, opened};
use crate::auth;
use crate::cli::admin;
use crate::cli::talk::rough;
use crate::cli::ways::Ways;
use crate::clock;
use crate::config::{Config, Surroundings};

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
    config: &Config,
    surroundings: &Surroundings,
    ways: &Ways<'_>,
    checks: &mut Checks,
) -> Login {
    let path = &config.auth_path;
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
            let elsewhere = ways.set("auth_path", "~/godex-login.json");
            let remedy = opened(path, elsewhere, checks);
            checks.fail("login", HERE, error.to_string(), remedy);
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
    let runs = renewed_by_a_running_proxy(config, found.account_tail.as_deref(), surroundings);
    let renews = (config.allow_refresh || runs) && found.renewable;
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

/// Whether a proxy that was started with other flags keeps the same login alive.
fn renewed_by_a_running_proxy(
    config: &Config,
    tail: Option<&str>,
    surroundings: &Surroundings,
) -> bool {
    admin::on_port(config.listen.port(), surroundings).is_some_and(|status| {
        let told = |name: &str| status.pointer(&format!("/login/{name}"));
        told("renews") == Some(&Value::Bool(true))
            && told("account_tail").and_then(Value::as_str) == tail
    })
}
