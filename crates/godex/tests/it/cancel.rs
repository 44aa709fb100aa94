//! A client that leaves takes the backend's request with it, one that does not read holds it back.

use godex_mock::record::{Ending, Received};
use serde_json::json;

use crate::client::Call;
use crate::stage::{Stage, Strict, asked, four_ways, play, question, streamed, with};

fn cancelled(requests: &[Received]) -> bool {
    requests.iter().any(|it| matches!(it.ending, Ending::Cancelled(_)))
}

/// Waits until the backend has seen the client leave, and the log too; at once, not at some
/// timeout.
async fn noticed(stage: &Stage<Strict>) {
    stage.backend.mock.until(cancelled).await;
    for request in stage.backend.mock.requests() {
        if let Ending::Cancelled(after) = request.ending {
            assert!(after.as_secs() < 5, "{after:?}");
        }
    }
    stage.proxy.says("\"status\":499").await;
    assert_eq!(stage.sent().len(), 1, "nothing is tried again");
    let record = stage.records().pop().unwrap();
    assert_eq!(record["status"], 499);
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_stream_ends_the_backends_request() {
    for call in [
        Call::responses(&streamed(question("[[mock: hang-mid]]"))),
        Call::chat(&streamed(asked("[[mock: hang-mid]]"))),
    ] {
        play(async move {
            let stage = Stage::on_mock(&["--log-requests"]).await;
            let mut stream = stage.proxy.open(call).await;
            stream.until("This ").await;
            drop(stream);
            noticed(&stage).await;
        });
    }
}

#[test]
fn a_client_that_leaves_before_the_first_byte_ends_the_backends_request() {
    for script in ["hang-before-headers", "hang"] {
        for call in four_ways(&format!("[[mock: {script}]]")) {
            play(async move {
                let stage = Stage::on_mock(&["--log-requests"]).await;
                let arrived = |requests: &[Received]| {
                    requests.iter().any(|it| it.method == "POST" && it.body.json().is_object())
                };
                tokio::select! {
                    _ = stage.proxy.open(call) => panic!("{script} answers nothing"),
                    () = stage.backend.mock.until(arrived) => {}
                }
                noticed(&stage).await;
            });
        }
    }
}

#[test]
fn a_client_that_leaves_while_its_answer_is_gathered_ends_the_backends_request() {
    for call in
        [Call::responses(&question("[[mock: hang-mid]]")), Call::chat(&asked("[[mock: hang-mid]]"))]
    {
        play(async move {
            let stage = Stage::on_mock(&["--log-requests"]).await;
            let arrived = |requests: &[Received]| {
                requests.iter().any(|it| it.method == "POST" && it.body.json().is_object())
            };
            tokio::select! {
                _ = stage.proxy.open(call) => panic!("this answer never ends"),
                () = stage.backend.mock.until(arrived) => {}
            }
            noticed(&stage).await;
        });
    }
}

#[test]
fn a_client_that_leaves_during_silence_under_heartbeats_ends_the_backends_request() {
    play(async {
        let stage = Stage::on_mock(&["--log-requests", "--heartbeat=50ms"]).await;
        let body = streamed(question("[[mock: hang-before-headers]]"));
        let mut stream = stage.proxy.open(Call::responses(&body)).await;
        stream.until(": keep-alive").await;
        drop(stream);
        noticed(&stage).await;
    });
}

#[test]
fn a_client_that_leaves_while_the_login_is_renewed_asks_the_backend_nothing_more() {
    play(async {
        let stage = Stage::with_login(&["--log-requests", "--allow-refresh"]).await;
        stage.proxy.get("/v1/models").await.fine();
        stage.backend.mock.delay_refresh(std::time::Duration::from_millis(300));
        stage.backend.mock.expire_tokens();
        let renewing = |requests: &[Received]| requests.iter().any(|it| it.path == "/oauth/token");
        let call = Call::responses(&streamed(question("hi")));
        tokio::select! {
            _ = stage.proxy.open(call) => panic!("it waits for a token"),
            () = stage.backend.mock.until(renewing) => {}
        }
        stage.proxy.says("\"status\":499").await;
        // The renewal goes on for whoever comes next.
        stage.proxy.responses(&question("next")).await.fine();
        let asked = stage.bodies().iter().filter(|it| it.to_string().contains("\"hi\"")).count();
        assert_eq!(asked, 1);
        assert_eq!(stage.backend.mock.token_posts(), 1);
    });
}

#[test]
fn what_a_client_that_left_has_cost_is_recorded_as_far_as_it_is_known() {
    play(async {
        let stage = Stage::on_mock(&["--log-requests"]).await;
        let body = with(question("[[mock: hang-mid]]"), json!({"user": "ann"}));
        let mut stream = stage.proxy.open(Call::responses(&streamed(body))).await;
        stream.until("This ").await;
        drop(stream);
        noticed(&stage).await;
        let record = stage.records().pop().unwrap();
        assert_eq!((&record["model"], &record["stream"]), (&json!("gpt-5.5"), &json!(true)));
        assert!(record["ttft_ms"].is_u64() && record["duration_ms"].is_u64(), "{record}");
        assert!(record["upstream_id"].as_str().unwrap().starts_with("resp_"), "{record}");
    });
}

#[test]
fn r5_a_client_that_does_not_read_holds_the_backend_back() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        let sending = stage.proxy.open(Call::responses(&streamed(question("hi"))));
        let playing = async {
            let mut turn = stage.backend.turn().await;
            turn.write([crate::backend::STREAM, &crate::backend::opening()].concat()).await;
            turn
        };
        let (stream, mut turn) = tokio::join!(sending, playing);
        let delta = json!({"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": "x".repeat(64 << 10), "sequence_number": 5});
        let piece = crate::backend::event(&delta);
        let (before, mut taken, enough) = (stage.proxy.memory(), 0, 64 << 20);
        while taken < enough {
            let writing = turn.write(&piece);
            if tokio::time::timeout(std::time::Duration::from_secs(2), writing).await.is_err() {
                break;
            }
            taken += piece.len();
        }
        assert!(taken < 24 << 20, "{taken} bytes were taken that nobody read");
        let grown = stage.proxy.memory().saturating_sub(before);
        assert!(grown < 24 << 20, "{grown} bytes are held that nobody read");
        drop(stream);
        turn.left().await;
    });
}
