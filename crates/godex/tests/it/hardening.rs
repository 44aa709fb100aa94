//! What a long life needs: backends that stall, connections that are used again, logs that do
//! not grow for ever, a past that is known.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use crate::backend::hello;
use crate::client::Call;
use crate::program::Home;
use crate::stage::{Proxy, Stage, asked, play, question, with};

const SECOND: Duration = Duration::from_secs(1);

/// A backend that answers questions, and begins its list of models but never ends it.
async fn listless(list: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/codex", listener.local_addr().unwrap());
    spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            spawn(answer(socket, list));
        }
    });
    base_url
}

async fn answer(mut socket: TcpStream, list: &str) {
    let mut seen = Vec::new();
    while !seen.windows(4).any(|it| it == b"\r\n\r\n") {
        socket.read_buf(&mut seen).await.unwrap();
    }
    let asks_for_list = seen.starts_with(b"GET ");
    let text = if asks_for_list { list.as_bytes().to_owned() } else { hello() };
    socket.write_all(&text).await.unwrap();
    if !asks_for_list {
        socket.shutdown().await.unwrap();
    }
    // Whatever is still sent is taken until the proxy hangs up.
    while socket.read_buf(&mut seen).await.is_ok_and(|read| read > 0) {}
}

#[test]
fn a_list_of_models_that_never_comes_holds_up_the_start_once_and_no_shutdown() {
    async fn check(list: &'static str) {
        let home = Home::logged_in();
        let proxy = Proxy::start(&home, &listless(list).await, &[], &[]).await;
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
        let stage = Stage::on_mock(&[]).await;
        // The list of models has come, so that its connection is free again.
        stage.proxy.get("/v1/models").await.fine();
        for stream in [false, true, true, false, true, false] {
            let more = json!({ "stream": stream });
            let reply = stage.proxy.responses(&with(question("hi"), more.clone())).await;
            assert_eq!(reply.status, 200);
            let reply = stage.proxy.chat(&with(asked("hi"), more)).await;
            assert_eq!(reply.status, 200);
        }
        let connections: Vec<u64> = stage.sent().iter().map(|it| it.connection).collect();
        assert_eq!(connections, [connections[0]; 12]);
    });
}

#[test]
fn the_usage_log_is_set_aside_by_size_and_only_so_many_are_kept() {
    play(async {
        let limits = ["--stats-max-bytes=1KiB", "--stats-max-backups=2"];
        let mut stage = Stage::on_mock(&limits).await;
        for _ in 0..20 {
            stage.proxy.responses(&question("hi")).await.fine();
        }
        stage.restart(&limits).await;
        let log = stage.home.path().join(".codex/proxy-usage.jsonl");
        let file = |number: u32| PathBuf::from(format!("{}.{number}", log.display()));
        // The restart was a kill: the next one is in good order, and tidies up.
        for _ in 0..4 {
            stage.proxy.responses(&question("hi")).await.fine();
        }
        stage.proxy.signal("TERM");
        assert!(stage.proxy.end().await.success());
        for path in [&log, &file(1), &file(2)] {
            let text = fs::read_to_string(path).unwrap();
            // While the checkpoint moves, the log waits a little for its turn.
            assert!((1..4096).contains(&text.len()), "{}: {}", path.display(), text.len());
            assert!(text.ends_with("}\n"));
        }
        assert!(!file(3).exists());
        let kept = |path: PathBuf| fs::read_to_string(path).unwrap().lines().count();
        let kept = kept(log.clone()) + kept(file(1)) + kept(file(2));
        let shown = stage.home.run(&["proxy", "usage", "list", "--json"], &[]);
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
