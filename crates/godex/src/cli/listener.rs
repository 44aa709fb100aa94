//! The port a command listens on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::admin;
use super::occupant::{self, Occupant};
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
    // Those up to 1023 are for root as a rule.
    let first = address.port().checked_add(1).filter(|it| *it > 1024).unwrap_or(USUAL);
    let others = (first..=u16::MAX).chain(USUAL..).take(100);
    let mut others = others.map(|port| SocketAddr::new(address.ip(), port));
    let free = others.find(|it| TcpListener::bind(it).is_ok());
    free.unwrap_or_else(|| SocketAddr::new(address.ip(), USUAL))
}

/// Why nobody can listen on `address`, and what to do.
pub(super) fn refused(address: SocketAddr, error: &io::Error) -> Failure {
    let (what, other) = if error.kind() == io::ErrorKind::AddrInUse {
        return in_use(address);
    } else if error.kind() == io::ErrorKind::AddrNotAvailable {
        let here = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port());
        (format!("{address} is not an address of this machine"), here)
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        (format!("this user may not listen on {address}"), free_after(address))
    } else {
        (format!("cannot listen on {address}"), SocketAddr::new(Ipv4Addr::LOCALHOST.into(), USUAL))
    };
    let failure = Failure::new(Exit::Failure, what).cause(error.to_string());
    if error.kind() != io::ErrorKind::PermissionDenied {
        return failure.help(format!("listen elsewhere     --listen {other}"));
    }
    let failure = failure.help(format!("a port from 1024 on  --listen {other}"));
    match std::env::current_exe() {
        Ok(program) if cfg!(target_os = "linux") => failure.help(format!(
            "or allow it this     sudo setcap cap_net_bind_service=+ep {}",
            program.display()
        )),
        Ok(_) | Err(_) => failure,
    }
}

/// Who has the port, as far as it tells, and what to do.
fn in_use(address: SocketAddr) -> Failure {
    let who = match occupant::of(address) {
        Some(Occupant::Ready | Occupant::Unready(_)) => "another godex proxy",
        Some(Occupant::Simulator) => "godex mock",
        Some(Occupant::Stranger) | None => "another program",
    };
    Failure::new(Exit::Failure, format!("{address} is already in use by {who}"))
        .help(format!("stop it, or pick another port: --listen {}", free_after(address)))
}

/// The address a client on this machine connects to.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V4(_) | IpAddr::V6(_) => address.ip(),
    };
    SocketAddr::new(ip, address.port())
}
