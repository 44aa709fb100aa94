//! `godex mock`: the simulator of the Codex backend alone, for tests of other programs.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::report::{Exit, Failure};
use crate::config::{Surroundings, parse_listen};

/// `godex mock`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Address to listen on: `HOST:PORT`, or `:PORT` for loopback
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:39002", value_parser = parse_listen)]
    listen: SocketAddr,

    /// Milliseconds between two pieces of an answer
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pace: u64,

    /// Write a login for this simulator to a file, for --auth-path
    #[arg(long, value_name = "PATH")]
    write_auth: Option<PathBuf>,
}

/// Runs the simulator until a signal.
///
/// # Errors
///
/// When it cannot listen, or the login cannot be written.
pub(super) fn run(args: &Args, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let _ = (args.listen, args.pace, &args.write_auth, surroundings);
    Err(Failure::new(Exit::Failure, "the simulator is not built in yet"))
}
