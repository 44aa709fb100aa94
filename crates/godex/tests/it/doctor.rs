//! `godex doctor` finds what is wrong, and what it says to type mends it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use godex_mock::{Mock, Options, TokenPolicy};
use serde_json::Value;

use crate::program::Home;
use crate::stage::{Stage, play};

/// The rows: status and remedy of each.
fn rows(home: &Home, arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, Value) {
    let ended = home.run(&[&["doctor", "--json"], arguments].concat(), variables);
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(document["schema_version"], 1);
    assert!(!ended.stdout.contains(home.path().to_str().unwrap()), "{}", ended.stdout);
    (ended.code, document)
}

#[track_caller]
fn row<'a>(document: &'a Value, id: &str) -> &'a Value {
    let rows = document["checks"].as_array().unwrap();
    let found = rows.iter().find(|it| it["id"] == id);
    assert!(found.is_some(), "no {id} in {document:#}");
    found.unwrap()
}

#[track_caller]
fn is(document: &Value, id: &str, status: &str, remedy: &str) {
    let row = row(document, id);
    assert_eq!(row["status"], status, "{row}");
    assert!(row["remedy"].as_str().unwrap_or_default().contains(remedy), "{row}");
}

async fn mock() -> Mock {
    Mock::start(Options { tokens: TokenPolicy::Issued, ..Options::default() }).await.unwrap()
}

#[test]
fn a_healthy_machine_has_nothing_to_mend() {
    play(async {
        let (home, mock) = (Home::empty(), mock().await);
        let login = home.write(".codex/auth.json", &mock.new_login(Duration::from_hours(100)));
        fs::set_permissions(login, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(home.run(&["proxy", "keys", "add", "--label=x"], &[]).code, Some(0));
        let before: Vec<_> =
            fs::read_dir(home.path().join(".codex")).unwrap().count().to_le_bytes().into();
        let base = mock.base_url();
        let (code, found) = rows(&home, &["--base-url", &base, "--listen=127.0.0.1:1"], &[]);
        assert_eq!((code, &found["overall_status"]), (Some(0), &"ok".into()), "{found:#}");
        for id in ["login", "token", "keys", "usage", "dns", "upstream", "models", "port"] {
            is(&found, id, "ok", "");
        }
        let after: Vec<_> =
            fs::read_dir(home.path().join(".codex")).unwrap().count().to_le_bytes().into();
        assert_eq!(before, after, "it only looks");
        assert_eq!(mock.counts().refused, 0);
        assert!(
            !found.to_string().contains("mock@example.com") && !found.to_string().contains("eyJ")
        );
        let text = home.run(&["doctor", "--offline"], &[]).stdout;
        assert!(text.contains(" ok · 0 warn · 0 fail\n") && text.contains("– dns"), "{text}");
    });
}

#[test]
fn eight_faults_are_found_and_their_remedies_work() {
    play(async {
        let (home, mock) = (Home::empty(), mock().await);
        let codex = |name: &str| home.path().join(".codex").join(name);
        // 1 and 2: a token that has ended, in a file that everybody can read.
        home.write(".codex/auth.json", &mock.new_login(Duration::ZERO));
        fs::set_permissions(codex("auth.json"), fs::Permissions::from_mode(0o644)).unwrap();
        // 3: no key. 4: no usage log can be written.
        fs::create_dir_all(codex("proxy-usage.jsonl")).unwrap();
        // 5: a client that looks elsewhere. 6: another program on the port.
        home.write(
            ".codex/config.toml",
            "[model_providers.godex]\nbase_url = \"http://127.0.0.1:9/v1\"\n",
        );
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = taken.local_addr().unwrap().to_string();
        std::thread::spawn(move || while taken.accept().is_ok() {});
        // 7: a backend that is not there. 8: a proxy that is none.
        let proxy = [("ALL_PROXY", "http://[")];
        let ill = ["--listen", &listen, "--base-url", "http://127.0.0.1:1/x"];
        let (code, found) = rows(&home, &ill, &proxy);
        assert_eq!((code, &found["overall_status"]), (Some(1), &"fail".into()));
        is(&found, "token", "fail", "godex login");
        is(&found, "login-mode", "warn", "chmod 600 ~/.codex/auth.json");
        is(&found, "keys", "fail", "godex proxy keys add --label my-laptop");
        is(&found, "usage", "fail", "--stats-path");
        is(&found, "codex", "warn", "godex connect codex --write");
        is(&found, "port", "fail", "godex proxy --listen 127.0.0.1:");
        is(&found, "upstream", "fail", "network");
        is(&found, "proxy-env", "fail", "unset ALL_PROXY");

        // What it says is typed.
        let type_in = |line: &str| {
            let line = line.replacen("godex", env!("CARGO_BIN_EXE_godex"), 1);
            let mut shell = Command::new("sh");
            shell.args(["-c", &line]).env_clear().env("PATH", std::env::var("PATH").unwrap());
            let output = shell.env("HOME", home.path()).output().unwrap();
            assert!(output.status.success(), "{line}: {output:?}");
        };
        for id in ["login-mode", "keys", "codex"] {
            type_in(row(&found, id)["remedy"].as_str().unwrap());
        }
        let base = mock.base_url();
        let other = home.path().join("usage.jsonl");
        let other = other.to_str().unwrap();
        let well = ["--listen=127.0.0.1:39001", "--base-url", &base, "--stats-path", other];
        home.write(".codex/auth.json", &mock.new_login(Duration::from_hours(100)));
        let (_, found) = rows(&home, &well, &[]);
        for id in ["token", "login-mode", "keys", "usage", "codex", "upstream", "proxy-env"] {
            is(&found, id, "ok", "");
        }
    });
}

#[test]
fn a_running_proxy_is_recognised_and_a_setting_that_is_refused_is_a_row() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let listen = stage.proxy.address.clone();
        let (_, found) = rows(&stage.home, &["--offline", "--listen", &listen], &[]);
        assert!(row(&found, "port")["summary"].as_str().unwrap().contains("a proxy runs on"));
        let (code, found) = rows(&stage.home, &["--base-url=http://example.com"], &[]);
        assert_eq!(code, Some(1));
        is(&found, "settings", "fail", "like https://");
    });
}

#[test]
fn the_login_that_is_refused_and_the_one_that_is_not_there_are_told_apart() {
    play(async {
        let (home, mock) = (Home::empty(), mock().await);
        let base = mock.base_url();
        let (_, found) = rows(&home, &["--base-url", &base], &[]);
        is(&found, "login", "fail", "godex login");
        is(&found, "upstream", "ok", "");
        home.write(".codex/auth.json", &mock.new_login(Duration::from_hours(100)));
        mock.expire_tokens();
        let (_, found) = rows(&home, &["--base-url", &base], &[]);
        is(&found, "login", "ok", "");
        is(&found, "upstream", "fail", "godex login");
    });
}
