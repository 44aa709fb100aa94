//! The port that the proxy listens on.

use std::net::SocketAddr;

use serde_json::Value;

use super::check::{Category, Checks};
use super::remedy::Remedy;
use crate::cli::admin;
use crate::cli::listener::free_after;
use crate::cli::occupant::{self, Occupant};
use crate::cli::ways::Ways;
use crate::config::Surroundings;

/// Who answers there, if anybody does.
pub(super) fn check(
    listen: SocketAddr,
    surroundings: &Surroundings,
    ways: &Ways<'_>,
    checks: &mut Checks,
) {
    const HERE: Category = Category::Server;
    // One of ours that speaks TLS is not asked over HTTP.
    let ours = admin::on_port(listen.port(), surroundings);
    if ours.is_some_and(|it| it.get("tls") == Some(&Value::Bool(true))) {
        checks.ok("port", HERE, format!("a proxy runs on {listen}, with TLS"));
        return;
    }
    match occupant::of(listen) {
        None => {
            let others = admin::running(surroundings);
            let others: Vec<_> = others.iter().map(ToString::to_string).collect();
            let others = match others.as_slice() {
                [] => "no proxy is running".to_owned(),
                some => format!("a proxy of yours runs on {}", some.join(" and ")),
            };
            checks.ok("port", HERE, format!("{listen} is free; {others}"));
        }
        Some(Occupant::Ready) => {
            checks.ok("port", HERE, format!("a proxy runs on {listen} and is ready"));
        }
        Some(Occupant::Unready(reason)) => checks.fail(
            "port",
            HERE,
            format!("a proxy runs on {listen} and is not ready: {reason}"),
            Remedy::from(ways.with("godex login", &["auth_path"])).or("then start it again"),
        ),
        Some(other @ (Occupant::Simulator | Occupant::Stranger)) => {
            let who = if other == Occupant::Simulator { "godex mock" } else { "another program" };
            checks.fail(
                "port",
                HERE,
                format!("{who} listens on {listen}"),
                ways.set("listen", &free_after(listen).to_string()),
            );
        }
    }
}
