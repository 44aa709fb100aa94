//! The settings file, the certificate, the keys and the usage log.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use jiff::Timestamp;

use super::check::{Category, Checks};
use super::remedy::{Remedy, opened};
use crate::cli::settings::TLS_FILES;
use crate::cli::ways::{Ways, quoted};
use crate::clock;
use crate::config::{Admission, Config, File, FileError, Problem, TlsFiles};
use crate::serve::tls::{self, Tls};
use crate::store::file;
use crate::store::keys;
use crate::store::keys::record::Records;

/// Whether the settings file is understood, and who can read it.
pub(super) fn settings(
    file: &Result<Option<File>, FileError>,
    ways: &Ways<'_>,
    checks: &mut Checks,
) {
    const HERE: Category = Category::Files;
    match file {
        Ok(None) => checks.ok("config", HERE, "no settings file, which is fine"),
        Ok(Some(file)) => {
            let shown = checks.shown(file.path());
            match file.exposed() {
                None => checks.ok("config", HERE, format!("{} settings, {shown}", file.len())),
                Some(mode) => checks.warn(
                    "config",
                    HERE,
                    format!("others can read {shown} ({mode:04o}), which holds api_key"),
                    format!("chmod 600 {}", checks.typed(file.path())),
                ),
            }
        }
        Err(FileError::Unreadable { path, source }) => {
            let what = format!("{} cannot be read: {source}", checks.shown(path));
            let remedy = if source.kind() == io::ErrorKind::NotFound {
                Remedy::from(ways.unnamed())
            } else {
                opened(path, "godex doctor --config ~/godex.toml".to_owned(), checks)
            };
            checks.fail("config", HERE, what, remedy.or("or name a file that is there"));
        }
        Err(FileError::Wrong { path, problems }) => {
            let first = problems.first().map(|it| it.headline(path)).unwrap_or_default();
            let typed = checks.typed(path);
            let taken_out = |it: &Problem| {
                let key = it.key.as_ref().map(|key| format!("godex config unset {}", quoted(key)));
                key.map(|command| ways.with(&command, &[]))
            };
            let commands: Option<Vec<_>> = problems.iter().map(taken_out).collect();
            // What cannot be taken out in pieces is set aside.
            let mut commands =
                commands.unwrap_or_else(|| vec![format!("mv {typed} {typed}.broken")]);
            commands.dedup();
            let remedy = Remedy::commands(commands);
            let remedy = remedy.or(format!("or mend it: godex config check {typed}"));
            checks.fail("config", HERE, first, remedy);
        }
    }
}

/// Whether only its owner can read a file.
pub(super) fn private(id: &'static str, category: Category, path: &Path, checks: &mut Checks) {
    let Ok(metadata) = fs::metadata(path) else { return };
    let mode = metadata.permissions().mode() & 0o777;
    let shown = checks.shown(path);
    let others = mode & 0o077;
    if others == 0 {
        checks.ok(id, category, format!("only you can read {shown}"));
    } else {
        checks.warn(
            id,
            category,
            format!("others can read {shown} ({mode:04o})"),
            format!("chmod 600 {}", checks.typed(path)),
        );
    }
}

/// Whether the listener can speak TLS, if it shall, and for how long.
pub(super) fn tls(files: Option<&TlsFiles>, ways: &Ways<'_>, checks: &mut Checks) {
    const HERE: Category = Category::Files;
    let Some(TlsFiles { cert, key }) = files else { return };
    let shown = checks.shown(cert);
    match (Tls::open(cert, key), tls::out_of_date(cert, clock::unix_seconds())) {
        (Ok(_), None) => checks.ok("tls", HERE, format!("a certificate and its key, {shown}")),
        (Ok(_), Some(why)) => checks.warn(
            "tls",
            HERE,
            format!("the certificate in {shown} {why}: clients refuse it"),
            Remedy::advice("have another one issued; a running proxy reads it after kill -HUP"),
        ),
        (Err(error), _) => {
            let cause = std::error::Error::source(&error);
            let cause = cause.map(|it| format!(": {it}")).unwrap_or_default();
            let closed = [(cert, "tls_cert", "cert"), (key, "tls_key", "key")];
            let closed = closed.into_iter().find(|(path, ..)| {
                fs::File::open(path)
                    .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
            });
            let remedy = match closed {
                Some((path, id, name)) => {
                    let copy = format!("~/godex-{name}.pem");
                    let typed = checks.typed(path);
                    let taken = format!("sudo install -m 600 -o \"$(id -un)\" {typed} {copy}");
                    opened(path, format!("{taken} && {}", ways.set(id, &copy)), checks)
                }
                None => Remedy::default(),
            };
            let what = format!("{error}{cause}");
            checks.fail("tls", HERE, what, remedy.or(TLS_FILES));
        }
    }
    private("tls-mode", HERE, key, checks);
}

/// Whether anybody may call.
pub(super) fn keys(config: &Config, ways: &Ways<'_>, checks: &mut Checks) {
    const HERE: Category = Category::Files;
    let shown = checks.shown(&config.keys_path);
    let add = ways.with("godex proxy keys add --label my-laptop", &["keys_path"]);
    let records = match Records::read(&config.keys_path) {
        Ok(records) => records,
        Err(error) => {
            let typed = checks.typed(&config.keys_path);
            let remedy = match &error {
                keys::Error::File { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                    Remedy::default()
                }
                keys::Error::File { .. } => {
                    opened(&config.keys_path, ways.set("keys_path", "~/godex-keys.json"), checks)
                }
                keys::Error::Damaged { .. } => {
                    Remedy::commands([format!("mv {typed} {typed}.damaged"), add])
                }
                keys::Error::TooNew { .. } => Remedy::default(),
            };
            let remedy = error.help().into_iter().take(1).fold(remedy, Remedy::or);
            checks.fail("keys", HERE, error.to_string(), remedy);
            return;
        }
    };
    let now: Timestamp = clock::timestamp();
    let active = records.keys.iter().filter(|it| it.is_active(now)).count();
    let others = records.keys.len() - active;
    let counted = format!("{active} active, {others} revoked or expired, {shown}");
    match &config.admission {
        Admission::Anyone => {
            let closed = ways.set("allow_any_key", "false");
            let first_key = Some(add).filter(|_| active == 0);
            let remedy = Remedy::commands([closed].into_iter().chain(first_key));
            checks.warn("keys", HERE, "any key is accepted", remedy);
        }
        Admission::Keys { shared: Some(_) } => {
            checks.ok("keys", HERE, format!("the shared key; {counted}"));
        }
        Admission::Keys { shared: None } if active == 0 => {
            checks.fail("keys", HERE, format!("nobody could call: {counted}"), add);
        }
        Admission::Keys { shared: None } => checks.ok("keys", HERE, counted),
    }
    private("keys-mode", HERE, &config.keys_path, checks);
}

/// Whether usage can be written down.
pub(super) fn usage(path: &Path, ways: &Ways<'_>, checks: &mut Checks) {
    const HERE: Category = Category::Files;
    let shown = checks.shown(path);
    let typed = checks.typed(path);
    let elsewhere = ways.set("stats_path", "~/godex-usage.jsonl");
    let aside = || Remedy::from(format!("mv {typed} {typed}.aside")).or(format!("or {elsewhere}"));
    if fs::metadata(path).is_ok_and(|it| !it.is_file() && !it.is_dir()) {
        checks.ok("usage", HERE, format!("{shown} is no file: nothing is kept to report"));
        return;
    }
    // Opened for appending and closed again: nothing is written.
    match OpenOptions::new().append(true).open(path).and_then(|it| it.metadata()) {
        Ok(metadata) => {
            let mib = metadata.len() >> 20;
            checks.ok("usage", HERE, format!("{mib} MiB, {shown}"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.ancestors().skip(1).find(|it| it.exists());
            let new = folder.unwrap_or(Path::new(".")).join("proxy-usage.jsonl");
            match file::rehearse(&new) {
                Ok(()) => checks.ok("usage", HERE, format!("not begun yet, {shown}")),
                Err(error) => {
                    let what = format!("{shown} cannot be made: {error}");
                    let remedy = if error.kind() == io::ErrorKind::PermissionDenied {
                        opened(&new, elsewhere, checks)
                    } else {
                        elsewhere.into()
                    };
                    checks.fail("usage", HERE, what, remedy);
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let what = format!("{shown} cannot be written: {error}");
            checks.fail("usage", HERE, what, opened(path, elsewhere, checks));
        }
        Err(error) => {
            checks.fail("usage", HERE, format!("{shown} cannot be written: {error}"), aside());
        }
    }
}
