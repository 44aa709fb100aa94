//! Facts about `godex proxy usage`, as a user sees them.

use std::fs;

use clap::Parser;
use godex_core::key::{KeyHash, KeyId};
use godex_core::policy::quota::Window;
use serde_json::Value;

use super::*;
use crate::cli::talk::Screen;

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    args: Args,
}

struct Desk {
    folder: tempfile::TempDir,
    screen: Screen,
    quota: Option<Quota>,
}

impl Desk {
    /// Two keys, one with a quota; a shared key; four days; a torn line.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let desk = Self { folder, screen: Screen::default(), quota: None };
        Records::change(&desk.keys(), |records| -> Result<(), crate::store::keys::Error> {
            let at = "2026-11-18T00:00:00Z".parse().unwrap();
            for (id, label) in [("key_7f3a1c", "agent-a"), ("key_b20e44", "agent-b")] {
                let mut record = Record::new(KeyId::from(id), KeyHash::of(id), at);
                record.label = label.to_owned();
                record.quota_tokens = (label == "agent-a").then_some(3_000_000);
                records.keys.push(record);
            }
            Ok(())
        })
        .unwrap();
        let mut log = Vec::new();
        for (ts, key, model, status, prompt, output) in [
            ("2026-11-18T23:00:00Z", "key_7f3a1c", "gpt-5.2-codex", 200, 1_900_000, 84_100),
            ("2026-11-19T01:00:00Z", "key_b20e44", "gpt-5.2-codex", 502, 0, 0),
            ("2026-11-20T01:30:00Z", "key_b20e44", "gpt-5.2", 200, 210_000, 9_800),
            ("2026-11-21T10:00:00Z", "static", "gpt-5.2", 200, 10, 5),
        ] {
            Line {
                ts: ts.parse().unwrap(),
                key_id: key.into(),
                label: "old".into(),
                model: model.into(),
                status,
                prompt_tokens: prompt,
                completion_tokens: output,
                cached_tokens: prompt / 2,
                reasoning_tokens: output / 2,
                ttft_ms: Some(600),
                ..Line::default()
            }
            .write(&mut log);
        }
        log.extend_from_slice(b"{\"torn\":");
        fs::write(desk.log(), log).unwrap();
        desk
    }

    fn keys(&self) -> std::path::PathBuf {
        self.folder.path().join("proxy-keys.json")
    }

    fn log(&self) -> std::path::PathBuf {
        self.folder.path().join("proxy-usage.jsonl")
    }

    fn run(&self, line: &str) -> (Result<Exit, Failure>, String, String) {
        let line = ["usage"].into_iter().chain(line.split(' '));
        let args = CommandLine::try_parse_from(line).unwrap().args;
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        let (keys, log) = (self.keys(), self.log());
        let world =
            World { keys: keys::World { path: &keys, given: "" }, log: &log, quota: self.quota };
        let mut talk = Talk {
            out: &mut out,
            notes: &mut notes,
            input: &mut &b""[..],
            attended: false,
            screen: self.screen,
        };
        let now = "2026-11-22T00:00:00Z".parse().unwrap();
        let result = report(args, world, now, &mut talk);
        (result, String::from_utf8(out).unwrap(), String::from_utf8(notes).unwrap())
    }

    fn text(&self, line: &str) -> String {
        let (result, out, _) = self.run(line);
        assert_eq!(result.unwrap(), Exit::Success);
        out
    }

    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.text(&format!("{line} --json"))).unwrap()
    }
}

#[test]
fn a_list_for_programs_has_no_bars_and_leaves_nothing_out() {
    insta::assert_snapshot!(Desk::new().text("list"));
}

#[test]
fn a_list_on_a_terminal_has_bars_and_fits() {
    let mut desk = Desk::new();
    let mut texts = Vec::new();
    for width in [140, 100, 80, 40] {
        desk.screen = Screen { width: Some(width), colour: false };
        let text = desk.text("list");
        assert!(text.lines().skip(1).all(|it| it.chars().count() <= width), "{width}:\n{text}");
        texts.push(text);
    }
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn one_key_is_shown_with_its_quota_and_its_models() {
    insta::assert_snapshot!(Desk::new().text("show agent-a"));
}

#[test]
fn json_has_the_same_numbers_and_a_version() {
    insta::assert_snapshot!(Desk::new().text("list --json"));
}

#[test]
fn csv_and_jsonl_have_a_row_a_line() {
    let desk = Desk::new();
    insta::assert_snapshot!(
        desk.text("list --format csv") + &desk.text("list --by day --format csv")
    );
    let lines = desk.text("list --by model --format jsonl");
    let rows: Vec<Value> = lines.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["model"], "gpt-5.2-codex");
    assert_eq!(rows[0]["total_tokens"], 1_984_100);
}

#[test]
fn since_and_until_cut_the_period() {
    let desk = Desk::new();
    let requests = |line: &str| desk.json(line)["total"]["requests"].as_u64().unwrap();
    assert_eq!(requests("list"), 4);
    assert_eq!(requests("list --since 2026-11-19"), 3);
    assert_eq!(requests("list --since 2026-11-20T01:30:00Z"), 2);
    assert_eq!(requests("list --since 2026-11-20T01:30:01"), 1);
    assert_eq!(requests("list --since 1s"), 0);
    assert_eq!(requests("list --since 20000d"), 4);
    assert_eq!(requests("list --until 2020-01-01"), 0);
    for backward in ["list --since 1d --until 2d", "show agent-a --since 2999-01-01"] {
        let failure = desk.run(backward).0.unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(format!("{failure:?}").contains("ends before it begins"), "{failure:?}");
    }
}

#[test]
fn the_quota_counts_what_the_period_does_not_show() {
    let mut desk = Desk::new();
    desk.quota = Quota::new(300_000, Window::None);
    let list = desk.json("list --since 2026-11-20");
    assert_eq!(list["rows"][0]["key_id"], "key_b20e44");
    assert_eq!(list["rows"][0]["quota"]["used"], 219_800);
    let key = desk.json("show agent-a --since 2026-11-20");
    assert_eq!(key["key"]["quota"]["used"], 1_984_100);
    assert_eq!(key["total"]["requests"], 0);
}

#[test]
fn keys_that_only_the_log_knows_can_be_shown() {
    let desk = Desk::new();
    assert_eq!(desk.json("show static")["total"]["requests"], 1);
    assert_eq!(desk.json("show old")["total"]["requests"], 4);
    let (result, out, _) = desk.run("show nope");
    assert_eq!(result.unwrap_err().exit(), Exit::Usage);
    assert_eq!(out, "");
}

#[test]
fn a_missing_log_is_an_empty_report() {
    let desk = Desk::new();
    fs::remove_file(desk.log()).unwrap();
    assert_eq!(desk.json("list")["rows"], serde_json::json!([]));
    assert_eq!(desk.json("show agent-a")["total"]["requests"], 0);
}

#[test]
fn a_damaged_key_file_costs_a_list_only_its_labels() {
    let desk = Desk::new();
    fs::write(desk.keys(), "{").unwrap();
    let (result, out, notes) = desk.run("list");
    assert_eq!(result.unwrap(), Exit::Success);
    assert!(out.contains("key_7f3a1c") && notes.contains("is damaged"), "{notes}");
    assert_eq!(desk.run("show agent-a").0.unwrap_err().exit(), Exit::Config);
}

#[test]
fn names_from_clients_cannot_move_the_cursor_or_start_a_formula() {
    let desk = Desk::new();
    let mut log = Vec::new();
    let line = Line { model: "=1+1\u{1b}[2J,\"x".into(), ..Line::default() };
    line.write(&mut log);
    fs::write(desk.log(), log).unwrap();
    assert!(!desk.text("list --by model").contains('\u{1b}'));
    let csv = desk.text("list --by model --format csv");
    assert!(csv.lines().nth(1).unwrap().starts_with("\"'=1+1"), "{csv}");
}

#[test]
fn bad_values_are_refused() {
    for line in [
        "list --since soon",
        "list --since 24",
        "list --until 2026-13-01",
        "list --by week",
        "list --format xml",
        "show",
        "list extra",
    ] {
        let line = ["usage"].into_iter().chain(line.split(' '));
        assert!(
            CommandLine::try_parse_from(line.clone()).is_err(),
            "{:?}",
            line.collect::<Vec<_>>()
        );
    }
}
