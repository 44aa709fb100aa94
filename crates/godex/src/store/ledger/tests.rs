//! Facts about the usage log.
//!
//! The reader is meant for a million records; ten thousand keep these tests short. For the whole
//! size, on a release build:
//!
//! ```text
//! awk 'BEGIN { srand(1); for (i = 0; i < 1000000; i++) printf "{\"ts\":\"2026-11-%02dT%02d:%02d:%02d.000Z\",\"request_id\":\"req_%032d\",\"key_id\":\"key_%06d\",\"label\":\"agent\",\"path\":\"/v1/responses\",\"model\":\"gpt-5.2-codex\",\"status\":200,\"stream\":true,\"prompt_tokens\":%d,\"completion_tokens\":%d,\"total_tokens\":0,\"cached_tokens\":9,\"reasoning_tokens\":9,\"duration_ms\":900,\"ttft_ms\":%d}\n", 1+i/40000, i%24, i%60, i%60, i, i%20, rand()*9999, rand()*999, rand()*2000 }' > /tmp/usage.jsonl
//! time godex proxy usage list --stats-path /tmp/usage.jsonl
//! ```

use std::fs;

use godex_core::policy::quota::Window;
use jiff::Timestamp;

use super::*;

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deeper/proxy-usage.jsonl");
    (folder, path)
}

fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

/// A record whose time and id follow from its number.
fn line(number: u32, tokens: u64) -> Line<'static> {
    Line {
        ts: now() + Duration::from_secs(u64::from(number)),
        request_id: format!("req_{number}").into(),
        key_id: "key_1".into(),
        model: "gpt-5.2-codex".into(),
        status: 200,
        total_tokens: tokens,
        ..Line::default()
    }
}

fn open(path: &Path) -> Arc<Ledger> {
    Ledger::open(path, Rotation::default()).unwrap()
}

/// The request ids in the log, and how many lines are none.
fn read_back(path: &Path) -> (Vec<String>, usize) {
    let (mut ids, mut broken) = (Vec::new(), 0);
    let mut all = Checkpoint::default();
    let sources = read::sources(path).unwrap();
    let take = |line: Option<&Line<'_>>| match line {
        Some(line) => ids.push(line.request_id.to_string()),
        None => broken += 1,
    };
    all.walk(&sources, take, |_| ()).unwrap();
    (ids, broken)
}

fn ids(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(|it| format!("req_{it}")).collect()
}

fn spent(ledger: &Ledger) -> u64 {
    let spent = ledger.restore().unwrap();
    spent.get("key_1").map_or(0, |it| it.within(Window::None, now()))
}

#[test]
fn a_record_is_in_the_file_when_record_returns() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = scratch();
    let ledger = open(&path);
    for number in 0..3 {
        ledger.record(&line(number, 1));
        assert_eq!(read_back(&path), (ids(0..=number), 0));
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(ledger.lost(), 0);
}

#[test]
fn a_torn_tail_does_not_swallow_the_next_record() {
    let (_folder, path) = scratch();
    open(&path).record(&line(1, 1));
    let whole = fs::read(&path).unwrap();
    for cut in 1..whole.len() - 2 {
        fs::write(&path, [&whole[..], &whole[..cut]].concat()).unwrap();
        open(&path).record(&line(2, 1));
        assert_eq!(read_back(&path), (ids([1, 2]), 1), "torn after {cut} bytes");
    }
}

#[test]
fn a_whole_record_without_a_line_end_counts() {
    let (_folder, path) = scratch();
    open(&path).record(&line(1, 5));
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert_eq!(read_back(&path), (ids([1]), 0));
    assert_eq!(spent(&open(&path)), 5);
}

#[test]
fn long_lines_and_garbage_leave_the_rest_readable() {
    let (_folder, path) = scratch();
    open(&path).record(&line(1, 1));
    let long = format!("{{\"request_id\":\"req_2\",\"x\":\"{}\"}}\n", "x".repeat(200_000));
    let huge = "x".repeat(3 << 20) + "\n\n\0\0\n{\"a\":\n";
    let text = fs::read_to_string(&path).unwrap() + &long + &huge;
    fs::write(&path, text).unwrap();
    open(&path).record(&line(3, 1));
    assert_eq!(read_back(&path), (ids([1, 2, 3]), 3));
}

#[test]
fn lines_are_the_same_wherever_a_block_ends() {
    let (_folder, path) = scratch();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut text = Vec::new();
    for number in 0..10_000 {
        line(number, 1).write(&mut text);
    }
    fs::write(&path, &text).unwrap();
    assert!(text.len() > 1 << 20, "several blocks");
    assert_eq!(read_back(&path), (ids(0..10_000), 0));
    assert_eq!(spent(&open(&path)), 10_000);
}

#[test]
fn a_full_disk_loses_records_but_no_request() {
    let ledger = open(Path::new("/dev/full"));
    ledger.record(&line(1, 1));
    ledger.record(&line(2, 1));
    assert_eq!(ledger.lost(), 2);
    assert_eq!(spent(&ledger), 0);
    ledger.tend();
    ledger.close();
}

#[test]
fn a_log_that_was_moved_away_is_begun_anew() {
    let (_folder, path) = scratch();
    let ledger = open(&path);
    ledger.record(&line(1, 1));
    fs::rename(&path, path.with_extension("old")).unwrap();
    ledger.tend();
    ledger.record(&line(2, 1));
    assert_eq!(read_back(&path), (ids([2]), 0));
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
    ledger.tend();
    ledger.record(&line(3, 1));
    assert_eq!(ledger.lost(), 1, "there is no folder to write to");
    fs::create_dir(path.parent().unwrap()).unwrap();
    ledger.tend();
    ledger.record(&line(4, 1));
    assert_eq!(read_back(&path), (ids([4]), 0));
}

#[test]
fn the_log_is_rotated_by_size_and_old_files_go() {
    let (_folder, path) = scratch();
    let mut size = Vec::new();
    line(100, 1).write(&mut size);
    let max_bytes = 10 * size.len() as u64;
    let ledger = Ledger::open(&path, Rotation { max_bytes, max_backups: 2 }).unwrap();
    for number in 100..200 {
        ledger.record(&line(number, 1));
    }
    assert_eq!(read_back(&path), (ids(100..200), 0), "nothing goes before it was counted");
    ledger.tend();
    assert_eq!(read_back(&path), (ids(170..200), 0));
    for number in 0..=2 {
        let file = if number == 0 { path.clone() } else { backup(&path, number) };
        assert_eq!(fs::metadata(file).unwrap().len(), max_bytes);
    }
    assert!(!backup(&path, 3).exists());
    drop(ledger);
    assert_eq!(spent(&open(&path)), 100, "the checkpoint knows what the files no longer say");
}

#[test]
fn a_rotation_that_was_killed_half_way_hides_no_records() {
    for gap in 1..=3 {
        let (_folder, path) = scratch();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        for number in 0..=3_u32 {
            let mut text = Vec::new();
            line(number, 1).write(&mut text);
            // From the gap on, every file has moved up already.
            let place = if number >= gap { number + 1 } else { number };
            let file = if place == 0 { path.clone() } else { backup(&path, place) };
            fs::write(file, text).unwrap();
        }
        assert_eq!(read_back(&path).0.len(), 4, "gap at {gap}");
        assert_eq!(spent(&open(&path)), 4, "gap at {gap}");
    }
}

#[test]
fn a_restart_reads_only_what_the_checkpoint_does_not_know() {
    let (_folder, path) = scratch();
    let ledger = open(&path);
    (0..10).for_each(|it| ledger.record(&line(it, 7)));
    ledger.close();
    ledger.record(&line(10, 30));
    let ledger = open(&path);
    let all = fs::metadata(&path).unwrap().len();
    assert!((1..all / 5).contains(&ledger.unread()), "{} of {all}", ledger.unread());
    ledger.record(&line(11, 1000));
    assert_eq!(spent(&ledger), 100, "later records are the admission's to count");
    assert_eq!(spent(&open(&path)), 1100);
}

#[test]
fn files_that_somebody_else_rotated_are_theirs_to_remove() {
    let (_folder, path) = scratch();
    open(&path).record(&line(0, 1));
    (1..=9).for_each(|it| fs::write(backup(&path, it), "").unwrap());
    let rotation = Rotation { max_bytes: 1 << 20, max_backups: 4 };
    let ledger = Ledger::open(&path, rotation).unwrap();
    ledger.record(&line(1, 1));
    ledger.tend();
    ledger.close();
    assert!((1..=9).all(|it| backup(&path, it).exists()));
}

#[test]
fn a_past_that_is_restored_late_is_counted_once_and_let_go() {
    let (_folder, path) = scratch();
    (0..10).for_each(|it| open(&path).record(&line(it, 10)));
    let rotation = Rotation { max_bytes: 500, max_backups: 1 };
    let ledger = Ledger::open(&path, rotation).unwrap();
    for number in 10..30 {
        ledger.record(&line(number, 10));
        ledger.tend();
    }
    assert_eq!(spent(&ledger), 100, "what came since the start is the admission's to count");
    assert!(ledger.past.lock().unwrap().sources.is_empty());
    ledger.close();
    drop(ledger);
    assert_eq!(spent(&open(&path)), 300);
}

/// Something that happens to the log at a path while no proxy runs.
type Accident<'a> = &'a dyn Fn(&Path);

#[test]
fn quotas_survive_whatever_happens_to_the_files() {
    let sidecar = |path: &Path| sibling(path, ".checkpoint");
    let cases: [(&str, Accident); 6] = [
        ("nothing", &|_| ()),
        ("no checkpoint", &|path| fs::remove_file(sidecar(path)).unwrap()),
        ("damaged checkpoint", &|path| fs::write(sidecar(path), "{").unwrap()),
        ("no log", &|path| fs::remove_file(path).unwrap()),
        ("moved log", &|path| fs::rename(path, backup(path, 1)).unwrap()),
        ("copied log", &|path| {
            let bytes = fs::read(path).unwrap();
            fs::remove_file(path).unwrap();
            fs::write(path, bytes).unwrap();
        }),
    ];
    for (name, happens) in cases {
        let (_folder, path) = scratch();
        let ledger = open(&path);
        (0..10).for_each(|it| ledger.record(&line(it, 10)));
        ledger.close();
        happens(&path);
        let ledger = open(&path);
        assert_eq!(spent(&ledger), 100, "{name}");
        ledger.record(&line(20, 5));
        ledger.close();
        assert_eq!(spent(&open(&path)), 105, "{name}, then one more");
    }
}

#[test]
fn readers_and_writers_do_not_disturb_each_other() {
    let (_folder, path) = scratch();
    let rotation = Rotation { max_bytes: 20_000, max_backups: 1000 };
    let (one, two) =
        (Ledger::open(&path, rotation).unwrap(), Ledger::open(&path, rotation).unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| (0..1000).for_each(|it| one.record(&line(it, 1))));
        scope.spawn(|| (1000..2000).for_each(|it| two.record(&line(it, 1))));
        for _ in 0..20 {
            let (_, broken) = read_back(&path);
            assert!(broken <= 1, "only a record that is being written may be cut");
        }
    });
    let (mut found, broken) = read_back(&path);
    let mut expected = ids(0..2000);
    found.sort();
    expected.sort();
    assert_eq!(broken, 0);
    assert_eq!(found, expected);
}

#[tokio::test]
async fn the_caretaker_ends_with_everything_durable() {
    let (_folder, path) = scratch();
    let (ledger, stop) = (open(&path), CancellationToken::new());
    ledger.record(&line(1, 5));
    let caretaker = Arc::clone(&ledger).run(stop.clone());
    stop.cancel();
    caretaker.await;
    assert_eq!(ledger.tail().care, Care::Synced);
    assert_eq!(open(&path).unread(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_caretaker_rests_without_records_and_the_next_one_finds_its_file() {
    let (_folder, path) = scratch();
    let ledger = open(&path);
    let stop = CancellationToken::new();
    let work = async {
        for number in 1..4 {
            ledger.record(&line(number, 1));
            tokio::time::sleep(SYNC_EVERY * 3).await;
            assert_eq!(ledger.tail().care, Care::Resting, "{number}");
            fs::rename(&path, path.with_extension(number.to_string())).unwrap();
        }
        ledger.record(&line(4, 1));
        stop.cancel();
    };
    tokio::join!(Arc::clone(&ledger).run(stop.clone()), work);
    assert_eq!(read_back(&path).0, ids([4]));
    assert_eq!(read_back(&path.with_extension("3")).0, ids([3]));
}
