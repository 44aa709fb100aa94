//! What a long and hard life must not change: memory, open files, records and quotas, with a
//! client that floods, a process that is killed, and names that lead somewhere else.

use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::backend::{STREAM, closing, event, hello, opening, recorded};
use crate::client::Call;
use crate::stage::{Stage, asked, four_ways, play, question, together, with};

const MIB: u64 = 1 << 20;

#[test]
fn many_sessions_with_long_instructions_stay_within_the_memory_they_may_have() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        stage.backend.always(hello());
        stage.proxy.responses(&question("warm")).await.fine();
        let before = stage.proxy.memory();
        for batch in 0..50 {
            let bodies: Vec<_> = (0..12)
                .map(|number| {
                    let session = format!("session {batch} {number}");
                    let instructions = session.repeat(100_000 / session.len());
                    with(question("hi"), json!({"user": session, "instructions": instructions}))
                })
                .collect();
            for reply in together(bodies.iter().map(|it| stage.proxy.responses(it))).await {
                reply.fine();
            }
        }
        let grown = stage.proxy.memory().saturating_sub(before);
        assert!(grown < 94 * MIB, "{} MiB for 600 sessions of 100 kB", grown / MIB);
    });
}

#[test]
fn after_a_load_open_files_are_where_they_were() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        stage.backend.always([STREAM, &opening(), &closing()].concat());
        stage.proxy.responses(&question("warm")).await.fine();
        // Whatever of the first request is still open, and nothing more.
        let before = stage.proxy.open_files();
        for round in 0..10 {
            let calls = (0..10).flat_map(|_| four_ways("hi"));
            let sending: Vec<_> = calls.map(|call| stage.proxy.send(call)).collect();
            if round % 2 == 0 {
                together(sending).await;
            } else {
                // They leave at whatever point they have come to.
                let _ = tokio::time::timeout(Duration::from_millis(20), together(sending)).await;
            }
        }
        stage.proxy.hang_up();
        let deadline = Instant::now() + Duration::from_secs(20);
        while stage.proxy.open_files() > before {
            assert!(Instant::now() < deadline, "{} open files", stage.proxy.open_files());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

#[test]
fn a_killed_proxy_has_lost_no_record_and_no_quota() {
    play(async {
        let mut stage = Stage::on_mock(&["--quota-tokens=1000000"]).await;
        let mut told = Vec::new();
        for call in four_ways("hi") {
            let reply = stage.proxy.send(call).await;
            assert_eq!((reply.status, reply.whole), (200, true));
            told.push(reply.header("x-request-id").to_owned());
        }
        stage.proxy.signal("KILL");
        let records = stage.records();
        let found: Vec<_> = records.iter().map(|it| it["request_id"].as_str().unwrap()).collect();
        assert_eq!(found, told);
        let spent: u64 = records.iter().map(|it| it["total_tokens"].as_u64().unwrap()).sum();
        stage.restart(&["--quota-tokens=1000000"]).await;
        let usage = stage.proxy.get("/v1/usage").await.fine();
        assert_eq!(usage["tokens"]["used"], spent);
        stage.restart(&[&format!("--quota-tokens={spent}")]).await;
        let refused = stage.proxy.responses(&question("hi")).await;
        assert_eq!(refused.error().2, "insufficient_quota");
    });
}

#[test]
fn no_address_in_a_request_or_an_answer_is_ever_visited() {
    play(async {
        let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x.png", trap.local_addr().unwrap());
        let mut stage = Stage::on_backend(&[]).await;
        let moved = "HTTP/1.1 307 Temporary Redirect\r\nconnection: close\r\ncontent-length: 0\r\n";
        for (answer, status) in
            [(recorded("text"), 200), (format!("{moved}location: {url}\r\n\r\n").into_bytes(), 502)]
        {
            let part = json!([{"type": "input_image", "image_url": url}]);
            let input = json!([{"role": "user", "content": part}]);
            let image = json!([{"type": "image_url", "image_url": {"url": url}}]);
            let messages = json!([{"role": "user", "content": image}]);
            for call in [
                Call::responses(&with(question("hi"), json!({"input": input, "user": url}))),
                Call::chat(&with(asked("hi"), json!({"messages": messages}))),
            ] {
                let sending = stage.proxy.send(call);
                let playing = async { stage.backend.turn().await.answer(&answer).await };
                let (reply, ()) = tokio::join!(sending, playing);
                assert_eq!(reply.status, status, "{}", reply.body);
            }
        }
        let visited = tokio::time::timeout(Duration::from_millis(200), trap.accept()).await;
        assert!(visited.is_err(), "somebody came");
    });
}

#[test]
fn an_answer_without_end_is_an_error_with_bounded_memory() {
    let text = "y".repeat(1 << 20);
    let part = json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text});
    let item = |number: u64| {
        event(&json!({
            "type": "response.output_item.done", "output_index": number,
            "sequence_number": 4 + number,
            "item": {"id": format!("msg_{number}"), "type": "message", "status": "completed",
                "content": [part], "role": "assistant"},
        }))
    };
    let items: String = (1..=200).map(item).collect();
    let answer = [STREAM, &opening(), &items, &closing()].concat();
    play(async move {
        let mut stage = Stage::on_backend(&[]).await;
        let before = stage.proxy.peak_memory();
        let [responses, _, chat, _] = four_ways("hi");
        for call in [responses, chat] {
            let sending = stage.proxy.send(call);
            let playing = async { stage.backend.turn().await.answer(&answer).await };
            let (reply, ()) = tokio::join!(sending, playing);
            assert_eq!((reply.status, &*reply.error().2), (502, "upstream_error"));
        }
        let grown = stage.proxy.peak_memory() - before;
        assert!(grown < 200 * MIB, "{} MiB", grown / MIB);
    });
}
