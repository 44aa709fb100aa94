//! The settings file from outside: precedence of every setting, mistakes, and `godex config`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::Value;

use crate::program::{Ended, Home};

const PLACE: &str = ".config/godex/config.toml";

/// Three values of each setting, none of them its default, as a flag has them.
const VALUES: &[(&str, [&str; 3])] = &[
    ("proxy.listen", ["127.0.0.1:7", "127.0.0.1:8", "127.0.0.1:9"]),
    ("proxy.max_body", ["4097", "4098", "4099"]),
    ("proxy.tls_cert", ["a", "b", "c"]),
    ("proxy.tls_key", ["a", "b", "c"]),
    ("proxy.insecure_http", ["true", "false", "true"]),
    ("proxy.trusted_proxy", ["10.0.0.0/8", "::1", "10.0.0.1"]),
    ("proxy.max_connections", ["7", "8", "9"]),
    ("proxy.allowed_host", ["a.local", "b.local", "c.local"]),
    ("proxy.cors_origin", ["https://a.b", "https://c.d", "https://e.f"]),
    ("proxy.heartbeat", ["7s", "8s", "9s"]),
    ("proxy.drain_timeout", ["7s", "8s", "9s"]),
    ("proxy.workers", ["7", "8", "9"]),
    ("proxy.api_key_file", ["a", "b", "c"]),
    ("proxy.allow_any_key", ["true", "false", "true"]),
    ("proxy.insecure_any_key", ["true", "false", "true"]),
    ("proxy.keys_path", ["/a", "/b", "/c"]),
    ("proxy.rate", ["7/h", "8/h", "9/h"]),
    ("proxy.burst", ["7", "8", "9"]),
    ("proxy.quota_tokens", ["7", "8", "9"]),
    ("proxy.stats_path", ["/a", "/b", "/c"]),
    ("proxy.stats_max_bytes", ["7MiB", "8MiB", "9MiB"]),
    ("proxy.stats_max_backups", ["7", "8", "9"]),
    ("proxy.model", ["a", "b", "c"]),
    ("proxy.model_alias", ["a=x", "b=x", "c=x"]),
    ("proxy.instructions", ["a", "b", "c"]),
    ("proxy.reasoning_mode", ["think", "off", "think"]),
    ("proxy.cache_ttl", ["7h", "8h", "9h"]),
    ("proxy.mock", ["true", "false", "true"]),
    ("proxy.base_url", ["https://a.b", "https://c.d", "https://e.f"]),
    ("proxy.auth_path", ["/a", "/b", "/c"]),
    ("proxy.allow_refresh", ["true", "false", "true"]),
    ("proxy.user_agent", ["a", "b", "c"]),
    ("proxy.originator", ["a", "b", "c"]),
    ("proxy.connect_timeout", ["7s", "8s", "9s"]),
    ("proxy.upstream_header_timeout", ["7s", "8s", "9s"]),
    ("proxy.upstream_idle_timeout", ["7s", "8s", "9s"]),
    ("proxy.log_level", ["warn", "error", "debug"]),
    ("proxy.log_format", ["json", "human", "json"]),
    ("proxy.log_requests", ["true", "false", "true"]),
    ("login.issuer", ["https://a.b", "https://c.d", "https://e.f"]),
];

/// The settings as `config show --json` tells them.
fn shown(home: &Home, arguments: &[&str], variables: &[(&str, &str)]) -> BTreeMap<String, Value> {
    let ended = home.run(&[&["config", "show", "--json"], arguments].concat(), variables);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(document["schema_version"], 1);
    let all = document["settings"].as_array().unwrap().iter();
    all.map(|it| (it["key"].as_str().unwrap().to_owned(), it.clone())).collect()
}

/// A settings file with one setting of each kind of value: numbers and switches have no quotes.
fn in_a_file(key: &str, text: &str) -> String {
    let (table, name) = key.split_once('.').unwrap();
    let bare = text.parse::<u64>().is_ok() || text == "true" || text == "false";
    if bare {
        format!("[{table}]\n{name} = {text}\n")
    } else {
        format!("[{table}]\n{name} = '{text}'\n")
    }
}

#[test]
fn every_setting_is_a_flag_a_variable_and_a_key_and_the_closest_one_counts() {
    let home = Home::empty();
    let plain = shown(&home, &[], &[]);
    let known: Vec<_> =
        plain.keys().filter(|it| !["color", "proxy.api_key"].contains(&it.as_str())).collect();
    let mut tested: Vec<_> = VALUES.iter().map(|(key, _)| *key).collect();
    tested.sort_unstable();
    assert_eq!(known, tested);
    for (key, [by_flag, by_variable, by_file]) in VALUES {
        let flag = format!("{}={by_flag}", plain[*key]["flag"].as_str().unwrap());
        let name = plain[*key]["variable"].as_str().unwrap().to_owned();
        let variable = [(name.as_str(), *by_variable)];
        let alone = |text: &str| {
            let flag = format!("{}={text}", plain[*key]["flag"].as_str().unwrap());
            shown(&home, &[&flag], &[])[*key]["value"].clone()
        };
        let texts = [alone(by_flag), alone(by_variable), alone(by_file)];
        assert_ne!(plain[*key]["value"], texts[0], "{key}");
        home.write(PLACE, &in_a_file(key, by_file));
        let check =
            |arguments: &[&str], variables: &[(&str, &str)], origin: &str, value: &Value| {
                let found = &shown(&home, arguments, variables)[*key];
                assert_eq!((&found["origin"], &found["value"]), (&origin.into(), value), "{found}");
            };
        check(&[], &[], "file", &texts[2]);
        check(&[], &[(&name, "")], "file", &texts[2]);
        check(&[], &variable, "environment", &texts[1]);
        check(&[&flag], &variable, "flag", &texts[0]);
        check(&[&flag], &[], "flag", &texts[0]);
        fs::remove_file(home.path().join(PLACE)).unwrap();
        check(&[], &variable, "environment", &texts[1]);
        check(&[], &[], "default", &plain[*key]["value"]);
    }
}

#[test]
fn every_command_that_has_a_setting_takes_it_from_the_file() {
    let home = Home::empty();
    let keys = home.path().join("elsewhere/keys.json");
    let text = "color = 'always'\n[proxy]\nkeys_path = '~/elsewhere/keys.json'\n\
                stats_path = '~/elsewhere/usage.jsonl'\nauth_path = '~/elsewhere/auth.json'\n\
                listen = '127.0.0.1:7'\nmodel = 'gpt-5.5'\n";
    home.write(PLACE, text);
    fs::create_dir(home.path().join("elsewhere")).unwrap();
    assert_eq!(home.run(&["proxy", "keys", "add", "--label=x"], &[]).code, Some(0));
    assert!(keys.exists());
    let listed = home.run(&["proxy", "keys", "list"], &[]).stdout;
    assert!(listed.contains("\u{1b}[") && listed.contains(" x "), "{listed}");
    let plain = home.run(&["proxy", "keys", "list"], &[("NO_COLOR", "1")]).stdout;
    assert!(!plain.contains('\u{1b}'), "{plain}");
    assert!(!home.run(&["proxy", "keys", "list", "--color=never"], &[]).stdout.contains('\u{1b}'));
    assert!(!home.run(&["proxy", "keys", "list", "--color=auto"], &[]).stdout.contains('\u{1b}'));
    let said = |arguments: &[&str]| {
        let Ended { stdout, stderr, .. } = home.run(arguments, &[]);
        stdout + &stderr
    };
    assert!(said(&["status"]).contains("127.0.0.1:7"));
    assert!(said(&["top"]).contains("127.0.0.1:7"));
    assert!(said(&["logs"]).contains("127.0.0.1:7"));
    assert!(said(&["login", "status"]).contains("elsewhere/auth.json"));
    assert!(said(&["logout"]).contains("elsewhere/auth.json"));
    assert!(said(&["proxy"]).contains("elsewhere/auth.json"));
    assert!(said(&["doctor", "--offline"]).contains("elsewhere/keys.json"));
    assert!(said(&["connect", "python"]).contains("127.0.0.1:7"));
    assert!(said(&["connect", "python"]).contains("gpt-5.5"));
    assert!(said(&["connect", "codex", "--write"]).contains("codex now uses gpt-5.5"));
    assert!(fs::read_to_string(&keys).unwrap().contains("\"codex\""));
    fs::write(home.path().join("elsewhere/usage.jsonl"), "no record\n").unwrap();
    assert!(said(&["proxy", "usage", "list"]).contains("1 line of the log is no record"));
}

#[test]
fn a_mistake_is_shown_where_it_is_and_nothing_is_served() {
    let home = Home::logged_in();
    let path = home.write(PLACE, "[proxy]\nburst = 20\nrate = \"60/d\"\nlisten_at = \":1\"\n");
    let ended = home.run(&["proxy", "--api-key=k"], &[]);
    let expected = format!(
        "error: {path}:3:8: `rate` is refused: `60/d` is not a rate
    |
  3 | rate = \"60/d\"
    |        ^^^^^^
  help:  write a number, a slash and one of s, m, h, like `60/m`
         see 1 more: godex config check {path}
",
        path = path.display()
    );
    assert_eq!((ended.code, ended.stderr), (Some(78), expected));
    let ended = home.run(&["config", "check"], &[]);
    assert_eq!(ended.code, Some(78));
    assert!(ended.stderr.contains(":4:1: there is no setting `listen_at` in [proxy]"));
    assert!(ended.stderr.contains("  help:  did you mean listen?\n"), "{}", ended.stderr);
    for arguments in
        [&["status"][..], &["proxy", "keys", "list"], &["login", "status"], &["config", "show"]]
    {
        assert_eq!(home.run(arguments, &[]).code, Some(78), "{arguments:?}");
    }
    for arguments in [
        &["--help"][..],
        &["proxy", "--help"],
        &["config", "init", "--print"],
        &["completions", "bash"],
    ] {
        assert_eq!(home.run(arguments, &[]).code, Some(0), "{arguments:?}");
    }
    let doctor = home.run(&["doctor", "--offline"], &[]);
    assert!(doctor.stdout.contains("✗ config"), "{}", doctor.stdout);
    let document = home.run(&["config", "check", "--json"], &[]);
    assert_eq!(document.code, Some(78));
    let document: Value = serde_json::from_str(&document.stdout).unwrap();
    assert_eq!((&document["ok"], &document["exists"]), (&false.into(), &true.into()));
    assert_eq!(document["problems"][1]["line"], 4);
    // Another file, or none, is read instead.
    let other = home.write("other.toml", "[proxy]\nburst = 20\n");
    let other = other.to_str().unwrap();
    let ended = home.run(&["proxy", "--config", other], &[]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert_eq!(home.run(&["config", "check", other], &[]).code, Some(0));
    assert_eq!(home.run(&["proxy", "keys", "list"], &[("GODEX_CONFIG", other)]).code, Some(0));
    assert_eq!(home.run(&["--config=/dev/null", "proxy", "keys", "list"], &[]).code, Some(0));
    let ended = home.run(&["proxy", "--config=nowhere.toml"], &[("GODEX_CONFIG", other)]);
    assert_eq!(ended.code, Some(78));
    assert!(ended.stderr.starts_with("error: cannot read the settings file nowhere.toml\n"));
    let twice = home.run(&["--config", other, "proxy", "--config=/dev/null"], &[]);
    assert_eq!(twice.code, Some(2), "{}", twice.stderr);
}

#[test]
fn settings_that_do_not_go_together_are_found_before_they_are_used() {
    let home = Home::logged_in();
    home.write(PLACE, "[proxy]\nlisten = '0.0.0.0:1'\n");
    let ended = home.run(&["config", "check"], &[]);
    assert_eq!(ended.code, Some(78));
    assert!(ended.stderr.contains("in the clear"), "{}", ended.stderr);
    home.write(PLACE, "[proxy]\ntls_cert = 'cert.pem'\n");
    let ended = home.run(&["proxy"], &[]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.starts_with("error: --tls-cert is given without --tls-key\n"));
}

#[test]
fn a_new_file_has_every_setting_is_in_order_and_is_not_written_over() {
    let home = Home::empty();
    let ended = home.run(&["config", "init"], &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let path = home.path().join(PLACE);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(home.run(&["config", "init", "--print"], &[]).stdout, text);
    let named = home.run(&["--config", "x.toml", "config", "init"], &[]);
    assert!(named.stderr.contains("godex config check --config=x.toml\n"), "{}", named.stderr);
    assert!(home.run(&["config", "check"], &[]).stderr.contains("in order: 0 settings"));
    fs::write(&path, "color = 'never'\n").unwrap();
    let again = home.run(&["config", "init"], &[]);
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    assert_eq!(fs::read_to_string(&path).unwrap(), "color = 'never'\n");

    // What is commented out are the defaults: without the comments nothing changes.
    let plain = shown(&Home::empty(), &[], &[]);
    let open = |line: &str| match line.strip_prefix("# ") {
        Some(setting) if setting.contains(" = ") && !setting.contains('`') => setting.to_owned(),
        Some(_) | None => line.to_owned(),
    };
    let made_up = ["api_key", "tls_", "user_agent", "auth_path"];
    let lines =
        text.lines().map(open).filter(|it| made_up.iter().all(|name| !it.starts_with(name)));
    home.write(PLACE, &lines.collect::<Vec<_>>().join("\n"));
    let open = shown(&home, &[], &[]);
    assert_eq!(plain.len(), open.len());
    for (key, row) in &open {
        // Of a path, the name counts: the folder is another home's.
        let name =
            |row: &Value| row["value"].to_string().rsplit("/.codex/").next().unwrap().to_owned();
        assert_eq!(name(row), name(&plain[key]), "{key}");
    }
    assert!(open.values().filter(|it| it["origin"] == "file").count() > 35);
}

#[test]
fn what_is_shown_is_a_settings_file_without_the_key() {
    let home = Home::empty();
    home.write(PLACE, "[proxy]\napi_key = 'hunter2'\nrate = '7/h'\n");
    let ended =
        home.run(&["config", "show", "--origin", "--burst=20"], &[("GODEX_PROXY_MODEL", "m")]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!(ended.stdout.clone() + &ended.stderr).contains("hunter2"), "{}", ended.stdout);
    let line = |start: &str| {
        let found = ended.stdout.lines().find(|it| it.starts_with(start));
        found.unwrap_or_else(|| panic!("no {start} in {}", ended.stdout)).to_owned()
    };
    assert!(line("rate = \"7/h\"").ends_with("# file, line 3"));
    assert!(line("burst = 20").ends_with("# flag --burst"));
    assert!(line("model = \"m\"").ends_with("# variable GODEX_PROXY_MODEL"));
    assert!(line("heartbeat = \"15s\"").ends_with("# default"));
    assert!(line("# api_key is set, and not shown").ends_with("# file, line 2"));
    assert!(ended.stderr.contains("warning: others can read"), "{}", ended.stderr);
    let again = Home::empty();
    again.write(PLACE, &ended.stdout);
    assert_eq!(again.run(&["config", "check"], &[]).code, Some(0));
    assert_eq!(shown(&again, &[], &[])["proxy.rate"]["value"], "7/h");
    let hidden = &shown(&home, &[], &[])["proxy.api_key"];
    assert_eq!((&hidden["value"], &hidden["hidden"]), (&Value::Null, &true.into()));
    let key = ["--base-url=https://ann:hunter2@example.com", "--api-key=hunter2"];
    let ended = home.run(&[&["config", "show"][..], &key].concat(), &[]);
    assert!(!ended.stdout.contains("hunter2"), "{}", ended.stdout);
}

#[test]
fn a_key_in_a_file_that_others_can_read_serves_with_a_warning() {
    let home = Home::logged_in();
    let path = home.write(PLACE, "[proxy]\napi_key = 'hunter2'\nlisten = '127.0.0.1:0'\n");
    let warned = |mode: u32| {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let serving = home.serve(&["proxy"], &[]);
        assert!(serving.banner.contains("the key of --api-key"), "{}", serving.banner);
        serving.signal("TERM");
        let banner = serving.banner.clone();
        let said = banner + &serving.end().1;
        assert!(!said.contains("hunter2"), "{said}");
        said.contains(&format!("chmod 600 {}", path.display()))
    };
    assert!(warned(0o644));
    assert!(!warned(0o600));
}

#[test]
fn help_shows_the_defaults_and_no_key_of_a_file() {
    let home = Home::empty();
    home.write(PLACE, "[proxy]\napi_key = 'hunter2'\nrate = '7/h'\n");
    for arguments in [&["proxy", "--help"][..], &["help", "proxy"], &["help", "environment"]] {
        let ended = home.run(arguments, &[]);
        assert_eq!(ended.code, Some(0));
        assert!(!ended.stdout.contains("hunter2") && !ended.stdout.contains("7/h"));
    }
    let wrong = home.run(&["proxy", "--ratte=1"], &[]);
    assert!(!wrong.stderr.contains("hunter2"), "{}", wrong.stderr);
}

#[test]
fn a_proxy_serves_as_its_file_says() {
    let home = Home::logged_in();
    let text = "[proxy]\nlisten = '127.0.0.1:0'\napi_key = 'local-dev-key'\nmax_body = '1KiB'\n";
    let path = home.write("own.toml", text);
    let serving = home.serve(&["proxy"], &[("GODEX_CONFIG", path.to_str().unwrap())]);
    let mut socket = TcpStream::connect(serving.address()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(
        socket,
        "POST /v1/responses HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer local-dev-key\r\n\
         connection: close\r\ncontent-length: 2000\r\n\r\n",
        serving.address()
    )
    .unwrap();
    let mut answer = [0; 13];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413 ");
}

#[test]
fn one_setting_is_changed_and_the_rest_of_the_file_stays() {
    let home = Home::empty();
    let path = home.path().join(PLACE);
    let typed = |arguments: &[&str]| {
        let ended = home.run(&[&["config"], arguments].concat(), &[]);
        (ended.code, ended.stderr)
    };
    assert_eq!(typed(&["set", "proxy.rate", "5/m"]).0, Some(0));
    assert_eq!(fs::read_to_string(&path).unwrap(), "[proxy]\nrate = \"5/m\"\n");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    home.write(
        PLACE,
        "# top\ncolor = 'never' # mine\n\n[proxy] # here\n# rate\nrate = '5/m' # slow\n\n[login]\n",
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    for words in [
        &["set", "rate", "7/m"][..],
        &["set", "proxy.burst", "20"],
        &["set", "proxy.max_body", "64MiB"],
        &["set", "proxy.allow_refresh", "yes"],
        &["set", "proxy.model_alias", "a=b", "c=d"],
        &["set", "color", "auto"],
        &["unset", "login"],
    ] {
        assert_eq!(typed(words).0, Some(0), "{words:?}");
    }
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "# top\ncolor = \"auto\" # mine\n\n[proxy] # here\n# rate\nrate = \"7/m\" # slow\nburst = 20\n\
         max_body = \"64MiB\"\nallow_refresh = true\nmodel_alias = [\"a=b\", \"c=d\"]\n"
    );
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(typed(&["check"]).0, Some(0));
    let before = fs::read_to_string(&path).unwrap();
    for (words, code, said) in [
        (&["set", "proxy.rate", "-1/m"][..], 2, "like `60/m`"),
        (&["set", "proxy.rate", "1/m", "2/m"], 2, "there are 2 values"),
        (&["set", "proxy.rte", "1/m"], 2, "did you mean proxy.rate?"),
        (&["set", "proxy.burst", "many"], 2, "like `10`"),
        (&["set", "gxk_hunter2", "1"], 2, "there is no setting `gxk_…`"),
        (&["set", "api_key", "hunter 2"], 2, "without spaces"),
        (&["unset", "proxy.model"], 1, "proxy.model is not set"),
    ] {
        let (found, stderr) = typed(words);
        assert_eq!(found, Some(code), "{words:?}: {stderr}");
        assert!(stderr.contains(said) && !stderr.contains("hunter"), "{stderr}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    home.write(PLACE, "[proxy\n");
    let (code, stderr) = typed(&["set", "proxy.rate", "1/m"]);
    assert_eq!(code, Some(78), "{stderr}");
    assert!(stderr.contains("godex config check"), "{stderr}");
}

#[test]
fn the_reference_of_the_settings_is_what_the_table_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let current = godex::cli::configuration();
    if std::env::var_os("UPDATE").is_some_and(|it| !it.is_empty()) {
        fs::write(path, &current).unwrap();
    }
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == current,
        "docs/configuration.md is old: UPDATE=1 cargo test -p godex --test it settings"
    );
    let example = current.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let home = Home::empty();
    home.write(PLACE, example);
    let ended = home.run(&["config", "check"], &[]);
    assert!(ended.stderr.contains("in order: 7 settings"), "{}", ended.stderr);
}
