//! What the README shows is what happens: its commands are run, its flags are all there are.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use crate::pages::{is_shown, page};
use crate::program::Home;

/// The contents of the fenced blocks of one language, in order.
fn blocks(language: &str) -> Vec<String> {
    let blocks = page("README.md").blocks().into_iter();
    blocks.filter(|it| it.language == language).map(|it| it.text).collect()
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
    let first = page("README.md").blocks().into_iter().find(|it| it.language == "console").unwrap();
    let [step] = &first.steps()[..] else { panic!("one command, one banner") };
    let arguments = step.command.strip_prefix("cargo run --release -- ").unwrap();
    let arguments: Vec<&str> = arguments.split(' ').chain(["--listen", "127.0.0.1:0"]).collect();

    let serving = Home::empty().serve(&arguments, &[]);
    let banner = serving.banner.replace(serving.address(), "127.0.0.1:39001");
    assert!(is_shown(&banner, &step.shown), "{banner}");
    let (_, script) = serving.banner.split_once("  try it\n").unwrap();
    let answer = curl(&words_of_curl(script));
    assert!(answer.contains("Mock answer to: hello"), "{answer}");
}

/// Flag and default of each row of the table.
fn rows() -> Vec<(String, String)> {
    let page = page("docs/operating.md");
    let rows = page.text.lines().filter_map(|line| line.strip_prefix("| `--"));
    rows.map(|row| {
        let mut cells = row.split('|');
        let flag = cells.next().unwrap().trim().trim_end_matches('`');
        (flag.to_owned(), cells.next().unwrap().trim().replace('`', ""))
    })
    .collect()
}

#[test]
fn the_table_of_flags_is_what_help_says() {
    let help = Home::empty().run(&["proxy", "--help"], &[]).stdout;
    let flags: Vec<(String, String)> = help
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
            (name.to_owned(), default("[default: ").or(required).unwrap_or_default())
        })
        // They belong to every command.
        .filter(|(name, _)| !["color", "config"].contains(&name.as_str()))
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
    assert!(blocks("sh").iter().any(|it| it.trim() == command));
    let ci = include_str!("../../../../.ci/run");
    assert!(ci.contains(&format!("test_command=\"{command}\"")));
}
