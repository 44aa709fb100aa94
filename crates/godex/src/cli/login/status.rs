//! `godex login status`: whose login the proxy would use, and how long it is good for.

use std::path::Path;

use serde_json::{Value, json};

use super::{date, distance, given};
use crate::auth::{self, Described};
use crate::cli::report::{Exit, Failure};
use crate::cli::settings;
use crate::cli::talk::{Talk, pretty};
use crate::clock;
use crate::config::{LoginFiles, LoginPath, Owner, Surroundings};

/// Show who is signed in; exit code 4 when nobody is
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: LoginPath,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Tells about the login.
///
/// # Errors
///
/// When there is no home folder to look in, or the output cannot be written.
pub(super) fn run(
    args: &Args,
    surroundings: &Surroundings,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let files = LoginFiles::find(args.place.auth_path.as_deref(), surroundings)
        .map_err(|error| settings::refused(&error))?;
    let (path, owner) = files.in_use();
    match auth::describe(path) {
        Ok(found) => talk.say(&if args.json {
            pretty(&json(&found, path, owner))
        } else {
            text(&found, path, owner)
        }),
        Err(error) if args.json => {
            let nobody = json!({
                "schema_version": 1,
                "logged_in": false,
                "path": path.display().to_string(),
                "owner": name(owner),
                "reason": error.to_string(),
            });
            talk.say(&pretty(&nobody))?;
            Ok(Exit::NotLoggedIn)
        }
        Err(error) => Err(settings::no_login(&error, &given(path, owner))),
    }
}

fn name(owner: Owner) -> &'static str {
    match owner {
        Owner::Named => "named",
        Owner::Godex => "godex",
        Owner::Codex => "codex",
    }
}

fn json(found: &Described, path: &Path, owner: Owner) -> Value {
    let expires = found.expires_at.and_then(date);
    json!({
        "schema_version": 1,
        "logged_in": true,
        "path": path.display().to_string(),
        "owner": name(owner),
        "plan": found.plan,
        "email": found.email,
        "account_tail": found.account_tail,
        "expires_at": expires.map(|it| it.to_string()),
        "expired": expires.is_some_and(|it| it <= clock::timestamp()),
        "renewable": found.renewable,
        "last_refresh": found.last_refresh.map(|it| it.to_string()),
    })
}

fn text(found: &Described, path: &Path, owner: Owner) -> String {
    let owner = match owner {
        Owner::Named => "the file you name",
        Owner::Godex => "written by godex login",
        Owner::Codex => "shared with the Codex CLI",
    };
    let place = format!("  file     {}  ({owner})\n", path.display());
    let plan = found.plan.as_deref().unwrap_or("plan unknown");
    let email = found.email.as_deref().map(|it| format!(", {it}")).unwrap_or_default();
    let tail = found.account_tail.as_deref().unwrap_or("?");
    let token = match found.expires_at.and_then(date) {
        Some(end) => {
            let ends = if end > clock::timestamp() { "ends" } else { "ended" };
            let renewal = match (found.renewable, end > clock::timestamp()) {
                (true, true) => "; godex proxy --allow-refresh renews it",
                (true, false) => {
                    "; godex proxy --allow-refresh renews it, or sign in again: godex login"
                }
                (false, _) => "; sign in again then: godex login",
            };
            format!("{ends} {}{renewal}", distance(end))
        }
        None => "has no date".to_owned(),
    };
    format!("logged in to ChatGPT {plan}{email} (account …{tail})\n{place}  token    {token}\n")
}
