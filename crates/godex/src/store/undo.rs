//! Changes of other programs' files that can be taken back, byte for byte.
//!
//! Before the first change the file is copied beside itself, and a note in our own folder says
//! what was written and where the copy is. `untouched --apply--> changed --restore--> untouched`;
//! a file that somebody else has changed in between is theirs, and is only taken back by force.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use godex_core::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::file::{self, Lock};

/// What the copy of a file is called, after the file's own name.
const SUFFIX: &str = ".before-godex";

/// The note about a change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    schema_version: u32,
    /// The file.
    pub(crate) path: PathBuf,
    /// Its copy from before; none when there was no file.
    pub(crate) backup: Option<PathBuf>,
    /// Folders that were made for it, the outermost first.
    folders: Vec<PathBuf>,
    /// The SHA-256 of what was written.
    written: String,
    /// The managed key that was made for it.
    pub(crate) key_id: Option<String>,
    /// The file in which it was made; notes of before 0.1 do not tell.
    #[serde(default)]
    keys_path: Option<PathBuf>,
}

/// A managed key, and the file that it is in.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// Its id.
    pub(crate) id: String,
    /// The key file.
    pub(crate) file: PathBuf,
}

/// How a file is, compared with the note about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// As we wrote it.
    Ours,
    /// Somebody has changed or removed it since.
    Changed,
}

/// What a change starts from.
#[derive(Debug)]
pub(crate) struct Base {
    /// The text without anything of ours; none when there is no file.
    pub(crate) text: Option<String>,
    /// The note about an earlier change of ours that still stands.
    pub(crate) earlier: Option<Note>,
}

impl Note {
    /// The key that was made, and its file: `otherwise` if the note does not tell.
    pub(crate) fn key(&self, otherwise: &Path) -> Option<Made> {
        let file = self.keys_path.as_deref().unwrap_or(otherwise).to_owned();
        Some(Made { id: self.key_id.clone()?, file })
    }

    /// The note at `place`, if there is one that can be read.
    ///
    /// # Errors
    ///
    /// When it is there and cannot be read.
    pub(crate) fn read(place: &Path) -> io::Result<Option<Self>> {
        match fs::read(place) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How the file stands now.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub(crate) fn standing(&self) -> io::Result<Standing> {
        let found = text(&self.path)?;
        let ours = found.is_some_and(|it| digest(&it) == self.written);
        Ok(if ours { Standing::Ours } else { Standing::Changed })
    }
}

/// What is at `path` without what the note at `place` says we wrote.
///
/// # Errors
///
/// When the file, its copy or the note cannot be read.
pub(crate) fn base(place: &Path, path: &Path) -> io::Result<Base> {
    let path = file::follow(path)?;
    if let Some(note) = Note::read(place)?
        && note.path == path
        && note.standing()? == Standing::Ours
    {
        let text = note.backup.as_deref().map(text).transpose()?.flatten();
        return Ok(Base { text, earlier: Some(note) });
    }
    Ok(Base { text: text(&path)?, earlier: None })
}

/// Writes `text` at `path` and the note about it at `place`. What was there before the first
/// change is kept.
///
/// # Errors
///
/// When something cannot be written; the file is then as it was.
pub(crate) fn apply(
    place: &Path,
    path: &Path,
    text: &str,
    key: Option<Made>,
    base: &Base,
) -> io::Result<Note> {
    let (key_id, keys_path) = key.map(|it| (it.id, it.file)).unzip();
    let target = file::follow(path)?;
    let folders = missing(&target);
    for folder in [target.parent(), place.parent()].into_iter().flatten() {
        fs::create_dir_all(folder)?;
    }
    let _lock = Lock::acquire(place)?;
    let note = match &base.earlier {
        Some(earlier) => Note { written: digest(text), key_id, keys_path, ..earlier.clone() },
        None => Note {
            schema_version: 1,
            backup: keep(&target)?,
            path: target.clone(),
            folders,
            written: digest(text),
            key_id,
            keys_path,
        },
    };
    let json = serde_json::to_vec_pretty(&note)?;
    file::replace(place, &json, file::PRIVATE)?;
    file::replace(&target, text.as_bytes(), file::PRIVATE)?;
    Ok(note)
}

/// Puts back what was there before, with its permissions, and forgets the note.
///
/// # Errors
///
/// When the copy is gone or the folder is closed to us.
pub(crate) fn restore(place: &Path, note: &Note) -> io::Result<()> {
    let _lock = Lock::acquire(place)?;
    if let Some(backup) = &note.backup {
        fs::rename(backup, &note.path)?;
    } else {
        if note.path.exists() {
            fs::remove_file(&note.path)?;
        }
        for folder in note.folders.iter().rev() {
            // With something else in it by now, it stays.
            let _ = fs::remove_dir(folder);
        }
    }
    fs::remove_file(place)
}

/// A copy of the file beside it, with its permissions. An older copy is never overwritten.
fn keep(path: &Path) -> io::Result<Option<PathBuf>> {
    if !path.exists() {
        return Ok(None);
    }
    for number in 0..100 {
        let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        name.push(SUFFIX);
        if number > 0 {
            name.push(format!(".{number}"));
        }
        let backup = path.with_file_name(name);
        if !backup.exists() {
            fs::copy(path, &backup)?;
            return Ok(Some(backup));
        }
    }
    Err(io::Error::other("there are a hundred copies of it already"))
}

/// The folders of `path` that are not there, the outermost first.
fn missing(path: &Path) -> Vec<PathBuf> {
    let folders = path.ancestors().skip(1).take_while(|it| !it.exists());
    let mut folders: Vec<_> = folders.map(Path::to_owned).collect();
    folders.reverse();
    folders
}

fn text(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn digest(text: &str) -> String {
    hex::of(&Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    struct Desk {
        folder: tempfile::TempDir,
    }

    impl Desk {
        fn at(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, path: &Path, text: &str) -> Note {
            let place = self.at("state/connect-x.json");
            let base = base(&place, path).unwrap();
            apply(&place, path, text, None, &base).unwrap()
        }
    }

    #[test]
    fn a_file_comes_back_with_its_bytes_and_its_permissions_after_any_number_of_changes() {
        let desk = Desk { folder: tempfile::tempdir().unwrap() };
        let (path, place) = (desk.at("config"), desk.at("state/connect-x.json"));
        fs::write(&path, "before\r\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        desk.write(&path, "first");
        assert_eq!(base(&place, &path).unwrap().text.as_deref(), Some("before\r\n"));
        let note = desk.write(&path, "second");
        assert_eq!(fs::read_to_string(&path).unwrap(), "second");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(note.standing().unwrap(), Standing::Ours);
        restore(&place, &note).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before\r\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert!(Note::read(&place).unwrap().is_none());
        assert!(!desk.at("config.before-godex").exists());
    }

    #[test]
    fn a_file_that_was_not_there_goes_with_the_folders_made_for_it() {
        let desk = Desk { folder: tempfile::tempdir().unwrap() };
        let path = desk.at("deep/er/config");
        let note = desk.write(&path, "text");
        assert!(note.backup.is_none());
        restore(&desk.at("state/connect-x.json"), &note).unwrap();
        assert!(!desk.at("deep").exists());
    }

    #[test]
    fn a_change_by_somebody_else_is_seen_and_kept_as_the_new_base() {
        let desk = Desk { folder: tempfile::tempdir().unwrap() };
        let (path, place) = (desk.at("config"), desk.at("state/connect-x.json"));
        fs::write(&path, "before").unwrap();
        let note = desk.write(&path, "ours");
        fs::write(&path, "theirs").unwrap();
        assert_eq!(note.standing().unwrap(), Standing::Changed);
        assert_eq!(base(&place, &path).unwrap().text.as_deref(), Some("theirs"));
        let note = desk.write(&path, "ours again");
        assert_eq!(note.backup, Some(desk.at("config.before-godex.1")));
        assert_eq!(fs::read_to_string(desk.at("config.before-godex")).unwrap(), "before");
    }

    #[test]
    fn a_link_stays_a_link() {
        let desk = Desk { folder: tempfile::tempdir().unwrap() };
        fs::write(desk.at("real"), "before").unwrap();
        std::os::unix::fs::symlink(desk.at("real"), desk.at("link")).unwrap();
        let note = desk.write(&desk.at("link"), "ours");
        assert_eq!(fs::read_to_string(desk.at("real")).unwrap(), "ours");
        restore(&desk.at("state/connect-x.json"), &note).unwrap();
        assert!(fs::symlink_metadata(desk.at("link")).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(desk.at("link")).unwrap(), "before");
    }
}
