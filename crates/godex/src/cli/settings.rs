//! What every command says about settings and logins that cannot be used.

use super::report::{Exit, Failure};
use crate::auth;
use crate::config::{self, File, FileError};

/// Which files make TLS.
pub(super) const TLS_FILES: &str =
    "name PEM files with --tls-cert and --tls-key: the chain, and its private key";

/// A refused setting, in the form of all failures.
pub(super) fn refused(error: &config::Error) -> Failure {
    let failure = Failure::new(Exit::Usage, error.to_string()).help(error.help());
    match std::error::Error::source(error) {
        Some(cause) => failure.cause(cause.to_string()),
        None => failure,
    }
}

/// A settings file that is not used, in the form of all failures.
pub(super) fn unread(error: &FileError) -> Failure {
    match error {
        FileError::Unreadable { source, .. } => Failure::new(Exit::Config, error.to_string())
            .cause(source.to_string())
            .help("name a file that this user can read with --config, or leave it out"),
        FileError::Wrong { path, problems } => {
            let Some((first, others)) = problems.split_first() else {
                return Failure::new(Exit::Config, error.to_string());
            };
            let failure = Failure::new(Exit::Config, first.headline(path))
                .excerpt(first.excerpt())
                .help(first.help.clone());
            match others.len() {
                0 => failure,
                more => {
                    failure.help(format!("see {more} more: godex config check {}", path.display()))
                }
            }
        }
    }
}

/// A word about a file that holds a secret and that others can read.
pub(super) fn exposed(file: &File) -> Option<String> {
    let path = file.path().display();
    let mode = file.exposed()?;
    Some(format!("others can read {path} ({mode:04o}), which holds api_key: chmod 600 {path}"))
}

/// The three ways to a login; `given` is the flag that names its file, if one did.
pub(super) fn no_login(error: &auth::Error, given: &str) -> Failure {
    let failure = |exit, what| {
        let cause = match error {
            auth::Error::Missing { path } => format!("{} does not exist", path.display()),
            auth::Error::Unreadable { .. }
            | auth::Error::Malformed { .. }
            | auth::Error::ApiKey { .. }
            | auth::Error::Rejected(_)
            | auth::Error::Unavailable { .. } => error.to_string(),
        };
        Failure::new(exit, what).cause(cause)
    };
    match error {
        auth::Error::Unreadable { .. } => failure(Exit::Config, "the login cannot be read")
            .help("let this user read it (chmod 600, chown), or name another with --auth-path"),
        auth::Error::Missing { .. }
        | auth::Error::Malformed { .. }
        | auth::Error::ApiKey { .. }
        | auth::Error::Rejected(_)
        | auth::Error::Unavailable { .. } => {
            failure(Exit::NotLoggedIn, "not logged in to ChatGPT")
                .help(format!("sign in              {:<22} (opens a browser; --device on a server)", format!("godex login{given}")))
                .help("or with Codex CLI    codex login")
                .help("just trying it out?  godex proxy --mock     (built-in offline backend, no account needed)")
        }
    }
}
