//! The usage log: whatever stands in the file, whole lines are read once and in order, no torn
//! line swallows the next record, and what is read is written the same way again.

use std::borrow::Cow;
use std::cell::RefCell;
use std::path::{Path, PathBuf};

use godex_core::usage::Line;

#[path = "../../crates/godex/src/store/ledger/read.rs"]
mod read;

/// Where the log is set aside: nowhere, here.
fn backup(path: &Path, number: u32) -> PathBuf {
    path.with_extension(number.to_string())
}

thread_local! {
    static FOLDER: RefCell<tempfile::TempDir> = RefCell::new(folder());
}

fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("a folder for the log")
}

/// Checks one file.
pub fn check(data: &[u8]) {
    records(data);
    FOLDER.with_borrow(|folder| lines(data, &folder.path().join("usage.jsonl")));
}

fn lines(data: &[u8], path: &Path) {
    std::fs::write(path, data).expect("the log can be written");
    let sources = read::sources(path).expect("the log can be opened");
    let [source] = sources.as_slice() else { panic!("one file") };
    assert_eq!(source.bytes(), data.len() as u64);
    let mut expected: Vec<&[u8]> = data.split(|it| *it == b'\n').collect();
    let torn = expected.pop().unwrap_or_default();
    for torn_too in [false, true] {
        let mut found = Vec::new();
        let end = source.lines(0, torn_too, |at, line| found.push((at, line.to_vec())));
        assert_eq!(end.expect("it can be read"), (data.len() - torn.len()) as u64);
        let more = torn_too && !torn.is_empty();
        assert_eq!(found.len(), expected.len() + usize::from(more));
        let mut at = 0;
        for ((place, line), expected) in found.iter().zip(expected.iter().chain([&torn])) {
            assert_eq!((*place, line.as_slice()), (at, *expected));
            at += expected.len() as u64 + 1;
        }
    }
    let _ = read::first_time(&sources);
}

fn records(data: &[u8]) {
    for line in data.split(|it| *it == b'\n') {
        let Some(record) = Line::parse(line) else { continue };
        let mut written = Vec::new();
        record.write(&mut written);
        assert_eq!(written.pop(), Some(b'\n'));
        assert!(!written.contains(&b'\n'), "a record of two lines");
        assert!(written.len() < 16 << 10, "a record without a bound");
        if let Some(read) = Line::parse(&written) {
            let mut again = Vec::new();
            read.write(&mut again);
            assert_eq!(again.strip_suffix(b"\n"), Some(&written[..]), "it changes with every turn");
        }
        let usage = record.usage();
        assert!(usage.total > 0 || record.prompt_tokens == 0 && record.completion_tokens == 0);
    }
    let mut next = Vec::new();
    let sound = Line { request_id: Cow::Borrowed("req_sound"), status: 200, ..Line::default() };
    sound.write(&mut next);
    next.pop();
    if !data.contains(&b'\n') {
        let torn = [data, &next].concat();
        let found = Line::parse(&torn).expect("a torn record swallows the next one");
        assert_eq!(found.request_id, "req_sound");
    }
}
