//! The port a command listens on.

use std::io;
use std::net::{SocketAddr, TcpListener};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::report::{Exit, Failure};

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
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let refuse = |error: io::Error| refused(address, &error);
    let listener = TcpListener::bind(address).map_err(refuse)?;
    listener.set_nonblocking(true).map_err(refuse)?;
    Ok(listener)
}

/// Why nobody can listen on `address`, and what to do.
pub(super) fn refused(address: SocketAddr, error: &io::Error) -> Failure {
    let (what, help) = if error.kind() == io::ErrorKind::AddrInUse {
        let next = address.port().checked_add(1).unwrap_or(39001);
        let other = SocketAddr::new(address.ip(), next);
        let help = format!("stop it, or pick another port: --listen {other}");
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
