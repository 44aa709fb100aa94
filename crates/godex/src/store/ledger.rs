//! The usage log: one line a request, appended with a single write before the request ends.
//!
//! A record is never lost by a crash of the proxy, and within a second it survives a crash of the
//! machine. What cannot be written is counted and reported, and fails no request. A tail that was
//! torn is closed before the next record. The log is rotated by size to `.1`, `.2` and so on;
//! `checkpoint` remembers what quotas have spent, `read` streams the records.

pub(crate) mod checkpoint;
pub(crate) mod read;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use godex_core::key::KeyId;
use godex_core::policy::quota::Spent;
use godex_core::usage::Line;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::checkpoint::{Checkpoint, Place};
use self::read::Source;
use super::file;
use crate::clock;

/// How long a record may be in memory of the machine only.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// How much a start may have to read again.
const CHECKPOINT_EVERY: u64 = 2 << 20;
/// How often lost records are reported.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// When the log is rotated, and how much of the past is kept.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rotation {
    /// Largest file, in bytes; 0 for never.
    pub(crate) max_bytes: u64,
    /// Rotated files that are kept.
    pub(crate) max_backups: u32,
}

/// The usage log of a running proxy.
pub(crate) struct Ledger {
    path: PathBuf,
    rotation: Rotation,
    tail: Mutex<Tail>,
    /// For [`Ledger::restore`].
    past: Mutex<Past>,
    lost: AtomicU64,
    /// There is something to look after again.
    woken: Notify,
}

/// What was there at the start.
#[derive(Default)]
struct Past {
    checkpoint: Checkpoint,
    sources: Vec<Source>,
}

/// The end of the log, where records are appended.
#[derive(Default)]
struct Tail {
    file: Option<File>,
    /// Whether it is a file that can be rotated, synced and read again.
    regular: bool,
    bytes: u64,
    torn: bool,
    care: Care,
    since_checkpoint: u64,
    /// Rotations since the last checkpoint, each of which may have made a file too many.
    rotations: u32,
    /// Rotated files with records that are not synced yet.
    retired: Vec<File>,
    failure: Option<io::Error>,
    reported: Option<(Instant, u64)>,
}

/// How the records of a tail are looked after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Care {
    /// All are durable.
    #[default]
    Synced,
    /// Some are not synced yet.
    Unsynced,
    /// Nobody looks after them: whoever writes the next one does first.
    Resting,
}

impl Ledger {
    /// Opens the log, creates it if need be, and closes a torn tail.
    ///
    /// # Errors
    ///
    /// When the log cannot be opened for appending.
    pub(crate) fn open(path: &Path, rotation: Rotation) -> io::Result<Arc<Self>> {
        if let Some(folder) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let mut tail = Tail::default();
        tail.reopen(path)?;
        let mut past = Past { checkpoint: Checkpoint::load(path), ..Past::default() };
        if tail.regular {
            past.sources = read::sources(path)?;
        }
        Ok(Arc::new(Self {
            path: path.to_owned(),
            rotation,
            tail: Mutex::new(tail),
            past: Mutex::new(past),
            lost: AtomicU64::new(0),
            woken: Notify::new(),
        }))
    }

    /// Appends one record. It is in the file when this returns, unless the file refuses: then it
    /// is counted in [`Ledger::lost`], and reported by [`Ledger::run`].
    pub(crate) fn record(&self, line: &Line<'_>) {
        // The first byte ends a torn line; it is left out when there is none.
        let mut bytes = Vec::with_capacity(512);
        bytes.push(b'\n');
        line.write(&mut bytes);
        let mut tail = self.tail();
        if tail.care == Care::Resting {
            tail.care = Care::Synced;
            self.follow(&mut tail);
            self.woken.notify_one();
        }
        if self.rotation.max_bytes > 0
            && tail.regular
            && tail.bytes > 0
            && tail.bytes + bytes.len() as u64 > self.rotation.max_bytes + 1
            && let Err(error) = self.rotate(&mut tail)
        {
            tail.failure = Some(error);
        }
        if let Err(error) = tail.append(&bytes) {
            tail.failure = Some(error);
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records that could not be written since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// How many bytes [`Ledger::restore`] has to read.
    pub(crate) fn unread(&self) -> u64 {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        checkpoint::unread(&past.checkpoint, &past.sources)
    }

    /// What every key had spent when the log was opened. Later records are not in it, so this may
    /// be asked while the proxy serves, but only once.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub(crate) fn restore(&self) -> io::Result<HashMap<KeyId, Spent>> {
        let past = std::mem::take(&mut *self.past.lock().unwrap_or_else(PoisonError::into_inner));
        let Past { mut checkpoint, sources } = past;
        let before = checkpoint.place().cloned();
        if checkpoint.advance(&sources)? > 0
            && let Err(error) = self.save(&checkpoint, before.as_ref())
        {
            tracing::warn!("cannot write the checkpoint of the usage log: {error}");
        }
        Ok(checkpoint.into_spent())
    }

    /// Writes `checkpoint`, unless it was moved from `before` by somebody else meanwhile.
    fn save(&self, checkpoint: &Checkpoint, before: Option<&Place>) -> io::Result<()> {
        let _lock = file::Lock::acquire(&self.path)?;
        if Checkpoint::load(&self.path).place() == before {
            checkpoint.save(&self.path)?;
        }
        Ok(())
    }

    /// Looks after the log until `stop`, which must come after the last record; then closes it.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(SYNC_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut going_on = true;
        while going_on {
            let due = async {
                if self.rests() {
                    self.woken.notified().await;
                    ticks.reset();
                }
                ticks.tick().await
            };
            going_on = stop.run_until_cancelled(due).await.is_some();
            let ledger = Arc::clone(&self);
            let work = move || if going_on { ledger.tend() } else { ledger.close() };
            // A panic in there has been reported by the panic hook; the next tick tries again.
            let _ = tokio::task::spawn_blocking(work).await;
        }
    }

    /// Whether nothing needs to be done before the next record is written, who then wakes us.
    fn rests(&self) -> bool {
        let mut tail = self.tail();
        let nothing = tail.retired.is_empty() && tail.rotations == 0 && tail.failure.is_none();
        if nothing && tail.care == Care::Synced {
            tail.care = Care::Resting;
        }
        tail.care == Care::Resting
    }

    /// Makes records durable, follows a log that was moved away, moves the checkpoint.
    pub(crate) fn tend(&self) {
        self.sync();
        self.follow(&mut self.tail());
        self.report();
        let mut tail = self.tail();
        if tail.regular && (tail.since_checkpoint >= CHECKPOINT_EVERY || tail.rotations > 0) {
            tail.since_checkpoint = 0;
            drop(tail);
            self.checkpoint();
        }
    }

    /// Makes everything durable. Records after this are still written, but not synced.
    pub(crate) fn close(&self) {
        self.sync();
        self.report();
        if self.tail().regular {
            self.checkpoint();
        }
    }

    fn sync(&self) {
        let mut tail = self.tail();
        let mut files = std::mem::take(&mut tail.retired);
        if std::mem::take(&mut tail.care) == Care::Unsynced
            && tail.regular
            && let Some(file) = tail.file.as_ref().and_then(|it| it.try_clone().ok())
        {
            files.push(file);
        }
        drop(tail);
        for file in files {
            if let Err(error) = file.sync_data() {
                self.tail().failure = Some(error);
            }
        }
    }

    /// Opens the log again when it was moved or removed from outside.
    fn follow(&self, tail: &mut Tail) {
        let ours =
            tail.file.as_ref().and_then(|it| it.metadata().ok()).map(|it| (it.dev(), it.ino()));
        let theirs = fs::metadata(&self.path).ok().map(|it| (it.dev(), it.ino()));
        if ours.is_some() && ours == theirs {
            if tail.regular
                && let Some(Ok(metadata)) = tail.file.as_ref().map(File::metadata)
            {
                tail.bytes = metadata.len();
            }
            return;
        }
        if let Some(old) = tail.file.take() {
            tail.retired.push(old);
        }
        if let Err(error) = tail.reopen(&self.path) {
            tail.failure = Some(error);
        }
    }

    /// Warns about failures, not more often than every ten seconds.
    fn report(&self) {
        let (mut tail, now, lost) = (self.tail(), clock::monotonic(), self.lost());
        let (told, known) = tail.reported.unzip();
        if tail.failure.is_none() || told.is_some_and(|it| now.duration_since(it) < REPORT_EVERY) {
            return;
        }
        tail.reported = Some((now, lost));
        if let Some(error) = tail.failure.take() {
            drop(tail);
            let (path, new) = (self.path.display(), lost - known.unwrap_or(0));
            tracing::warn!(
                lost,
                "cannot write the usage log {path}: {error}; {new} records are lost, requests and \
                 quotas go on"
            );
        }
    }

    /// Moves the checkpoint to the end of the log and then removes what is too old to keep.
    fn checkpoint(&self) {
        let work = || -> io::Result<()> {
            let Some(_lock) = file::Lock::try_acquire(&self.path)? else { return Ok(()) };
            let mut checkpoint = Checkpoint::load(&self.path);
            if checkpoint.advance(&read::sources(&self.path)?)? > 0 {
                checkpoint.save(&self.path)?;
            }
            // A log that somebody else rotates keeps all that they keep.
            if std::mem::take(&mut self.tail().rotations) > 0 {
                for number in self.rotation.max_backups.saturating_add(1).. {
                    match fs::remove_file(backup(&self.path, number)) {
                        Ok(()) => {}
                        Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                        Err(error) => return Err(error),
                    }
                }
            }
            Ok(())
        };
        if let Err(error) = work() {
            self.tail().failure = Some(error);
        }
    }

    /// Renames the log to `.1`, older ones one further, and begins a new one.
    fn rotate(&self, tail: &mut Tail) -> io::Result<()> {
        // Another process that holds it rotates too, or moves its checkpoint: a little later then.
        let Some(_lock) = file::Lock::try_acquire(&self.path)? else { return Ok(()) };
        let ours = tail.file.as_ref().map(File::metadata).transpose()?.map(|it| it.ino());
        if fs::metadata(&self.path).ok().map(|it| it.ino()) == ours {
            let mut last = 0;
            while backup(&self.path, last + 1).exists() {
                last += 1;
            }
            for number in (1..=last).rev() {
                fs::rename(backup(&self.path, number), backup(&self.path, number + 1))?;
            }
            fs::rename(&self.path, backup(&self.path, 1))?;
            tail.rotations += 1;
        }
        if let Some(old) = tail.file.take() {
            tail.retired.push(old);
        }
        tail.reopen(&self.path)
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of a rotated log: 1 is the youngest.
fn backup(path: &Path, number: u32) -> PathBuf {
    sibling(path, &format!(".{number}"))
}

fn sibling(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

impl Tail {
    fn reopen(&mut self, path: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).mode(file::PRIVATE).open(path);
        // A pipe or a device may be for writing only.
        let writing = |error| OpenOptions::new().append(true).open(path).map_err(|_| error);
        let file = file.or_else(writing)?;
        let metadata = file.metadata()?;
        self.regular = metadata.is_file();
        self.bytes = if self.regular { metadata.len() } else { 0 };
        self.torn = self.regular && self.bytes > 0 && !ends_a_line(&file, self.bytes);
        self.file = Some(file);
        if self.torn {
            // If this fails, the next record tries again.
            let _ = self.append(b"\n");
        }
        Ok(())
    }

    /// Appends `bytes`, whose first byte is a line end that only a torn line needs.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = if self.torn { bytes } else { bytes.get(1..).unwrap_or_default() };
        let mut file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        while !rest.is_empty() {
            let written = match file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let (done, left) = rest.split_at(written.min(rest.len()));
            self.torn = !done.ends_with(b"\n");
            self.bytes += written as u64;
            self.since_checkpoint += written as u64;
            self.care = Care::Unsynced;
            rest = left;
        }
        Ok(())
    }
}

fn ends_a_line(file: &File, bytes: u64) -> bool {
    let mut last = [0];
    file.read_exact_at(&mut last, bytes.saturating_sub(1)).is_ok() && last == *b"\n"
}

#[cfg(test)]
mod tests;
