//! Signing in and out: the program as somebody at a terminal meets it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStderr, Stdio};

use godex_mock::{Mock, Options};
use serde_json::Value;

use crate::program::Home;
use crate::stage::play;

/// A sign-in that waits for somebody.
struct SigningIn {
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
}

impl SigningIn {
    fn start(home: &Home, mock: &Mock, arguments: &[&str]) -> Self {
        let issuer = mock.issuer();
        let mut command = home.godex(&[&["login", "--issuer", &issuer], arguments].concat());
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr, said: String::new() }
    }

    /// The rest of the line that begins so.
    fn hears(&mut self, beginning: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.stderr.read_line(&mut line).unwrap() > 0, "it ended: {}", self.said);
            self.said.push_str(&line);
            if let Some(rest) = line.trim().strip_prefix(beginning) {
                return rest.trim().to_owned();
            }
        }
    }

    fn types(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn end(mut self) -> (Option<i32>, String) {
        drop(self.child.stdin.take());
        while self.stderr.read_line(&mut self.said).unwrap() > 0 {}
        (self.child.wait().unwrap().code(), self.said)
    }
}

/// Where the sign-in page sends the browser.
pub(crate) fn location(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let location = answer.lines().find_map(|it| it.strip_prefix("location: "));
    assert!(location.is_some(), "{answer}");
    location.unwrap().to_owned()
}

async fn mock() -> Mock {
    Mock::start(Options { device_interval: 1, ..Options::default() }).await.unwrap()
}

fn read(home: &Home, name: &str) -> Value {
    serde_json::from_slice(&fs::read(home.path().join(name)).unwrap()).unwrap()
}

#[test]
fn a_code_that_is_entered_elsewhere_becomes_a_login_that_the_proxy_uses() {
    play(async {
        let (home, mock) = (Home::empty(), mock().await);
        let mut signing_in = SigningIn::start(&home, &mock, &["--device"]);
        let code = signing_in.hears("2. enter code");
        assert!(mock.enter_code(&code, true));
        let (exit, said) = signing_in.end();
        assert_eq!(exit, Some(0), "{said}");
        assert!(said.contains("signed in to ChatGPT plus, mock@example.com (account …ac01)"));
        assert!(said.contains("phishing") && said.contains("godex proxy keys add"), "{said}");
        let tokens = read(&home, ".codex/proxy-auth.json")["tokens"].clone();
        assert_eq!(tokens["access_token"], mock.access_token());
        let mode = fs::metadata(home.path().join(".codex/proxy-auth.json")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
        assert!(!said.contains("rt_mock") && !said.contains("eyJ"));

        let status = home.run(&["login", "status", "--json"], &[]);
        let status: Value = serde_json::from_str(&status.stdout).unwrap();
        assert_eq!((&status["schema_version"], &status["logged_in"]), (&1.into(), &true.into()));
        assert_eq!((&status["owner"], &status["plan"]), (&"godex".into(), &"plus".into()));
        assert!(!status.to_string().contains("eyJ"));
        let serving = home.serve(&["proxy", "--listen=:0", "--api-key=k"], &[]);
        assert!(serving.banner.contains("ChatGPT plus (account …ac01)"), "{}", serving.banner);
    });
}

#[test]
fn what_the_browser_ends_at_can_be_pasted_and_another_sign_in_is_not_taken_for_it() {
    play(async {
        let (home, mock) = (Home::empty(), mock().await);
        let mut signing_in = SigningIn::start(&home, &mock, &["--no-browser", "--codex"]);
        let page = signing_in.hears("http://127.0.0.1:");
        let (address, path) = page.split_once('/').unwrap();
        let address = format!("127.0.0.1:{address}");
        let location = location(&address, path);
        assert!(signing_in.said.contains("sign in to ChatGPT at"), "{}", signing_in.said);
        signing_in.types("");
        signing_in.types("what?");
        signing_in.hears("that is not the end of a sign-in");
        signing_in.types("http://localhost:1455/auth/callback?code=stolen&state=theirs");
        signing_in.hears("that address belongs to another sign-in");
        signing_in.types(&location);
        let (exit, said) = signing_in.end();
        assert_eq!(exit, Some(0), "{said}");
        let tokens = read(&home, ".codex/auth.json")["tokens"].clone();
        assert_eq!(tokens["access_token"], mock.access_token());
        assert!(!home.path().join(".codex/proxy-auth.json").exists());
    });
}

#[test]
fn a_refusal_writes_nothing() {
    play(async {
        let (home, mock) = (Home::empty(), mock().await);
        mock.deny_sign_ins(true);
        let (exit, said) = SigningIn::start(&home, &mock, &["--device"]).end();
        assert_eq!(exit, Some(1));
        assert!(said.contains("error: the sign-in was refused\n"), "{said}");
        assert!(said.contains("  help:  godex login --device"), "{said}");
        assert!(!home.path().join(".codex").exists());
    });
}

#[test]
fn an_issuer_that_does_not_answer_has_an_exit_code_of_its_own() {
    let home = Home::empty();
    let ended = home.run(&["login", "--device", "--issuer=http://127.0.0.1:1"], &[]);
    assert_eq!(ended.code, Some(69), "{}", ended.stderr);
    assert!(ended.stderr.starts_with("error: the sign-in service cannot be reached\n"));
    let issuer = [("GODEX_LOGIN_ISSUER", "http://example.com")];
    let ended = home.run(&["login", "--device"], &issuer);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(!home.path().join(".codex").exists());
}

#[test]
fn a_place_that_cannot_be_written_is_told_before_anybody_signs_in() {
    let home = Home::empty();
    home.write(".codex", "a file where a folder should be");
    let ended = home.run(&["login", "--device", "--issuer=http://127.0.0.1:1"], &[]);
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    assert!(ended.stderr.starts_with("error: cannot write the login to "), "{}", ended.stderr);
    assert!(ended.stderr.contains("--auth-path PATH"), "{}", ended.stderr);
}

#[test]
fn the_login_of_the_codex_cli_is_only_removed_when_that_is_said() {
    let home = Home::logged_in();
    let login = home.path().join(".codex/auth.json");
    let status = home.run(&["login", "status"], &[]);
    assert_eq!(status.code, Some(0));
    assert!(status.stdout.contains("shared with the Codex CLI"), "{}", status.stdout);
    let refused = home.run(&["logout"], &[]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("godex logout --codex") && login.exists());
    fs::copy(&login, home.path().join(".codex/proxy-auth.json")).unwrap();
    let own = home.run(&["logout"], &[]);
    assert_eq!(own.code, Some(0), "{}", own.stderr);
    assert!(!home.path().join(".codex/proxy-auth.json").exists() && login.exists());
    assert_eq!(home.run(&["logout", "--codex"], &[]).code, Some(0));
    assert!(!login.exists());
    assert_eq!(home.run(&["logout"], &[]).code, Some(0));
    let status = home.run(&["login", "status", "--json"], &[]);
    assert_eq!(status.code, Some(4));
    assert!(status.stdout.contains("\"logged_in\": false"), "{}", status.stdout);
}
