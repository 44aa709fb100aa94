//! `godex connect`: written, used and taken back.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::client::Call;
use crate::program::Home;
use crate::stage::{Stage, play};

/// Client, its file in the home folder, and what somebody may have in it.
const FILES: &[(&str, &str, &str)] = &[
    ("codex", ".codex/config.toml", "# mine\r\nmodel = 'o3'\r\n\r\n[tui]\r\nx = 1"),
    ("openclaw", ".openclaw/openclaw.json", "{\n  // mine\n  gateway: { port: 1, },\n}"),
    ("opencode", ".config/opencode/opencode.json", "{\"theme\": \"x\"}"),
    ("aider", ".aider.conf.yml", "model: o3\n\n# mine"),
    ("continue", ".continue/config.yaml", "name: me\nmodels:\n  - name: x\n    model: y\n"),
];

/// Every file below a folder: path, content, permissions.
fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>, u32)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_none_or(|it| it != "lock") {
                let mode = fs::metadata(&path).unwrap().permissions().mode();
                found.push((path.clone(), fs::read(path).unwrap(), mode));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_file_that_was_written_comes_back_byte_for_byte() {
    for (client, file, before) in FILES {
        for before in [Some(*before), None] {
            let home = Home::empty();
            let path = home.path().join(file);
            if let Some(before) = before {
                home.write(file, before);
                fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            }
            let found = tree(home.path());
            // The second time the model changes, and the key.
            for model in ["gpt-5.5", "gpt-6-luna"] {
                let write = ["connect", client, "--write", "--model", model];
                let ended = home.run(&write, &[]);
                assert_eq!(ended.code, Some(0), "{client}: {}", ended.stderr);
                let text = fs::read_to_string(&path).unwrap();
                assert!(text.contains("http://127.0.0.1:39001/v1") && text.contains(model));
                assert!(text.contains("gxk_"), "{text}");
                let mode = fs::metadata(&path).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600, "there is a key in it");
                assert!(!(ended.stdout + &ended.stderr).contains("gxk_"));
            }
            let keys = home.run(&["proxy", "keys", "list"], &[]).stdout;
            assert_eq!(keys.matches("active").count(), 1, "{keys}");
            let ended = home.run(&["connect", client, "--restore"], &[]);
            assert_eq!(ended.code, Some(0), "{client}: {}", ended.stderr);
            let mut after = tree(home.path());
            after.retain(|(path, ..)| !path.ends_with(".codex/proxy-keys.json"));
            assert_eq!(after, found, "{client}");
            let keys = home.run(&["proxy", "keys", "list"], &[]).stdout;
            assert_eq!(keys.matches("active").count(), 0, "{keys}");
            let again = home.run(&["connect", client, "--restore"], &[]);
            assert_eq!(again.code, Some(1), "{}", again.stderr);
        }
    }
}

#[test]
fn what_somebody_changed_since_is_not_lost_by_accident() {
    let home = Home::empty();
    let path = home.write(".codex/config.toml", "model = 'o3'\n");
    assert_eq!(home.run(&["connect", "codex", "--write", "--key=k"], &[]).code, Some(0));
    let ours = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("# later\n{ours}")).unwrap();
    let refused = home.run(&["connect", "codex", "--restore"], &[]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("was changed since") && refused.stderr.contains("--force"));
    assert!(fs::read_to_string(&path).unwrap().starts_with("# later\n"));
    assert_eq!(home.run(&["connect", "codex", "--restore", "--force"], &[]).code, Some(0));
    assert_eq!(fs::read_to_string(&path).unwrap(), "model = 'o3'\n");
}

#[test]
fn the_key_that_was_made_is_revoked_in_the_file_in_which_it_was_made() {
    let home = Home::empty();
    let named = ["connect", "codex", "--write", "--keys-path=k.json", "--key-label=my l"];
    let wrote = home.run(&named, &[]);
    assert_eq!(wrote.code, Some(0), "{}", wrote.stderr);
    assert!(
        wrote.stderr.contains(", label my l  (godex proxy usage show key_"),
        "{}",
        wrote.stderr
    );
    assert!(wrote.stderr.contains(" --keys-path=k.json)\n"), "{}", wrote.stderr);
    let state = |path: &str| {
        let list = home.run(&["proxy", "keys", "list", "--json", path], &[]).stdout;
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        list["keys"].as_array().unwrap().iter().map(|it| it["state"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(state("--keys-path=k.json"), ["active"]);
    let variable = home.path().join("other.json");
    let variables = [("GODEX_PROXY_KEYS_PATH", variable.to_str().unwrap())];
    assert_eq!(home.run(&["connect", "codex", "--write"], &variables).code, Some(0));
    assert_eq!(state("--keys-path=k.json"), ["revoked"], "the one before is of no use now");
    assert_eq!(state("--keys-path=other.json"), ["active"]);
    let restored = home.run(&["connect", "codex", "--restore"], &[]);
    assert!(restored.stderr.contains("revoked key_"), "{}", restored.stderr);
    assert_eq!(state("--keys-path=other.json"), ["revoked"]);

    assert_eq!(home.run(&named, &[]).code, Some(0));
    std::fs::remove_file(home.path().join("k.json")).unwrap();
    let restored = home.run(&["connect", "codex", "--restore"], &[]);
    assert!(restored.stderr.contains(" that was made for it, is not in "), "{}", restored.stderr);
}

#[test]
fn a_file_that_is_not_understood_is_left_alone_and_no_key_is_made() {
    for (client, file, _) in FILES {
        let home = Home::empty();
        let broken = if file.ends_with("toml") { "model = [" } else { "{ \"a: [\n- x" };
        let path = home.write(file, broken);
        let ended = home.run(&["connect", client, "--write"], &[]);
        assert_eq!(ended.code, Some(78), "{client}: {}", ended.stderr);
        assert!(ended.stderr.contains("is not changed\n  cause: it is not "), "{}", ended.stderr);
        assert_eq!(fs::read_to_string(&path).unwrap(), broken);
        assert!(!home.path().join(".codex/proxy-keys.json").exists());
    }
    let ended = Home::empty().run(&["connect", "cursor", "--write"], &[]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("cursor has no file"), "{}", ended.stderr);
}

#[test]
fn the_printed_recipe_is_all_that_is_on_standard_output() {
    let home = Home::empty();
    let ended = home.run(&["connect", "python", "--key", "gxk_x", "--listen=:5"], &[]);
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.starts_with("from openai import OpenAI\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("base_url=\"http://127.0.0.1:5/v1\", api_key=\"gxk_x\""));
    assert!(ended.stdout.contains("model=\"gpt-5.2-codex\""));
    let ended = home.run(&["connect", "cursor"], &[]);
    assert!(ended.stderr.contains("through a tunnel"), "{}", ended.stderr);
    let ended = home.run(&["connect", "nothing"], &[]);
    assert_eq!(ended.code, Some(2));
    assert!(tree(home.path()).is_empty());
}

#[test]
fn a_key_made_for_a_client_opens_the_running_proxy_and_the_model_is_one_it_serves() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        // The proxy must know the account's models before it can tell them.
        stage.proxy.responses(&crate::stage::question("hi")).await.fine();
        let listen = stage.proxy.address.clone();
        let connect = ["connect", "curl", "--key-label=curl", "--listen", &listen];
        let ended = stage.home.run(&connect, &[]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let words = crate::readme::words_of_curl(&ended.stdout);
        let auth = words.iter().find(|it| it.starts_with("Authorization: ")).unwrap();
        let key = auth.strip_prefix("Authorization: Bearer ").unwrap();
        let body: serde_json::Value = serde_json::from_str(words.last().unwrap()).unwrap();
        assert_ne!(body["model"], "gpt-5.2-codex");
        stage.proxy.send(Call::responses(&body).key(key)).await.fine();
    });
}

#[test]
fn a_mock_gets_its_own_key_and_none_is_made_that_it_does_not_read() {
    let home = Home::empty();
    let serving = home.serve(&["proxy", "--mock", "--listen=:0"], &[]);
    let listen = format!("--listen={}", serving.address());
    let refused = home.run(&["connect", "codex", "--write", &listen], &[]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("is a mock"), "{}", refused.stderr);
    let help = format!("godex connect codex --write --key KEY {listen}");
    assert!(refused.stderr.contains(&help), "{}", refused.stderr);
    assert!(tree(home.path()).is_empty());
    let printed = home.run(&["connect", "codex", &listen], &[]);
    assert!(printed.stderr.contains(&format!("{help} puts it there")), "{}", printed.stderr);

    let line = serving.banner.split("agents      godex ").nth(1).unwrap();
    let words: Vec<_> = line.split("  (").next().unwrap().split(' ').collect();
    assert_eq!(words.first(), Some(&"connect"), "{line}");
    let written = home.run(&[&words[..], &["--write"]].concat(), &[]);
    assert_eq!(written.code, Some(0), "{}", written.stderr);
    assert!(written.stderr.contains("next        codex\n"), "{}", written.stderr);
    let wrong = home.run(&["connect", "codex", "--write", "--key=wrong", &listen], &[]);
    assert!(wrong.stderr.contains("does not know this key"), "{}", wrong.stderr);
}

#[test]
fn a_key_is_not_made_where_nobody_reads_it() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let listen = format!("--listen={}", stage.proxy.address);
        let connect = ["connect", "aider", "--write", "--keys-path=other.json", &listen];
        let refused = stage.home.run(&connect, &[]);
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains("does not know the keys of"), "{}", refused.stderr);
        assert!(refused.stderr.contains("--keys-path /"), "{}", refused.stderr);
        assert!(!stage.home.path().join("other.json").exists());

        // Named by its address it is asked with the key, which opens nothing.
        let url = format!("--url=http://{}/v1", stage.proxy.address);
        let connect = ["connect", "aider", "--write", "--keys-path=other.json", &url];
        let refused = stage.home.run(&connect, &[]);
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(!stage.home.path().join(".aider.conf.yml").exists());
        let keys = stage.home.run(&["proxy", "keys", "list", "--keys-path=other.json"], &[]);
        assert_eq!(keys.stdout.matches("active").count(), 0, "{}", keys.stdout);
    });
}

#[test]
fn without_a_key_the_recipe_has_a_model_that_is_served_and_the_next_command_the_address() {
    play(async {
        let chosen = Stage::on_mock(&["--model=gpt-5.5"]).await;
        let listen = format!("--listen={}", chosen.proxy.address);
        for client in ["curl", "codex"] {
            let ended = chosen.home.run(&["connect", client, &listen], &[]);
            assert!(ended.stdout.contains("\"gpt-5.5\""), "{}", ended.stdout);
        }

        let stage = Stage::on_mock(&[]).await;
        let listen = format!("--listen={}", stage.proxy.address);
        // The proxy must know the account's models before it can tell them.
        let served = stage.proxy.get("/v1/models").await.fine();
        for client in ["curl", "codex"] {
            let ended = stage.home.run(&["connect", client, &listen], &[]);
            let is_served = |it: &serde_json::Value| {
                ended.stdout.contains(&format!("\"{}\"", it["id"].as_str().unwrap()))
            };
            assert!(served["data"].as_array().unwrap().iter().any(is_served), "{}", ended.stdout);
            assert!(!ended.stdout.contains("gpt-5.2-codex"), "{}", ended.stdout);
        }
        let ended = stage.home.run(&["connect", "codex", &listen], &[]);
        let next = format!("godex connect codex --write {listen} puts it there");
        assert!(ended.stderr.contains(&next), "{}", ended.stderr);
        let nobody = stage.home.run(&["connect", "codex", "--write", "--listen=:1"], &[]);
        assert!(nobody.stderr.contains("godex proxy --listen=:1 "), "{}", nobody.stderr);
        let nobody = stage.home.run(&["status", "--listen=:1"], &[]);
        assert!(nobody.stderr.contains("godex proxy --listen 127.0.0.1:1 "), "{}", nobody.stderr);
    });
}

#[test]
fn a_model_that_is_not_served_is_told() {
    play(async {
        let stage = Stage::on_mock(&["--model-alias=fast=gpt-5.5"]).await;
        stage.proxy.get("/v1/models").await.fine();
        let listen = format!("--listen={}", stage.proxy.address);
        let doubt = |client: &str, model: &str, more: &str| {
            let connect = ["connect", client, "--model", model, &listen, more];
            let ended = stage.home.run(&connect, &[]);
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            ended.stderr.lines().find(|it| it.contains("does not serve")).map(str::to_owned)
        };
        for (client, more) in [("curl", "--key-label=curl"), ("codex", "--write")] {
            let told = doubt(client, "gpt/no pe", more).unwrap();
            assert!(told.contains("/v1 does not serve gpt/no pe, but gpt-"), "{told}");
            for known in ["gpt-5.5", "fast", "gpt-5.5-high"] {
                assert_eq!(doubt(client, known, more), None);
            }
        }
    });
}

#[test]
fn what_answers_without_models_is_not_called_nobody() {
    let home = Home::empty();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let listen = format!("--listen={address}");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (stream, _) = server.accept().unwrap();
            let mut lines = BufReader::new(&stream).lines();
            while lines.next().is_some_and(|it| it.is_ok_and(|it| !it.is_empty())) {}
            let answer = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
            (&stream).write_all(answer.as_bytes()).unwrap();
        });
        let written = home.run(&["connect", "codex", "--write", &listen], &[]);
        // The server is not left waiting if nobody came.
        drop(TcpStream::connect(address));
        assert_eq!(written.code, Some(0), "{}", written.stderr);
        let but = "but         what answers there does not list models (404 Not Found)";
        assert!(written.stderr.contains(but), "{}", written.stderr);
    });
}

#[test]
fn what_is_typed_next_names_the_key_file_that_was_named() {
    let home = Home::empty();
    let flags = ["--keys-path=/nowhere/k.json", "--listen=127.0.0.1:1"];
    let check = |words: &[&str], next: &str| {
        let ended = home.run(&[words, &flags].concat(), &[]);
        assert!(ended.stderr.contains(next), "{}", ended.stderr);
    };
    let add = "godex proxy keys add --label my-laptop --keys-path=/nowhere/k.json\n";
    check(&["connect", "curl"], add);
    let again = "godex connect curl --listen=127.0.0.1:1 --keys-path=/nowhere/k.json ";
    check(&["connect", "curl", "--write"], again);
}
