//! What a client gets when the backend fails: before its answer, inside a 200, in the middle.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::backend::{STREAM, closing, event, hello, opening, whole};
use crate::client::{Call, Reply};
use crate::program::Home;
use crate::stage::{Proxy, Stage, Strict, asked, four_ways, play, question, streamed};

/// Status, type and code of an error.
type Look = (u16, &'static str, &'static str);

const BROKEN: Look = (502, "server_error", "upstream_error");
const OVERLOADED: Look = (503, "service_unavailable_error", "server_is_overloaded");
const INVALID: &str = "invalid_request_error";

#[track_caller]
fn check(reply: &Reply, (status, kind, code): Look) {
    let expected = (status, kind.to_owned(), code.to_owned());
    assert_eq!(reply.error(), expected, "{}", reply.body);
    let lower = reply.body.to_ascii_lowercase();
    for secret in ["<html", "<!doctype", "cloudflare", "eyj", "/tmp", "127.0.0.1"] {
        assert!(!lower.contains(secret), "{secret}: {}", reply.body);
    }
}

#[test]
fn an_error_before_the_answer_has_a_status_of_its_own_in_all_four_ways() {
    let cases: &[(&str, Look, usize)] = &[
        ("status 400", (400, INVALID, ""), 1),
        ("status 400 context-length", (400, INVALID, "context_length_exceeded"), 1),
        ("status 400 cyber-policy", (400, INVALID, "cyber_policy"), 1),
        ("status 400 invalid-encrypted-content", (400, INVALID, "invalid_encrypted_content"), 1),
        ("status 403", BROKEN, 1),
        ("status 404 not-found", (404, INVALID, "not-found"), 1),
        ("status 413 too-large", (413, INVALID, "too-large"), 1),
        ("status 429 rate-limit", (429, "rate_limit_error", "rate_limit_exceeded"), 1),
        ("status 429 usage-not-included", (429, "insufficient_quota", "usage_not_included"), 1),
        ("status 500", BROKEN, 2),
        ("status 502", BROKEN, 2),
        ("status 503", OVERLOADED, 2),
        ("status 503 slow-down", (503, "service_unavailable_error", "server_is_overloaded"), 2),
        ("status 503 upstream-connect", OVERLOADED, 2),
        ("status 520", BROKEN, 2),
        ("fail-first server_is_overloaded", OVERLOADED, 2),
        ("fail-first slow_down", OVERLOADED, 2),
        ("fail-first server_error", BROKEN, 2),
        ("fail-first rate_limit_exceeded", (429, "rate_limit_error", "rate_limit_exceeded"), 1),
        ("fail-first context_length_exceeded", (400, INVALID, "context_length_exceeded"), 1),
        ("fail-first invalid_prompt", (400, INVALID, "invalid_prompt"), 1),
        ("html200", BROKEN, 1),
        ("cut-before", BROKEN, 1),
        ("reset-before", BROKEN, 1),
        ("hang", BROKEN, 1),
        ("hang-before-headers", BROKEN, 1),
    ];
    play(async move {
        let impatient = ["--upstream-idle-timeout=200ms", "--upstream-header-timeout=200ms"];
        let stage = Stage::on_mock(&impatient).await;
        for (script, look, attempts) in cases {
            for (way, call) in four_ways(&format!("[[mock: {script}]]")).into_iter().enumerate() {
                let before = stage.sent().len();
                let reply = stage.proxy.send(call).await;
                assert_eq!(reply.status, look.0, "{script}, way {way}: {}", reply.body);
                check(&reply, *look);
                let made = stage.sent().len() - before;
                // A connection that was used before may have been about to end anyway.
                let used_before = *script == "reset-before" && (2..=4).contains(&made);
                assert!(made == *attempts || used_before, "{script}, way {way}: {made}");
            }
        }
    });
}

#[test]
fn the_backends_own_words_come_with_a_bad_request() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        for (body, words, param) in [
            (json!({"detail": "Input must be a list"}), "Input must be a list", Value::Null),
            (json!({"detail": [{"msg": "one"}, {"msg": "two"}]}), "one; two", Value::Null),
            (
                json!({"error": {"message": "Bad id.", "type": INVALID, "param": "input[0].id", "code": "c"}}),
                "Bad id.",
                json!("input[0].id"),
            ),
        ] {
            for call in four_ways("hi") {
                let sending = stage.proxy.send(call);
                let playing =
                    async { stage.backend.turn().await.json("400 Bad Request", &body).await };
                let (reply, ()) = tokio::join!(sending, playing);
                assert_eq!(reply.error().0, 400);
                assert_eq!(reply.message(), words);
                assert_eq!(reply.json()["error"]["param"], param);
            }
        }
    });
}

#[test]
fn a_spent_plan_is_told_with_its_reset_and_answered_locally_from_then_on() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for call in four_ways("[[mock: status 429]]") {
            let reply = stage.proxy.send(call).await;
            check(&reply, (429, "insufficient_quota", "usage_limit_reached"));
            let wait: u64 = reply.header("retry-after").parse().unwrap();
            assert!((3500..=3600).contains(&wait), "{wait}");
            assert_eq!(reply.header("x-should-retry"), "false");
            assert!(reply.json()["error"]["resets_at"].is_u64());
        }
        assert_eq!(stage.sent().len(), 1);
        check(
            &stage.proxy.responses(&question("another")).await,
            (429, "insufficient_quota", "usage_limit_reached"),
        );
        assert_eq!(stage.sent().len(), 1);

        // Somebody else logs in, which is noticed before long.
        let login = stage.backend.mock.new_login(std::time::Duration::from_secs(3600));
        stage.home.write(".codex/auth.json", &login);
        while stage.proxy.responses(&question("another")).await.status != 200 {}
    });
}

#[test]
fn a_plan_that_runs_out_in_the_middle_of_an_answer_is_remembered_too() {
    let spent = json!({
        "code": "usage_limit_reached", "message": "The usage limit has been reached",
        "plan_type": "plus", "resets_in_seconds": 3600,
    });
    let failed = json!({"type": "response.failed", "sequence_number": 5,
        "response": {"id": "resp_1", "object": "response", "created_at": 1_795_348_800,
            "status": "failed", "model": "gpt-5.5", "output": [], "error": spent}});
    let error = json!({"type": "error", "sequence_number": 5, "error": spent});
    for last in [failed, error] {
        for call in four_ways("hi") {
            let answer = [STREAM, &opening(), &event(&last)].concat();
            play(async move {
                let mut stage = Stage::on_backend(&[]).await;
                let sending = stage.proxy.send(call);
                let playing = async { stage.backend.turn().await.answer(&answer).await };
                let (reply, ()) = tokio::join!(sending, playing);
                assert!(reply.body.contains("usage_limit_reached"), "{}", reply.body);
                // The backend would have to be played again if it were asked.
                let reply = stage.proxy.responses(&question("another")).await;
                check(&reply, (429, "insufficient_quota", "usage_limit_reached"));
                let wait: u64 = reply.header("retry-after").parse().unwrap();
                assert!((3500..=3600).contains(&wait), "{wait}");
            });
        }
    }
}

#[test]
fn what_the_backend_says_about_when_to_come_back_is_kept_in_every_form() {
    // As far away as is sure to be in the future when this runs.
    const DATE: &str = "Fri, 22 Nov 2126 10:00:00 GMT";
    const YEAR: u64 = 365 * 24 * 3600;
    for (status, told, expected) in [
        ("429 Too Many Requests", "7", 7..=7),
        ("503 Service Unavailable", "7", 7..=7),
        ("500 Internal Server Error", "7", 7..=7),
        ("429 Too Many Requests", DATE, 50 * YEAR..=101 * YEAR),
        ("503 Service Unavailable", "Sun, 06 Nov 1994 08:49:37 GMT", 1..=1),
    ] {
        let answer = whole(status, "application/json", r#"{"detail":"no"}"#);
        let answer = String::from_utf8(answer).unwrap();
        let answer = answer.replacen("\r\n", &format!("\r\nretry-after: {told}\r\n"), 1);
        play(async move {
            let mut stage = Stage::on_backend(&[]).await;
            stage.backend.always(answer);
            let reply = stage.proxy.responses(&question("hi")).await;
            let wait: u64 = reply.header("retry-after").parse().unwrap();
            assert!(expected.contains(&wait), "{status}, {told}: {wait}");
        });
    }
}

#[test]
fn one_event_may_be_of_16_mib_and_a_larger_one_is_an_error_with_bounded_memory() {
    const MIB: usize = 1 << 20;
    let answer = |length: usize| {
        let wide = format!("\"delta\":\"lo\",{}", " ".repeat(length));
        let last = closing().replacen("\"delta\":\"lo\",", &wide, 1);
        assert!(last.len() > length);
        [STREAM, &opening(), &last].concat()
    };
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        let begun = stage.proxy.peak_memory();
        let mut turns = [16 * MIB, 17 * MIB, 200 * MIB].into_iter();
        let longest = answer(turns.next().unwrap());
        for call in four_ways("hi") {
            let sending = stage.proxy.send(call);
            let playing = async { stage.backend.turn().await.answer(&longest).await };
            let (reply, ()) = tokio::join!(sending, playing);
            assert_eq!((reply.status, reply.whole), (200, true));
            assert!(!reply.body.contains("upstream_error"));
        }
        for length in turns {
            let longer = answer(length);
            for call in four_ways("hi") {
                let sending = stage.proxy.send(call);
                let playing = async { stage.backend.turn().await.answer(&longer).await };
                let (reply, ()) = tokio::join!(sending, playing);
                assert!(reply.body.contains("\"upstream_error\""), "{}", reply.body.len());
                assert!(!reply.body.contains("response.completed"));
            }
        }
        let grown = stage.proxy.peak_memory() - begun;
        assert!(grown < (150 * MIB) as u64, "{} MiB", grown >> 20);
    });
}

#[test]
fn a_short_rate_limit_says_when_to_come_back() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for call in four_ways("[[mock: status 429 rate-limit]]") {
            let reply = stage.proxy.send(call).await;
            assert_eq!(reply.header("retry-after"), "2");
            assert_eq!(reply.header("retry-after-ms"), "2000");
            assert_ne!(reply.header("x-should-retry"), "false");
        }
    });
}

#[test]
fn a_passing_fault_is_not_seen_by_the_client() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for (index, script) in
            ["once 503", "once 500", "once 502", "once fail-first server_is_overloaded"]
                .iter()
                .enumerate()
        {
            for (way, call) in
                (0..4).map(|way| (way, four_ways(&format!("{way} [[mock: {script}]]"))))
            {
                let before = stage.sent().len();
                let reply = stage.proxy.send(call[way].clone()).await;
                assert_eq!(
                    (reply.status, reply.whole),
                    (200, true),
                    "{index} {way}: {}",
                    reply.body
                );
                assert!(reply.body.contains("Mock"), "{}", reply.body);
                assert!(!reply.body.contains("failed"), "{}", reply.body);
                assert_eq!(stage.sent().len() - before, 2, "{script}");
            }
        }
    });
}

#[test]
fn a_backend_that_cannot_be_reached_is_a_bad_gateway() {
    play(async {
        let home = Home::logged_in();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let base_url = format!("http://{}/x", taken.local_addr().unwrap());
        drop(taken);
        let proxy = Proxy::start(&home, &base_url, &[], &[]).await;
        for call in four_ways("hi") {
            check(&proxy.send(call).await, BROKEN);
        }
    });
}

#[test]
fn what_is_no_stream_is_an_error_whatever_its_status_says() {
    play(async {
        let mut stage = Stage::on_backend(&[]).await;
        let page = "<!DOCTYPE html><html><body>Just a moment...</body></html>";
        for (answer, look) in [
            (whole("200 OK", "text/html", page), BROKEN),
            (whole("200 OK", "text/event-stream", page), BROKEN),
            (whole("200 OK", "text/event-stream", ""), BROKEN),
            (whole("200 OK", "text/event-stream", "\n\n"), BROKEN),
            (whole("200 OK", "text/event-stream", ": ping\n\n"), BROKEN),
            (whole("200 OK", "text/event-stream", "data: [DONE]\n\n"), BROKEN),
            (whole("200 OK", "application/json", r#"{"id":"resp_1"}"#), BROKEN),
            (whole("200 OK", "text/plain", "hello"), BROKEN),
            (whole("204 No Content", "text/plain", ""), BROKEN),
            (whole("403 Forbidden", "text/html", page), BROKEN),
            (whole("302 Found\r\nlocation: http://127.0.0.1:9/", "text/html", page), BROKEN),
            (whole("400 Bad Request", "text/html", page), (400, INVALID, "")),
            (
                whole(
                    "200 OK",
                    "application/json",
                    r#"{"error":{"code":"server_is_overloaded","message":"busy"}}"#,
                ),
                OVERLOADED,
            ),
        ] {
            for call in four_ways("hi") {
                let sending = stage.proxy.send(call);
                let playing = async {
                    loop {
                        stage.backend.turn().await.answer(&answer).await;
                    }
                };
                tokio::select! {
                    reply = sending => check(&reply, look),
                    () = playing => {}
                }
            }
        }
    });
}

/// The failure that one of the four ways shows.
async fn shown(stage: &Stage<Strict>, way: usize, call: Call) -> (u16, Value) {
    let reply = stage.proxy.send(call).await;
    match way {
        1 => (0, reply.failure()),
        3 => (0, reply.chat_failure()),
        _ => (reply.error().0, reply.json()["error"].clone()),
    }
}

#[test]
fn a_failure_in_the_middle_is_told_so_that_every_client_notices() {
    let cases: &[(&str, Look)] = &[
        ("fail", BROKEN),
        ("fail server_is_overloaded", OVERLOADED),
        ("fail rate_limit_exceeded", (429, "rate_limit_error", "rate_limit_exceeded")),
        ("fail context_length_exceeded", (400, INVALID, "context_length_exceeded")),
        ("error-event", BROKEN),
        ("cut", BROKEN),
        ("drop", BROKEN),
        ("reset", BROKEN),
        ("hang-mid", BROKEN),
    ];
    play(async move {
        let stage = Stage::on_mock(&["--upstream-idle-timeout=200ms"]).await;
        for (script, (status, kind, code)) in cases {
            for (way, call) in four_ways(&format!("[[mock: {script}]]")).into_iter().enumerate() {
                let before = stage.sent().len();
                let (seen, error) = shown(&stage, way, call).await;
                assert!(seen == 0 || seen == *status, "{script}, way {way}: {seen}");
                assert_eq!(
                    (&error["type"], &error["code"]),
                    (&json!(kind), &json!(code)),
                    "{script}, way {way}"
                );
                assert_eq!(stage.sent().len() - before, 1, "{script}: nothing is tried again");
            }
        }
    });
}

#[test]
fn what_came_before_a_failure_is_delivered() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for script in ["fail", "cut", "reset"] {
            let prompt = format!("[[mock: {script}]]");
            let reply = stage.proxy.responses(&streamed(question(&prompt))).await;
            let text = "This ";
            assert!(reply.body.contains(text), "{script}: {}", reply.body);
            assert_eq!(reply.kinds()[..2], ["response.created", "response.in_progress"]);
            let reply = stage.proxy.chat(&streamed(asked(&prompt))).await;
            assert!(reply.body.contains(text), "{script}: {}", reply.body);
        }
    });
}

#[test]
fn one_event_is_enough_to_tell_a_failure_of_the_model_from_an_answer() {
    play(async {
        // `response.failed` with what had been said keeps its response.
        let mut stage = Stage::on_backend(&[]).await;
        let failed = json!({"type": "response.failed", "sequence_number": 5, "response": {
            "id": "resp_1", "object": "response", "created_at": 1_795_348_800, "status": "failed", "output": [], "model": "gpt-5.5",
            "error": {"code": "server_error", "message": "It broke."}, "safety_identifier": "user-account",
        }});
        let answer = [STREAM, &opening(), &crate::backend::event(&failed)].concat();
        let body = streamed(question("hi"));
        let sending = stage.proxy.responses(&body);
        let playing = async { stage.backend.turn().await.answer(&answer).await };
        let (reply, ()) = tokio::join!(sending, playing);
        let error = reply.failure();
        assert_eq!(error["message"], "It broke.");
        assert!(!reply.body.contains("user-account"), "{}", reply.body);
    });
}

/// A stream cut after some bytes: by a clean end, or in the middle of an HTTP chunk.
fn cut(stream: &str, at: usize, clean: bool) -> Vec<u8> {
    let head = &stream.as_bytes()[..at];
    if clean {
        return [STREAM.as_bytes(), head].concat();
    }
    let start =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let more = at + 10;
    [format!("{start}{more:x}\r\n").as_bytes(), head].concat()
}

#[test]
fn a_stream_cut_anywhere_is_never_taken_for_a_whole_one() {
    let stream = String::from_utf8(hello()).unwrap();
    let (_, stream) = stream.split_once("\r\n\r\n").unwrap();
    // Every byte near the ends of events, and a sample of all others.
    let ends: Vec<usize> = stream.match_indices("\n\n").map(|(at, _)| at + 2).collect();
    let near = |at: usize| ends.iter().any(|end| at.abs_diff(*end) <= 2);
    let points: Vec<usize> = (0..=stream.len()).filter(|at| near(*at) || at % 23 == 0).collect();
    assert!(stream.ends_with(&closing()) && points.len() > 100);
    play(async move {
        let mut stage = Stage::on_backend(&[]).await;
        let mut answered = 0;
        for (at, way) in points.iter().flat_map(|at| [(*at, 0), (*at, 1), (*at, 2), (*at, 3)]) {
            let answer = cut(stream, at, at % 2 == 0);
            let [a, b, c, d] = four_ways("hi");
            let call = match way {
                0 => a,
                1 => b,
                2 => c,
                _ => d,
            };
            let sending = stage.proxy.send(call);
            let playing = async { stage.backend.turn().await.answer(&answer).await };
            let (reply, ()) = tokio::join!(sending, playing);
            let done = if way == 1 {
                reply.body.contains("response.completed")
            } else {
                reply.status == 200 && !reply.body.contains("\"error\":{")
            };
            let complete = if way == 1 { reply.status == 200 && done } else { done };
            assert!(!complete || at + 2 >= stream.len(), "cut at {at}, way {way}: {}", reply.body);
            assert!(complete || at < stream.len(), "not cut, way {way}: {}", reply.body);
            answered += usize::from(complete);
            match (reply.status, way) {
                _ if complete => assert!(reply.whole),
                (200, 1) => assert_eq!(reply.failure()["code"], "upstream_error"),
                (200, 3) => assert_eq!(reply.chat_failure()["code"], "upstream_error"),
                _ => check(&reply, BROKEN),
            }
        }
        let records = stage.records();
        assert_eq!(records.len(), points.len() * 4);
        let fine = records.iter().filter(|it| it["status"] == 200).count();
        assert_eq!(fine, answered, "what the client did not get is not recorded as served");
    });
}
