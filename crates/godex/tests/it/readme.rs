//! What the README shows is what happens: its commands are run, its flags are all there are.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::program::Home;

const README: &str = include_str!("../../../../README.md");

/// The contents of the fenced blocks of one language, in order.
fn blocks(language: &str) -> Vec<&'static str> {
    let fences = README.split("\n```").collect::<Vec<_>>();
    let opened = fences.into_iter().filter_map(|it| it.strip_prefix(language));
    opened.filter_map(|it| it.strip_prefix('\n')).collect()
}

/// A command of a transcript and what it printed.
fn steps(transcript: &str) -> Vec<(&str, &str)> {
    let steps = format!("\n{transcript}");
    let count = steps.matches("\n$ ").count();
    let steps: Vec<_> = transcript.trim_start_matches("$ ").split("\n$ ").collect();
    assert_eq!(steps.len(), count, "a transcript begins with a command");
    steps.into_iter().map(|step| step.split_once('\n').unwrap_or((step, ""))).collect()
}

/// The text without what differs from run to run: keys, ids, days and times.
fn shape(text: &str) -> String {
    let secret = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '…');
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let word = |length| rest.char_indices().nth(length).map_or(rest.len(), |(at, _)| at);
        let (name, length) = if rest.starts_with("gxk_") {
            ("KEY", rest.find(|c| !secret(c)).unwrap_or(rest.len()))
        } else if rest.starts_with("key_") {
            ("ID", word("key_7f3a1c".len()))
        } else if looks_like(rest, "0000-00-00") {
            ("DAY", word("0000-00-00".len()))
        } else if looks_like(rest, "00:00 ") {
            ("TIME", word("00:00".len()))
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        out.push_str(name);
        rest = &rest[length..];
    }
    out.trim_end().to_owned()
}

/// Whether a text begins with digits where the pattern has zeros, and like it elsewhere.
fn looks_like(text: &str, pattern: &str) -> bool {
    let mut text = text.chars();
    pattern.chars().all(|expected| match (text.next(), expected) {
        (Some(found), '0') => found.is_ascii_digit(),
        (found, expected) => found == Some(expected),
    })
}

/// Whether a text is the pattern, in which `…` stands for anything on its line.
fn matches(text: &str, pattern: &str) -> bool {
    let (text, pattern) = (text.lines().collect::<Vec<_>>(), pattern.lines().collect::<Vec<_>>());
    text.len() == pattern.len() && text.iter().zip(pattern).all(|(line, it)| matches_line(line, it))
}

fn matches_line(line: &str, pattern: &str) -> bool {
    let Some((first, others)) = pattern.split_once('…') else { return line == pattern };
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut pieces: Vec<_> = others.split('…').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[track_caller]
fn same(found: &str, shown: &str) {
    let (found, shown) = (shape(found), shape(shown));
    assert!(matches(&found, &shown), "README shows\n{shown}\nbut it is\n{found}");
}

/// The words that a shell hands to the `curl` in a script.
pub(crate) fn words_of_curl(script: &str) -> Vec<String> {
    let script = format!("curl() {{ printf '%s\\0' \"$@\"; }}\n{script}");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{script}");
    let words = String::from_utf8(output.stdout).unwrap();
    words.trim_end_matches('\0').split('\0').map(str::to_owned).collect()
}

/// Does what `curl` would do with these words, of which it knows `-s`, `-H` and `-d`.
pub(crate) fn curl(words: &[String]) -> String {
    let (mut url, mut head, mut body) = (String::new(), Vec::new(), String::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-s" => {}
            "-H" => head.push(words.next().unwrap().as_str()),
            "-d" => words.next().unwrap().clone_into(&mut body),
            other => other.clone_into(&mut url),
        }
    }
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let (length, head) = (body.len(), head.join("\r\n"));
    write!(
        stream,
        "POST /{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n{head}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    body.to_owned()
}

#[test]
fn the_first_command_serves_and_the_printed_curl_is_answered() {
    let console = blocks("console");
    let first = console.iter().find(|it| it.contains("proxy --mock")).unwrap();
    let [(command, shown)] = steps(first)[..] else { panic!("one command, one banner") };
    let arguments = command.strip_prefix("cargo run --release -- ").unwrap();
    let arguments: Vec<&str> = arguments.split(' ').chain(["--listen", "127.0.0.1:0"]).collect();

    let serving = Home::empty().serve(&arguments, &[]);
    let banner = serving.banner.replace(serving.address(), "127.0.0.1:39001");
    same(&banner, shown);
    let (_, script) = serving.banner.split_once("  try it\n").unwrap();
    let answer = curl(&words_of_curl(script));
    same(&answer, blocks("json").first().unwrap());
}

#[test]
fn the_shown_commands_print_what_is_shown() {
    let home = Home::empty();
    let folder = Path::new(env!("CARGO_BIN_EXE_godex")).parent().unwrap().to_str().unwrap();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
    let mut run = 0;
    for (command, shown) in blocks("console").into_iter().flat_map(steps) {
        if !command.contains("godex ") {
            continue;
        }
        let output = Command::new("sh")
            .args(["-c", &format!("exec 2>&1; {command}")])
            .env_clear()
            .envs([("PATH", path.as_str()), ("HOME", home.path().to_str().unwrap())])
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}");
        same(&String::from_utf8(output.stdout).unwrap(), shown);
        run += 1;
    }
    assert!(run >= 5, "only {run} commands are shown");
}

/// Flag and default of each row of the table.
fn rows() -> Vec<(&'static str, String)> {
    let rows = README.lines().filter_map(|line| line.strip_prefix("| `--"));
    rows.map(|row| {
        let mut cells = row.split('|');
        let flag = cells.next().unwrap().trim().trim_end_matches('`');
        (flag, cells.next().unwrap().trim().replace('`', ""))
    })
    .collect()
}

#[test]
fn the_table_of_flags_is_what_help_says() {
    let help = Home::empty().run(&["proxy", "--help"], &[]).stdout;
    let flags: Vec<(&str, String)> = help
        .split("\n      --")
        .skip(1)
        .map(|entry| {
            let name = entry.split([' ', '[', '\n']).next().unwrap();
            let default = |lead: &str| {
                let (_, value) = entry.rsplit_once(lead)?;
                Some(value.split_once(']')?.0.trim_matches('"').to_owned())
            };
            let required = entry.contains("[required without managed keys]");
            let required = required.then(|| "required without managed keys".to_owned());
            (name, default("[default: ").or(required).unwrap_or_default())
        })
        // It belongs to every command, and has no variable of its own.
        .filter(|(name, _)| *name != "color")
        .collect();
    assert_eq!(rows(), flags);
    for (flag, _) in flags {
        let variable = format!("GODEX_PROXY_{}", flag.to_uppercase().replace('-', "_"));
        assert!(help.contains(&format!("[env: {variable}]")), "{variable}");
    }
}

#[test]
fn the_second_command_runs_the_tests_here_and_in_ci() {
    let command = "cargo test --workspace";
    assert!(blocks("bash").iter().any(|it| it.trim() == command));
    let ci = include_str!("../../../../.ci/run");
    assert!(ci.contains(&format!("test_command=\"{command}\"")));
}

#[test]
fn every_file_the_readme_points_to_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for target in README.split("](").skip(1).filter_map(|it| it.split(')').next()) {
        let file = target.split('#').next().unwrap();
        assert!(file.starts_with("http") || root.join(file).exists(), "{target}");
    }
}
