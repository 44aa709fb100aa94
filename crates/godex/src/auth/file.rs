//! `auth.json`: its forms, how it is read while somebody else writes it, and how new tokens are
//! merged into it.
//!
//! The Codex CLI shares the file and truncates it in place, so a read may find a piece of it; see
//! `docs/wire.md` for the form and for who writes what.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Error;
use super::token::{self, Claims};
use crate::store::file;

/// How often and how long a torn file is given to become whole.
const TORN_RETRIES: u32 = 3;
const TORN_PAUSE: Duration = Duration::from_millis(20);

/// A login is a few kilobytes; what is larger than this is something else.
const MAX_BYTES: u64 = 4 << 20;

/// Tells one state of the file from the next without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

/// The file at one moment.
#[derive(Clone)]
pub(super) struct Snapshot {
    pub(super) stamp: Stamp,
    /// Everything in it, in its order, the parts we do not know included.
    pub(super) raw: Map<String, Value>,
    pub(super) tokens: Tokens,
}

/// A `ChatGPT` login. Not printable: it is three secrets.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) access: String,
    pub(super) id: Option<String>,
    pub(super) refresh: Option<String>,
    pub(super) account_id: Option<String>,
    pub(super) last_refresh: Option<Timestamp>,
}

impl Tokens {
    /// The account, the plan and the end of these tokens, wherever they are written.
    pub(super) fn claims(&self) -> Claims {
        let access = token::peek(&self.access);
        let id = self.id.as_deref().map(token::peek).unwrap_or_default();
        Claims {
            expires_at: access.expires_at,
            account_id: self.account_id.clone().or(id.account_id).or(access.account_id),
            plan: id.plan.or(access.plan),
        }
    }
}

/// The state of the file now, if there is one.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    std::fs::metadata(path).ok().as_ref().map(stamp_of)
}

fn stamp_of(metadata: &std::fs::Metadata) -> Stamp {
    Stamp { modified: metadata.modified().ok(), length: metadata.len(), inode: metadata.ino() }
}

/// Reads the file, and again after a moment while it is no whole JSON. Blocks the thread.
///
/// # Errors
///
/// When the file is missing, closed to us, torn for good, or no login.
pub(super) fn read(path: &Path) -> Result<Snapshot, Error> {
    whole(path, || load(path))
}

fn whole(
    path: &Path,
    mut load: impl FnMut() -> Result<(Stamp, Vec<u8>), Error>,
) -> Result<Snapshot, Error> {
    let mut left = TORN_RETRIES;
    loop {
        let (stamp, bytes) = load()?;
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(Value::Object(raw)) => {
                let tokens = login(path, &raw)?;
                return Ok(Snapshot { stamp, raw, tokens });
            }
            Ok(_) => return Err(malformed(path, "it is not a JSON object")),
            Err(_) if left > 0 => {
                left -= 1;
                std::thread::sleep(TORN_PAUSE);
            }
            // The parser's own words could quote the file.
            Err(_) => return Err(malformed(path, "it is not JSON")),
        }
    }
}

fn load(path: &Path) -> Result<(Stamp, Vec<u8>), Error> {
    let attempt = || {
        let file = File::open(path)?;
        // Taken before the content: what is written from now on leaves another stamp.
        let stamp = stamp_of(&file.metadata()?);
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes)?;
        Ok((stamp, bytes))
    };
    attempt().map_err(|error: io::Error| {
        let path = path.to_owned();
        if error.kind() == io::ErrorKind::NotFound {
            Error::Missing { path }
        } else {
            Error::Unreadable { path, reason: error.to_string() }
        }
    })
}

fn malformed(path: &Path, reason: &'static str) -> Error {
    Error::Malformed { path: path.to_owned(), reason }
}

/// The `ChatGPT` login of the file. Files of older clients lack `auth_mode`: tokens are then taken
/// although there is a key, too, because the backend serves nothing else.
fn login(path: &Path, raw: &Map<String, Value>) -> Result<Tokens, Error> {
    let key = text(raw.get("OPENAI_API_KEY")).is_some();
    let by_key = raw.get("auth_mode").and_then(Value::as_str).is_some_and(is_api_key_mode);
    match tokens(raw) {
        Some(tokens) if !(key && by_key) => Ok(tokens),
        Some(_) | None if key => Err(Error::ApiKey { path: path.to_owned() }),
        Some(_) | None => Err(malformed(path, "it holds no access token")),
    }
}

fn is_api_key_mode(mode: &str) -> bool {
    mode.eq_ignore_ascii_case("apikey") || mode.eq_ignore_ascii_case("api_key")
}

fn tokens(raw: &Map<String, Value>) -> Option<Tokens> {
    let tokens = raw.get("tokens")?;
    Some(Tokens {
        access: text(tokens.get("access_token"))?,
        id: text(tokens.get("id_token")),
        refresh: text(tokens.get("refresh_token")),
        account_id: text(tokens.get("account_id")),
        last_refresh: text(raw.get("last_refresh")).and_then(|it| it.parse().ok()),
    })
}

fn text(value: Option<&Value>) -> Option<String> {
    value?.as_str().map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned)
}

/// Puts `tokens` into the file's JSON and leaves the rest as it is.
pub(super) fn merge(raw: &mut Map<String, Value>, tokens: &Tokens) {
    let slot = raw.entry("tokens").or_insert_with(|| Value::Object(Map::new()));
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    if let Some(slot) = slot.as_object_mut() {
        let secrets = [
            ("id_token", tokens.id.as_ref()),
            ("access_token", Some(&tokens.access)),
            ("refresh_token", tokens.refresh.as_ref()),
        ];
        for (name, secret) in secrets {
            if let Some(secret) = secret {
                slot.insert(name.to_owned(), Value::String(secret.clone()));
            }
        }
    }
    if let Some(at) = tokens.last_refresh {
        // Nine digits always, as the Codex CLI writes it.
        raw.insert("last_refresh".to_owned(), Value::String(format!("{at:.9}")));
    }
}

/// Writes the JSON as the Codex CLI does: two spaces, only for the owner.
///
/// # Errors
///
/// When neither the folder nor the file can be written.
pub(super) fn write(path: &Path, raw: &Map<String, Value>) -> io::Result<()> {
    let json = serde_json::to_vec_pretty(raw)?;
    match file::replace(path, &json, file::PRIVATE) {
        // To tear the file is a risk; to lose a refresh token that works only once is certain harm.
        Err(error) if is_mounted(&error) => file::overwrite(path, &json).map_err(|_| error),
        other => other,
    }
}

/// A file mounted into a container cannot be replaced, only written over.
fn is_mounted(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(error.kind(), CrossesDevices | PermissionDenied | ReadOnlyFilesystem | ResourceBusy)
}

#[cfg(test)]
mod tests;
