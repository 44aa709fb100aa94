//! `godex config set` and `unset`: one setting of the file is changed, and the rest of it, comments
//! included, stays as it is.

use std::fs;
use std::io;
use std::path::Path;

use toml_edit::{DocumentMut, Item, Table, TableLike};

use super::PRIVATE;
use crate::cli::report::{Exit, Failure};
use crate::cli::talk::Talk;
use crate::config::{Place, Setting, closest, masked, settings};
use crate::store::file;

/// Writes a setting into the file, which is made if it has to be.
///
/// # Errors
///
/// When there is no such setting, the value is refused, or the file cannot be changed.
pub(super) fn set(
    place: &Place,
    key: &str,
    values: &[String],
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let setting = find(key)?;
    let value = setting.written(values).map_err(|refused| {
        let why = masked(&refused.why);
        Failure::new(Exit::Usage, format!("{} is not changed", setting.key()))
            .cause(why)
            .help(refused.help)
    })?;
    let mut document = open(&place.path)?;
    let root: &mut dyn TableLike = document.as_table_mut();
    let table = match setting.table {
        "" => Some(root),
        name => root.entry(name).or_insert(Item::Table(Table::new())).as_table_like_mut(),
    };
    let Some(table) = table else {
        return Err(unclear(&place.path, &format!("`{}` is no table", setting.table)));
    };
    match table.get_mut(&setting.name).and_then(Item::as_value_mut) {
        Some(old) => {
            // A comment behind the old value is about the new one, too.
            let decor = old.decor().clone();
            *old = value;
            *old.decor_mut() = decor;
        }
        None => drop(table.insert(&setting.name, Item::Value(value))),
    }
    write(&place.path, &document)?;
    talk.note(&format!("{} is set in {}", setting.key(), place.path.display()));
    Ok(Exit::Success)
}

/// Takes a key out of the file, one that there should not be included.
///
/// # Errors
///
/// When it is not in the file, or the file cannot be changed.
pub(super) fn unset(place: &Place, key: &str, talk: &mut Talk<'_>) -> Result<Exit, Failure> {
    let path = place.path.display();
    let mut document = open(&place.path)?;
    // What is not in the file may be named as a setting is: without its table.
    let full = settings().into_iter().find(|it| it.name == key).map(|it| it.key());
    let names = [Some(key.to_owned()), full];
    if !names.into_iter().flatten().any(|it| remove(document.as_table_mut(), &it)) {
        return Err(Failure::new(Exit::Failure, format!("{key} is not set in {path}"))
            .help("see what counts: godex config show --origin"));
    }
    write(&place.path, &document)?;
    talk.note(&format!("{key} is no longer set in {path}"));
    Ok(Exit::Success)
}

/// Whether the key `table.name` was there.
fn remove(table: &mut dyn TableLike, key: &str) -> bool {
    if table.remove(key).is_some() {
        return true;
    }
    let Some((name, rest)) = key.split_once('.') else { return false };
    table.get_mut(name).and_then(Item::as_table_like_mut).is_some_and(|it| remove(it, rest))
}

/// The setting of this key, or of this name alone.
fn find(key: &str) -> Result<Setting, Failure> {
    let all = settings();
    let found =
        all.iter().find(|it| it.key() == key).or_else(|| all.iter().find(|it| it.name == key));
    found.cloned().ok_or_else(|| {
        let failure = Failure::new(Exit::Usage, format!("there is no setting `{}`", masked(key)));
        let name = key.rsplit('.').next().unwrap_or(key);
        match closest(name, all.iter().map(Setting::key)) {
            Some(close) => failure.help(format!("did you mean {close}?")),
            None => failure.help("see all of them: godex config show"),
        }
    })
}

fn open(path: &Path) -> Result<DocumentMut, Failure> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            let what = format!("cannot read the settings file {}", path.display());
            return Err(Failure::new(Exit::Config, what).cause(error.to_string()));
        }
    };
    text.parse().map_err(|_: toml_edit::TomlError| unclear(path, "it is not understood"))
}

fn unclear(path: &Path, cause: &str) -> Failure {
    Failure::new(Exit::Config, format!("{} is not changed", path.display()))
        .cause(cause)
        .help(format!("see where: godex config check {}", path.display()))
}

fn write(path: &Path, document: &DocumentMut) -> Result<(), Failure> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    let made = folder.map_or(Ok(()), fs::create_dir_all);
    // What its owner has opened to others stays open.
    let allowed = if path.exists() { 0o777 } else { PRIVATE };
    let written = made.and_then(|()| file::replace(path, document.to_string().as_bytes(), allowed));
    written.map_err(|error| {
        Failure::new(Exit::Config, format!("cannot write {}", path.display()))
            .cause(error.to_string())
            .help("make its folder writable for this user, or name another file with --config")
    })
}
