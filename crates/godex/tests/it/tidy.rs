//! The plan of the house, as tests: which room looks into which, what the pure half may not
//! know, what every file looks like, and that documents and code speak of the same things.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::book::anchors;

/// Who may look into whom in `crates/godex/src`, and why. A new door is a decision: add it here
/// with its reason, and to `ARCHITECTURE.md` if it changes the picture.
const DOORS: &[(&str, &str, &str)] = &[
    ("auth", "clock", "tokens end, and the endpoint is left alone for a while"),
    ("auth", "store", "auth.json is replaced as a whole, under a lock"),
    ("auth", "tasks", "a renewal outlives the request that asked for it"),
    ("auth", "upstream", "the one HTTP client of the program; nothing else of it"),
    ("cli", "auth", "opens the login and says what to do without one"),
    ("cli", "clock", "keys are made with randomness and dates"),
    ("cli", "config", "flags become settings"),
    ("cli", "logging", "is started with the program"),
    ("cli", "serve", "godex proxy runs the server"),
    ("cli", "store", "keys and usage are files"),
    ("cli", "tasks", "the server's background work begins with the program"),
    ("cli", "upstream", "opens the HTTP client"),
    ("limits", "clock", "rates run on the monotonic clock, quotas on the other"),
    ("limits", "store", "a key carries its limits"),
    ("logging", "config", "level and form are settings"),
    ("serve", "auth", "readiness and errors speak of the login"),
    ("serve", "clock", "requests have ids and durations"),
    ("serve", "config", "the server is made of settings"),
    ("serve", "limits", "admission, and the headers that tell of it"),
    ("serve", "logging", "the line of a request has a target of its own"),
    ("serve", "store", "keys open the door, the ledger is written, the secret names sessions"),
    ("serve", "tasks", "connections are tasks"),
    ("serve", "upstream", "where answers come from"),
    ("store", "clock", "names of temporary files, times of records"),
    ("upstream", "auth", "attempts carry credentials, a 401 renews them"),
    ("upstream", "clock", "lists get old, windows of the plan open again"),
    ("upstream", "config", "the backend's address and timeouts are settings"),
    ("upstream", "tasks", "the list of models is fetched in the background"),
];

/// The same for `crates/godex-core/src`.
const CORE_DOORS: &[(&str, &str, &str)] = &[
    ("codex", "json", "drafts are pieces of the client's own text"),
    ("codex", "hex", "names of tools that do not fit end in a hash"),
    ("identity", "hex", "names are hashes"),
    ("identity", "key", "names belong to a key"),
    ("key", "hex", "hashes and ids are written in digits"),
    ("responses", "codex", "a request of this wire becomes a draft"),
    ("responses", "json", "events and items stay text"),
    ("responses", "sse", "an event is what a frame means"),
    ("responses", "usage", "the last event says what a response cost"),
    ("session", "identity", "sessions have names"),
    ("session", "key", "memory is filed by key"),
    ("tap", "codex", "how a stream failed"),
    ("tap", "responses", "watches its events"),
    ("tap", "sse", "its tests split recorded streams"),
    ("tap", "usage", "what a stream cost"),
    ("translate", "codex", "a chat request becomes a draft"),
    ("translate", "json", "pieces of text move with their escapes"),
    ("translate", "responses", "the only room that knows both wires"),
    ("translate", "sse", "its tests split recorded streams"),
    ("translate", "usage", "usage under chat's names"),
    ("turns", "codex", "a draft is completed with the items of earlier ones"),
    ("turns", "identity", "conversations have names"),
    ("turns", "json", "items stay text"),
    ("turns", "key", "turns are filed by key"),
];

/// What the pure half is made of, and why.
const CORE_DEPENDENCIES: &[(&str, &str)] = &[
    ("base64", "the form of a key"),
    ("bytes", "frames are slices of what came in"),
    ("foldhash", "tables that every request looks into"),
    ("hmac", "names of sessions are keyed hashes"),
    ("jiff", "calendar windows, times in records"),
    ("memchr", "the SSE splitter"),
    ("serde", "the few fields that are read"),
    ("serde_json", "borrowed pieces of JSON"),
    ("sha2", "hashes of keys"),
    ("simdutf8", "bodies are proven UTF-8"),
    ("subtle", "comparison in constant time"),
    ("thiserror", "errors"),
    ("wide", "ends of strings are found many bytes at a time"),
];

/// What the pure half must not know: the world, its clock, its randomness.
const IMPURE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io::std",
    "std::net",
    "std::process",
    "std::thread",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "getrandom",
    "hyper",
    "tokio",
    "tracing",
    "async fn",
];

/// Rooms that the words of clients and models pass through.
const WORDY: &[&str] = &[
    "crates/godex-core/src/codex",
    "crates/godex-core/src/identity.rs",
    "crates/godex-core/src/json",
    "crates/godex-core/src/json.rs",
    "crates/godex-core/src/responses",
    "crates/godex-core/src/session.rs",
    "crates/godex-core/src/sse.rs",
    "crates/godex-core/src/tap.rs",
    "crates/godex-core/src/translate",
    "crates/godex-core/src/turns",
    "crates/godex-core/src/turns.rs",
    "crates/godex/src/serve",
    "crates/godex/src/upstream",
];

/// Types there that show a text in `Debug`, and why it is nobody's words.
const SHOWN: &[(&str, &str)] = &[
    ("Chosen", "names of models"),
    ("Malformed", "where in the text, not what"),
    ("Error", "the files of a certificate"),
    ("Model", "names of models"),
    ("Name", "a keyed hash"),
    ("Named", "names of models"),
    ("Names", "names of models"),
    ("Page", "the origin of a web page"),
    ("Place", "names of parameters, as the proxy writes them"),
    ("Refusals", "names of parameters"),
    ("Route", "the id of a model"),
    ("Tap", "the backend's id of a response"),
    ("Tier", "one of two words of ours"),
    ("UnknownModel", "names of models"),
];

const LONGEST_FILE: usize = 500;

/// Longer files, with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files under a folder of the repository that have one of these extensions: path from the
/// root and text. What builds and package managers leave behind is not ours.
fn files(folder: &str, extensions: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if !["node_modules", "target", "snapshots"].contains(&name)
                    && !name.starts_with('.')
                {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|it| extensions.iter().any(|one| it == *one)) {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "nothing in {folder}");
    found.sort();
    found
}

fn rust() -> Vec<(String, String)> {
    [files("crates", &["rs"]), files("bench", &["rs"])].concat()
}

/// The documents of the repository and its folders.
fn documents() -> Vec<(String, String)> {
    let mut all = files("docs", &["md"]);
    all.extend(
        [
            files("fixtures", &["md"]),
            files("clients", &["md", "py", "mjs"]),
            files("bench", &["py"]),
        ]
        .concat(),
    );
    for entry in fs::read_dir(root()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "md") {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            all.push((name, fs::read_to_string(path).unwrap()));
        }
    }
    all
}

#[track_caller]
fn rooms_keep_to(doors: &[(&str, &str, &str)], sources: &str) {
    let mut used = BTreeSet::new();
    for (path, text) in files(sources, &["rs"]) {
        let room = path.strip_prefix(sources).unwrap().trim_start_matches('/');
        let room = room.split('/').next().unwrap().trim_end_matches(".rs");
        for (before, after) in
            text.match_indices("crate::").map(|(at, it)| text.split_at(at + it.len()))
        {
            let before = before.strip_suffix("crate::").unwrap();
            if before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$')) {
                continue;
            }
            let target: String =
                after.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            assert!(!target.is_empty(), "{path}: write `crate::room`, a line for each room");
            if target == room {
                continue;
            }
            let door = doors.iter().find(|(from, to, _)| (*from, *to) == (room, target.as_str()));
            assert!(door.is_some(), "{path}: `{room}` must not look into `{target}`");
            used.extend(door.map(|(from, to, _)| (*from, *to)));
        }
    }
    let stale: Vec<_> =
        doors.iter().filter(|(from, to, _)| !used.contains(&(*from, *to))).collect();
    assert!(stale.is_empty(), "nobody goes through these doors any more: {stale:?}");
}

#[test]
fn rooms_keep_their_doors() {
    rooms_keep_to(DOORS, "crates/godex/src");
}

#[test]
fn rooms_of_the_pure_half_keep_their_doors() {
    rooms_keep_to(CORE_DOORS, "crates/godex-core/src");
}

/// The names in one section of a manifest.
fn dependencies(manifest: &str, section: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(manifest)).unwrap();
    let lines = text.lines().skip_while(|line| line.trim() != section).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    let names = lines.filter_map(|line| line.split(['.', ' ', '=', '#']).next());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[test]
fn the_pure_half_is_made_of_what_is_listed() {
    let found = dependencies("crates/godex-core/Cargo.toml", "[dependencies]");
    let listed: Vec<_> = CORE_DEPENDENCIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, listed);
}

#[test]
fn the_pure_half_knows_no_world_no_clock_and_no_randomness() {
    for (path, text) in files("crates/godex-core/src", &["rs"]) {
        if path.ends_with("/tests.rs") || path.contains("/tests/") {
            continue;
        }
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            for word in IMPURE {
                assert!(!line.contains(word), "{path} must not know `{word}`: {line}");
            }
        }
    }
}

/// The types in a text that derive `Debug`: name and fields.
fn derived(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("#[derive(") {
        let (traits, rest) = text[at..].split_once(")]").unwrap();
        if !traits.contains("Debug") {
            continue;
        }
        let start = ["struct ", "enum "].map(|word| rest.find(word).map(|at| at + word.len()));
        let rest = &rest[start.into_iter().flatten().min().unwrap()..];
        let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap();
        let body = rest.split_inclusive(['\n']).take_while(|line| *line != "}\n");
        let body = if rest.lines().next().unwrap().ends_with(';') { 1 } else { body.count() };
        let lines: usize = rest.split_inclusive('\n').take(body).map(str::len).sum();
        found.push((&rest[..end], &rest[..lines]));
    }
    found
}

#[test]
fn nothing_that_holds_words_of_clients_or_models_shows_them() {
    let texts = ["String", "str", "Bytes", "BytesMut", "u8", "Value"];
    let mut shown = BTreeSet::new();
    for (path, text) in rust() {
        let wordy = WORDY.iter().any(|room| {
            path.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        if !wordy || path.ends_with("/tests.rs") {
            continue;
        }
        for (name, fields) in derived(text.split("#[cfg(test)]").next().unwrap()) {
            let code = fields.lines().filter(|line| !line.trim_start().starts_with("//"));
            let mut types = code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric()));
            if types.any(|it| texts.contains(&it)) {
                shown.insert(name.to_owned());
            }
        }
    }
    let listed: BTreeSet<_> = SHOWN.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(shown, listed, "types whose Debug shows a text, and those that may");
}

#[test]
fn the_simulator_shares_no_code_with_what_it_judges() {
    for section in ["[dependencies]", "[dev-dependencies]"] {
        let found = dependencies("crates/godex-mock/Cargo.toml", section);
        assert!(!found.iter().any(|it| it.starts_with("godex")), "{section}: {found:?}");
    }
    for (path, text) in files("crates/godex-mock/src", &["rs"]) {
        assert!(!text.contains("godex_core"), "{path}");
    }
}

#[test]
fn every_file_says_what_it_owns_and_is_short_enough_to_read() {
    for (path, text) in rust() {
        assert!(text.starts_with("//! "), "{path} does not begin with what it owns");
        let lines = text.lines().count();
        let listed = LONG_FILES.iter().any(|(long, _)| *long == path);
        assert!(listed || lines <= LONGEST_FILE, "{path} has {lines} lines");
        assert!(!listed || lines > LONGEST_FILE, "{path} need not be listed any more");
    }
}

#[test]
fn what_is_left_to_do_has_an_issue() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME")];
    for (path, text) in [rust(), documents()].concat() {
        for (number, line) in text.lines().enumerate() {
            for mark in marks {
                let mut places = line.match_indices(mark).map(|(at, _)| &line[at + mark.len()..]);
                let named = places.all(|rest| {
                    let digits = rest.strip_prefix("(#").and_then(|it| it.split(')').next());
                    digits.is_some_and(|it| it.parse::<u32>().is_ok())
                });
                assert!(named, "{path}:{}: write {mark}(#issue)", number + 1);
            }
        }
    }
}

#[test]
fn cited_documents_and_sections_exist() {
    let mut cited = 0;
    for (path, text) in [rust(), documents()].concat() {
        for (at, _) in text.match_indices("docs/") {
            let rest = &text[at..];
            let end = rest.find(|c: char| !(c.is_alphanumeric() || "/._-#".contains(c)));
            let target = rest[..end.unwrap_or(rest.len())].trim_end_matches(['.', '#']);
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            if Path::new(file).extension().is_none_or(|it| it != "md") {
                continue;
            }
            let document = fs::read_to_string(root().join(file));
            let document = document.unwrap_or_else(|_| panic!("{path} cites {file}"));
            assert!(
                anchor.is_empty() || anchors(&document).contains(anchor),
                "{path} cites {target}, which has no such heading"
            );
            cited += usize::from(!anchor.is_empty());
        }
    }
    assert!(cited >= 15, "only {cited} sections are cited");
}

#[test]
fn the_architecture_is_short_and_names_what_exists() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    assert!(text.lines().count() <= 150, "ARCHITECTURE.md is too long to be read");
    for word in text.split('`').skip(1).step_by(2) {
        if let Some(path) = word.strip_suffix(".rs").or_else(|| word.strip_suffix('/')) {
            let roots =
                ["", "crates/godex/src/", "crates/godex-core/src/", "crates/godex-mock/src/"];
            let exists = |folder: &&str| {
                let place = root().join(folder).join(path);
                place.is_dir() || place.with_extension("rs").is_file()
            };
            assert!(roots.iter().any(exists), "ARCHITECTURE.md speaks of {word}");
        }
    }
    for room in DOORS.iter().map(|(room, ..)| room) {
        assert!(text.contains(&format!("`{room}")), "ARCHITECTURE.md forgets {room}");
    }
}

/// The statements of `docs/compatibility.md`: a letter or two, and the numbers there are.
const STATEMENTS: &[(&str, &[u32])] = &[
    ("REQ", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 17, 18]),
    ("T", &[1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12]),
    ("S", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
    ("E", &[9, 15]),
    ("R", &[1, 2, 3, 4, 5]),
    ("ERR", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
    ("M", &[1, 2]),
    ("N", &[1, 2, 3, 4, 5, 6]),
    ("C", &[1, 2, 3, 4]),
    ("SH", &[1, 2, 3, 4, 5, 6, 7]),
];

/// Statements that nothing tests yet.
const UNTESTED: &[&str] = &[];

/// The names of the tests in each file.
fn tests_of_files() -> Vec<(String, BTreeSet<String>)> {
    let named = |text: &str| {
        let starts = ["#[test]", "#[tokio::test"].map(|mark| text.split(mark).skip(1));
        let names = starts.into_iter().flatten().filter_map(|after| {
            after.split("fn ").nth(1).and_then(|it| it.split('(').next()).map(str::to_owned)
        });
        names.collect()
    };
    rust().iter().map(|(path, text)| (path.clone(), named(text))).collect()
}

/// The names of all tests.
fn tests() -> BTreeSet<String> {
    tests_of_files().into_iter().flat_map(|(_, names)| names).collect()
}

/// The cells of a document's tables, row by row, without their heads.
fn rows(document: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let table = |line: &str| line.starts_with("| ");
    let is_row = |at: usize| table(lines[at]) && at > 0 && lines[at - 1].starts_with('|');
    (0..lines.len())
        .filter(|at| is_row(*at))
        .map(|at| lines[at].trim_matches('|').split(" |").map(|it| it.trim().to_owned()).collect())
        .collect()
}

/// What stands in backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_requirement_of_reliability_names_tests_that_exist() {
    let tests = tests_of_files();
    let mut held = 0;
    for row in rows("docs/reliability.md").iter().filter(|row| row.len() == 4) {
        let [what, _, named, seen] = row.as_slice() else { panic!("not a row: {row:?}") };
        for test in quoted(named) {
            let (file, name) = test.split_once("::").unwrap_or_default();
            let here = |(path, names): &(String, BTreeSet<String>)| {
                path.ends_with(&format!("/{file}")) && names.contains(name)
            };
            assert!(tests.iter().any(here), "{what}: there is no test `{test}`");
        }
        assert!(!quoted(named).is_empty() && !seen.is_empty(), "{what} is not held by any test");
        held += 1;
    }
    assert!(held >= 30, "only {held} requirements");
}

#[test]
fn every_statement_about_compatibility_names_tests_that_exist() {
    let (tests, mut found) = (tests(), Vec::new());
    for row in &rows("docs/compatibility.md") {
        let [id, _, named, ..] = row.as_slice() else { panic!("not a row: {row:?}") };
        let named = quoted(named);
        for name in &named {
            assert!(tests.contains(*name), "{id}: there is no test `{name}`");
        }
        assert_eq!(named.is_empty(), UNTESTED.contains(&id.as_str()), "{id}");
        found.push(id.clone());
    }
    let numbered = STATEMENTS
        .iter()
        .flat_map(|(kind, numbers)| numbers.iter().map(move |number| format!("{kind}{number}")));
    assert_eq!(found, numbered.collect::<Vec<_>>());
}
