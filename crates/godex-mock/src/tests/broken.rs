//! Answers that fail, end early, or are left by the client.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

/// Sends a question over a bare socket.
async fn dial(stage: &Stage, prompt: &str) -> TcpStream {
    let body = question(prompt).to_string();
    let mut socket = TcpStream::connect(stage.mock.address()).await.unwrap();
    let request = format!(
        "POST /backend-api/codex/responses HTTP/1.1\r\nhost: mock\r\n\
         authorization: Bearer {}\r\nchatgpt-account-id: {}\r\noriginator: codex_cli_rs\r\n\
         user-agent: godex/0.1.0 (linux; x86_64)\r\naccept: text/event-stream\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        stage.mock.access_token(),
        stage.mock.account_id(),
        body.len(),
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

/// Reads until the text was seen, or to the end.
async fn read_until(socket: &mut TcpStream, text: &str) -> std::io::Result<String> {
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    loop {
        let read = socket.read(&mut buffer).await?;
        seen += std::str::from_utf8(&buffer[..read]).unwrap();
        if read == 0 || (!text.is_empty() && seen.contains(text)) {
            return Ok(seen);
        }
    }
}

#[tokio::test]
async fn failures_end_the_stream_in_their_own_way() {
    let stage = Stage::new().await;
    let failed = stage.ask("[[mock: fail context_length_exceeded]]").await;
    let last = failed.last();
    assert_eq!(last["type"], "response.failed");
    assert_eq!(last["response"]["status"], "failed");
    assert_eq!(last["response"]["error"]["code"], "context_length_exceeded");
    assert!(failed.kinds().contains(&"response.output_text.delta".to_owned()));
    let first = stage.ask("[[mock: fail-first server_is_overloaded]]").await;
    assert_eq!(
        first.kinds(),
        ["response.created", "codex.rate_limits", "response.in_progress", "response.failed"]
    );
    let error = stage.ask("[[mock: error-event]]").await.last();
    assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("server_error")));
    let incomplete = stage.ask("[[mock: incomplete content_filter]]").await.last();
    assert_eq!(incomplete["type"], "response.incomplete");
    assert_eq!(incomplete["response"]["incomplete_details"]["reason"], "content_filter");
    assert!(incomplete["response"]["usage"].is_object());
}

#[tokio::test]
async fn a_cut_stream_ends_without_a_terminal_event() {
    let stage = Stage::new().await;
    let cut = stage.ask("[[mock: cut]]").await;
    assert!(cut.whole);
    assert_eq!(cut.last()["type"], "response.output_text.delta");
    let dropped = stage.ask("[[mock: drop]]").await;
    assert!(!dropped.whole);
    assert_eq!(dropped.last()["type"], "response.output_text.delta");
    let before = stage.ask("[[mock: cut-before]]").await;
    assert_eq!((before.status, before.body.as_str()), (200, ""));
    assert!(stage.mock.requests().iter().all(|it| it.ending == Ending::Broken));
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    let stage = Stage::new().await;
    for (prompt, text) in
        [("[[mock: reset]]", "response.output_text.delta"), ("[[mock: reset-before]]", "")]
    {
        let mut socket = dial(&stage, prompt).await;
        if !text.is_empty() {
            read_until(&mut socket, text).await.unwrap();
        }
        let error = read_until(&mut socket, "").await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{prompt}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_wherever_the_answer_is() {
    let stage = Stage::new().await;
    for (prompt, seen) in [
        ("[[mock: hang-before-headers]]", None),
        ("[[mock: slow-headers 60000]]", None),
        ("[[mock: hang]]", Some("text/event-stream")),
        ("[[mock: slow 60000]]", Some("response.in_progress")),
        ("[[mock: pace 60000 3]]", Some("response.content_part.added")),
        ("[[mock: hang-mid]]", Some("response.output_text.delta")),
    ] {
        stage.mock.forget_requests();
        let mut socket = dial(&stage, prompt).await;
        match seen {
            Some(text) => drop(read_until(&mut socket, text).await.unwrap()),
            None => stage.mock.until(|it| it.iter().any(|it| it.body.json().is_object())).await,
        }
        assert_eq!(stage.mock.counts().open, 1, "{prompt}");
        drop(socket);
        stage
            .mock
            .until(|it| matches!(it, [it] if matches!(it.ending, Ending::Cancelled(_))))
            .await;
    }
    let counts = stage.mock.counts();
    assert_eq!((counts.open, counts.cancelled), (0, 6));
}

#[tokio::test]
async fn a_client_may_leave_at_the_terminal_event() {
    let stage = Stage::new().await;
    let mut socket = dial(&stage, "[[mock: hang-after]]").await;
    read_until(&mut socket, "response.completed").await.unwrap();
    drop(socket);
    stage.mock.until(|it| it.iter().all(|it| it.ending == Ending::Completed)).await;
}

#[tokio::test]
async fn error_answers_are_those_of_the_backend() {
    let stage = Stage::new().await;
    for (script, status, fragment) in [
        ("status 400", 400, r#"{"detail":"Bad Request"}"#),
        ("status 400 context-length", 400, "context_length_exceeded"),
        ("status 401", 401, "token_expired"),
        ("status 403", 403, "<!DOCTYPE html>"),
        ("status 429", 429, "usage_limit_reached"),
        ("status 429 rate-limit", 429, "rate_limit_exceeded"),
        ("status 429 usage-not-included", 429, "usage_not_included"),
        ("status 500", 500, "server_error"),
        ("status 502", 502, "upstream connect error"),
        ("status 503", 503, "server_is_overloaded"),
        ("status 503 slow-down", 503, "slow_down"),
        ("status 400 my_code", 400, "my_code"),
        ("html200", 200, "<!DOCTYPE html>"),
        ("nonsense", 400, "mock: nothing is called `nonsense`"),
    ] {
        let reply = stage.ask(&format!("[[mock: {script}]]")).await;
        assert_eq!(reply.status, status, "{script}");
        assert!(reply.body.contains(fragment), "{script}: {}", reply.body);
    }
    let limit = stage.ask("[[mock: status 429 usage-limit]]").await.json();
    assert_eq!(limit["error"]["plan_type"], "plus");
    assert_eq!(limit["error"]["resets_in_seconds"], 3600);
}

#[tokio::test]
async fn what_fails_once_works_the_second_time() {
    let stage = Stage::new().await;
    for prompt in ["[[mock: once 503]]", "[[mock: once status 429 rate-limit]]"] {
        assert!(stage.ask(prompt).await.status >= 429, "{prompt}");
        assert!(stage.ask(prompt).await.text().starts_with("Mock answer to:"), "{prompt}");
    }
    assert_eq!(stage.ask("[[mock: once cut-before]]").await.body, "");
    assert_eq!(stage.ask("[[mock: once cut-before]]").await.status, 200);
    for expected in [500, 500, 200, 200] {
        assert_eq!(stage.ask("[[mock: times 2 status 500]]").await.status, expected);
    }
    let first = stage.ask("[[mock: once fail-first slow_down]] [[mock: echo fine]]").await;
    assert_eq!(first.last()["type"], "response.failed");
    let second = stage.ask("[[mock: once fail-first slow_down]] [[mock: echo fine]]").await;
    assert_eq!(second.text(), "fine");
}

#[tokio::test]
async fn many_streams_at_once_are_served() {
    let stage = Stage::new().await;
    let asks = (0..200).map(|it| {
        let request = stage.request(
            &Method::POST,
            &format!("{}/responses", stage.mock.base_url()),
            question(&format!("question {it}")).to_string(),
        );
        let http = stage.http.clone();
        async move {
            let reply = http.request(request).await.unwrap();
            let body = reply.into_body().collect().await.unwrap().to_bytes();
            assert!(std::str::from_utf8(&body).unwrap().contains(&format!("question {it}")));
        }
    });
    let mut running = tokio::task::JoinSet::new();
    for ask in asks {
        running.spawn(ask);
    }
    running.join_all().await;
    assert_eq!(stage.mock.counts().requests, 200);
    assert_eq!(stage.mock.counts().open, 0);
}
