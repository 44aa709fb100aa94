//! Facts about `godex proxy keys`, as a user sees them.

use std::fs;

use clap::Parser;
use godex_core::policy::rate::Burst;
use serde_json::Value;

use super::*;
use crate::cli::talk::Screen;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

struct Desk {
    folder: tempfile::TempDir,
    /// What is on standard input, and whether it is a terminal.
    input: &'static str,
    attended: bool,
    screen: Screen,
}

struct Answer {
    result: Result<Exit, Failure>,
    out: String,
    notes: String,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, input: "", attended: false, screen: Screen::default() }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("proxy-keys.json")
    }

    fn run(&self, line: &str) -> Answer {
        let args = Line::try_parse_from(["keys"].into_iter().chain(line.split(' '))).unwrap().args;
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        let result = run(
            args,
            &World { path: &self.path(), given: " --keys-path=k" },
            &mut Talk {
                out: &mut out,
                notes: &mut notes,
                input: &mut self.input.as_bytes(),
                attended: self.attended,
                screen: self.screen,
            },
        );
        let text = |it| String::from_utf8(it).unwrap();
        Answer { result, out: text(out), notes: text(notes) }
    }

    fn json(&self, line: &str) -> Value {
        let answer = self.run(&format!("{line} --json"));
        assert_eq!(answer.result.unwrap(), Exit::Success);
        assert_eq!(answer.notes, "");
        serde_json::from_str(&answer.out).unwrap()
    }

    fn refusal(&self, line: &str) -> (Exit, String) {
        let answer = self.run(line);
        assert_eq!(answer.out, "");
        let mut text = Vec::new();
        let failure = answer.result.unwrap_err();
        failure.print(&mut text, false).unwrap();
        (failure.exit(), String::from_utf8(text).unwrap().lines().next().unwrap().to_owned())
    }

    fn record(&self, name: &str) -> Record {
        Records::read(&self.path()).unwrap().find(name).unwrap().clone()
    }
}

#[test]
fn whoever_sees_a_new_secret_is_told_what_to_do_with_it() {
    let terminal = Screen { width: Some(80), colour: false };
    let seen = Desk { attended: true, screen: terminal, ..Desk::new() };
    let answer = seen.run("add --label a");
    let next = "next: godex connect codex --write ";
    assert!(answer.notes.contains(next), "{}", answer.notes);
    assert!(!answer.notes.contains(answer.out.trim()), "no shell keeps it in its history");
    let unseen = [
        (true, Screen::default(), "add --label a"),
        (false, terminal, "add --label a"),
        (true, terminal, "add --label a --json"),
        (true, terminal, "add --label a --key my-own-secret-0123456789"),
        (true, terminal, "rotate a"),
    ];
    for (attended, screen, line) in unseen {
        let desk = Desk { attended, screen, ..Desk::new() };
        if line.starts_with("rotate") {
            desk.run("add --label a");
        }
        let notes = desk.run(line).notes;
        assert!(!notes.contains("next:") && !notes.contains("my-own"), "{line}: {notes}");
    }
}

#[test]
fn a_new_secret_is_alone_on_standard_output_and_stored_as_a_hash() {
    let desk = Desk::new();
    let answer = desk.run("add --label agent-a --rate 60/m --burst 10");
    let secret = ApiKey::from(answer.out.trim_end().to_owned());
    assert!(secret.checksum_holds(), "{}", answer.out);
    let record = desk.record("agent-a");
    assert_eq!(answer.out, format!("{}\n", secret.expose()));
    assert_eq!(record.hash, secret.hash());
    assert!(answer.notes.starts_with(&format!("{}  agent-a  rate 60/m  burst 10", record.id)));
    assert!(!answer.notes.contains(secret.expose()));
    assert!(!fs::read_to_string(desk.path()).unwrap().contains(secret.expose()));
    for line in ["list", "show agent-a", "list --json", "show agent-a --json"] {
        let answer = desk.run(line);
        assert!(!answer.out.contains(secret.expose()), "{line}");
        assert!(!answer.out.contains("sha256"), "{line}");
        assert!(answer.out.contains(record.id.as_str()), "{line}");
    }
}

#[test]
fn json_has_everything_about_a_new_key_in_one_object() {
    let desk = Desk::new();
    let key = desk.json(
        "add --label a --rate 30/m --burst 5 --quota-tokens 1000 --quota-window day --models x,y",
    );
    assert_eq!(key["schema_version"], 1);
    assert_eq!(key["id"], desk.record("a").id.as_str());
    assert_eq!(key["rate"], "30/m");
    assert_eq!(key["burst"], 5);
    assert_eq!(key["quota_tokens"], 1000);
    assert_eq!(key["quota_window"], "day");
    assert_eq!(key["models"], serde_json::json!(["x", "y"]));
    assert!(ApiKey::from(key["key"].as_str().unwrap().to_owned()).checksum_holds());
    assert_eq!(desk.json("show a")["key"], Value::Null);
    assert_eq!(desk.json("list")["keys"][0]["label"], "a");
}

#[test]
fn an_own_secret_comes_from_the_flag_or_from_standard_input() {
    let mut desk = Desk::new();
    assert_eq!(desk.run("add --key local-dev-key").out, "local-dev-key\n");
    assert!(desk.run("add --key short").notes.contains("can be guessed"));
    desk.input = "a-secret-that-is-piped-in\r\n";
    assert_eq!(desk.run("add --key - --label piped").out, "a-secret-that-is-piped-in\n");
    assert_eq!(desk.record("piped").hash, KeyHash::of("a-secret-that-is-piped-in"));
    desk.input = "two words";
    for line in ["add --key -", "add --key ключ", "add --key="] {
        assert_eq!(desk.refusal(line).0, Exit::Usage, "{line}");
    }
}

#[test]
fn a_secret_that_some_key_has_or_had_is_refused() {
    let desk = Desk::new();
    desk.run("add --label a --key the-same-secret-of-two-keys").result.unwrap();
    let (exit, text) = desk.refusal("add --key the-same-secret-of-two-keys");
    assert_eq!(exit, Exit::Usage);
    assert!(text.contains("belongs to") && !text.contains("the-same-secret"), "{text}");
    desk.run("revoke a").result.unwrap();
    assert_eq!(desk.refusal("add --key the-same-secret-of-two-keys").0, Exit::Usage);
}

#[test]
fn rotate_changes_the_secret_and_nothing_else() {
    let desk = Desk::new();
    desk.run("add --label a --rate 5/s --quota-tokens 9").result.unwrap();
    let before = desk.record("a");
    let secret = ApiKey::from(desk.run("rotate a").out.trim_end().to_owned());
    let after = desk.record("a");
    assert_eq!(after.hash, secret.hash());
    assert_eq!((&after.id, after.rate, after.quota_tokens), (&before.id, before.rate, Some(9)));
    assert!(after.previous.is_empty(), "without a grace the old secret ends at once");
    desk.run("rotate a --grace 1h").result.unwrap();
    assert_eq!(desk.record("a").previous[0].hash, secret.hash());
    desk.run("rotate a").result.unwrap();
    assert!(desk.record("a").previous.is_empty());
}

#[test]
fn update_sets_and_takes_back_limits() {
    let desk = Desk::new();
    desk.run("add --label a").result.unwrap();
    desk.run("update a --rate 5/s --burst 7 --quota-tokens 0 --models x --expires-in 1d --label b")
        .result
        .unwrap();
    let record = desk.record("b");
    assert_eq!(record.rate.unwrap().to_string(), "5/s");
    assert_eq!(record.burst, Burst::new(7));
    assert_eq!(record.quota_tokens, Some(0));
    assert!(record.models.is_some() && record.expires_at.is_some());
    desk.run(
        "update b --rate default --burst default --quota-tokens default --models all --expires-in never",
    )
    .result
    .unwrap();
    let record = desk.record("b");
    assert_eq!((record.rate, record.burst, record.quota_tokens), (None, None, None));
    assert!(record.models.is_none() && record.expires_at.is_none());
}

#[test]
fn revoke_and_rotate_ask_on_a_terminal() {
    let mut desk = Desk::new();
    desk.run("add --label a").result.unwrap();
    let before = desk.record("a").hash;
    desk.attended = true;
    for answer in ["n\n", "\n", "", "yep\n"] {
        desk.input = answer;
        for line in ["revoke a", "rotate a"] {
            let answer = desk.run(line);
            assert_eq!(answer.result.unwrap(), Exit::Failure, "{line}");
            assert!(answer.notes.contains("[y/N]") && answer.notes.contains("nothing was changed"));
        }
    }
    assert_eq!((desk.record("a").hash, desk.record("a").revoked_at), (before, None));
    desk.input = "y\n";
    desk.run("rotate a").result.unwrap();
    assert_ne!(desk.record("a").hash, before);
    desk.input = "";
    assert!(!desk.run("revoke a --yes").notes.contains("[y/N]"));
    assert!(desk.record("a").revoked_at.is_some());
}

#[test]
fn a_revoked_key_stays_in_the_list_and_cannot_be_rotated() {
    let desk = Desk::new();
    desk.run("add --label a").result.unwrap();
    desk.run("revoke a").result.unwrap();
    let revoked_at = desk.record("a").revoked_at;
    desk.run("revoke a").result.unwrap();
    assert_eq!(desk.record("a").revoked_at, revoked_at, "it was revoked only once");
    assert_eq!(desk.json("show a")["state"], "revoked");
    let (exit, text) = desk.refusal("rotate a");
    assert_eq!(exit, Exit::Usage);
    assert!(text.ends_with("is revoked"), "{text}");
}

#[test]
fn a_name_that_is_wrong_or_unclear_is_one_line_and_exit_two() {
    let desk = Desk::new();
    desk.run("add --label same").result.unwrap();
    desk.run("add --label same").result.unwrap();
    for line in ["show nope", "revoke nope", "rotate nope", "update nope --burst 1"] {
        assert_eq!(desk.refusal(line), (Exit::Usage, "error: there is no key `nope`".to_owned()));
    }
    let (exit, text) = desk.refusal("revoke same");
    assert_eq!(exit, Exit::Usage);
    assert!(text.starts_with("error: `same` means several keys: key_"), "{text}");
}

#[test]
fn bad_values_are_refused_before_anything_happens() {
    for line in [
        "add --rate 60/d",
        "add --rate 0/m",
        "add --rate 60",
        "add --burst 0",
        "add --burst -1",
        "add --quota-tokens 1e6",
        "add --quota-tokens 10 --quota-window year",
        "add --quota-window day",
        "add --expires-in soon",
        "add --expires-in 0s",
        "add --expires-in 1000000y",
        "add --models ,",
        "add --label=",
        "update a",
        "rotate a --grace x",
    ] {
        let parsed = Line::try_parse_from(["keys"].into_iter().chain(line.split(' ')));
        assert!(parsed.is_err(), "{line}");
    }
}

#[test]
fn a_damaged_file_is_told_and_left_alone() {
    let desk = Desk::new();
    fs::write(desk.path(), "{").unwrap();
    for line in ["list", "add", "show x", "revoke x"] {
        let (exit, text) = desk.refusal(line);
        assert_eq!(exit, Exit::Config, "{line}");
        assert!(text.contains("is damaged"), "{text}");
    }
    assert_eq!(fs::read_to_string(desk.path()).unwrap(), "{");
}

#[test]
fn no_keys_are_a_hint_for_eyes_and_an_empty_list_for_programs() {
    let desk = Desk::new();
    let answer = desk.run("list");
    assert_eq!(answer.out, "");
    assert!(answer.notes.ends_with("godex proxy keys add --label my-laptop --keys-path=k\n"));
    assert_eq!(desk.json("list")["keys"], serde_json::json!([]));
}
