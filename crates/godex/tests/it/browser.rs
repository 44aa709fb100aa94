//! N1, N2: names bent to this machine and pages of strangers are turned away; pages that may
//! call can read what they are answered.

use http::Method;
use serde_json::json;

use crate::client::Call;
use crate::stage::{KEY, Stage, play, question};
use crate::wire::{Answer, answer};

/// A request with these lines besides what it needs.
async fn ask(address: &str, line: &str, lines: &[&str], body: &str) -> Answer {
    let line = format!("{line} HTTP/1.1");
    let length = format!("content-length: {}", body.len());
    let head = [&[line.as_str()], lines, &["connection: close", length.as_str()]].concat();
    answer(address, &format!("{}\r\n\r\n{body}", head.join("\r\n"))).await
}

#[test]
fn a_request_names_its_host_exactly_once() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let address = &stage.proxy.address;
        let host = format!("Host: {address}");
        assert_eq!(ask(address, "GET /health", &[&host], "").await.status, 200);
        for hosts in [&[][..], &[&*host, &*host], &["Host: localhost", "Host: evil.example"]] {
            let refused = ask(address, "GET /health", hosts, "").await;
            assert_eq!((refused.status, &*refused.code()), (400, "invalid_host"), "{hosts:?}");
        }
        for host in ["", "a b", "localhost:port", "user@localhost", "localhost/x", "[::1"] {
            let refused = ask(address, "GET /health", &[&format!("Host: {host}")], "").await;
            assert_eq!((refused.status, &*refused.code()), (400, "invalid_host"), "{host}");
        }
        // Version 1.0 has no such header, and no browser speaks it.
        assert_eq!(answer(address, "GET /health HTTP/1.0\r\n\r\n").await.status, 200);
    });
}

#[test]
fn on_loopback_other_names_are_misdirected() {
    play(async {
        let stage = Stage::on_mock(&["--allowed-host=proxy.example,other.example"]).await;
        let address = &stage.proxy.address;
        let key = format!("Authorization: Bearer {KEY}");
        let body = question("hi").to_string();
        for host in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1:39001",
            "127.8.8.8",
            "[::1]",
            "[::1]:39001",
            "proxy.example",
            "Proxy.Example:8443",
            "other.example:1",
        ] {
            let host = format!("Host: {host}");
            let served = ask(address, "POST /v1/responses", &[&host, &key], &body).await;
            assert_eq!(served.status, 200, "{host}: {}", served.body);
        }
        let sent = stage.sent().len();
        for host in
            ["evil.example", "localhost.evil.example:39001", "10.0.0.1", "[::2]", "169.254.169.254"]
        {
            for line in ["POST /v1/responses", "GET /v1/models", "GET /health", "GET /", "GET /x"] {
                let lines = [&*format!("Host: {host}"), &key];
                let refused = ask(address, line, &lines, &body).await;
                assert_eq!((refused.status, &*refused.code()), (421, "misdirected_request"));
                assert!(refused.body.contains("--allowed-host"), "{}", refused.body);
            }
        }
        assert_eq!(stage.sent().len(), sent);
    });
}

#[test]
fn a_whole_address_in_the_request_line_is_judged_too() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let address = &stage.proxy.address;
        let host = format!("Host: {address}");
        let get = |target: &str| format!("GET {target}");
        let own = ask(address, &get(&format!("http://{address}/health")), &[&host], "").await;
        assert_eq!(own.status, 200);
        let other = ask(address, &get("http://evil.example/health"), &[&host], "").await;
        assert_eq!((other.status, &*other.code()), (421, "misdirected_request"));
        let other = ask(address, &get("http://localhost/x"), &["Host: evil.example"], "").await;
        assert_eq!(other.status, 421);
        let tunnel =
            ask(address, "CONNECT evil.example:443", &["Host: evil.example:443"], "").await;
        assert_eq!(tunnel.status, 421);
    });
}

#[test]
fn a_page_of_a_stranger_is_forbidden_whatever_it_brings() {
    play(async {
        let stage = Stage::on_mock(&["--cors-origin=https://chat.example"]).await;
        for origin in [
            "https://evil.example",
            "null",
            "https://chat.example:8443",
            "http://chat.example",
            "x",
        ] {
            for call in [
                Call::responses(&question("hi")),
                Call::get("/v1/models"),
                Call::get("/health"),
                Call::new(Method::OPTIONS, "/v1/responses", "")
                    .header("access-control-request-method", "POST"),
            ] {
                let reply = stage.proxy.send(call.header("origin", origin)).await;
                assert_eq!(reply.error().0, 403, "{origin}: {}", reply.body);
                assert_eq!(reply.error().2, "origin_not_allowed");
                assert!(reply.message().contains("--cors-origin"), "{}", reply.message());
                assert_eq!(reply.header("access-control-allow-origin"), "");
                assert_eq!(reply.header("vary"), "Origin");
            }
        }
        assert!(stage.sent().is_empty());
    });
}

#[test]
fn a_page_that_may_call_reads_every_answer_errors_included() {
    play(async {
        let more =
            ["--cors-origin", "HTTPS://Chat.Example:443/", "--cors-origin=tauri://localhost"];
        let stage = Stage::on_mock(&more).await;
        for origin in [
            "http://localhost:5173",
            "https://127.0.0.1",
            "http://[::1]:8080",
            "app://obsidian.md",
            "vscode-webview://0f1e",
            "https://chat.example",
            "tauri://localhost",
        ] {
            for (call, status) in [
                (Call::responses(&question("hi")), 200),
                (Call::responses(&json!({"input": "hi", "stream": true})), 200),
                (Call::responses(&json!({})), 400),
                (Call::responses(&question("hi")).key("wrong"), 401),
                (Call::get("/v1/nothing"), 404),
                (Call::get("/v1/responses"), 405),
                (Call::get("/health"), 200),
                (Call::get("/v1/models"), 200),
            ] {
                let reply = stage.proxy.send(call.header("origin", origin)).await;
                assert_eq!(reply.status, status, "{origin}: {}", reply.body);
                assert_eq!(reply.header("access-control-allow-origin"), origin);
                assert_eq!(reply.header("vary"), "Origin");
                let readable = reply.header("access-control-expose-headers");
                assert!(readable.contains("x-request-id") && readable.contains("x-godex-dropped"));
                assert_eq!(reply.header("access-control-allow-credentials"), "");
            }
        }
        let plain = stage.proxy.get("/health").await;
        assert_eq!(plain.header("access-control-allow-origin"), "");
    });
}

#[test]
fn a_browser_that_asks_first_is_answered_without_a_key() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for path in ["/v1/responses", "/v1/chat/completions", "/models", "/health", "/", "/nothing"]
        {
            let call = Call::new(Method::OPTIONS, path, "")
                .header("authorization", "")
                .header("origin", "http://localhost:3000")
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "authorization,x-stainless-os")
                .header("access-control-request-private-network", "true");
            let reply = stage.proxy.send(call).await;
            assert_eq!((reply.status, &*reply.body), (204, ""));
            assert_eq!(reply.header("access-control-allow-origin"), "http://localhost:3000");
            assert!(reply.header("access-control-allow-methods").contains("POST"));
            let headers = reply.header("access-control-allow-headers");
            assert_eq!(headers, "authorization,x-stainless-os");
            assert_eq!(reply.header("access-control-allow-private-network"), "true");
            assert!(reply.header("vary").starts_with("Origin, "));
            assert_eq!(reply.header("access-control-max-age"), "7200");
        }
    });
}

#[test]
fn every_path_says_what_it_answers_to() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let options = |path| Call::new(Method::OPTIONS, path, "").header("authorization", "");
        for (path, allowed) in [
            ("/v1/responses", "POST, OPTIONS"),
            ("/chat/completions", "POST, OPTIONS"),
            ("/v1/models", "GET, HEAD, OPTIONS"),
            ("/v1/models/x", "GET, HEAD, OPTIONS"),
            ("/v1/usage", "GET, HEAD, OPTIONS"),
            ("/health", "GET, HEAD, OPTIONS"),
            ("/", "GET, HEAD, OPTIONS"),
        ] {
            let reply = stage.proxy.send(options(path)).await;
            assert_eq!((reply.status, reply.header("allow")), (204, allowed), "{path}");
        }
        assert_eq!(stage.proxy.send(options("/nothing")).await.error().0, 404);
        let address = &stage.proxy.address;
        let star = ask(address, "OPTIONS *", &[&format!("Host: {address}")], "").await;
        assert_eq!((star.status, &*star.header("allow")), (204, "GET, HEAD, POST, OPTIONS"));
    });
}

#[test]
fn with_any_key_a_request_must_be_one_that_no_page_sends_unasked() {
    play(async {
        let stage = Stage::on_mock(&["--allow-any-key"]).await;
        let managed = stage.managed_key("real", &[]);
        stage.proxy.says("the keys have changed").await;
        let address = &stage.proxy.address;
        let host = format!("Host: {address}");
        let body = question("hi").to_string();
        let post = async |key: &str, kind: &str| {
            let key = format!("Authorization: Bearer {key}");
            let lines = [&*host, &key, kind];
            ask(address, "POST /v1/responses", &lines[..if kind.is_empty() { 2 } else { 3 }], &body)
                .await
        };
        for kind in
            ["", "content-type: text/plain", "content-type: application/x-www-form-urlencoded"]
        {
            let refused = post("anything", kind).await;
            assert_eq!((refused.status, &*refused.code()), (415, "unsupported_media_type"));
            assert_eq!(post(&managed, kind).await.status, 200, "a real key needs no such proof");
        }
        assert_eq!(stage.sent().len(), 3);
        for kind in
            ["content-type: application/json", "Content-Type: application/json; charset=utf-8"]
        {
            assert_eq!(post("anything", kind).await.status, 200);
        }
    });
}
