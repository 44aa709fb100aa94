//! What a running proxy tells over its admin socket, and the commands that are about none.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::PathBuf;

use serde_json::{Value, json as object};

use crate::backend::{STREAM, closing, fixture, opening};
use crate::client::Call;
use crate::program::Home;
use crate::stage::{Stage, play, question, streamed};

/// The admin sockets of a home folder.
fn sockets(home: &Home) -> Vec<PathBuf> {
    let folder = home.path().join(".local/state/godex/run");
    fs::read_dir(folder).into_iter().flatten().map(|it| it.unwrap().path()).collect()
}

fn json(home: &Home, arguments: &[&str]) -> Value {
    let ended = home.run(arguments, &[]);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn the_running_proxy_tells_how_it_is_to_its_user_alone() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let socket = sockets(&stage.home).pop().unwrap();
        let metadata = fs::metadata(&socket).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        let folder = fs::metadata(socket.parent().unwrap()).unwrap();
        assert_eq!(folder.permissions().mode() & 0o777, 0o700);

        stage.proxy.responses(&question("hi")).await.fine();
        let refused = stage.proxy.responses(&serde_json::json!({"model": "no-such"})).await;
        assert!(refused.status >= 400);
        let status = json(&stage.home, &["status", "--json"]);
        assert_eq!((&status["schema_version"], &status["running"]), (&1.into(), &true.into()));
        assert_eq!(status["listen"], stage.proxy.address.as_str());
        assert_eq!(status["login"]["plan"], "plus");
        let requests = &status["requests"];
        assert_eq!(
            (&requests["running"], &requests["served"]),
            (&0.into(), &2.into()),
            "{requests}"
        );
        assert_eq!(requests["failed"], 1);
        assert_eq!(status["errors"].as_array().unwrap().len(), 1);
        assert_eq!(status["lately"].as_array().unwrap().len(), 2);
        let windows = status["plan_windows"].as_array().unwrap();
        assert!(!windows.is_empty() && windows[0]["window_minutes"].as_u64().unwrap() > 0);
        assert!(!status.to_string().contains(crate::stage::KEY));

        let text = stage.home.run(&["status"], &[]).stdout;
        for part in ["  account     ChatGPT plus", "0 running, 2 served, 1 failed", "  errors "] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        let top = stage.home.run(&["top"], &[]).stdout;
        assert!(top.contains("TOKENS") && top.contains("/v1/responses"), "{top}");
        assert_eq!(json(&stage.home, &["top", "--once", "--json"])["requests"]["served"], 2);
        assert!(sockets(&stage.home).len() == 1);
        let home = Home::empty();
        assert_eq!(home.run(&["status"], &[]).code, Some(1));
        let nobody = home.run(&["status", "--json"], &[]);
        assert_eq!(nobody.code, Some(1));
        assert!(nobody.stdout.contains("\"running\": false"));
        stage.proxy.signal("TERM");
        let Stage { home, proxy, backend: _backend } = stage;
        assert_eq!(proxy.end().await.code(), Some(0));
        assert!(sockets(&home).is_empty(), "it takes its socket with it");
    });
}

#[test]
fn the_windows_of_the_plan_are_known_from_errors_and_late_answers_too() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let spent = stage.proxy.responses(&question("[[mock: status 429]]")).await;
        assert_eq!(spent.status, 429);
        let windows = json(&stage.home, &["status", "--json"])["plan_windows"].clone();
        assert_eq!(windows[0]["used_percent"], 12.0, "{windows}");
        let text = stage.home.run(&["status"], &[]).stdout;
        assert!(text.contains("spent: requests are refused until it resets in "), "{text}");

        let mut stage = Stage::on_backend(&["--heartbeat=50ms"]).await;
        let call = Call::responses(&streamed(question("hi")));
        let (mut stream, turn) = tokio::join!(stage.proxy.open(call), stage.backend.turn());
        stream.until(": keep-alive").await;
        let told =
            "\r\nx-codex-primary-used-percent: 37\r\nx-codex-primary-window-minutes: 300\r\n\r\n";
        turn.answer([STREAM.replace("\r\n\r\n", told), opening(), closing()].concat()).await;
        assert!(stream.rest().await.whole);
        let windows = json(&stage.home, &["status", "--json"])["plan_windows"].clone();
        assert_eq!(windows[0]["used_percent"], 37.0, "{windows}");

        // An answer that fails before the model speaks.
        let mut stage = Stage::on_backend(&[]).await;
        let failed = [
            STREAM.replace("\r\n\r\n", &told.replace("37", "55")).into_bytes(),
            fixture("failed_context_length"),
        ]
        .concat();
        stage.backend.always(failed);
        let reply = stage.proxy.responses(&question("hi")).await;
        assert_eq!(reply.status, 400, "{}", reply.body);
        let windows = json(&stage.home, &["status", "--json"])["plan_windows"].clone();
        assert_eq!(windows[0]["used_percent"], 55.0, "{windows}");
    });
}

#[test]
fn whoever_follows_the_log_sees_every_request_and_whoever_asks_sees_the_last_lines() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        stage.proxy.responses(&question("before")).await.fine();
        let mut follower = stage.home.godex(&["logs", "-f", "--json"]).spawn().unwrap();
        let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
        // The follower is there when the proxy logs its question's first answer.
        let found = loop {
            let reply = stage.proxy.responses(&question("hi")).await;
            let id = reply.header("x-request-id").to_owned();
            let logged = stage.home.run(&["logs", "--request", &id], &[]).stdout;
            if logged.contains(&format!("request_id={id}")) {
                break (logged, id);
            }
        };
        let (found, id) = found;
        assert!(found.contains(" INFO ") && found.contains("status=200"), "{found}");
        let line = lines.find(|it| it.as_ref().unwrap().contains(&id)).unwrap().unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["status"], &line["path"]), (&200.into(), &"/v1/responses".into()));
        follower.kill().unwrap();
        follower.wait().unwrap();

        let reply = stage.proxy.responses(&question("[[mock: once 503]]")).await;
        let logged = stage.home.run(&["logs", "--request", reply.header("x-request-id")], &[]);
        let wanted = "kind=overloaded";
        assert!(logged.stdout.contains("trying once more"), "{}", logged.stdout);
        assert!(logged.stdout.contains(wanted), "{}", logged.stdout);
    });
}

#[test]
fn a_request_that_failed_is_found_by_its_id_without_anything_switched_on() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        let good = stage.proxy.responses(&question("hi")).await;
        let about = |id: &str| stage.home.run(&["logs", "--request", id], &[]);
        let quiet = about(good.header("x-request-id"));
        assert_eq!((quiet.code, quiet.stdout.as_str()), (Some(0), ""));
        assert!(quiet.stderr.contains("--log-requests"), "{}", quiet.stderr);

        let unknown = stage.proxy.responses(&object!({"model": "nobody", "input": "x"})).await;
        let nowhere = stage.proxy.get("/v1/nowhere").await;
        for (reply, code) in [(unknown, "model_not_found"), (nowhere, "unknown_url")] {
            assert_eq!(reply.status, 404, "{}", reply.body);
            let found = about(reply.header("x-request-id")).stdout;
            assert!(
                found.contains("status=404") && found.contains(&format!("code={code}")),
                "{found}"
            );
        }
        let status = stage.home.run(&["status"], &[]).stdout;
        assert!(status.contains("404 model_not_found"), "{status}");
    });
}

#[test]
fn a_proxy_on_the_simulator_is_found_too_and_leaves_nothing() {
    let home = Home::empty();
    let temporary = tempfile::tempdir().unwrap();
    let around = [("TMPDIR", temporary.path().to_str().unwrap())];
    let serving = home.serve(&["proxy", "--mock", "--listen=:0"], &around);
    let ended = home.run(&["top", "--once", "--json"], &around);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let status: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&status["mock"], &status["listen"]), (&true.into(), &serving.address().into()));
    serving.signal("TERM");
    assert_eq!(serving.end().0.code(), Some(0));
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn of_several_proxies_the_one_that_is_named_answers() {
    let home = Home::logged_in();
    let one = home.serve(&["proxy", "--api-key=k", "--listen=:0"], &[]);
    let other = home.serve(&["proxy", "--api-key=k", "--listen=:0"], &[]);
    let ended = home.run(&["status"], &[]);
    assert_eq!(ended.code, Some(2), "{}", ended.stdout);
    for serving in [&one, &other] {
        let way = format!("--listen {}\n", serving.address());
        assert!(ended.stderr.contains(&way), "{}", ended.stderr);
    }
    for serving in [&one, &other] {
        let status = json(&home, &["status", "--json", "--listen", serving.address()]);
        assert_eq!(status["listen"], serving.address());
    }
    // One that was killed leaves its socket; the next on its port takes its place.
    one.signal("KILL");
    let address = one.address().to_owned();
    drop(one);
    assert_eq!(json(&home, &["status", "--json"])["listen"], other.address());
    let again = home.serve(&["proxy", "--api-key=k", "--listen", &address], &[]);
    assert_eq!(json(&home, &["status", "--json", "--listen", &address])["listen"], again.address());
}

#[test]
fn completions_and_manuals_come_from_the_commands() {
    let home = Home::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = home.run(&["completions", shell], &[]);
        assert_eq!(ended.code, Some(0));
        assert!(ended.stdout.contains("allow-refresh"), "{shell}");
    }
    let title = concat!(".TH GODEX 1  \"godex ", env!("CARGO_PKG_VERSION"), "\"");
    assert!(home.run(&["man"], &[]).stdout.contains(title));
    let ended = home.run(&["man", "--out", "pages"], &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for page in ["godex.1", "godex-proxy.1", "godex-proxy-keys-add.1", "godex-connect.1"] {
        let text = fs::read_to_string(home.path().join("pages").join(page)).unwrap();
        assert!(text.contains(".SH NAME"), "{page}");
    }
    assert_eq!(home.run(&["man", "--out", "/dev/null/x"], &[]).code, Some(1));
}

#[test]
fn help_has_topics_and_knows_every_variable_that_is_read() {
    let home = Home::empty();
    let codes = home.run(&["help", "exit-codes"], &[]).stdout;
    assert!(codes.contains("  4   not logged in to ChatGPT\n"), "{codes}");
    let ended = home.run(&["help", "environment"], &[]);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/surroundings.rs");
    let source = fs::read_to_string(source).unwrap();
    for name in source.split("variable(\"").skip(1).filter_map(|it| it.split('"').next()) {
        let usual = ["HOME", "TERM", "USER"].contains(&name);
        assert!(usual || ended.stdout.contains(name), "{name} in\n{}", ended.stdout);
    }
    for name in ["GODEX_PROXY_LISTEN  ", "GODEX_LOGIN_ISSUER ", "GODEX_PROXY_MOCK  "] {
        assert!(ended.stdout.contains(name), "{name} in\n{}", ended.stdout);
    }
    assert!(home.run(&["help", "proxy", "keys"], &[]).stdout.contains("Usage: godex proxy keys"));
    assert!(home.run(&["help"], &[]).stdout.contains("Usage: godex [OPTIONS] <COMMAND>"));
    assert_eq!(home.run(&["help", "nothing"], &[]).code, Some(2));
}

#[test]
fn colours_follow_the_flag_then_the_variables_then_the_terminal() {
    let home = Home::empty();
    let coloured = |arguments: &[&str], variables: &[(&str, &str)]| {
        home.run(arguments, variables).stderr.contains("\u{1b}[")
    };
    assert!(!coloured(&["proxy"], &[]));
    assert!(coloured(&["proxy", "--color=always"], &[]));
    assert!(coloured(&["--color", "always", "proxy"], &[("NO_COLOR", "1")]));
    assert!(coloured(&["proxy"], &[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&["proxy"], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(!coloured(&["proxy", "--color=never"], &[("CLICOLOR_FORCE", "1")]));
    assert_eq!(home.run(&["proxy", "--color=maybe"], &[]).code, Some(2));
}

#[test]
fn a_service_is_printed_installed_and_taken_away() {
    let home = Home::empty();
    let printed = home.run(&["service", "install", "--print", "--", "--allow-refresh"], &[]);
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    if cfg!(target_os = "macos") {
        return;
    }
    assert!(printed.stdout.contains(" proxy --allow-refresh\n"), "{}", printed.stdout);
    let unit = home.path().join(".config/systemd/user/godex.service");
    // Without a service manager nothing stays behind.
    let refused = home.run(&["service", "install"], &[("PATH", "/nowhere")]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("godex service install --print"), "{}", refused.stderr);
    assert!(!unit.exists());
    // Flags that the proxy would refuse make no unit.
    for (flags, told) in [
        (&["--allow-refesh"][..], "--allow-refresh"),
        (&["--rate=fast"], "60/m"),
        (&["--tls-cert=x.pem"], "--tls-key"),
        (&["--api-key=-"], "--api-key"),
        (&["keys", "list"], "subcommand"),
    ] {
        let ended = home.run(&[&["service", "install", "--"], flags].concat(), &[]);
        assert_eq!(ended.code, Some(2), "{flags:?}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("error: "), "{}", ended.stderr);
        assert!(ended.stderr.contains(told), "{flags:?}: {}", ended.stderr);
    }
    home.write(".config/godex/config.toml", "[proxy]\nrat = 1\n");
    assert_eq!(home.run(&["service", "install", "--print"], &[]).code, Some(78));
    // Wherever files are put, they can be written.
    home.write(".config/godex/config.toml", "[proxy]\nstats_path = '~/my logs/usage.jsonl'\n");
    let elsewhere = ["--keys-path=/srv/keys.json", "--auth-path", "own/auth.json"];
    let elsewhere =
        home.run(&[&["service", "install", "--print", "--"][..], &elsewhere].concat(), &[]);
    let open = elsewhere.stdout.lines().find(|it| it.starts_with("ReadWritePaths=")).unwrap();
    for folder in ["\"-%h/my logs\"", "-%h/own", "-/srv"] {
        assert!(open.contains(folder), "{open}");
    }
    fs::remove_dir_all(home.path().join(".config/godex")).unwrap();
    // A folder that cannot be made is told.
    home.write("file", "");
    let closed = home.run(&["service", "install", "--", "--stats-path=~/file/x.jsonl"], &[]);
    assert_eq!(closed.code, Some(78), "{}", closed.stderr);
    assert!(closed.stderr.contains("--print") && !unit.exists(), "{}", closed.stderr);
    // One that does what it is told, and notes it.
    let tool = home.write("bin/systemctl", "#!/bin/sh\necho \"$@\" >> \"$HOME/told\"\n");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/bin:/usr/bin", tool.parent().unwrap().display());
    let path = [("PATH", path.as_str())];
    assert_eq!(home.run(&["service", "status"], &path).code, Some(1));
    let installed = home.run(&["service", "install", "--", "--allow-refresh"], &path);
    assert_eq!(installed.code, Some(0), "{}", installed.stderr);
    assert_eq!(fs::read_to_string(&unit).unwrap(), printed.stdout);
    assert_eq!(home.run(&["service", "status"], &path).code, Some(0));
    assert_eq!(home.run(&["service", "uninstall"], &path).code, Some(0));
    assert!(!unit.exists());
    let told = fs::read_to_string(home.path().join("told")).unwrap();
    let expected = "--user daemon-reload\n--user enable --now godex.service\n\
                    --user --no-pager status godex.service\n--user disable --now godex.service\n";
    assert_eq!(told, expected);
}

#[test]
fn a_service_manager_is_told_when_the_proxy_is_ready() {
    let home = Home::logged_in();
    let socket = home.path().join("notify");
    let listener = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    listener.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    let around = [("NOTIFY_SOCKET", socket.to_str().unwrap())];
    let serving = home.serve(&["proxy", "--api-key=k", "--listen=:0"], &around);
    let mut said = [0; 64];
    let length = listener.recv(&mut said).unwrap();
    assert_eq!(std::str::from_utf8(&said[..length]).unwrap().trim(), "READY=1");
    serving.signal("TERM");
    let length = listener.recv(&mut said).unwrap();
    assert_eq!(std::str::from_utf8(&said[..length]).unwrap().trim(), "STOPPING=1");
}
