//! What every command says about settings and logins that cannot be used.

use super::report::{Exit, Failure};
use crate::auth;
use crate::config;

/// A refused setting, in the form of all failures.
pub(super) fn refused(error: &config::Error) -> Failure {
    let failure = Failure::new(Exit::Usage, error.to_string()).help(error.help());
    match std::error::Error::source(error) {
        Some(cause) => failure.cause(cause.to_string()),
        None => failure,
    }
}

/// The three ways to a login.
pub(super) fn no_login(error: &auth::Error) -> Failure {
    let failure = |exit, what| {
        let cause = match error {
            auth::Error::Missing { path } => format!("{} does not exist", path.display()),
            auth::Error::Unreadable { .. }
            | auth::Error::Malformed { .. }
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
        | auth::Error::Rejected(_)
        | auth::Error::Unavailable { .. } => {
            failure(Exit::NotLoggedIn, "not logged in to ChatGPT")
                .help("sign in              godex login            (opens a browser; --device on a server)")
                .help("or with Codex CLI    codex login")
                .help("just trying it out?  godex proxy --mock     (built-in offline backend, no account needed)")
        }
    }
}
