//! `godex status`: how the running proxy is.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::admin::{self, Which};
use super::report::{Exit, Failure};
use super::talk::{Talk, pretty, rough};
use crate::clock;
use crate::config::Surroundings;

/// `godex status`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,

    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Tells how the proxy is.
///
/// # Errors
///
/// When none is running, or the output cannot be written.
pub(super) fn run(
    args: &Args,
    surroundings: &Surroundings,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let stream = match args.which.connect(surroundings) {
        Ok(stream) => stream,
        Err(failure) if args.json => {
            talk.say(&pretty(&json!({"schema_version": 1, "running": false})))?;
            return Ok(failure.exit());
        }
        Err(failure) => return Err(failure),
    };
    let status = admin::status(stream)?;
    talk.say(&if args.json { pretty(&status) } else { text(&status) })
}

/// The status for eyes.
pub(super) fn text(status: &Value) -> String {
    let mut out = head(status);
    let errors = status["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (at, error) in errors.iter().take(5).enumerate() {
        let title = if at == 0 { "errors" } else { "" };
        let _ = writeln!(
            out,
            "  {title:<10}  {}  {} {}  {} {} for {}  {}",
            clock_time(&error["at"]),
            error["status"],
            word(&error["code"]),
            word(&error["path"]),
            word(&error["model"]),
            word(&error["key_id"]),
            word(&error["request_id"]),
        );
    }
    out
}

/// The lines without the errors.
pub(super) fn head(status: &Value) -> String {
    let uptime = rough(status["uptime_s"].as_u64().unwrap_or(0));
    let mock = if status["mock"] == true { "  MOCK backend" } else { "" };
    let draining = if status["draining"] == true { "  shutting down" } else { "" };
    let mut out = format!(
        "godex {}  pid {}, up {uptime}{mock}{draining}\n",
        word(&status["version"]),
        status["pid"]
    );
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(out, "  {name:<10}  {value}");
    };
    let scheme = if status["tls"] == true { "https" } else { "http" };
    row("listening", &format!("{scheme}://{}/v1", word(&status["listen"])));
    row("backend", word(&status["backend"]));
    row("account", &account(&status["login"]));
    row("plan", &plan(&status["plan_windows"]));
    if let Some(until) = time(&status["plan_spent_until"]) {
        row("", &format!("spent: requests are refused until it resets in {}", left(until)));
    }
    let requests = &status["requests"];
    row(
        "requests",
        &format!(
            "{} running, {} served, {} failed",
            requests["running"], requests["served"], requests["failed"]
        ),
    );
    let managed = format!("{} managed", status["active_keys"]);
    let keys = match (status["access"].as_str(), status["mock"] == true) {
        (Some("any"), _) => "any bearer token".to_owned(),
        (Some("shared"), true) => "the key of this run".to_owned(),
        (Some("shared"), false) => format!("that of --api-key, {managed}"),
        _ => managed,
    };
    row("keys", &keys);
    out
}

fn account(login: &Value) -> String {
    let plan = login["plan"].as_str().unwrap_or("plan unknown");
    let tail = login["account_tail"].as_str().unwrap_or("?");
    let token = if let Some(why) = login["ended"].as_str() {
        why.to_owned()
    } else if let Some(end) = time(&login["expires_at"]) {
        let left = end.as_second() - clock::timestamp().as_second();
        let span = rough(left.unsigned_abs());
        let renews = if login["renews"] == true { ", renewed by itself" } else { "" };
        if left > 0 {
            format!("token ends in {span}{renews}")
        } else {
            format!("token ended {span} ago{renews}")
        }
    } else {
        "token without a date".to_owned()
    };
    format!("ChatGPT {plan} (account …{tail}), {token}")
}

fn plan(windows: &Value) -> String {
    let windows = windows.as_array().map(Vec::as_slice).unwrap_or_default();
    if windows.is_empty() {
        return "not known before the first answer".to_owned();
    }
    let parts = windows.iter().map(|it| {
        let minutes = it["window_minutes"].as_u64().unwrap_or(0);
        let name = match minutes {
            10_080 => "week".to_owned(),
            minutes => rough(minutes * 60),
        };
        let reset = time(&it["resets_at"]).map(|at| format!(" (resets in {})", left(at)));
        format!("{name} {} %{}", it["used_percent"], reset.unwrap_or_default())
    });
    parts.collect::<Vec<_>>().join(" · ")
}

/// How long it is until then.
fn left(at: Timestamp) -> String {
    rough(u64::try_from(at.as_second() - clock::timestamp().as_second()).unwrap_or(0))
}

/// A text of the document.
pub(super) fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// The time of day of a time, in UTC as in the logs, and marked so.
pub(super) fn clock_time(value: &Value) -> String {
    value
        .as_str()
        .and_then(|it| it.get(11..19))
        .map_or_else(|| "-".to_owned(), |it| format!("{it}Z"))
}
