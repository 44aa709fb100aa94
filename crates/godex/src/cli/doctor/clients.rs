//! Which clients on this machine use the proxy.

use std::fs;
use std::net::SocketAddr;

use super::check::{Category, Checks};
use super::remedy::opened;
use crate::cli::connect::{self, WITH_FILES};
use crate::cli::ways::Ways;
use crate::cli::{admin, occupant};
use crate::config::Surroundings;

/// What each client's own file says.
pub(super) fn check(
    listen: SocketAddr,
    surroundings: &Surroundings,
    ways: &Ways<'_>,
    checks: &mut Checks,
) {
    const HERE: Category = Category::Clients;
    let url = connect::address(listen);
    let others = admin::running(surroundings);
    // With TLS or without.
    let uses =
        |text: &str, listen| text.contains(connect::address(listen).trim_start_matches("http"));
    for (name, client) in WITH_FILES {
        let Ok(Some(path)) = client.file(surroundings) else { continue };
        let shown = checks.shown(&path);
        match fs::read_to_string(&path) {
            Ok(text) if uses(&text, listen) => {
                checks.ok(name, HERE, format!("uses the proxy, {shown}"));
            }
            Ok(text) if text.contains("godex") => {
                if let Some(other) = others.iter().find(|it| uses(&text, **it)) {
                    checks.ok(name, HERE, format!("uses the proxy on {other}, {shown}"));
                    continue;
                }
                let write = format!("godex connect {name} --write");
                let (url, write) = match others.as_slice() {
                    // Where nothing runs it would find nobody either.
                    [other] if occupant::of(listen).is_none() => {
                        let write = format!("{write} --listen={other}");
                        (connect::address(*other), ways.with(&write, &["keys_path"]))
                    }
                    _ => (url.clone(), ways.with(&write, &["listen", "keys_path"])),
                };
                let what = format!("looks for the proxy elsewhere than {url}, {shown}");
                checks.warn(name, HERE, what, write);
            }
            Ok(_) => checks.skip(name, HERE, "is there and does not use the proxy"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                checks.skip(name, HERE, "not found");
            }
            Err(error) => checks.warn(
                name,
                HERE,
                format!("{shown} cannot be read: {error}"),
                opened(&path, format!("godex connect {name}"), checks),
            ),
        }
    }
}
