//! How a command finds a running proxy of this user, and asks it.

use std::io::{self, BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::report::{Exit, Failure};
use super::talk::rough;
use crate::config::{Surroundings, parse_listen};

/// Which proxy is meant.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Which {
    /// Address that the proxy listens on [default: 127.0.0.1:39001, or the only one that runs]
    #[arg(long, env = "GODEX_PROXY_LISTEN", value_name = "ADDR")]
    #[arg(value_parser = parse_listen)]
    listen: Option<SocketAddr>,
}

/// Where the documented listener is.
const USUAL: u16 = 39001;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

impl Which {
    /// Opens the admin socket of the proxy that is meant.
    ///
    /// # Errors
    ///
    /// When it does not run, or several do.
    pub(super) fn connect(&self, surroundings: &Surroundings) -> Result<UnixStream, Failure> {
        let wanted = self.listen.map(|it| it.port());
        let named = |path: &Path, port: u16| {
            path.file_name().is_some_and(|it| *it == *crate::config::socket_name(port))
        };
        let mut live: Vec<(PathBuf, UnixStream)> = surroundings
            .sockets()
            .into_iter()
            .filter_map(|path| UnixStream::connect(&path).ok().map(|it| (path, it)))
            .collect();
        let port = wanted.unwrap_or(USUAL);
        let found = live.iter().position(|(path, _)| named(path, port));
        match (found, wanted, live.len()) {
            (Some(at), _, _) => Ok(live.swap_remove(at).1),
            (None, None, 1) => Ok(live.swap_remove(0).1),
            (None, None, 2..) => {
                let what = "several proxies run here: say which one is meant";
                Err(running(surroundings)
                    .iter()
                    .fold(Failure::new(Exit::Usage, what), |failure, listen| {
                        failure.help(format!("--listen {listen}"))
                    }))
            }
            (None, _, _) => {
                let what = match self.listen {
                    Some(listen) => format!("no proxy of yours runs on {listen}"),
                    None => "no proxy of yours is running".to_owned(),
                };
                let there = match self.listen {
                    Some(listen) if listen.port() != USUAL => format!(" --listen {listen}"),
                    Some(_) | None => String::new(),
                };
                let start = format!("godex proxy{there}");
                Err(Failure::new(Exit::Failure, what)
                    .help(format!("{start}            (starts one; --mock needs no account)")))
            }
        }
    }
}

/// Asks, and returns the lines that answer.
///
/// # Errors
///
/// When the proxy has gone.
pub(super) fn ask(
    mut stream: UnixStream,
    question: &str,
) -> Result<impl Iterator<Item = io::Result<String>>, Failure> {
    writeln!(stream, "{question}").map_err(|error| gone(&error))?;
    Ok(BufReader::new(stream).lines())
}

/// The status of the proxy.
///
/// # Errors
///
/// When the proxy has gone or does not answer.
pub(super) fn status(stream: UnixStream) -> Result<Value, Failure> {
    stream.set_read_timeout(Some(PATIENCE)).map_err(|error| gone(&error))?;
    let line = ask(stream, "status")?.next();
    let line = line.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
    let line = line.map_err(|error| gone(&error))?;
    serde_json::from_str(&line).map_err(|error| gone(&error.into()))
}

/// Where the proxies of this user listen.
pub(super) fn running(surroundings: &Surroundings) -> Vec<SocketAddr> {
    let open = |path: PathBuf| UnixStream::connect(path).ok();
    let listen = |stream| status(stream).ok()?.get("listen")?.as_str()?.parse().ok();
    surroundings.sockets().into_iter().filter_map(open).filter_map(listen).collect()
}

/// The status of the proxy of this user on a port; `None` when there is none.
pub(super) fn on_port(port: u16, surroundings: &Surroundings) -> Option<Value> {
    let name = crate::config::socket_name(port);
    let ours = |path: &PathBuf| path.file_name().is_some_and(|it| *it == *name);
    let mut sockets = surroundings.sockets().into_iter().filter(ours);
    status(sockets.find_map(|path| UnixStream::connect(path).ok())?).ok()
}

/// The proxy of this user on a port, in words: `godex (pid 4121, started 2 h ago)`.
pub(super) fn runs_on(port: u16, surroundings: &Surroundings) -> Option<String> {
    let status = on_port(port, surroundings)?;
    let number = |name| status.get(name).and_then(Value::as_u64);
    let (pid, since) = (number("pid")?, rough(number("uptime_s")?));
    Some(format!("godex (pid {pid}, started {since} ago)"))
}

fn gone(error: &io::Error) -> Failure {
    Failure::new(Exit::Failure, "the proxy does not answer").cause(error.to_string())
}
