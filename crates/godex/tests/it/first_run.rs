//! How it begins: what is missing, what is in the way, and what the banner says to type.

use std::io::{Read, Write};
use std::net::TcpListener;

use godex_mock::{Mock, Options};

use crate::program::Home;
use crate::stage::{Stage, play};

const REFUSED: i32 = 2;

#[test]
fn without_a_login_three_ways_to_one_are_shown() {
    let home = Home::empty();
    let check = |arguments: &[&str], variables: &[(&str, &str)], path: &str| {
        let ended = home.run(&[&["proxy"], arguments].concat(), variables);
        let login = format!(
            "godex login{}",
            if arguments.is_empty() { "" } else { " --auth-path='~/his.json'" }
        );
        let path = home.path().join(path);
        let expected = format!(
            "error: not logged in to ChatGPT
  cause: {} does not exist
  help:  sign in              {login:<22} (opens a browser; --device on a server)
         or with Codex CLI    codex login
         just trying it out?  godex proxy --mock     (built-in offline backend, no account needed)
",
            path.display()
        );
        assert_eq!((ended.code, ended.stderr), (Some(4), expected));
    };
    check(&[], &[], ".codex/auth.json");
    check(&[], &[("GODEX_PROXY_AUTH_PATH", "~/mine.json")], "mine.json");
    check(&["--auth-path=~/his.json"], &[("GODEX_PROXY_AUTH_PATH", "~/mine.json")], "his.json");
    let codex_home = home.path().join("elsewhere");
    let codex_home = codex_home.to_str().unwrap();
    check(&[], &[("CODEX_HOME", codex_home)], "elsewhere/auth.json");
    check(&[], &[("CODEX_HOME", codex_home), ("GODEX_PROXY_AUTH_PATH", "")], "elsewhere/auth.json");
    assert!(!home.path().join(".codex").exists(), "a refusal leaves nothing behind");
}

#[test]
fn a_file_without_a_login_is_none() {
    let home = Home::empty();
    for text in ["", "{", "[]", "{}", r#"{"tokens":null}"#] {
        home.write(".codex/auth.json", text);
        let ended = home.run(&["proxy", "--api-key", "k"], &[]);
        assert_eq!(ended.code, Some(4), "{text}: {}", ended.stderr);
        assert!(ended.stderr.contains("codex login") && ended.stderr.contains("auth.json"));
    }
}

#[test]
fn an_api_key_is_no_login() {
    let home = Home::empty();
    let path = home.write(".codex/auth.json", r#"{"auth_mode":"apikey","OPENAI_API_KEY":"sk-1"}"#);
    let cause = format!("  cause: `{}` holds an API key, not a ChatGPT login\n", path.display());
    for command in [&["proxy", "--api-key=k", "--listen=:0"][..], &["login", "status"]] {
        let ended = home.run(command, &[]);
        assert_eq!(ended.code, Some(4), "{}", ended.stderr);
        assert!(ended.stderr.starts_with("error: not logged in to ChatGPT\n"), "{}", ended.stderr);
        assert!(ended.stderr.contains(&cause), "{}", ended.stderr);
        assert!(ended.stderr.contains("  help:  sign in              godex login"));
        assert!(!ended.stderr.contains("sk-1"));
    }
}

#[test]
fn without_a_key_three_ways_to_one_are_shown() {
    let ended = Home::logged_in().run(&["proxy", "--listen=127.0.0.1:0"], &[]);
    assert_eq!(ended.code, Some(REFUSED));
    insta::assert_snapshot!(ended.stderr, @r"
    error: no API key is configured, so every request would be refused
      help:  godex proxy keys add --label my-laptop                          (stored hashed; shown once)
             godex proxy --api-key local-dev-key --listen=127.0.0.1:0        (one shared key)
             godex proxy --allow-any-key --listen=127.0.0.1:0                (loopback only, development)
    ");
    let home = Home::logged_in();
    let flags = ["proxy", "--listen=127.0.0.1:0", "--keys-path=k.json"];
    let ended = home.run(&flags, &[]);
    for line in [
        "godex proxy keys add --label my-laptop --keys-path=k.json        (stored",
        "godex proxy --api-key local-dev-key --listen=127.0.0.1:0         (one",
    ] {
        assert!(ended.stderr.contains(line), "{}", ended.stderr);
    }
    let add = ["proxy", "keys", "add", "--keys-path=k.json"];
    assert_eq!(home.run(&add, &[]).code, Some(0));
    let banner = &home.serve(&flags, &[]).banner;
    assert!(banner.contains("(godex proxy keys list --keys-path=k.json)\n"), "{banner}");
    assert!(banner.contains(" godex connect codex --keys-path=k.json --listen "), "{banner}");
}

#[test]
fn a_usage_log_that_cannot_be_written_is_named_before_anything_is_announced() {
    let home = Home::logged_in();
    for path in [home.path().to_str().unwrap(), "/dev/null/x.jsonl", "/proc/x.jsonl"] {
        let named = format!("--stats-path={path}");
        let ended = home.run(&["proxy", "--api-key=k", "--listen=:0", &named], &[]);
        assert_eq!(ended.code, Some(78), "{path}: {}", ended.stderr);
        let expected = format!("error: the usage log {path} cannot be written\n  cause: ");
        assert!(ended.stderr.starts_with(&expected), "{}", ended.stderr);
        assert!(ended.stderr.contains("godex proxy --stats-path"), "{}", ended.stderr);
    }
    let none = home.serve(&["proxy", "--api-key=k", "--listen=:0", "--stats-path=/dev/null"], &[]);
    assert!(none.banner.contains("ready"));
}

#[test]
fn a_port_in_use_is_one_line_and_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let home = Home::logged_in();
    let ended = home.run(&["proxy", "--api-key=k", "--listen", &address], &[]);
    assert_eq!(ended.code, Some(1));
    assert!(!home.path().join(".codex/proxy-usage.jsonl").exists(), "it leaves nothing behind");
    let (what, help) = ended.stderr.split_once('\n').unwrap();
    assert_eq!(what, format!("error: {address} is already in use by another program"));
    let other = help.trim_end().rsplit(' ').next().unwrap();
    assert!(TcpListener::bind(other).is_ok(), "{help}");
}

#[test]
fn a_port_that_a_proxy_of_ones_own_has_names_that_proxy() {
    let home = Home::logged_in();
    let serving = home.serve(&["proxy", "--api-key=k", "--listen=:0"], &[]);
    let ended = home.run(&["proxy", "--api-key=k", "--listen", serving.address()], &[]);
    assert_eq!(ended.code, Some(1));
    let (what, help) = ended.stderr.split_once('\n').unwrap();
    let (address, pid) = (serving.address(), serving.pid());
    let expected = format!("error: {address} is already in use by godex (pid {pid}, started ");
    assert!(what.starts_with(&expected) && what.ends_with(" s ago)"), "{what}");
    let status = format!("  help:  how it is            godex status --listen {address}\n");
    assert!(help.starts_with(&status), "{help}");
    let other = help.trim_end().rsplit(' ').next().unwrap();
    assert!(TcpListener::bind(other).is_ok(), "{help}");
}

#[test]
fn what_the_banner_says_about_agents_works_when_it_is_typed() {
    let home = Home::logged_in();
    for arguments in
        [&["proxy", "--mock", "--listen=:0"][..], &["proxy", "--api-key=k", "--listen=:0"]]
    {
        let serving = home.serve(arguments, &[]);
        let line = serving.banner.split("  agents      godex ").nth(1).unwrap();
        let (command, others) = line.split_once("  (or ").unwrap();
        assert!(command.ends_with(&format!("--listen {}", serving.address())), "{command}");
        let others = others.split_once(" …)").unwrap().0;
        for client in ["codex"].into_iter().chain(others.split(", ")) {
            let command = command.replace("codex", client);
            let ended = home.run(&command.split(' ').collect::<Vec<_>>(), &[]);
            assert_eq!(ended.code, Some(0), "{command}: {}", ended.stderr);
            assert!(ended.stdout.contains(serving.address()), "{}", ended.stdout);
        }
    }
}

#[test]
fn a_sign_in_service_that_is_busy_is_asked_again_later() {
    for (status, code) in [(429, 75), (503, 75), (400, 1)] {
        let issuer = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", issuer.local_addr().unwrap());
        let answers = std::thread::spawn(move || {
            let (mut socket, _) = issuer.accept().unwrap();
            let _ = socket.read(&mut [0; 4096]).unwrap();
            write!(socket, "HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .unwrap();
        });
        let ended = Home::empty().run(&["login", "--device", "--issuer", &address], &[]);
        assert_eq!(ended.code, Some(code), "{status}: {}", ended.stderr);
        assert!(ended.stderr.contains("  help:  godex login "), "{}", ended.stderr);
        answers.join().unwrap();
    }
    let ended = Home::empty().run(&["login", "--device", "--issuer=http://127.0.0.1:1"], &[]);
    assert_eq!(ended.code, Some(69), "{}", ended.stderr);
    assert!(ended.stderr.contains("godex doctor"), "{}", ended.stderr);
}

#[test]
fn a_port_that_the_simulator_or_a_proxy_of_somebody_else_has_names_it() {
    play(async {
        let home = Home::logged_in();
        let refused = |address: &str, who: &str| {
            for command in [&["proxy", "--api-key=k"][..], &["mock"]] {
                let ended = home.run(&[command, &["--listen", address]].concat(), &[]);
                assert_eq!(ended.code, Some(1));
                let expected = format!("error: {address} is already in use by {who}\n");
                assert!(ended.stderr.starts_with(&expected), "{}", ended.stderr);
            }
        };
        let mock = Mock::start(Options::default()).await.unwrap();
        refused(mock.base_url().split('/').nth(2).unwrap(), "godex mock");
        let theirs = Stage::on_mock(&[]).await;
        refused(&theirs.proxy.address, "another godex proxy");
    });
}

#[test]
fn the_simulator_says_when_its_port_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = Home::empty().run(&["mock", "--listen", &address], &[]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.starts_with(&format!("error: {address} is already in use")));
}

#[test]
fn a_damaged_key_file_is_an_error_of_configuration() {
    let home = Home::logged_in();
    home.write(".codex/proxy-keys.json", "{");
    let ended = home.run(&["proxy", "--listen=:0", "--api-key=k"], &[]);
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    assert!(ended.stderr.contains("proxy-keys.json` is damaged"), "{}", ended.stderr);
    assert!(ended.stderr.contains("\n  help:  "), "{}", ended.stderr);
}
