//! When things happen: deltas at once, signs of life in silence, the end of the process.
//! Nothing here measures time: the backend goes on only when the client has seen enough.

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use serde_json::json;

use crate::backend::{Backend, STREAM, Turn, closing, hello, opening, whole};
use crate::client::{Call, Stream, events};
use crate::stage::{Stage, asked, play, question, streamed};

/// The two kinds of streams, and whether the second piece of `Hello` is in a text.
fn streams() -> [Call; 2] {
    [Call::responses(&streamed(question("hi"))), Call::chat(&streamed(asked("hi")))]
}

/// A stream whose first piece of text has arrived, and the backend's end of it.
async fn begun(stage: &mut Stage<Backend>, call: Call) -> (Stream, Turn) {
    let opening_stream = stage.proxy.open(call);
    let playing = async {
        let mut turn = stage.backend.turn().await;
        turn.write([STREAM, &opening()].concat()).await;
        turn
    };
    let (mut stream, turn) = tokio::join!(opening_stream, playing);
    let seen = stream.until(FIRST).await;
    assert!(!seen.contains(SECOND));
    (stream, turn)
}

const FIRST: &str = "\"Hel\"";
const SECOND: &str = "\"lo\"";

#[test]
fn the_first_delta_arrives_before_the_backend_sends_the_second() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        for call in streams() {
            let (stream, turn) = begun(&mut stage, call).await;
            turn.answer(closing()).await;
            assert!(stream.rest().await.body.contains(SECOND));
        }
    });
}

/// The same events, numbered from the first one on.
fn numbered(events: &str) -> String {
    const NUMBER: &str = "\"sequence_number\":";
    let mut parts = events.split(NUMBER);
    let mut text = parts.next().unwrap().to_owned();
    let mut next = None;
    for part in parts {
        let digits = part.find(|it: char| !it.is_ascii_digit()).unwrap();
        let number: u64 = next.unwrap_or_else(|| part[..digits].parse().unwrap());
        text.extend([NUMBER, &number.to_string(), &part[digits..]]);
        next = Some(number + 1);
    }
    text
}

/// Each event as a chunk of its own.
fn chunked(events: &str) -> String {
    let chunk = |event: &str| format!("{:x}\r\n{event}\r\n", event.len());
    let chunks: String = events.split_inclusive("\n\n").map(chunk).collect();
    format!(
        "{}{chunks}0\r\n\r\n",
        STREAM.replace("connection: close", "transfer-encoding: chunked")
    )
}

#[test]
fn a_burst_of_events_leaves_in_few_pieces() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        for call in streams() {
            let frames = closing();
            let (delta, rest) = frames.split_at(frames.find("\n\n").unwrap() + 2);
            let all = numbered(&[&opening(), &delta.repeat(200), rest].concat());
            let opening_stream = stage.proxy.open(call);
            let answering = async { stage.backend.turn().await.answer(chunked(&all)).await };
            let (mut stream, ()) = tokio::join!(opening_stream, answering);
            let (mut pieces, mut text) = (0, String::new());
            while let Some(piece) = stream.piece().await {
                pieces += 1;
                text += &piece;
            }
            assert_eq!(text.matches(SECOND).count(), 200);
            assert!(pieces <= 40, "{pieces} pieces");
        }
    });
}

#[test]
fn an_event_that_comes_in_pieces_leaves_whole() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        for call in streams() {
            let (mut stream, mut turn) = begun(&mut stage, call).await;
            let frames = closing();
            let (delta, rest) = frames.split_at(frames.find("\n\n").unwrap() + 2);
            for piece in delta.as_bytes().chunks(20) {
                turn.write(piece).await;
            }
            let piece = stream.piece().await.unwrap();
            assert!(piece.contains(SECOND) && piece.ends_with("\n\n"), "{piece}");
            assert_eq!(events(&piece).len(), 1);
            turn.answer(rest).await;
            assert!(stream.rest().await.whole);
        }
    });
}

#[test]
fn silence_before_the_answer_is_filled_with_signs_of_life() {
    play(async {
        let mut stage = Stage::on_backend(&["--heartbeat=50ms"]).await;
        for call in streams() {
            let (mut stream, turn) = tokio::join!(stage.proxy.open(call), stage.backend.turn());
            assert_eq!(stream.status, 200);
            stream.until(": keep-alive\n\n: keep-alive\n\n").await;
            turn.answer(hello()).await;
            let reply = stream.rest().await;
            assert!(reply.whole && reply.body.contains(SECOND), "{}", reply.body);
            let last = reply.events().pop().unwrap();
            assert!(last.data == "[DONE]" || last.name == "response.completed");
        }
    });
}

#[test]
fn silence_in_the_middle_is_filled_with_signs_of_life() {
    play(async {
        let mut stage = Stage::on_backend(&["--heartbeat=50ms"]).await;
        for call in streams() {
            let (mut stream, turn) = begun(&mut stage, call).await;
            stream.until(": keep-alive\n\n: keep-alive\n\n").await;
            turn.answer(closing()).await;
            assert!(stream.rest().await.body.contains(SECOND));
        }
    });
}

#[test]
fn the_codex_cli_gets_the_state_again_as_a_sign_of_life() {
    play(async {
        let mut stage = Stage::on_backend(&["--heartbeat=50ms"]).await;
        let [call, _] = streams();
        let (mut stream, turn) = begun(&mut stage, call.by_codex()).await;
        while stream.until(FIRST).await.matches("event: response.in_progress").count() < 3 {
            stream.piece().await.unwrap();
        }
        turn.answer(closing()).await;
        let reply = stream.rest().await;
        assert_eq!(reply.last()["type"], "response.completed");
        let numbers: Vec<u64> = reply
            .events()
            .iter()
            .map(|it| it.json()["sequence_number"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, (0..).take(numbers.len()).collect::<Vec<u64>>());
    });
}

#[test]
fn a_failure_after_signs_of_life_is_told_in_the_stream() {
    play(async {
        let mut stage = Stage::on_backend(&["--heartbeat=50ms"]).await;
        for (way, call) in streams().into_iter().enumerate() {
            let (mut stream, turn) = tokio::join!(stage.proxy.open(call), stage.backend.turn());
            stream.until(": keep-alive").await;
            turn.json("400 Bad Request", &json!({"detail": "Input must be a list"})).await;
            let reply = stream.rest().await;
            let error = if way == 0 { reply.failure() } else { reply.chat_failure() };
            assert_eq!(error["message"], "Input must be a list");
            assert_eq!(error["type"], "invalid_request_error");
        }
    });
}

#[test]
fn an_answer_in_one_piece_has_no_signs_of_life() {
    play(async {
        let mut stage = Stage::on_backend(&["--heartbeat=1ms"]).await;
        for body in [question("hi"), json!({"messages": asked("hi")["messages"]})] {
            let path =
                if body.get("input").is_some() { "/v1/responses" } else { "/v1/chat/completions" };
            let sending = stage.proxy.send(Call::post(path, &body));
            let playing = async {
                let mut turn = stage.backend.turn().await;
                for frame in [STREAM, &opening(), &closing()].concat().split_inclusive("\n\n") {
                    turn.write(frame).await;
                }
            };
            let (reply, ()) = tokio::join!(sending, playing);
            assert!(reply.fine().is_object());
        }
    });
}

#[test]
fn a_slow_beginning_can_still_be_an_error_with_a_status() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        let greeting = opening();
        let greeting: String = greeting.split_inclusive("\n\n").take(2).collect();
        let failed = json!({"type": "response.failed", "sequence_number": 2, "response": {
            "id": "resp_1", "status": "failed", "error": {"code": "rate_limit_exceeded", "message": "Slow down."},
        }});
        for call in streams() {
            let sending = stage.proxy.send(call);
            let playing = async {
                let mut turn = stage.backend.turn().await;
                turn.write([STREAM, &greeting].concat()).await;
                turn.answer(crate::backend::event(&failed)).await;
            };
            let (reply, ()) = tokio::join!(sending, playing);
            assert_eq!(reply.error().0, 429);
            assert_eq!(reply.message(), "Slow down.");
        }
    });
}

#[test]
fn a_running_stream_ends_well_before_the_process_does() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        let mut running = Vec::new();
        for call in streams() {
            let (stream, turn) = begun(&mut stage, call).await;
            running.push((stream, turn));
        }
        stage.proxy.signal("TERM");
        // Nobody new is let in.
        while TcpStream::connect(&stage.proxy.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        for (stream, turn) in running {
            turn.answer(closing()).await;
            let reply = stream.rest().await;
            assert!(reply.whole && reply.body.contains(SECOND), "{}", reply.body);
            assert!(!reply.body.contains("error\":{"), "{}", reply.body);
        }
        assert_eq!(stage.proxy.end().await.code(), Some(0));
    });
}

#[test]
fn a_stream_that_outlasts_the_drain_timeout_ends_in_an_error() {
    play(async {
        let mut stage = Stage::on_backend(&["--drain-timeout=100ms"]).await;
        let mut running = Vec::new();
        for call in streams() {
            let (stream, turn) = begun(&mut stage, call).await;
            running.push((stream, turn));
        }
        stage.proxy.signal("TERM");
        for (way, (stream, turn)) in running.into_iter().enumerate() {
            let reply = stream.rest().await;
            let error = if way == 0 { reply.failure() } else { reply.chat_failure() };
            assert_eq!(error["code"], "shutting_down");
            turn.left().await;
        }
        let records = stage.home.path().join(".codex/proxy-usage.jsonl");
        assert_eq!(stage.proxy.end().await.code(), Some(0));
        let records = std::fs::read_to_string(records).unwrap();
        assert_eq!(records.matches("\"status\":503").count(), 2, "{records}");
    });
}

#[test]
fn idle_connections_do_not_keep_the_process() {
    play(async {
        let stage = Stage::on_backend(&["--drain-timeout=1h"]).await;
        stage.proxy.get("/health").await.fine();
        let mut idle = TcpStream::connect(&stage.proxy.address).await.unwrap();
        stage.proxy.signal("TERM");
        assert_eq!(idle.read(&mut [0; 16]).await.unwrap_or_default(), 0);
        assert_eq!(stage.proxy.end().await.code(), Some(0));
    });
}

#[test]
fn a_client_that_sends_its_body_in_pieces_is_served() {
    use tokio::io::AsyncWriteExt;
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        let body = question("hi").to_string();
        let key = crate::stage::KEY;
        let head = format!(
            "POST /v1/responses HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let mut socket = TcpStream::connect(&stage.proxy.address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        for piece in [head, body].concat().as_bytes().chunks(7) {
            socket.write_all(piece).await.unwrap();
        }
        stage.backend.turn().await.answer(hello()).await;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    });
}

#[test]
fn answers_to_pipelined_requests_come_in_order() {
    use tokio::io::AsyncWriteExt;
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        let key = crate::stage::KEY;
        let get = "GET /v1/models/gpt-5.5 HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ";
        let requests = format!(
            "{get}{key}\r\n\r\nGET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n{get}{key}\r\nconnection: close\r\n\r\n"
        );
        stage.backend.always(whole("200 OK", "text/plain", ""));
        let mut socket = TcpStream::connect(&stage.proxy.address).await.unwrap();
        socket.write_all(requests.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        let statuses: Vec<&str> =
            answer.match_indices("HTTP/1.1 ").map(|(at, _)| &answer[at + 9..at + 12]).collect();
        assert_eq!(statuses, ["200", "404", "200"]);
    });
}

#[test]
fn requests_without_an_answer_do_not_keep_the_process_after_the_drain_timeout() {
    play(async {
        let mut stage = Stage::on_backend(&["--drain-timeout=100ms"]).await;
        let body = question("hi");
        let mut sending = Box::pin(stage.proxy.responses(&body));
        let turn = tokio::select! {
            _ = &mut sending => panic!("nobody answers"),
            turn = stage.backend.turn() => turn,
        };
        stage.proxy.signal("TERM");
        let reply = sending.await;
        assert_eq!(reply.error().0, 503);
        turn.left().await;
        assert_eq!(stage.records()[0]["status"], 503, "the record says what the client was told");
        assert_eq!(stage.proxy.end().await.code(), Some(0));
    });
}
