//! The only place that opens files for writing: a file is replaced as a whole or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock;

/// Only the owner may read and write: the mode of every file that holds a secret.
pub(crate) const PRIVATE: u32 = 0o600;

/// A draft that is older than this was left by a writer that was killed.
const LEFT_BEHIND: Duration = Duration::from_secs(60);

/// As many symbolic links in a row as Linux follows.
const MAX_LINKS: usize = 40;

/// Puts `bytes` in the place of the file at `path`: a reader, a crash or a full disk sees the old
/// file or the new one, never a piece.
///
/// A symbolic link is followed and stays. The new file has `mode`, less what the old one denied,
/// and the old one's owner where the system lets us.
///
/// # Errors
///
/// When the folder does not let us; the old file is then untouched.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let target = follow(path)?;
    sweep(&target);
    let old = match fs::metadata(&target) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let mode = old.as_ref().map_or(mode, |it| it.mode() & mode);
    let draft = Draft::create(&target, mode)?;
    if let Some(old) = old {
        draft.give_to(&old);
    }
    draft.fill(bytes)?;
    draft.publish(&target)
}

/// Whether [`replace`] would be let, found out without leaving anything behind.
///
/// # Errors
///
/// Why it would not.
pub(crate) fn rehearse(path: &Path) -> io::Result<()> {
    Draft::create(&follow(path)?, PRIVATE).map(drop)
}

/// Writes `bytes` over the file at `path` in place, for a file that cannot be replaced because it
/// is a mount point or its folder is closed to us.
///
/// # Errors
///
/// When the file cannot be opened or the disk is full; the file may then be torn.
pub(crate) fn overwrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()
}

/// The file that `path` means once every symbolic link is followed. It need not exist.
///
/// # Errors
///
/// When the links form a ring or a folder cannot be searched.
pub(crate) fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&target) {
            Ok(next) => target = folder(&target).join(next),
            Err(error) if is_no_link(&error) => return Ok(target),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

fn is_no_link(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotFound)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Removes the drafts of `target` that writers left behind when they were killed.
fn sweep(target: &Path) {
    let (Some(name), Ok(entries)) = (target.file_name(), fs::read_dir(folder(target))) else {
        return;
    };
    let now = clock::wall();
    for entry in entries.flatten() {
        let is_old = |it: fs::Metadata| {
            let written = it.modified().ok().filter(|_| it.is_file())?;
            now.duration_since(written).ok().filter(|age| *age > LEFT_BEHIND)
        };
        if is_draft_of(name, &entry.file_name()) && entry.metadata().ok().and_then(is_old).is_some()
        {
            // Whatever keeps it there, the file itself is still to be written.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether `entry` is a name that [`Draft::create`] gives to drafts of `target`.
fn is_draft_of(target: &OsStr, entry: &OsStr) -> bool {
    let unique = entry
        .as_encoded_bytes()
        .strip_prefix(b".")
        .and_then(|rest| rest.strip_prefix(target.as_encoded_bytes()))
        .and_then(|rest| rest.strip_prefix(b"."))
        .and_then(|rest| rest.strip_suffix(b".tmp"));
    unique.is_some_and(|it| it.len() == 16 && it.iter().all(u8::is_ascii_hexdigit))
}

/// The new file under its temporary name. Dropped without being published, it is removed.
struct Draft {
    file: File,
    path: PathBuf,
    published: bool,
}

impl Draft {
    fn create(target: &Path, mode: u32) -> io::Result<Self> {
        let unique = u64::from_ne_bytes(clock::random()?);
        let mut name = OsString::from(".");
        name.push(target.file_name().ok_or(io::ErrorKind::InvalidInput)?);
        name.push(format!(".{unique:016x}.tmp"));
        let path = folder(target).join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&path)?;
        let draft = Self { file, path, published: false };
        // Exactly `mode`, whatever the umask is.
        draft.file.set_permissions(fs::Permissions::from_mode(mode))?;
        Ok(draft)
    }

    /// Keeps the owner when root replaces the file of a user, who must still be able to read it.
    fn give_to(&self, old: &fs::Metadata) {
        let same =
            self.file.metadata().is_ok_and(|new| (new.uid(), new.gid()) == (old.uid(), old.gid()));
        if !same
            && let Err(error) =
                std::os::unix::fs::fchown(&self.file, Some(old.uid()), Some(old.gid()))
        {
            tracing::debug!(%error, "the replaced file changes its owner");
        }
    }

    fn fill(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.file).write_all(bytes)?;
        self.file.sync_all()
    }

    fn publish(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.published = true;
        // The new name is on the disk only when the folder is.
        File::open(folder(target))?.sync_all()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published {
            // A leftover is private, no reader looks at its name, and the next writer removes it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A lock between processes on one file, held until dropped.
///
/// It is taken on a sibling, `<name>.lock`, because the file itself is replaced. The sibling
/// stays: to remove it would let two processes lock two different files of the same name.
pub(crate) struct Lock {
    _held: File,
}

impl Lock {
    /// Waits until nobody else holds the lock of the file at `path`. Blocks the thread.
    ///
    /// # Errors
    ///
    /// When the folder does not let us create the lock file.
    pub(crate) fn acquire(path: &Path) -> io::Result<Self> {
        let file = lock_file(path)?;
        file.lock()?;
        Ok(Self { _held: file })
    }

    /// The lock of the file at `path`, or nothing while somebody else holds it.
    ///
    /// # Errors
    ///
    /// When the folder does not let us create the lock file.
    pub(crate) fn try_acquire(path: &Path) -> io::Result<Option<Self>> {
        let file = lock_file(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _held: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

fn lock_file(path: &Path) -> io::Result<File> {
    let target = follow(path)?;
    let mut name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(".lock");
    let path = folder(&target).join(name);
    OpenOptions::new().write(true).create(true).truncate(false).mode(PRIVATE).open(path)
}

#[cfg(test)]
mod tests;
