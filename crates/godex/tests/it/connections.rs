//! Connections of clients that are slow, many, or speak something else.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::client::Call;
use crate::program::Home;
use crate::stage::{KEY, Proxy, Stage, play, question, together};
use crate::wire::{Answer, answer, answers, heard, said};

const SECOND: Duration = Duration::from_secs(1);

/// A request that is there, and asks for the connection to be closed.
fn post(address: &str, lines: &str, body: &str) -> String {
    format!(
        "POST /v1/responses HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n{lines}\r\n{body}"
    )
}

fn padded(address: &str, lines: usize, length: usize) -> String {
    let padding: Vec<_> =
        (0..lines).map(|line| format!("x-{line}: {}\r\n", "a".repeat(length))).collect();
    let padding = padding.concat();
    format!("GET /health HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{padding}\r\n")
}

#[test]
fn connections_that_send_no_head_are_closed_and_so_are_idle_ones() {
    async fn closed_after(address: &str, start: &str, every: Option<(&str, Duration)>) -> Duration {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(start.as_bytes()).await.unwrap();
        let begun = Instant::now();
        let (mut reader, mut writer) = socket.split();
        let mut seen = Vec::new();
        let reading = reader.read_to_end(&mut seen);
        let dripping = async {
            let Some((drop, pause)) = every else { return std::future::pending().await };
            while writer.write_all(drop.as_bytes()).await.is_ok() {
                sleep(pause).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = reading => begun.elapsed(),
            () = dripping => begun.elapsed(),
        }
    }
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let address = &stage.proxy.address;
        let whole = format!("GET /health HTTP/1.1\r\nhost: {address}\r\n\r\n");
        let half = "GET /health HTTP/1.1\r\nhost: localhost\r\n";
        let drop = Some(("x: y\r\n", SECOND));
        let ends = together([
            closed_after(address, "", None),
            closed_after(address, half, None),
            closed_after(address, half, drop),
            closed_after(address, &whole, None),
        ]);
        for end in timeout(20 * SECOND, ends).await.unwrap() {
            assert!((8 * SECOND..15 * SECOND).contains(&end), "{end:?}");
        }
    });
}

#[test]
fn three_hundred_connections_that_say_nothing_delay_nobody() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let mut silent = Vec::new();
        for number in 0..300 {
            let mut socket = TcpStream::connect(&stage.proxy.address).await.unwrap();
            if number % 2 == 0 {
                socket.write_all(b"POST /v1/responses HTTP/1.1\r\nhost: l").await.unwrap();
            }
            silent.push(socket);
        }
        stage.proxy.responses(&question("warm")).await.fine();
        // Tests share the processors: the slowest of ten is judged by the best of a few tries.
        let mut slowest = SECOND;
        for _ in 0..5 {
            let mut slowest_of_ten = Duration::ZERO;
            for _ in 0..10 {
                let begun = Instant::now();
                stage.proxy.responses(&question("hi")).await.fine();
                slowest_of_ten = slowest_of_ten.max(begun.elapsed());
            }
            slowest = slowest.min(slowest_of_ten);
        }
        assert!(slowest < SECOND / 10, "{slowest:?}");
    });
}

#[test]
fn over_the_limit_connections_wait_and_get_their_turn() {
    play(async {
        let stage = Stage::on_mock(&["--max-connections=3"]).await;
        let mut silent = Vec::new();
        for _ in 0..3 {
            silent.push(TcpStream::connect(&stage.proxy.address).await.unwrap());
        }
        stage.proxy.says("3 connections are open").await;
        let body = question("hi");
        let mut asking = Box::pin(stage.proxy.responses(&body));
        assert!(timeout(SECOND / 2, &mut asking).await.is_err(), "there is no room");
        silent.pop();
        assert_eq!(timeout(5 * SECOND, asking).await.unwrap().status, 200);
    });
}

/// The processor time a process has used, in ticks of a hundredth of a second.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<u64> = fields.split(' ').filter_map(|it| it.parse().ok()).collect();
    // After the state come ten numbers, then the time of the program and of the system for it.
    fields[10] + fields[11]
}

#[test]
fn without_open_files_it_waits_without_work_and_recovers() {
    play(async {
        let home = Home::logged_in();
        let command = format!(
            "ulimit -n 48; exec {} proxy --listen=127.0.0.1:0 --api-key {KEY} --base-url http://127.0.0.1:9/x",
            env!("CARGO_BIN_EXE_godex")
        );
        let mut child = Command::new("sh")
            .args(["-c", &command])
            .env_clear()
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().unwrap().unwrap();
            if let Some((_, url)) = line.split_once("listening   http://") {
                break url.trim_end_matches("/v1").to_owned();
            }
        };
        let mut all = Vec::new();
        for _ in 0..80 {
            all.push(TcpStream::connect(&address).await.unwrap());
        }
        let failed = loop {
            let line = lines.next().unwrap().unwrap();
            if line.contains("cannot accept connections") {
                break line;
            }
        };
        assert!(failed.contains("open files"), "{failed}");
        let before = ticks(child.id());
        sleep(SECOND).await;
        let used = ticks(child.id()) - before;
        assert!(used < 20, "{used} hundredths of a second of work in a second of waiting");
        drop(all);
        let health =
            format!("GET /health HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        let served = timeout(10 * SECOND, answer(&address, &health)).await.unwrap();
        assert_eq!(served.status, 200);
        child.kill().unwrap();
        child.wait().unwrap();
    });
}

#[test]
fn heads_over_the_limits_are_refused_in_the_usual_form() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let address = &stage.proxy.address;
        for (lines, length) in [(0, 0), (90, 10), (6, 10_000), (1, 60_000)] {
            assert_eq!(answer(address, &padded(address, lines, length)).await.status, 200);
        }
        for (lines, length) in [(101, 1), (500, 10), (7, 10_000), (1, 70_000), (1, 3_000_000)] {
            let refused = answer(address, &padded(address, lines, length)).await;
            assert_eq!(refused.status, 431, "{lines} lines of {length}");
            assert_eq!(refused.code(), "request_header_fields_too_large");
            assert_eq!(refused.header("connection"), "close");
        }
        let long = format!("GET /{} HTTP/1.1\r\nhost: {address}\r\n\r\n", "a".repeat(70_000));
        let refused = answer(address, &long).await;
        assert_eq!((refused.status, &*refused.code()), (414, "uri_too_long"));
    });
}

#[test]
fn what_is_no_request_is_told_so_in_the_usual_form() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let address = &stage.proxy.address;
        for nonsense in [
            "\r\nnonsense\r\n\r\n",
            "GET\r\n\r\n",
            "GET / HTTP/3.7\r\nhost: localhost\r\n\r\n",
            "GET /a b HTTP/1.1\r\nhost: localhost\r\n\r\n",
            "GET / HTTP/1.1\r\nhost localhost\r\n\r\n",
            "GET / HTTP/1.1\r\nho st: localhost\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: localhost\r\nx: \0\r\n\r\n",
            "\x16\x03\x01\x02\0\x01\0\x01\u{7c}\x03\x03",
        ] {
            let refused = answer(address, nonsense).await;
            assert_eq!(
                (refused.status, &*refused.code()),
                (400, "malformed_request"),
                "{nonsense}"
            );
        }
        // After a good request on the same connection, too.
        let good = format!("GET /health HTTP/1.1\r\nhost: {address}\r\n\r\n");
        let both = answers(&said(address, format!("{good}nonsense\r\n\r\n").as_bytes()).await);
        let statuses: Vec<_> = both.iter().map(|it| it.status).collect();
        assert_eq!(statuses, [200, 400]);
        assert_eq!(both[1].code(), "malformed_request");
    });
}

#[test]
fn smuggled_bytes_are_never_answered() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let address = &stage.proxy.address;
        let smuggled = format!("GET /health HTTP/1.1\r\nhost: {address}\r\n\r\n");
        let body = question("hi").to_string();
        let length = body.len();
        for lines in [
            format!("content-length: {length}\r\ncontent-length: {}\r\n", length + 1),
            format!("content-length: {length}, {length}1\r\n"),
            format!("content-length: +{length}\r\n"),
            format!("content-length: -{length}\r\n"),
            format!("content-length: {length}x\r\n"),
            "content-length: 99999999999999999999999\r\n".to_owned(),
            "transfer-encoding: xchunked\r\n".to_owned(),
            "transfer-encoding: chunked, identity\r\n".to_owned(),
            "transfer-encoding: gzip, chunked\r\n".to_owned(),
            format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
            format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n"),
            format!("transfer-encoding : chunked\r\ncontent-length: {length}\r\n"),
            format!("x: y\r\n folded: z\r\ncontent-length: {length}\r\n"),
            "transfer-encoding: chunked\r\nx: broken chunk\r\n".to_owned(),
        ] {
            let head = post(address, &lines, "").replace("connection: close\r\n", "");
            let request = format!("{head}{body}{smuggled}");
            let answers = answers(&said(address, request.as_bytes()).await);
            let [refused] = &answers[..] else { panic!("{lines}: {answers:?}") };
            assert!(refused.status >= 400, "{lines}: {answers:?}");
            refused.code();
        }
        assert!(stage.sent().is_empty());
    });
}

#[test]
fn version_1_0_gets_its_answer_and_its_end() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let address = &stage.proxy.address;
        let body = crate::stage::streamed(question("hi")).to_string();
        let request = format!(
            "POST /v1/responses HTTP/1.0\r\nhost: {address}\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let streamed = answer(address, &request).await;
        assert_eq!(streamed.status, 200);
        assert_eq!(streamed.header("transfer-encoding"), "");
        assert!(streamed.body.starts_with("event: response.created\n"), "{}", streamed.body);
        assert!(streamed.body.contains("event: response.completed\n"));
    });
}

/// What comes first, and what comes until the connection ends, for a client that waits to be
/// told to send its body.
async fn waiting(address: &str, lines: &str, body: &str) -> Vec<Answer> {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let lines = format!("{lines}expect: 100-continue\r\n");
    socket.write_all(post(address, &lines, "").as_bytes()).await.unwrap();
    let mut first = [0; 25];
    socket.read_exact(&mut first).await.unwrap();
    let mut all = first.to_vec();
    if all.starts_with(b"HTTP/1.1 100 Continue") {
        socket.write_all(body.as_bytes()).await.unwrap();
    }
    all.extend(heard(&mut socket).await);
    answers(&all)
}

#[test]
fn a_body_is_asked_for_only_once_its_key_is_good_and_its_size_is_fine() {
    play(async {
        let stage = Stage::on_mock(&["--max-body=1KiB"]).await;
        let address = &stage.proxy.address;
        let body = question("hi").to_string();
        let length = format!("content-length: {}\r\n", body.len());
        let statuses = |answers: &[Answer]| answers.iter().map(|it| it.status).collect::<Vec<_>>();
        let served = waiting(address, &length, &body).await;
        assert_eq!(statuses(&served), [100, 200]);
        // The race between the refusal and a first read of the body was real: many times.
        for _ in 0..20 {
            let refused = waiting(address, "content-length: 1025\r\n", "").await;
            assert_eq!(statuses(&refused), [413]);
            let strange = format!("{length}origin: https://evil.example\r\n");
            assert_eq!(statuses(&waiting(address, &strange, "").await), [403]);
            let twice = format!("{length}host: localhost\r\n");
            assert_eq!(statuses(&waiting(address, &twice, "").await), [400]);
        }
        let stranger = post(address, &format!("{length}expect: 100-continue\r\n"), "")
            .replace(KEY, "gxk_unknown");
        for _ in 0..20 {
            let refused = answers(&said(address, stranger.as_bytes()).await);
            assert_eq!(statuses(&refused), [401]);
        }
    });
}

#[test]
fn without_a_good_key_the_body_is_not_waited_for() {
    play(async {
        let mut stage = Stage::on_mock(&[]).await;
        let revoked = stage.managed_key("revoked", &[]);
        let expired = stage.managed_key("expired", &["--expires-in", "1s"]);
        let revoke = ["proxy", "keys", "revoke", "revoked", "--yes"];
        let ended = stage.home.run(&revoke, &[]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        sleep(SECOND).await;
        stage.restart(&[]).await;
        let address = &stage.proxy.address;
        let mut bodies = Vec::new();
        for key in ["gxk_unknown", &revoked, &expired] {
            let mut socket = TcpStream::connect(address).await.unwrap();
            let head = post(address, "content-length: 1000000\r\n", "{").replace(KEY, key);
            socket.write_all(head.as_bytes()).await.unwrap();
            let mut start = vec![0; 4096];
            let read = timeout(5 * SECOND, socket.read(&mut start)).await.unwrap().unwrap();
            let refused = answers(&start[..read]).remove(0);
            assert_eq!((refused.status, &*refused.code()), (401, "invalid_api_key"));
            bodies.push(refused.body);
        }
        bodies.dedup();
        assert_eq!(bodies.len(), 1, "unknown, revoked and expired look alike: {bodies:?}");
    });
}

#[test]
fn the_limit_of_a_body_is_told_while_the_client_is_still_sending() {
    play(async {
        let stage = Stage::on_mock(&["--max-body=4KiB"]).await;
        let address = &stage.proxy.address;
        let chunk = format!("10000\r\n{}\r\n", "a".repeat(1 << 16));
        let chunked = post(address, "transfer-encoding: chunked\r\n", &chunk.repeat(40));
        let declared = post(address, "content-length: 3000000\r\n", &"a".repeat(3_000_000));
        for request in [chunked, declared] {
            let refused = answer(address, &request).await;
            assert_eq!((refused.status, &*refused.code()), (413, "request_too_large"));
        }
    });
}

#[test]
fn a_hangup_reads_the_keys_again_and_ends_nothing() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let key = stage.managed_key("new", &[]);
        stage.proxy.signal("HUP");
        stage.proxy.says("have been looked at again").await;
        stage.proxy.send(Call::responses(&question("hi")).key(&key)).await.fine();
    });
}

#[test]
fn a_second_signal_ends_it_within_a_second() {
    play(async {
        let mut stage = Stage::on_backend(&["--drain-timeout=1h"]).await;
        let call = Call::responses(&question("hi"));
        let mut sending = Box::pin(stage.proxy.send(call));
        let _turn = tokio::select! {
            _ = &mut sending => panic!("nobody answers"),
            turn = stage.backend.turn() => turn,
        };
        drop(sending);
        // A stream that goes on for ever keeps it.
        let mut kept = TcpStream::connect(&stage.proxy.address).await.unwrap();
        let head = post(&stage.proxy.address, "content-length: 10\r\n", "{");
        kept.write_all(head.as_bytes()).await.unwrap();
        stage.proxy.get("/health").await.fine();
        stage.proxy.signal("TERM");
        stage.proxy.says("a second signal ends them").await;
        stage.proxy.signal("HUP");
        stage.proxy.signal("TERM");
        let ended = timeout(SECOND, stage.proxy.end()).await.expect("a second signal ends it");
        assert_eq!(ended.code(), Some(1));
    });
}

#[test]
fn an_address_behind_a_trusted_proxy_is_believed_and_no_other() {
    async fn recalls(proxy: &Proxy, stage: &Stage<crate::stage::Strict>, address: &str) -> String {
        let call = Call::responses(&question("and now?")).header("x-forwarded-for", address);
        proxy.send(call).await.fine();
        stage.last_body()["instructions"].as_str().unwrap().to_owned()
    }
    play(async {
        let with = crate::stage::with;
        let taught = with(question("hi"), serde_json::json!({"instructions": "Speak Latin."}));
        let own = "You are a helpful assistant.";
        let mut stage =
            Stage::on_mock(&["--trusted-proxy=127.0.0.0/8,10.1.1.1", "--log-requests"]).await;
        let teach = || Call::responses(&taught).header("x-forwarded-for", "198.51.100.7");
        stage.proxy.send(teach()).await.fine();
        assert_eq!(recalls(&stage.proxy, &stage, "198.51.100.7").await, "Speak Latin.");
        assert_eq!(recalls(&stage.proxy, &stage, "198.51.100.7, 10.1.1.1").await, "Speak Latin.");
        assert_eq!(recalls(&stage.proxy, &stage, "198.51.100.8").await, own);
        stage.proxy.says("198.51.100.8").await;

        stage.restart(&["--log-requests"]).await;
        stage.proxy.send(teach()).await.fine();
        assert_eq!(recalls(&stage.proxy, &stage, "198.51.100.8").await, "Speak Latin.");
        let health =
            Call::new(Method::GET, "/health", "").header("x-forwarded-for", "198.51.100.9");
        stage.proxy.send(health).await.fine();
        let said = stage.proxy.says("/health").await;
        assert!(said.contains("127.0.0.1") && !said.contains("198.51.100"), "{said}");
    });
}
