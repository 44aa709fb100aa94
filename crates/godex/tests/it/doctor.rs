//! `godex doctor` finds what is wrong, and what it says to type mends it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use godex_mock::{Mock, Options, TokenPolicy};
use serde_json::Value;

use crate::login::location;
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

/// Somebody at a shell on a machine: what is typed changes its files and its variables.
struct Machine {
    home: Home,
    variables: BTreeMap<String, String>,
}

impl Machine {
    fn new(variables: &[(&str, &str)]) -> Self {
        let home = Home::empty();
        let folder = Path::new(env!("CARGO_BIN_EXE_godex")).parent().unwrap().display();
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
        let own = [("PATH", path.as_str()), ("HOME", home.path().to_str().unwrap())];
        let all = own.iter().chain(variables);
        let variables =
            all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { home, variables }
    }

    /// Types a command, as it stands, and goes on in the same shell.
    fn type_in(&mut self, line: &str) {
        let script = format!("{line} && env -0 > ~/.variables");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).env_clear().envs(&self.variables);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        let mut said = BufReader::new(shell.stderr.take().unwrap());
        if line == "godex login" {
            sign_in(&mut said, shell.stdin.as_mut().unwrap());
        }
        drop(shell.stdin.take());
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        assert!(shell.wait().unwrap().success(), "{line}: {rest}");
        let variables = fs::read_to_string(self.home.path().join(".variables")).unwrap();
        let pairs = variables.split_terminator('\0').map(|it| it.split_once('=').unwrap());
        self.variables = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    }

    fn doctor(&self) -> Value {
        let output = Command::new("godex")
            .args(["doctor", "--json"])
            .env_clear()
            .envs(&self.variables)
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Types what doctor says, row by row, until it says no more; returns the rows that were
    /// mended, each of which was well right after its remedy, or showed another fault that had been
    /// behind the first one, where there is not one each.
    fn mend(&mut self, one_each: bool) -> BTreeSet<String> {
        let mut mended = BTreeSet::new();
        for _ in 0..20 {
            let found = self.doctor();
            let rows = found["checks"].as_array().unwrap();
            let ill =
                rows.iter().find(|it| ["warn", "fail"].contains(&it["status"].as_str().unwrap()));
            let Some(ill) = ill else { return mended };
            let commands = ill["commands"].as_array().unwrap();
            assert!(!commands.is_empty(), "{ill}");
            for command in commands {
                self.type_in(command.as_str().unwrap());
            }
            let id = ill["id"].as_str().unwrap();
            let again = self.doctor();
            let after = row(&again, id);
            let next = one_each || after["summary"] == ill["summary"];
            assert!(after["status"] == "ok" || !next, "{ill} and then {after}");
            mended.insert(id.to_owned());
        }
        assert!(mended.is_empty(), "there is no end to it: {:#}", self.doctor());
        mended
    }
}

/// Goes to the page that is shown, and pastes the address at which it ends.
fn sign_in(said: &mut impl BufRead, typed: &mut impl Write) {
    let mut line = String::new();
    let page = loop {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0);
        if let Some(page) = line.trim().strip_prefix("http://") {
            break page.to_owned();
        }
    };
    let (address, path) = page.split_once('/').unwrap();
    writeln!(typed, "{}", location(address, path)).unwrap();
}

/// The ids of the rows that are not well.
fn ill(document: &Value) -> BTreeSet<&str> {
    let rows = document["checks"].as_array().unwrap().iter();
    let ill = rows.filter(|it| it["status"] == "warn" || it["status"] == "fail");
    ill.map(|it| it["id"].as_str().unwrap()).collect()
}

/// A port that somebody else has.
fn taken() -> String {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    std::thread::spawn(move || while taken.accept().is_ok() {});
    listen
}

const SETTINGS: &str = ".config/godex/config.toml";

#[test]
fn eight_faults_are_found_and_what_is_said_is_typed_and_mends_them() {
    play(async {
        let mock = mock().await;
        // A proxy that is none, and one that is not there.
        let mut machine =
            Machine::new(&[("HTTPS_PROXY", "http://["), ("ALL_PROXY", "http://127.0.0.1:1")]);
        let home = &machine.home;
        // A token that has ended, in a file that everybody can read; no key.
        let login = home.write(".codex/auth.json", &mock.new_login(Duration::ZERO));
        fs::set_permissions(login, fs::Permissions::from_mode(0o644)).unwrap();
        // A usage log that cannot be written, a client that looks elsewhere, a port of another's.
        fs::create_dir_all(home.path().join(".codex/proxy-usage.jsonl")).unwrap();
        let other = "[model_providers.godex]\nbase_url = \"http://127.0.0.1:9/v1\"\n";
        home.write(".codex/config.toml", other);
        let settings =
            format!("# mine\n[proxy]\nlisten = '{}'\nbase_url = '{}'\n", taken(), mock.base_url());
        home.write(SETTINGS, &settings);
        let found = machine.doctor();
        let all = [
            "proxy-env",
            "upstream",
            "token",
            "login-mode",
            "keys",
            "usage",
            "codex",
            "port",
            "buffering",
        ];
        assert_eq!(ill(&found), BTreeSet::from(all), "{found:#}");
        assert_eq!(found["overall_status"], "fail");
        is(
            &found,
            "token",
            "fail",
            "godex config set proxy.allow_refresh true\nor sign in again: godex login",
        );
        is(&found, "login-mode", "warn", "chmod 600 ~/.codex/auth.json");
        is(&found, "proxy-env", "fail", "unset HTTPS_PROXY");

        let mended = machine.mend(true);
        let all = all.into_iter().filter(|it| *it != "buffering").map(str::to_owned);
        assert_eq!(mended, all.collect(), "who mends the proxy mends what it holds back, too");
        let settings = fs::read_to_string(machine.home.path().join(SETTINGS)).unwrap();
        assert!(settings.starts_with("# mine\n[proxy]\nlisten = "), "{settings}");
        assert!(settings.contains("allow_refresh = true\n"), "{settings}");
    });
}

#[test]
fn eight_more_faults_are_mended_by_what_is_typed() {
    play(async {
        let mock = mock().await;
        let mut machine = Machine::new(&[
            ("GODEX_LOGIN_ISSUER", &mock.issuer()),
            ("GODEX_PROXY_BASE_URL", "http://127.0.0.1:1/x"),
            ("GODEX_PROXY_LISTEN", &taken()),
        ]);
        let base = mock.base_url();
        let settings = format!(
            "[proxy]\nbase_url = '{base}'\nmodel = 'no-such'\nrat = '5/m'\nallow_any_key = true\n\
             keys_path = '~/my keys.json'\napi_key = 'hunter2'\n"
        );
        let path = machine.home.write(SETTINGS, &settings);
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        machine.home.write("my keys.json", "{");
        let found = machine.doctor();
        assert!(!found.to_string().contains("hunter2"));
        let first: BTreeSet<_> = ["config", "login", "port", "upstream", "keys"].into();
        assert_eq!(ill(&found), first, "{found:#}");
        let mended = machine.mend(false);
        let all = ["config", "keys", "login", "models", "port", "token", "upstream"];
        assert_eq!(mended, all.map(str::to_owned).into());
        let settings = fs::read_to_string(machine.home.path().join(SETTINGS)).unwrap();
        assert!(
            settings.contains("allow_any_key = false\n") && !settings.contains("rat ="),
            "{settings}"
        );
        assert!(!settings.contains("no-such"), "{settings}");
        assert!(machine.home.path().join("my keys.json.damaged").exists());
    });
}

#[test]
fn a_settings_file_that_is_named_and_not_there_is_forgotten() {
    let mut machine = Machine::new(&[
        ("GODEX_CONFIG", "/nowhere/config.toml"),
        ("GODEX_PROXY_BASE_URL", "http://127.0.0.1:1/x"),
    ]);
    let found = machine.doctor();
    is(&found, "config", "fail", "unset GODEX_CONFIG");
    machine.type_in(row(&found, "config")["commands"][0].as_str().unwrap());
    is(&machine.doctor(), "config", "ok", "");
}

#[test]
fn a_setting_of_the_command_line_is_changed_there() {
    let home = Home::logged_in();
    let listen = taken();
    let arguments = ["--offline", "--listen", &listen, "--keys-path=/nowhere/keys.json"];
    let (_, found) = rows(&home, &arguments, &[]);
    is(&found, "port", "fail", "godex proxy --listen=127.0.0.1:");
    is(
        &found,
        "keys",
        "fail",
        "godex proxy keys add --label my-laptop --keys-path=/nowhere/keys.json",
    );
    home.write("own.toml", "[proxy]\nrat = 1\n\"the burst\" = 2\n");
    let (_, found) = rows(&home, &["--offline", "--config=own.toml"], &[]);
    let unset = "godex config unset proxy.rat --config=own.toml\n\
                 godex config unset 'proxy.the burst' --config=own.toml\n";
    is(&found, "config", "fail", unset);
    home.write("own.toml", "[proxy\n");
    let (_, found) = rows(&home, &["--offline", "--config=own.toml"], &[]);
    is(&found, "config", "fail", "mv own.toml own.toml.broken");
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
fn a_client_of_a_proxy_that_runs_on_another_port_is_left_to_it() {
    let home = Home::logged_in();
    let serving = home.serve(&["proxy", "--listen=127.0.0.1:0", "--api-key=k"], &[]);
    let listen = serving.address();
    let write = ["connect", "codex", "--write", "--listen", listen];
    assert_eq!(home.run(&write, &[]).code, Some(0));
    // Nobody listens there.
    let elsewhere = ["--offline", "--listen=127.0.0.1:1"];
    let (_, found) = rows(&home, &elsewhere, &[]);
    is(&found, "codex", "ok", "");
    let detail = |id: &str| row(&found, id)["summary"].as_str().unwrap().to_owned();
    assert!(detail("codex").contains(&format!("uses the proxy on {listen}")), "{found:#}");
    assert!(detail("port").contains(&format!("a proxy of yours runs on {listen}")), "{found:#}");
    // One that asks nobody is sent to the one there is.
    let config = home.path().join(".codex/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace(listen, "127.0.0.1:2")).unwrap();
    let (_, found) = rows(&home, &elsewhere, &[]);
    is(&found, "codex", "warn", &format!("godex connect codex --write --listen={listen}"));
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

#[test]
fn a_token_that_a_running_proxy_renews_is_no_reason_to_worry() {
    play(async {
        let stage = Stage::with_login(&["--allow-refresh"]).await;
        let soon = stage.backend.mock.new_login(Duration::from_mins(30));
        stage.home.write(".codex/auth.json", &soon);
        let listen = stage.proxy.address.clone();
        let (_, found) = rows(&stage.home, &["--offline", "--listen", &listen], &[]);
        is(&found, "token", "ok", "");
        let (_, found) = rows(&stage.home, &["--offline", "--listen=127.0.0.1:1"], &[]);
        is(&found, "token", "warn", "godex config set proxy.allow_refresh true");
    });
}

#[test]
fn a_usage_log_that_is_no_file_is_left_as_it_is() {
    let (_, found) = rows(&Home::logged_in(), &["--offline", "--stats-path=/dev/null"], &[]);
    is(&found, "usage", "ok", "");
    let (_, found) = rows(&Home::logged_in(), &["--offline", "--stats-path=/proc/x.jsonl"], &[]);
    is(&found, "usage", "fail", "godex proxy --stats-path=");
}

#[test]
fn the_simulator_needs_no_login_and_is_looked_at() {
    let home = Home::empty();
    let variables = [("HTTPS_PROXY", "http://["), ("ALL_PROXY", "http://127.0.0.1:1")];
    let (code, found) = rows(&home, &["--mock", "--listen=127.0.0.1:1"], &variables);
    assert_eq!((code, &found["overall_status"]), (Some(0), &"ok".into()), "{found:#}");
    for id in ["login", "token", "keys", "usage", "upstream", "models"] {
        is(&found, id, "ok", "");
    }
    assert!(!home.path().join(".codex").exists());
    let (code, found) = rows(&home, &["--mock", "--model-alias=fast=gpt-0"], &[]);
    assert_eq!(code, Some(0), "{found:#}");
    is(&found, "aliases", "warn", "godex proxy --model-alias=fast=gpt-6.1-sol");
}
