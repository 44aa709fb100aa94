//! What holds for every command: JSON for programs, colours only where they are wanted, and a
//! reader that leaves early.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::client::Call;
use crate::stage::{Stage, play, question};

/// Everything that is listed or shown, and has a form for programs: one document each.
const DOCUMENTS: &[&[&str]] = &[
    &["proxy", "keys", "list", "--json"],
    &["proxy", "keys", "show", "laptop", "--json"],
    &["proxy", "keys", "update", "laptop", "--burst=7", "--json"],
    &["proxy", "keys", "rotate", "laptop", "--json"],
    &["proxy", "keys", "add", "--json"],
    &["proxy", "keys", "revoke", "laptop", "--json"],
    &["proxy", "usage", "list", "--json"],
    &["proxy", "usage", "show", "laptop", "--json"],
    &["status", "--json"],
    &["top", "--once", "--json"],
    &["doctor", "--offline", "--json"],
    &["login", "status", "--json"],
    &["config", "show", "--json"],
    &["config", "check", "--json"],
    &["connect", "--list", "--json"],
    &["service", "status", "--json"],
];

/// The same for eyes, and what else writes to standard output.
const TEXTS: &[&[&str]] = &[
    &["--help"],
    &["--version"],
    &["help", "environment"],
    &["help", "exit-codes"],
    &["proxy", "--help"],
    &["proxy", "keys", "list"],
    &["proxy", "keys", "show", "laptop"],
    &["proxy", "usage", "list"],
    &["proxy", "usage", "list", "--format=csv"],
    &["proxy", "usage", "list", "--format=jsonl"],
    &["proxy", "usage", "show", "laptop"],
    &["status"],
    &["top"],
    &["logs"],
    &["logs", "--json"],
    &["doctor", "--offline"],
    &["login", "status"],
    &["config", "show"],
    &["config", "show", "--origin"],
    &["config", "init", "--print"],
    &["connect", "python"],
    &["connect", "--list"],
    &["service", "install", "--print"],
    &["completions", "bash"],
    &["man"],
];

/// Where the forms of the documents are written down.
const OPERATING: &str = include_str!("../../../../docs/operating.md");

/// The names in a document and in what is directly in it.
fn names_of(document: &Value, names: &mut BTreeSet<String>) {
    for (name, value) in document.as_object().unwrap() {
        names.insert(name.clone());
        let first = value.as_array().map_or(Some(value), |all| all.first());
        let inner = first.and_then(Value::as_object).into_iter().flatten();
        names.extend(inner.map(|(name, _)| name.clone()));
    }
}

/// A running proxy with a managed key that was used.
async fn stage() -> Stage<crate::stage::Strict> {
    let stage = Stage::on_mock(&["--log-level=debug"]).await;
    let added = stage.home.run(&["proxy", "keys", "add", "--label=laptop"], &[]);
    assert_eq!(added.code, Some(0), "{}", added.stderr);
    let key = format!("Bearer {}", added.stdout.trim());
    // A new key counts within two seconds.
    loop {
        let call = Call::post("/v1/responses", &question("hi")).header("authorization", &key);
        if stage.proxy.send(call).await.status == 200 {
            return stage;
        }
    }
}

#[test]
fn everything_that_is_listed_has_a_form_for_programs_with_a_version() {
    play(async {
        let stage = stage().await;
        let documented = OPERATING.split("\n## For programs\n").nth(1).unwrap();
        let documented = documented.split("\n## ").next().unwrap();
        for arguments in DOCUMENTS {
            let ended = stage.home.run(arguments, &[("CLICOLOR_FORCE", "1")]);
            let document = serde_json::from_str::<Value>(&ended.stdout);
            assert!(document.is_ok(), "{arguments:?}: {} {}", ended.stdout, ended.stderr);
            let document = document.unwrap();
            assert_eq!(document["schema_version"], 1, "{arguments:?}");
            let ill = ["doctor", "service"].contains(&arguments[0]);
            assert!(ended.code == Some(0) || (ill && ended.code == Some(1)), "{arguments:?}");
            let mut names = BTreeSet::new();
            names_of(&document, &mut names);
            for name in names {
                assert!(documented.contains(&format!("`{name}`")), "{arguments:?} has {name}");
            }
        }
        let lines = stage.home.run(&["proxy", "usage", "list", "--format=jsonl"], &[]).stdout;
        for line in lines.lines() {
            assert_eq!(serde_json::from_str::<Value>(line).unwrap()["schema_version"], 1);
        }
        let listed = stage.home.run(&["connect", "--list", "--json"], &[]).stdout;
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let codex = listed["clients"].as_array().unwrap().iter().find(|it| it["name"] == "codex");
        assert_eq!(codex.unwrap()["connected"], false);
        assert_eq!(stage.home.run(&["connect", "codex", "--write"], &[]).code, Some(0));
        let text = stage.home.run(&["connect", "--list"], &[]).stdout;
        let codex = text.lines().find(|it| it.starts_with("codex ")).unwrap();
        assert!(codex.contains(" yes ") && codex.ends_with(".codex/config.toml"), "{codex}");
        assert_eq!(stage.home.run(&["connect"], &[]).code, Some(2));
        assert_eq!(stage.home.run(&["connect", "codex", "--json"], &[]).code, Some(2));
    });
}

#[test]
fn no_command_writes_colours_where_they_are_not_wanted_and_all_obey_the_flag() {
    play(async {
        let stage = stage().await;
        let mut coloured = 0;
        for arguments in DOCUMENTS.iter().chain(TEXTS) {
            let said = |more: &[&str], variables: &[(&str, &str)]| {
                let ended = stage.home.run(&[*arguments, more].concat(), variables);
                ended.stdout + &ended.stderr
            };
            for plain in [
                said(&[], &[]),
                said(&[], &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]),
                said(&["--color=never"], &[("CLICOLOR_FORCE", "1")]),
                said(&["--color", "auto"], &[("TERM", "dumb")]),
            ] {
                assert!(!plain.contains('\u{1b}'), "{arguments:?}: {plain}");
            }
            let always = said(&["--color=always"], &[("NO_COLOR", "1")]);
            let json = arguments.iter().any(|it| it.contains("json") || it.contains("csv"));
            assert!(!json || !always.contains("\u{1b}["), "{arguments:?}: {always}");
            coloured += usize::from(always.contains("\u{1b}["));
        }
        assert!(coloured >= 5, "only {coloured} commands have colours at all");
        let refused = |more: &[&str], variables: &[(&str, &str)]| {
            stage.home.run(&[&["proxy", "--rate=x"], more].concat(), variables).stderr
        };
        assert!(refused(&["--color=always"], &[]).contains("\u{1b}[1;31merror:"));
        assert!(!refused(&[], &[]).contains('\u{1b}'));
    });
}

#[test]
fn no_command_minds_a_reader_that_leaves() {
    play(async {
        let stage = stage().await;
        for arguments in DOCUMENTS.iter().chain(TEXTS) {
            // Before anything is written, and after the first line.
            for lines in [0, 1] {
                let mut child = stage.home.godex(arguments).stdout(Stdio::piped()).spawn().unwrap();
                let mut reader = BufReader::with_capacity(1, child.stdout.take().unwrap());
                for _ in 0..lines {
                    reader.read_line(&mut String::new()).unwrap();
                }
                drop(reader);
                let ended = child.wait_with_output().unwrap();
                let said = String::from_utf8_lossy(&ended.stderr).to_lowercase();
                assert!(!said.contains("panic") && !said.contains("pipe"), "{arguments:?}: {said}");
                let ill = ["doctor", "service"].contains(&arguments[0]);
                let code = ended.status.code();
                assert!(
                    code == Some(0) || (ill && code == Some(1)),
                    "{arguments:?}: {code:?} {said}"
                );
            }
        }
    });
}
