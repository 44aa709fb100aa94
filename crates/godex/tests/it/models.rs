//! `GET /v1/models`, `GET /v1/models/{id}`, `GET /health`, and the paths there are not.

use godex_mock::{Mock, Options};
use http::Method;
use serde_json::{Value, json};

use crate::client::Call;
use crate::program::Home;
use crate::stage::{KEY, Proxy, Stage, play};

#[test]
fn the_list_is_the_accounts_with_what_this_proxy_adds() {
    play(async {
        let stage = Stage::on_mock(&["--model-alias=fast=gpt-5.5,slow=gpt-6-sol"]).await;
        let list = stage.proxy.get("/v1/models").await.fine();
        assert_eq!(list["object"], "list");
        let mut ids = Vec::new();
        for model in list["data"].as_array().unwrap() {
            assert_eq!(model["object"], "model");
            assert!(model["created"].is_u64() && model["owned_by"].is_string(), "{model}");
            ids.push(model["id"].as_str().unwrap());
        }
        let expected = [
            "gpt-6.1-sol",
            "gpt-6-astra",
            "gpt-6.1-terra",
            "gpt-6-sol",
            "gpt-6-luna",
            "gpt-5.6-sol",
            "gpt-5.6-terra",
            "gpt-5.6-luna",
            "gpt-5.5",
            "gpt-5.2-codex",
            "fast",
            "slow",
        ];
        assert_eq!(ids, expected);
    });
}

#[test]
fn one_model_is_shown_and_an_unknown_one_is_not() {
    play(async {
        let stage = Stage::on_mock(&["--model-alias=fast=gpt-5.5"]).await;
        for id in
            ["gpt-5.5", "gpt-5.2-codex", "fast", "codex-auto-review", "gpt-5.5-high", "fast(low)"]
        {
            let model = stage.proxy.get(&format!("/v1/models/{id}")).await.fine();
            assert_eq!((&model["id"], &model["object"]), (&json!(id), &json!("model")));
        }
        let reply = stage.proxy.get("/v1/models/gpt-4o-high").await;
        assert_eq!(reply.error().2, "model_not_found");
        let reply = stage.proxy.get("/v1/models/gpt-4o").await;
        let (status, kind, code) = reply.error();
        assert_eq!(
            (status, kind.as_str(), code.as_str()),
            (404, "invalid_request_error", "model_not_found")
        );
        assert!(reply.message().contains("gpt-6.1-sol"), "{}", reply.message());
    });
}

#[test]
fn an_alias_of_a_model_that_the_account_has_not_is_not_listed_and_says_what_it_stands_for() {
    play(async {
        let stage = Stage::on_mock(&["--model-alias=fast=gpt-4o,slow=gpt-5.5"]).await;
        stage.proxy.says("the alias `fast` stands for `gpt-4o`").await;
        let list = stage.proxy.get("/v1/models").await.fine().to_string();
        assert!(list.contains("\"slow\"") && !list.contains("\"fast\""), "{list}");
        let asked = stage.proxy.responses(&json!({"model": "fast", "input": "x"})).await;
        for reply in [asked, stage.proxy.get("/v1/models/fast").await] {
            assert_eq!(reply.error().2, "model_not_found");
            let (told, served) = reply
                .message()
                .split_once(" Models served: ")
                .map(|(a, b)| (a.to_owned(), b.to_owned()))
                .unwrap();
            assert!(told.contains("`fast` stands for `gpt-4o`"), "{told}");
            assert!(!served.contains("fast") && served.contains("slow"), "{served}");
        }
    });
}

#[test]
fn without_the_accounts_list_the_bundled_one_is_shown_and_names_go_upstream() {
    play(async {
        let mock = Mock::start(Options::default()).await.unwrap();
        mock.fail_models(Some(500));
        let home = Home::logged_in();
        let proxy = Proxy::start(&home, &mock.base_url(), &[], &[]).await;
        let list = proxy.get("/v1/models").await.fine();
        let ids: Vec<&Value> =
            list["data"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
        assert!(ids.contains(&&json!("gpt-6.1-sol")) && ids.contains(&&json!("gpt-5.2-codex")));

        let reply = proxy.responses(&json!({"model": "gpt-4o", "input": "hi"})).await;
        let (status, _, code) = reply.error();
        assert_eq!((status, code.as_str()), (404, "model_not_found"));
        let sent = mock.requests().pop().unwrap();
        assert_eq!(sent.body.json()["model"], "gpt-4o");

        // The default always works: the backend does not serve it, another stands in.
        let reply = proxy.responses(&json!({"input": "hi"})).await;
        assert_eq!(reply.fine()["model"], "gpt-5.2-codex");
        assert_eq!(reply.header("x-godex-model"), "gpt-6.1-sol");
        assert_eq!(reply.header("openai-model"), "gpt-5.2-codex", "the CLI warns of any other");
    });
}

#[test]
fn m2_the_model_that_stands_in_is_named_in_every_answer_and_once_in_the_log() {
    play(async {
        let stage = Stage::on_mock(&["--model=gpt-4.1"]).await;
        for asked in [json!("gpt-4.1"), json!("gpt-4.1-low"), Value::Null, json!("")] {
            for stream in [false, true] {
                let body = json!({"model": asked, "input": "hi", "stream": stream});
                let reply = stage.proxy.responses(&body).await;
                assert_eq!(reply.header("x-godex-model"), "gpt-6.1-sol", "{body}");
                let shown = asked.as_str().filter(|it| !it.is_empty()).unwrap_or("gpt-4.1");
                let model = if stream {
                    reply.last()["response"]["model"].clone()
                } else {
                    reply.fine()["model"].clone()
                };
                assert_eq!(model, shown);
            }
        }
        let list = stage.proxy.get("/v1/models").await.fine();
        assert!(list["data"].as_array().unwrap().iter().any(|it| it["id"] == "gpt-4.1"));
        // The default of the documentation is a name like any other now.
        let old = json!({"model": "gpt-5.2-codex", "input": "hi"});
        assert_eq!(stage.proxy.responses(&old).await.error().2, "model_not_found");
        let said = stage.proxy.says("stands in").await;
        assert_eq!(said.matches("stands in").count(), 1, "{said}");
        assert!(said.contains("\"level\":\"WARN\""), "{said}");
    });
}

#[test]
fn health_needs_no_key_and_the_list_does() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for path in ["/health", "/"] {
            let reply = stage.proxy.send(Call::get(path).header("authorization", "none")).await;
            assert!(reply.fine().is_object());
            let head = Call::new(Method::HEAD, path, "").header("authorization", "none");
            let reply = stage.proxy.send(head).await;
            assert_eq!((reply.status, reply.body.as_str()), (200, ""));
        }
        for path in ["/v1/models", "/v1/models/gpt-5.5"] {
            let reply = stage.proxy.send(Call::get(path).key("wrong")).await;
            assert_eq!(reply.error().0, 401);
        }
        assert_eq!(stage.proxy.get("/readyz").await.status, 200);
    });
}

#[test]
fn a_key_comes_in_any_of_the_usual_forms() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for (name, value) in [
            ("authorization", format!("Bearer {KEY}")),
            ("authorization", format!("bearer {KEY}")),
            ("Authorization", format!("BEARER  {KEY}")),
            ("x-api-key", KEY.to_owned()),
        ] {
            let call = Call::get("/v1/models").header(&name.to_lowercase(), &value);
            assert_eq!(stage.proxy.send(call).await.status, 200, "{value}");
        }
    });
}
