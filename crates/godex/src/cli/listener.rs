//! The port a command listens on.

use std::io;
use std::net::{SocketAddr, TcpListener};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::admin;
use super::report::{Exit, Failure};
use crate::config::Surroundings;

/// Where the documented listener is.
const USUAL: u16 = 39001;

/// Lets the process have as many open files as the system allows it: every connection is one.
/// What cannot be raised stays as it is.
pub(super) fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || limit.maximum.is_none() {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!("cannot raise the limit of open files: {error}");
        }
    }
}

/// Takes the port, for a listener that is polled.
///
/// # Errors
///
/// When somebody else has it, or this user may not.
pub(super) fn bind(
    address: SocketAddr,
    surroundings: &Surroundings,
) -> Result<TcpListener, Failure> {
    let refuse = |error: io::Error| match admin::runs_on(address.port(), surroundings) {
        Some(proxy) if error.kind() == io::ErrorKind::AddrInUse => {
            let what = format!("{address} is already in use by {proxy}");
            Failure::new(Exit::Failure, what)
                .help(format!("how it is            godex status{}", named(address)))
                .help(format!("or another port      --listen {}", free_after(address)))
        }
        Some(_) | None => refused(address, &error),
    };
    let listener = TcpListener::bind(address).map_err(refuse)?;
    listener.set_nonblocking(true).map_err(refuse)?;
    Ok(listener)
}

/// What names a proxy to a command that asks it, unless it is found without.
fn named(address: SocketAddr) -> String {
    if address.port() == USUAL { String::new() } else { format!(" --listen {address}") }
}

/// The next port on which somebody can listen.
pub(super) fn free_after(address: SocketAddr) -> SocketAddr {
    let others = (address.port()..).skip(1).chain(USUAL..).take(100);
    let mut others = others.map(|port| SocketAddr::new(address.ip(), port));
    let free = others.find(|it| TcpListener::bind(it).is_ok());
    free.unwrap_or_else(|| SocketAddr::new(address.ip(), USUAL))
}

/// Why nobody can listen on `address`, and what to do.
pub(super) fn refused(address: SocketAddr, error: &io::Error) -> Failure {
    let (what, help) = if error.kind() == io::ErrorKind::AddrInUse {
        let help = format!("stop it, or pick another port: --listen {}", free_after(address));
        let what = format!("{address} is already in use by another program");
        return Failure::new(Exit::Failure, what).help(help);
    } else if error.kind() == io::ErrorKind::AddrNotAvailable {
        (format!("{address} is not an address of this machine"), "listen on loopback")
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        (format!("this user may not listen on {address}"), "pick a port from 1024 on")
    } else {
        (format!("cannot listen on {address}"), "pick another address")
    };
    Failure::new(Exit::Failure, what)
        .cause(error.to_string())
        .help(format!("{help}: --listen 127.0.0.1:39001"))
}
