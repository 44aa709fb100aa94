//! `godex mock`: the simulator of the Codex backend alone, for tests of other programs.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use godex_mock::{Mock, Options};

use super::report::{Exit, Failure};
use super::signals::Signals;
use super::{listener, proxy};
use crate::config::parse_listen;
use crate::store::file;

/// `godex mock`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Address to listen on: `HOST:PORT`, or `:PORT` for loopback
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:39002")]
    #[arg(value_parser = parse_listen)]
    listen: SocketAddr,

    /// Milliseconds before each piece of an answer
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pace: u32,

    /// Write a login for this simulator to a file, for --auth-path
    #[arg(long, value_name = "PATH")]
    write_auth: Option<PathBuf>,
}

/// How long the login of `--write-auth` lives.
const LOGIN: Duration = Duration::from_hours(10 * 365 * 24);

/// What every login of the simulator has in it, and no real one.
const OURS: &str = "\"rt_mock_";

/// Runs the simulator until a signal.
///
/// # Errors
///
/// When it cannot listen, or the login cannot be written.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let runtime = proxy::runtime(2)?;
    let outcome = runtime.block_on(serve(args));
    runtime.shutdown_background();
    outcome.map(|()| Exit::Success)
}

async fn serve(args: &Args) -> Result<(), Failure> {
    let options = Options {
        listen: args.listen,
        pace: Duration::from_millis(args.pace.into()),
        ..Options::default()
    };
    let mut signals = Signals::listen()?;
    let mock = Mock::start(options).await.map_err(|it| listener::refused(args.listen, &it))?;
    if let Some(path) = &args.write_auth {
        write_login(path, &mock.new_login(LOGIN))?;
    }
    let auth = match &args.write_auth {
        Some(path) => path.display().to_string(),
        None => "FILE".to_owned(),
    };
    let hint = match args.write_auth {
        Some(_) => "",
        None => "\n  login       godex mock --write-auth FILE writes one that fits",
    };
    let (base, token, issuer) = (mock.base_url(), mock.token_url(), mock.issuer());
    let text = format!(
        "godex {}  MOCK backend alone: canned answers, nothing leaves this machine
  base URL    {base}
  token URL   {token}  (CODEX_REFRESH_TOKEN_URL_OVERRIDE){hint}
  issuer      {issuer}  (godex login --issuer)
  use it
    godex proxy --base-url {base} --auth-path {auth} --api-key local-dev-key
",
        env!("CARGO_PKG_VERSION"),
    );
    // A closed standard error is no reason not to serve.
    let _ = io::stderr().lock().write_all(text.as_bytes());
    signals.stop(|| ()).await;
    Ok(())
}

/// Writes a login, but never over one that the simulator has not written.
fn write_login(path: &Path, login: &str) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        Failure::new(Exit::Failure, format!("cannot write the login to {}", path.display()))
            .cause(error.to_string())
    };
    match fs::read_to_string(path) {
        Ok(old) if !old.is_empty() && !old.contains(OURS) => {
            let what = format!("{} holds something else and is not overwritten", path.display());
            return Err(Failure::new(Exit::Failure, what)
                .help("name a new file, like --write-auth /tmp/mock-auth.json"));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    file::replace(path, login.as_bytes(), file::PRIVATE).map_err(failed)
}
