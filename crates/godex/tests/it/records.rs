//! What is written down of a request, and what never is.

use http::Method;
use serde_json::{Value, json};

use crate::backend::{event, hello, whole};
use crate::client::{Call, Reply};
use crate::stage::{
    KEY, Stage, Strict, asked, four_ways, play, question, streamed, together, with,
};

/// The one record of a request, found by the name that its answer carries.
#[track_caller]
fn record(stage: &Stage<Strict>, reply: &Reply) -> Value {
    let id = reply.header("x-request-id");
    let mut records = stage.records();
    records.retain(|it| it["request_id"] == id);
    assert_eq!(records.len(), 1, "{id}: {records:?}");
    records.remove(0)
}

#[test]
fn every_answer_is_recorded_with_what_it_cost_before_its_end_is_told() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for (way, call) in four_ways("hi").into_iter().enumerate() {
            let reply = stage.proxy.send(call).await;
            let record = record(&stage, &reply);
            assert_eq!(record["status"], 200);
            assert_eq!(record["model"], "gpt-5.5");
            assert_eq!(record["stream"], way % 2 == 1);
            assert_eq!(
                record["path"],
                if way < 2 { "/v1/responses" } else { "/v1/chat/completions" }
            );
            let number = |name: &str| record[name].as_u64().unwrap();
            assert!(number("prompt_tokens") > 0 && number("completion_tokens") > 0, "{record}");
            assert_eq!(
                number("total_tokens"),
                number("prompt_tokens") + number("completion_tokens")
            );
            assert!(record["upstream_id"].as_str().unwrap().starts_with("resp_"), "{record}");
            assert!(!record["key_id"].as_str().unwrap().is_empty());
            assert!(record["duration_ms"].is_u64(), "{record}");
            assert_eq!(record["ttft_ms"].is_u64(), way % 2 == 1, "{record}");
        }
    });
}

#[test]
fn the_record_says_what_the_answer_says() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let body = with(
            question("[[mock: reasoning]]"),
            json!({"instructions": "Be brief. ".repeat(500)}),
        );
        for _ in 0..2 {
            let reply = stage.proxy.responses(&body).await;
            let (usage, record) = (reply.fine()["usage"].clone(), record(&stage, &reply));
            assert_eq!(record["prompt_tokens"], usage["input_tokens"]);
            assert_eq!(record["completion_tokens"], usage["output_tokens"]);
            assert_eq!(record["total_tokens"], usage["total_tokens"]);
            assert_eq!(record["cached_tokens"], usage["input_tokens_details"]["cached_tokens"]);
            assert_eq!(
                record["reasoning_tokens"],
                usage["output_tokens_details"]["reasoning_tokens"]
            );
        }
        assert!(stage.records()[1]["cached_tokens"].as_u64().unwrap() > 0);
    });
}

#[test]
fn failures_are_recorded_with_the_status_the_client_saw() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for (script, status) in
            [("status 400", 400), ("status 503", 503), ("fail-first", 503), ("html200", 502)]
        {
            for call in four_ways(&format!("[[mock: {script}]]")) {
                let reply = stage.proxy.send(call).await;
                assert_eq!(reply.status, status, "{script}");
                assert_eq!(record(&stage, &reply)["status"], status, "{script}");
            }
        }
        for (script, status) in [("fail", 502), ("cut", 502), ("fail server_is_overloaded", 503)] {
            for call in four_ways(&format!("[[mock: {script}]]")) {
                let reply = stage.proxy.send(call).await;
                assert_eq!(record(&stage, &reply)["status"], status, "{script}");
            }
        }
        let reply = stage.proxy.send(Call::new(Method::POST, "/v1/responses", "{")).await;
        assert_eq!(record(&stage, &reply)["status"], 400);
        let reply = stage.proxy.responses(&with(question("hi"), json!({"model": "gpt-4o"}))).await;
        let record_of = record(&stage, &reply);
        assert_eq!((&record_of["status"], &record_of["model"]), (&404.into(), &"gpt-4o".into()));
        let reply = stage.proxy.responses(&question("[[mock: incomplete]]")).await;
        assert_eq!(record(&stage, &reply)["status"], 200);
    });
}

#[test]
fn what_a_failure_has_cost_before_the_answer_began_is_recorded_and_told() {
    let failed = |code: &str| {
        let error = json!({"code": code, "message": "no"});
        let usage = json!({"input_tokens": 15, "output_tokens": 3, "total_tokens": 18});
        let response = json!({"id": "resp_1", "status": "failed", "error": error, "usage": usage});
        let told = json!({"type": "response.failed", "sequence_number": 2, "response": response});
        let begun =
            json!({"type": "response.created", "sequence_number": 0, "response": {"id": "resp_1"}});
        whole("200 OK", "text/event-stream", &(event(&begun) + &event(&told)))
    };
    play(async move {
        let mut stage = Stage::on_backend(&["--quota-tokens=1000000"]).await;
        let mut left = 1_000_000;
        for call in four_ways("hi") {
            let sending = stage.proxy.send(call);
            let playing =
                async { stage.backend.turn().await.answer(failed("invalid_prompt")).await };
            let (reply, ()) = tokio::join!(sending, playing);
            assert_eq!(reply.status, 400, "{}", reply.body);
            left -= 18;
            assert_eq!(reply.header("x-ratelimit-remaining-tokens"), left.to_string());
        }
        let body = question("hi");
        let sending = stage.proxy.responses(&body);
        let playing = async {
            stage.backend.turn().await.answer(failed("server_is_overloaded")).await;
            stage.backend.turn().await.answer(hello()).await;
        };
        let (reply, ()) = tokio::join!(sending, playing);
        let cost = reply.fine()["usage"]["total_tokens"].as_u64().unwrap();
        let totals: Vec<_> =
            stage.records().iter().map(|it| it["total_tokens"].as_u64().unwrap()).collect();
        assert_eq!(totals, [18, 18, 18, 18, 18 + cost]);
    });
}

#[test]
fn many_requests_at_once_leave_a_whole_record_each() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let (one, other) = (streamed(question("hi")), asked("hi"));
        let call = |index: u32| {
            if index.is_multiple_of(2) { Call::responses(&one) } else { Call::chat(&other) }
        };
        let replies = together((0..60).map(|index| stage.proxy.send(call(index)))).await;
        for reply in &replies {
            assert_eq!(record(&stage, reply)["status"], 200);
        }
        assert_eq!(stage.records().len(), replies.len());
    });
}

#[test]
fn with_log_requests_every_request_is_one_line() {
    play(async {
        let stage = Stage::on_mock(&["--log-requests"]).await;
        let mut replies = Vec::new();
        for call in four_ways("hi") {
            replies.push(stage.proxy.send(call).await);
        }
        replies.push(stage.proxy.get("/v1/models").await);
        replies.push(stage.proxy.get("/nothing").await);
        replies.push(stage.proxy.send(Call::new(Method::POST, "/v1/responses", "{")).await);
        replies.push(stage.proxy.send(Call::get("/v1/models").key("wrong")).await);
        for reply in replies {
            let id = reply.header("x-request-id");
            let said = stage.proxy.says(id).await;
            let lines: Vec<&str> = said.lines().filter(|line| line.contains(id)).collect();
            assert_eq!(lines.len(), 1, "{lines:?}");
            let line: Value = serde_json::from_str(lines[0]).unwrap();
            let status = line.pointer("/status").or_else(|| line.pointer("/fields/status"));
            assert_eq!(status, Some(&json!(reply.status)), "{line}");
        }
    });
}

#[test]
fn without_log_requests_an_answered_request_leaves_no_line() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let reply = stage.proxy.responses(&question("hi")).await;
        stage.proxy.signal("TERM");
        let mut said = stage.proxy.said_to_the_end().await;
        said.retain(|line| line.contains(reply.header("x-request-id")));
        assert_eq!(said, Vec::<String>::new());
    });
}

const PROMPT: &str = "xylophone-prompt";
const WRONG: &str = "gx-wrong-key-9876543210";

#[test]
fn no_prompt_no_key_and_no_token_is_ever_logged() {
    play(async {
        let stage =
            Stage::with_login(&["--log-level=debug", "--log-requests", "--allow-refresh"]).await;
        let tool = json!([{"type": "function", "name": "xylophone-tool", "parameters": null}]);
        for script in [
            "",
            "tool xylophone-tool {\"xylophone\":1}",
            "status 400",
            "status 403",
            "status 500",
            "status 503",
            "fail",
            "cut",
            "reset",
            "html200",
            "refusal xylophone",
        ] {
            let marker =
                if script.is_empty() { String::new() } else { format!("[[mock: {script}]]") };
            for call in four_ways(&format!("{PROMPT} {marker}")) {
                stage.proxy.send(call).await;
            }
        }
        let more = json!({"instructions": "xylophone-instructions", "user": "xylophone-user", "tools": tool, "temperature": 1, "prompt_cache_key": "xylophone-key", "metadata": {"x": "xylophone"}});
        stage.proxy.responses(&with(question(PROMPT), more)).await.fine();
        let output = json!([{"type": "function_call_output", "call_id": "call_xylophone", "output": PROMPT}]);
        stage.proxy.responses(&json!({"input": output})).await.fine();
        stage.proxy.send(Call::responses(&question(PROMPT)).key(WRONG)).await;
        let cut_off = format!("{{\"input\":\"{PROMPT}");
        stage.proxy.send(Call::new(Method::POST, "/v1/responses", cut_off)).await;
        stage
            .proxy
            .send(Call::responses(&with(question(PROMPT), json!({"tools": "xylophone"}))))
            .await;
        stage
            .proxy
            .send(
                Call::get("/v1/models?key=xylophone").header("x-openclaw-session-key", "xylophone"),
            )
            .await;
        let token = stage.backend.mock.access_token();
        stage.backend.mock.expire_tokens();
        stage.proxy.responses(&question(PROMPT)).await.fine();
        let renewed = stage.backend.mock.access_token();
        let login: Value = serde_json::from_str(&stage.backend.mock.auth_json()).unwrap();
        let refresh = login["tokens"]["refresh_token"].as_str().unwrap().to_owned();

        let records =
            std::fs::read_to_string(stage.home.path().join(".codex/proxy-usage.jsonl")).unwrap();
        stage.proxy.signal("TERM");
        let said = stage.proxy.said_to_the_end().await.join("\n");
        assert!(said.contains("DEBUG") && said.len() > 1000, "{said}");
        for secret in [
            "xylophone",
            KEY,
            WRONG,
            &token,
            &renewed,
            &refresh,
            "Bearer ey",
            stage.backend.mock.account_id(),
        ] {
            for (name, text) in [("log", &said), ("usage log", &records)] {
                let line = text.lines().find(|line| line.contains(secret));
                assert_eq!(line, None, "{secret} in the {name}");
            }
        }
    });
}

#[test]
fn control_characters_of_a_client_reach_no_log() {
    play(async {
        let stage = Stage::on_mock(&["--log-requests", "--log-format=human"]).await;
        let evil = "a\u{1b}[31mb\r\nFAKE LINE\u{7}";
        let more = json!({"model": evil, "user": evil});
        stage.proxy.responses(&with(question("hi"), more)).await;
        stage.proxy.get("/v1/%1b[31m").await;
        stage.proxy.signal("TERM");
        let said = stage.proxy.said_to_the_end().await;
        assert!(said.iter().any(|line| line.contains("404")), "{said:?}");
        for line in &said {
            assert!(!line.contains('\u{7}') && !line.contains("\u{1b}[31mb"), "{line:?}");
            assert!(!line.starts_with("FAKE"), "{line:?}");
        }
    });
}
