//! Which clients on this machine use the proxy.

use std::fs;
use std::net::SocketAddr;

use super::check::{Category, Checks};
use super::remedy::opened;
use crate::cli::connect::{self, WITH_FILES};
use crate::cli::ways::Ways;
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
    // With TLS or without.
    let place = url.trim_start_matches("http");
    for (name, client) in WITH_FILES {
        let Ok(Some(path)) = client.file(surroundings) else { continue };
        let shown = checks.shown(&path);
        match fs::read_to_string(&path) {
            Ok(text) if text.contains(place) => {
                checks.ok(name, HERE, format!("uses the proxy, {shown}"));
            }
            Ok(text) if text.contains("godex") => {
                checks.warn(
                    name,
                    HERE,
                    format!("looks for the proxy elsewhere than {url}, {shown}"),
                    ways.with(&format!("godex connect {name} --write"), &["listen", "keys_path"]),
                );
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
