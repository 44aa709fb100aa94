//! Streams the usage log, rotated files included, with bounded memory and while it is written.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use godex_core::usage::Line;
use jiff::Timestamp;

use super::backup;

/// Read at once.
const BLOCK: usize = 256 << 10;
/// A longer line is no record and is skipped.
const LINE_MAX: usize = 1 << 20;

/// One file of the log, as long as it was when it was opened.
pub(crate) struct Source {
    file: File,
    bytes: u64,
}

/// The files of the log, oldest first.
///
/// The youngest is opened first: a rotation in between is then seen twice and not missed, and
/// what is seen twice is dropped. While files move up, or after a rotation was killed half way,
/// one number may be missing; never two in a row.
///
/// # Errors
///
/// When a file is there and cannot be opened.
pub(crate) fn sources(path: &Path) -> io::Result<Vec<Source>> {
    let (mut sources, mut seen) = (Vec::new(), Vec::new());
    let mut missing = 0;
    for number in 0.. {
        let file = if number == 0 { File::open(path) } else { File::open(backup(path, number)) };
        let file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && missing < 1 => {
                missing += 1;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        };
        missing = 0;
        let metadata = file.metadata()?;
        let identity = (metadata.dev(), metadata.ino());
        if metadata.is_file() && !seen.contains(&identity) {
            seen.push(identity);
            sources.push(Source { file, bytes: metadata.len() });
        }
    }
    sources.reverse();
    Ok(sources)
}

impl Source {
    /// Its length when it was opened.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The first line, or as much of it as identifies the file; none while there is no whole line.
    pub(super) fn head(&self) -> Option<Vec<u8>> {
        const ENOUGH: usize = 4096;
        let mut head = vec![0; ENOUGH];
        let mut filled = 0;
        while filled < ENOUGH {
            let read = self.file.read_at(head.get_mut(filled..)?, filled as u64).ok()?;
            if read == 0 {
                break;
            }
            filled += read;
        }
        head.truncate(filled);
        match memchr::memchr(b'\n', &head) {
            Some(end) => head.truncate(end),
            None if filled < ENOUGH => return None,
            None => {}
        }
        Some(head)
    }

    /// Calls `on_line` with every whole line from the byte `from` on, its place and its text
    /// without the end, and returns where the last whole line ends. What follows it is a record being written or torn:
    /// `on_line` gets it only if `torn_too`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub(crate) fn lines(
        &self,
        from: u64,
        torn_too: bool,
        mut on_line: impl FnMut(u64, &[u8]),
    ) -> io::Result<u64> {
        let mut block = vec![0; BLOCK];
        let (mut at, mut end) = (from, from);
        // The beginning of a line that the blocks so far did not end.
        let mut begun = Vec::new();
        while at < self.bytes {
            let wanted = usize::try_from(self.bytes - at).unwrap_or(BLOCK).min(BLOCK);
            let read = self.file.read_at(block.get_mut(..wanted).unwrap_or_default(), at)?;
            if read == 0 {
                break;
            }
            let mut rest = block.get(..read).unwrap_or_default();
            at += read as u64;
            while let Some(length) = memchr::memchr(b'\n', rest) {
                let (line, next) = rest.split_at(length);
                if begun.is_empty() {
                    on_line(end, line);
                } else {
                    keep(&mut begun, line);
                    on_line(end, &begun);
                    begun.clear();
                }
                rest = next.get(1..).unwrap_or_default();
                end = at - rest.len() as u64;
            }
            keep(&mut begun, rest);
        }
        if torn_too && !begun.is_empty() {
            on_line(end, &begun);
        }
        Ok(end)
    }
}

/// A line that is too long to be a record keeps its beginning only, which is no record either.
fn keep(begun: &mut Vec<u8>, more: &[u8]) {
    let room = LINE_MAX.saturating_sub(begun.len());
    begun.extend_from_slice(more.get(..room).unwrap_or(more));
}

/// When the oldest record of `sources` was written.
pub(crate) fn first_time(sources: &[Source]) -> Option<Timestamp> {
    let head = sources.iter().find_map(Source::head)?;
    Line::parse(&head).map(|it| it.ts)
}
