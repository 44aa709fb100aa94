//! Facts about signing in, against the issuer that the simulator plays.

use std::io::{BufReader, Empty};
use std::sync::Arc;

use godex_mock::{Mock, Options};
use http::HeaderValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::auth::signin::{Attempt, Return};
use crate::cli::talk::Screen;

/// What a command says, and the issuer it speaks to.
struct Stage {
    mock: Mock,
    issuer: Issuer,
    notes: Vec<u8>,
}

impl Stage {
    async fn new() -> Self {
        let mock = Mock::start(Options { device_interval: 1, ..Options::default() }).await.unwrap();
        let issuer = Issuer {
            http: connect::direct_client(CONNECT),
            address: mock.issuer(),
            user_agent: HeaderValue::from_static("godex/1 (linux; x86_64)"),
            originator: HeaderValue::from_static("codex_cli_rs"),
        };
        Self { mock, issuer, notes: Vec::new() }
    }

    async fn device(&mut self, patience: Duration) -> Result<NewLogin, Failure> {
        let mut input: BufReader<Empty> = BufReader::new(io::empty());
        let mut talk = Talk {
            out: &mut io::sink(),
            notes: &mut self.notes,
            input: &mut input,
            attended: false,
            screen: Screen::default(),
        };
        device::sign_in(&self.issuer, patience, &mut talk).await
    }
}

fn said(failure: &Failure) -> String {
    let mut out = Vec::new();
    failure.print(&mut out, false).unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn a_denied_code_and_one_that_nobody_enters_end_in_words() {
    let mut stage = Stage::new().await;
    stage.mock.deny_sign_ins(true);
    let denied = stage.device(PATIENCE).await.unwrap_err();
    assert!(said(&denied).contains("somebody has denied the code"), "{}", said(&denied));
    stage.mock.deny_sign_ins(false);
    let late = stage.device(Duration::from_millis(50)).await.unwrap_err();
    assert!(said(&late).starts_with("error: nobody has signed in\n"), "{}", said(&late));
    assert!(said(&late).contains("godex login"));
    let notes = String::from_utf8(stage.notes.clone()).unwrap();
    assert!(notes.contains("MOCK-00002") && notes.contains("/codex/device"), "{notes}");
}

#[tokio::test]
async fn a_login_is_written_as_the_codex_cli_writes_it() {
    let mut stage = Stage::new().await;
    let mock = Arc::new(stage.mock);
    stage.mock = Mock::start(Options::default()).await.unwrap();
    let entering = {
        let mock = Arc::clone(&mock);
        async move {
            mock.until(|seen| seen.iter().any(|it| it.path.ends_with("/token"))).await;
            assert!(mock.enter_code("MOCK-00001", true));
        }
    };
    let (login, ()) = tokio::join!(stage.device(PATIENCE), entering);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/proxy-auth.json");
    let login = login.unwrap();
    login.save(&path).unwrap();
    let written: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let theirs: serde_json::Value = serde_json::from_str(&mock.auth_json()).unwrap();
    assert_eq!(written["tokens"], theirs["tokens"]);
    let names =
        |file: &serde_json::Value| file.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&written), names(&theirs));
    assert_eq!(names(&written["tokens"]), names(&theirs["tokens"]));
    assert!(!format!("{login:?}").contains("rt_mock"));
}

async fn visit(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_port_hands_on_a_code_and_tells_strangers_what_is_wrong() {
    let stage = Stage::new().await;
    let callback = Callback::listen(&[0]).await;
    let port = callback.port();
    assert!(callback.is_open() && port != 0);
    let attempt = Arc::new(Attempt::begin(port).unwrap());
    let page = attempt.page(&stage.issuer);
    let secret = page.split("&state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let tasks = Tasks::default();
    let mut returns = callback.serve(attempt, &tasks);
    // Opened and never used, as browsers do.
    let _idle = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    assert!(visit(port, "/favicon.ico").await.starts_with("HTTP/1.1 404 "));
    assert!(visit(port, "/auth/callback").await.starts_with("HTTP/1.1 400 "));
    let foreign = visit(port, "/auth/callback?code=a&state=b").await;
    assert!(foreign.starts_with("HTTP/1.1 400 ") && foreign.contains("another sign-in"));
    assert!(matches!(returns.recv().await, Some(Return::Foreign)));
    let good = visit(port, &format!("/auth/callback?code=a&state={secret}")).await;
    assert!(good.starts_with("HTTP/1.1 200 "), "{good}");
    assert!(matches!(returns.recv().await, Some(Return::Code(code)) if code == "a"));
    drop(returns);
    tasks.ended().await;
}

#[tokio::test]
async fn the_second_port_is_taken_when_the_first_is_not_free() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let first = taken.local_addr().unwrap().port();
    let callback = Callback::listen(&[first, 0]).await;
    assert!(callback.is_open() && callback.port() != first);
    let callback = Callback::listen(&[first]).await;
    assert!(!callback.is_open());
    assert_eq!(callback.port(), first, "what comes back there can still be pasted");
}

#[test]
fn an_address_can_be_pasted_in_whole_or_in_part() {
    #[track_caller]
    fn check(pasted: &str) {
        assert_eq!(callback::query(pasted), "code=a&state=b");
    }
    check("http://localhost:1455/auth/callback?code=a&state=b");
    check("  'http://localhost:1455/auth/callback?code=a&state=b#top' \n");
    check("code=a&state=b");
    check("?code=a&state=b");
}
