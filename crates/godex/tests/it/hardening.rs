//! What a long life needs: backends that stall, connections that are used again, logs that do
//! not grow for ever, a past that is known.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::backend::{closing, hello, opening, whole};
use crate::client::Call;
use crate::program::Home;
use crate::stage::{Proxy, Stage, asked, four_ways, play, question, with};

const SECOND: Duration = Duration::from_secs(1);

/// A backend that plays the same part on every connection.
async fn backend<P>(part: impl Fn(TcpStream) -> P + Send + 'static) -> String
where
    P: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/codex", listener.local_addr().unwrap());
    spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            spawn(part(socket));
        }
    });
    base_url
}

/// Reads one request; its method, or nothing when the proxy hangs up.
async fn request(socket: &mut TcpStream) -> Option<String> {
    let mut seen = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&seen);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |it| it.parse().unwrap()) {
                return Some(head.split(' ').next().unwrap().to_owned());
            }
        }
        if socket.read_buf(&mut seen).await.ok()? == 0 {
            return None;
        }
    }
}

/// Answers questions, and begins its list of models but never ends it.
async fn listless(mut socket: TcpStream, list: &str) {
    if request(&mut socket).await.unwrap() == "GET" {
        socket.write_all(list.as_bytes()).await.unwrap();
        let mut hung_up = [0];
        let _ = socket.read(&mut hung_up).await;
    } else {
        socket.write_all(&hello()).await.unwrap();
    }
}

/// Answers any number of questions, and ends the body of an answer only when `end` allows it.
async fn late_end(mut socket: TcpStream, end: Arc<Semaphore>, used: Arc<AtomicUsize>) {
    let mut first = true;
    while let Some(method) = request(&mut socket).await {
        if method == "GET" {
            let list = whole("200 OK", "application/json", "{\"models\":[]}");
            return socket.write_all(&list).await.unwrap();
        }
        used.fetch_add(usize::from(std::mem::take(&mut first)), Ordering::Relaxed);
        let events = [opening(), closing()].concat();
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let answer = format!("{head}{:x}\r\n{events}\r\n", events.len());
        socket.write_all(answer.as_bytes()).await.unwrap();
        end.acquire().await.unwrap().forget();
        // A proxy that did not wait for it has hung up.
        let _ = socket.write_all(b"0\r\n\r\n").await;
    }
}

/// A backend that answers one question on each connection, and hangs up when the next one arrives.
#[derive(Default)]
struct Tired {
    /// Every other one of its answers is a 503.
    ailing: bool,
    answered: AtomicUsize,
    refused: AtomicUsize,
}

async fn tired(mut socket: TcpStream, backend: Arc<Tired>) {
    if request(&mut socket).await.as_deref() == Some("GET") {
        let list = whole("200 OK", "application/json", "{\"models\":[]}");
        return socket.write_all(&list).await.unwrap();
    }
    let before = backend.answered.fetch_add(1, Ordering::Relaxed);
    let answer = if backend.ailing && before % 2 == 1 {
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}".to_owned()
    } else {
        let events = [opening(), closing()].concat();
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        format!("{head}{:x}\r\n{events}\r\n0\r\n\r\n", events.len())
    };
    socket.write_all(answer.as_bytes()).await.unwrap();
    if request(&mut socket).await.is_some() {
        backend.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// Asks a tired backend eight times; it must have hung up so often.
async fn every_answer_comes(ailing: bool, refused: usize) {
    let home = Home::logged_in();
    let tiring = Arc::new(Tired { ailing, ..Tired::default() });
    let playing = Arc::clone(&tiring);
    let base_url = backend(move |socket| tired(socket, Arc::clone(&playing))).await;
    let proxy = Proxy::start(&home, &base_url, &[], &[]).await;
    for call in [four_ways("hi"), four_ways("hi")].concat() {
        let answered = proxy.send(call).await;
        assert_eq!((answered.status, answered.whole), (200, true), "{}", answered.body);
    }
    assert!(tiring.refused.load(Ordering::Relaxed) >= refused, "no connection was used again");
}

#[test]
fn a_connection_that_the_backend_is_about_to_close_costs_no_client_its_answer() {
    play(every_answer_comes(false, 1));
}

#[test]
fn one_such_connection_before_a_503_and_one_behind_it_cost_no_client_its_answer() {
    play(every_answer_comes(true, 8));
}

#[test]
fn a_list_of_models_that_never_comes_holds_up_the_start_once_and_no_shutdown() {
    async fn check(list: &'static str) {
        let home = Home::logged_in();
        let base_url = backend(move |socket| listless(socket, list)).await;
        let proxy = Proxy::start(&home, &base_url, &[], &[]).await;
        let unnamed = json!({ "input": "hi" });
        let answered = timeout(8 * SECOND, proxy.responses(&unnamed)).await;
        assert_eq!(answered.unwrap().status, 200);
        for _ in 0..3 {
            let answered = timeout(2 * SECOND, proxy.responses(&unnamed)).await;
            assert_eq!(answered.expect("nobody waits twice").status, 200);
        }
        proxy.signal("TERM");
        let ended = timeout(3 * SECOND, proxy.end()).await.expect("shutdown waits for no list");
        assert!(ended.success());
    }
    play(async {
        let begun = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{";
        tokio::join!(check(""), check(begun));
    });
}

#[test]
fn requests_one_after_another_share_a_connection_to_the_backend() {
    play(async {
        let (end, used) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let part = (Arc::clone(&end), Arc::clone(&used));
        let part = move |socket| late_end(socket, Arc::clone(&part.0), Arc::clone(&part.1));
        let home = Home::logged_in();
        let proxy = Proxy::start(&home, &backend(part).await, &["--burst=100"], &[]).await;
        // A request that comes before the end was read opens another connection: of several
        // rounds, the luckiest tells whether connections are kept at all.
        let mut fewest = usize::MAX;
        for _ in 0..8 {
            let before = used.load(Ordering::Relaxed);
            for stream in [false, true, false, true] {
                let more = json!({ "stream": stream });
                for call in [
                    Call::responses(&with(question("hi"), more.clone())),
                    Call::chat(&with(asked("hi"), more.clone())),
                ] {
                    assert_eq!(proxy.send(call).await.status, 200);
                    end.add_permits(1);
                }
            }
            fewest = fewest.min(used.load(Ordering::Relaxed) - before);
        }
        assert!(fewest <= 4, "{fewest} connections for 8 requests");
    });
}

#[test]
fn the_usage_log_is_set_aside_by_size_and_only_so_many_are_kept() {
    play(async {
        let stage = Stage::on_mock(&["--stats-max-bytes=1KiB", "--stats-max-backups=2"]).await;
        for _ in 0..20 {
            stage.proxy.responses(&question("hi")).await.fine();
        }
        let Stage { home, backend: _backend, proxy } = stage;
        proxy.signal("TERM");
        assert!(proxy.end().await.success());
        let log = home.path().join(".codex/proxy-usage.jsonl");
        let file = |number: u32| PathBuf::from(format!("{}.{number}", log.display()));
        for path in [&log, &file(1), &file(2)] {
            let text = fs::read_to_string(path).unwrap();
            // While the checkpoint moves, the log waits a little for its turn.
            assert!((1..4096).contains(&text.len()), "{}: {}", path.display(), text.len());
            assert!(text.ends_with("}\n"));
        }
        assert!(!file(3).exists());
        let kept = |path: PathBuf| fs::read_to_string(path).unwrap().lines().count();
        let kept = kept(log.clone()) + kept(file(1)) + kept(file(2));
        let shown = home.run(&["proxy", "usage", "list", "--json"], &[]);
        assert_eq!(shown.code, Some(0), "{}", shown.stderr);
        let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
        assert_eq!(shown["total"]["requests"], kept, "{shown}");
    });
}

#[test]
fn a_key_that_gets_its_quota_later_has_a_past() {
    play(async {
        let mut stage = Stage::on_mock(&[]).await;
        let key = stage.managed_key("late", &[]);
        stage.proxy.says("the keys have changed").await;
        stage.proxy.send(Call::responses(&question("hi")).key(&key)).await.fine();
        let spent = stage.records()[0]["total_tokens"].as_u64().unwrap();
        stage.restart(&[]).await;
        let update = ["proxy", "keys", "update", "late", "--quota-tokens", "1000000"];
        assert_eq!(stage.home.run(&update, &[]).code, Some(0));
        let deadline = Instant::now() + 10 * SECOND;
        loop {
            let tokens = stage.proxy.send(Call::get("/v1/usage").key(&key)).await.fine();
            if tokens["tokens"]["used"] == spent {
                break;
            }
            assert!(Instant::now() < deadline, "{tokens}");
        }
    });
}

#[expect(clippy::disallowed_methods, reason = "a test has no tasks to wait for")]
fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}
