//! Replacing and locking, on scratch folders.

use std::os::unix::fs::symlink;

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_new_file_is_private_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth.json");
    replace(&path, b"one", PRIVATE).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"one");
    assert_eq!(mode(&path), 0o600);
    assert_eq!(names(folder.path()), ["auth.json"]);
}

#[test]
fn what_the_old_file_denied_stays_denied_and_what_it_gave_away_is_taken_back() {
    #[track_caller]
    fn check(old: u32, expected: u32) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth.json");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(old)).unwrap();
        replace(&path, b"new", PRIVATE).unwrap();
        assert_eq!(mode(&path), expected);
    }
    check(0o600, 0o600);
    check(0o644, 0o600);
    check(0o400, 0o400);
}

#[test]
fn a_reader_of_the_old_file_keeps_it_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth.json");
    replace(&path, b"old", PRIVATE).unwrap();
    let reader = File::open(&path).unwrap();
    replace(&path, b"new", PRIVATE).unwrap();
    assert_eq!(io::read_to_string(reader).unwrap(), "old");
    assert_eq!(fs::read(&path).unwrap(), b"new");
}

#[test]
fn symbolic_links_are_followed_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("dotfiles")).unwrap();
    symlink("dotfiles/real.json", at("second.json")).unwrap();
    symlink(at("second.json"), at("auth.json")).unwrap();
    for content in ["the target is made", "the target is replaced"] {
        replace(&at("auth.json"), content.as_bytes(), PRIVATE).unwrap();
        assert_eq!(fs::read_to_string(at("dotfiles/real.json")).unwrap(), content);
    }
    assert!(fs::symlink_metadata(at("auth.json")).unwrap().is_symlink());
    assert!(fs::symlink_metadata(at("second.json")).unwrap().is_symlink());
    assert_eq!(names(&at("dotfiles")), ["real.json"]);
}

#[test]
fn a_ring_of_links_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    symlink(at("b"), at("a")).unwrap();
    symlink(at("a"), at("b")).unwrap();
    assert!(replace(&at("a"), b"x", PRIVATE).is_err());
}

#[test]
fn a_failure_leaves_no_draft() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("is-a-folder");
    fs::create_dir(&path).unwrap();
    assert!(replace(&path, b"x", PRIVATE).is_err());
    assert_eq!(names(folder.path()), ["is-a-folder"]);
}

#[test]
fn what_a_killed_writer_left_is_removed_once_it_is_surely_dead() {
    let folder = tempfile::tempdir().unwrap();
    let leave = |name: &str, age: u64| {
        let file = File::create(folder.path().join(name)).unwrap();
        file.set_modified(clock::wall() - Duration::from_secs(age)).unwrap();
    };
    leave(".auth.json.0123456789abcdef.tmp", 61);
    let stay = [
        (".auth.json.0123456789abcde0.tmp", 30),
        (".auth.json.tmp", 1000),
        (".auth.json.notes-by-hand.tmp", 1000),
        (".other.json.0123456789abcdef.tmp", 1000),
        ("auth.json.0123456789abcdef.tmp", 1000),
    ];
    for (name, age) in stay {
        leave(name, age);
    }
    replace(&folder.path().join("auth.json"), b"new", PRIVATE).unwrap();
    let mut expected: Vec<_> = stay.iter().map(|(name, _)| *name).collect();
    expected.push("auth.json");
    expected.sort_unstable();
    assert_eq!(names(folder.path()), expected);
}

#[test]
fn writing_over_a_file_keeps_the_file_and_cuts_its_tail() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth.json");
    fs::write(&path, "something long").unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    overwrite(&path, b"short").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"short");
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    assert!(overwrite(&folder.path().join("absent"), b"x").is_err());
}

#[test]
fn one_lock_at_a_time_through_whatever_link() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    symlink(at("real.json"), at("auth.json")).unwrap();
    let held = Lock::try_acquire(&at("auth.json")).unwrap().unwrap();
    assert!(Lock::try_acquire(&at("real.json")).unwrap().is_none());
    drop(held);
    let _held = Lock::acquire(&at("real.json")).unwrap();
    assert!(Lock::try_acquire(&at("auth.json")).unwrap().is_none());
    assert_eq!(mode(&at("real.json.lock")), 0o600);
}

#[test]
fn writers_under_the_lock_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("count");
    replace(&path, b"0", PRIVATE).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let _lock = Lock::acquire(&path).unwrap();
                    let count: u32 = fs::read_to_string(&path).unwrap().parse().unwrap();
                    replace(&path, (count + 1).to_string().as_bytes(), PRIVATE).unwrap();
                }
            });
        }
    });
    assert_eq!(fs::read_to_string(&path).unwrap(), "40");
}
