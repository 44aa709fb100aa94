//! The command line: settings from flags and variables, refusals, exit codes, help.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::program::{Ended, Home};

/// Every flag with a judged value: flag, variable, a good value, a bad one, the remedy.
const VALUES: &[(&str, &str, &str, &str, &str)] = &[
    ("--listen", "GODEX_PROXY_LISTEN", "127.0.0.1:0", "here", "like 127.0.0.1:39001"),
    ("--model", "GODEX_PROXY_MODEL", "gpt-5", "two words", "write one plain word"),
    (
        "--base-url",
        "GODEX_PROXY_BASE_URL",
        "http://[::1]:1/x",
        "http://example.com",
        "like https://",
    ),
    ("--cache-ttl", "GODEX_PROXY_CACHE_TTL", "90m", "6", "like 30s, 15m or 6h"),
    ("--log-level", "GODEX_PROXY_LOG_LEVEL", "warn", "loud", "one of debug, info, warn, error"),
    ("--rate", "GODEX_PROXY_RATE", "120/h", "60/d", "like `60/m`"),
    ("--burst", "GODEX_PROXY_BURST", "20", "0", "like `10`"),
    ("--quota-tokens", "GODEX_PROXY_QUOTA_TOKENS", "1000000", "1e6", "like 1000000"),
    ("--stats-max-bytes", "GODEX_PROXY_STATS_MAX_BYTES", "0", "1GB", "like 64MiB"),
    ("--stats-max-backups", "GODEX_PROXY_STATS_MAX_BACKUPS", "0", "1001", "from 0 to 1000"),
    ("--allow-any-key", "GODEX_PROXY_ALLOW_ANY_KEY", "1", "maybe", "true or false"),
    ("--allow-refresh", "GODEX_PROXY_ALLOW_REFRESH", "yes", "maybe", "true or false"),
    ("--log-requests", "GODEX_PROXY_LOG_REQUESTS", "on", "maybe", "true or false"),
    ("--mock", "GODEX_PROXY_MOCK", "false", "maybe", "true or false"),
    ("--log-format", "GODEX_PROXY_LOG_FORMAT", "human", "xml", "one of auto, human, json"),
    ("--max-body", "GODEX_PROXY_MAX_BODY", "10MiB", "10MB", "like 64MiB"),
    ("--insecure-http", "GODEX_PROXY_INSECURE_HTTP", "yes", "maybe", "true or false"),
    ("--insecure-any-key", "GODEX_PROXY_INSECURE_ANY_KEY", "yes", "maybe", "true or false"),
    ("--trusted-proxy", "GODEX_PROXY_TRUSTED_PROXY", "10.0.0.0/8,::1", "10/8", "like 10.0.0.0/8"),
    ("--max-connections", "GODEX_PROXY_MAX_CONNECTIONS", "5", "0", "like 10000"),
    ("--allowed-host", "GODEX_PROXY_ALLOWED_HOST", "a.local,[::2]", "a:80", "like proxy.local"),
    ("--cors-origin", "GODEX_PROXY_CORS_ORIGIN", "https://a.b,x://y", "*", "like https://chat"),
    ("--heartbeat", "GODEX_PROXY_HEARTBEAT", "0s", "often", "like 30s, 15m or 6h"),
    ("--drain-timeout", "GODEX_PROXY_DRAIN_TIMEOUT", "1s", "-1s", "like 30s, 15m or 6h"),
    ("--workers", "GODEX_PROXY_WORKERS", "4", "0", "like 2"),
    ("--connect-timeout", "GODEX_PROXY_CONNECT_TIMEOUT", "1s", "0s", "like 10s or 2m"),
    ("--upstream-header-timeout", "GODEX_PROXY_UPSTREAM_HEADER_TIMEOUT", "1m", "0s", "like 10s"),
    ("--upstream-idle-timeout", "GODEX_PROXY_UPSTREAM_IDLE_TIMEOUT", "1m", "5", "like 30s"),
    ("--user-agent", "GODEX_PROXY_USER_AGENT", "codex/1 (x)", "a\nb", "one line of plain ASCII"),
    ("--originator", "GODEX_PROXY_ORIGINATOR", "codex_exec", "ü", "one line of plain ASCII"),
    ("--model-alias", "GODEX_PROXY_MODEL_ALIAS", "a=b,c=d", "a", "FROM=TO"),
    ("--reasoning-mode", "GODEX_PROXY_REASONING_MODE", "think", "loud", "one of reasoning_content"),
    ("--instructions", "GODEX_PROXY_INSTRUCTIONS", "Be brief.", " ", "write a text"),
    (
        "--api-key",
        "GODEX_PROXY_API_KEY",
        "local-dev-key",
        "hunter 2",
        "like --api-key local-dev-key",
    ),
];

/// Settings that are in order end here, in a home where nobody is logged in.
const IN_ORDER: i32 = 4;
const REFUSED: i32 = 2;

#[test]
fn a_flag_wins_over_its_variable_and_a_bad_value_is_refused_wherever_it_is() {
    let home = Home::empty();
    let check = |arguments: &[&str], variables: &[(&str, &str)], expected: i32| {
        let ended = home.run(&[&["proxy"], arguments].concat(), variables);
        assert_eq!(ended.code, Some(expected), "{arguments:?} {variables:?}\n{}", ended.stderr);
        assert!(ended.stdout.is_empty());
        ended.stderr
    };
    for (flag, variable, good, bad, remedy) in VALUES {
        let (good_flag, bad_flag) = (format!("{flag}={good}"), format!("{flag}={bad}"));
        check(&[&good_flag], &[], IN_ORDER);
        check(&[], &[(variable, good)], IN_ORDER);
        check(&[], &[(variable, "")], IN_ORDER);
        check(&[&good_flag], &[(variable, bad)], IN_ORDER);
        let from_flag = check(&[&bad_flag], &[(variable, good)], REFUSED);
        assert!(from_flag.contains(flag) && from_flag.contains(remedy), "{from_flag}");
        let from_variable = check(&[], &[(variable, bad)], REFUSED);
        assert!(from_variable.contains(flag) && from_variable.contains(remedy), "{from_variable}");
    }
}

#[test]
fn a_refusal_says_what_why_and_the_remedy() {
    let home = Home::empty();
    let said = |arguments: &[&str], variables: &[(&str, &str)]| {
        home.run(&[&["proxy"], arguments].concat(), variables).stderr
    };
    insta::assert_snapshot!(said(&["--rate", "60/d"], &[]), @r"
    error: invalid value `60/d` for --rate
      cause: `60/d` is not a rate
      help:  write a number, a slash and one of s, m, h, like `60/m`
    ");
    insta::assert_snapshot!(said(&[], &[("GODEX_PROXY_CACHE_TTL", "6")]), @r"
    error: invalid value `6` for the variable GODEX_PROXY_CACHE_TTL (--cache-ttl)
      cause: it is not a duration
      help:  write a number and a unit, like 30s, 15m or 6h
    ");
    insta::assert_snapshot!(said(&["--log-level", "loud"], &[]), @r"
    error: invalid value `loud` for --log-level
      cause: it is none of the values it can have
      help:  write one of debug, info, warn, error
    ");
    insta::assert_snapshot!(said(&["--allow-any-key", "--listen", "0.0.0.0:0"], &[]), @r"
    error: --allow-any-key on 0.0.0.0:0 would let the whole network use your ChatGPT account
      help:  listen on loopback, --listen 127.0.0.1:39001, or require keys, --allow-any-key=false; if everybody shall get in, --insecure-any-key
    ");
    insta::assert_snapshot!(said(&["--allow-any-key", "false"], &[]), @r"
    error: unrecognized subcommand 'false'
      help:  a switch has its value after an equals sign: --allow-any-key=false
             Usage: godex proxy [OPTIONS] [COMMAND]
             For more information, try '--help'.
    ");
    insta::assert_snapshot!(said(&["--lisen", ":1"], &[]), @r"
    error: unexpected argument '--lisen' found
      help:  a similar argument exists: '--listen'
             Usage: godex proxy --listen <ADDR>
             For more information, try '--help'.
    ");
}

#[test]
fn a_number_below_zero_is_refused_in_the_words_of_its_flag() {
    let home = Home::empty();
    let check = |arguments: &[&str], what: &str, remedy: &str| {
        let ended = home.run(arguments, &[]);
        assert_eq!(ended.code, Some(REFUSED), "{arguments:?}: {}", ended.stderr);
        assert!(
            ended.stderr.starts_with(&format!("error: invalid value `{what}\n")),
            "{}",
            ended.stderr
        );
        assert!(ended.stderr.contains(remedy), "{}", ended.stderr);
    };
    check(&["proxy", "--rate", "-1/m"], "-1/m` for --rate", "like `60/m`");
    check(&["proxy", "--burst", "-5", "--mock"], "-5` for --burst", "like `10`");
    check(&["proxy", "--quota-tokens", "-1"], "-1` for --quota-tokens", "like 1000000");
    check(&["proxy", "--max-body", "-1MiB"], "-1MiB` for --max-body", "like 64MiB");
    check(&["proxy", "--heartbeat", "-1s"], "-1s` for --heartbeat", "like 30s");
    check(&["proxy", "--workers", "-.5"], "-.5` for --workers", "like 2");
    check(&["proxy", "keys", "add", "--rate", "-1/m"], "-1/m` for --rate", "like `60/m`");
    check(&["proxy", "usage", "list", "--since", "-1h"], "-1h` for --since", "like 24h");
    assert_eq!(home.run(&["proxy", "keys", "revoke", "--", "-1"], &[]).code, Some(REFUSED));
    assert!(home.run(&["proxy", "-1"], &[]).stderr.contains("unexpected argument '-1'"));
}

#[test]
fn no_refusal_and_no_help_repeats_a_secret() {
    let home = Home::empty();
    let secret = "gxk_hunter2hunter2hunter2";
    let check = |arguments: &[&str], variables: &[(&str, &str)], expected: i32| {
        let Ended { code, stdout, stderr } = home.run(arguments, variables);
        assert_eq!(code, Some(expected), "{arguments:?}: {stderr}");
        assert!(!(stdout + &stderr).contains("hunter"), "{arguments:?} {variables:?}");
    };
    let spaced = format!("{secret} {secret}");
    check(&["proxy", "--api-key", &spaced], &[], REFUSED);
    check(&["proxy"], &[("GODEX_PROXY_API_KEY", &spaced)], REFUSED);
    check(&["proxy", secret], &[], REFUSED);
    check(&[secret], &[], REFUSED);
    check(&["proxy", "--api-key", "a", secret], &[], REFUSED);
    check(&["proxy", "--allow-any-key", secret], &[], REFUSED);
    check(&["proxy", "--apikey", secret], &[], REFUSED);
    check(&["proxy", &format!("--apikey={secret}")], &[], REFUSED);
    check(&["proxy", "--rate", secret], &[], REFUSED);
    check(&["proxy"], &[("GODEX_PROXY_ALLOW_ANY_KEY", secret)], REFUSED);
    check(&["proxy", "--base-url", "https://ann:hunter2@example.com"], &[], REFUSED);
    check(&["proxy"], &[("GODEX_PROXY_BASE_URL", "https://ann:hunter2@example.com")], REFUSED);
    let set = [("GODEX_PROXY_API_KEY", secret), ("GODEX_PROXY_BASE_URL", "http://hunter2")];
    check(&["proxy", "--help"], &set, 0);
    check(&["proxy", "-h"], &set, 0);
    check(&["help", "proxy"], &set, 0);
    assert_eq!(home.run_with_input(&["proxy", "--api-key", "-"], "hunter 2\n").code, Some(REFUSED));
    assert!(!home.run_with_input(&["proxy", "--api-key=-"], "hunter 2").stderr.contains("hunter"));
}

#[test]
fn help_lists_every_flag_of_the_documentation_with_its_variable_and_default() {
    let help = Home::empty().run(&["proxy", "--help"], &[]).stdout;
    let check = |flag: &str, variable: &str, default: &str| {
        let from = help.find(&format!("\n      {flag}")).unwrap_or_else(|| panic!("no {flag}"));
        let entry = help[from + 7..].split("\n      --").next().unwrap();
        assert!(entry.contains(&format!("[env: {variable}]")), "{entry}");
        assert!(entry.contains(default), "{entry}");
    };
    check("--listen", "GODEX_PROXY_LISTEN", "[default: 127.0.0.1:39001]");
    check("--api-key", "GODEX_PROXY_API_KEY", "[required without managed keys]");
    check("--allow-any-key", "GODEX_PROXY_ALLOW_ANY_KEY", "[default: false]");
    check("--model", "GODEX_PROXY_MODEL", "[default: gpt-5.2-codex]");
    let backend = "[default: https://chatgpt.com/backend-api/codex]";
    check("--base-url", "GODEX_PROXY_BASE_URL", backend);
    check("--allow-refresh", "GODEX_PROXY_ALLOW_REFRESH", "[default: false]");
    check("--auth-path", "GODEX_PROXY_AUTH_PATH", "[default: ~/.codex/auth.json]");
    check("--cache-ttl", "GODEX_PROXY_CACHE_TTL", "[default: 6h]");
    check("--log-level", "GODEX_PROXY_LOG_LEVEL", "[default: info]");
    check("--log-requests", "GODEX_PROXY_LOG_REQUESTS", "[default: false]");
    check("--keys-path", "GODEX_PROXY_KEYS_PATH", "[default: ~/.codex/proxy-keys.json]");
    check("--rate", "GODEX_PROXY_RATE", "[default: 60/m]");
    check("--burst", "GODEX_PROXY_BURST", "[default: 10]");
    check("--quota-tokens", "GODEX_PROXY_QUOTA_TOKENS", "[default: 0]");
    check("--stats-path", "GODEX_PROXY_STATS_PATH", "[default: ~/.codex/proxy-usage.jsonl]");
    check("--stats-max-bytes", "GODEX_PROXY_STATS_MAX_BYTES", "[default: 256MiB]");
    check("--stats-max-backups", "GODEX_PROXY_STATS_MAX_BACKUPS", "[default: 4]");
}

#[test]
fn the_reference_of_the_commands_is_what_the_program_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
    let current = godex::cli::reference();
    if std::env::var_os("UPDATE").is_some_and(|it| !it.is_empty()) {
        std::fs::write(path, &current).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == current, "docs/cli.md is old: UPDATE=1 cargo test -p godex --test it cli");
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let home = Home::empty();
    for arguments in [&["--help"][..], &["proxy", "--help"], &["--version"], &["help"]] {
        let mut child = home.godex(arguments).spawn().unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{arguments:?}");
        assert!(ended.stderr.is_empty());
    }
    let mut child = home.godex(&["proxy", "--help"]).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "Serve the OpenAI API from your ChatGPT account\n");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
}

#[test]
fn a_closed_standard_error_changes_no_exit_code() {
    let mut child = Home::empty().godex(&["proxy", "--rate", "x"]).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(REFUSED));
}

#[test]
fn the_version_names_the_platform() {
    let ended = Home::empty().run(&["--version"], &[]);
    let platform = format!("({}-{})", std::env::consts::OS, std::env::consts::ARCH);
    let expected = format!("godex {} {platform}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((ended.code, ended.stdout), (Some(0), expected));
}

#[test]
fn nothing_to_do_shows_what_there_is() {
    let ended = Home::empty().run(&[], &[]);
    assert_eq!(ended.code, Some(REFUSED));
    assert!(ended.stderr.contains("Usage: godex [OPTIONS] <COMMAND>"), "{}", ended.stderr);
    assert!(ended.stderr.contains("  78  a file cannot be read, written or understood"));
}

#[test]
fn a_ready_proxy_says_where_it_listens_and_no_key() {
    let home = Home::logged_in();
    let check = |arguments: &[&str], variables: &[(&str, &str)], access: &str, backend: &str| {
        let arguments = [&["proxy", "--listen", "localhost:0"], arguments].concat();
        let serving = home.serve(&arguments, variables);
        assert!(serving.banner.contains(access), "{}", serving.banner);
        assert!(serving.banner.contains(&format!("  backend     {backend}\n")));
        assert!(!serving.banner.contains("hunter2"));
        serving.signal("TERM");
        let (status, rest) = serving.end();
        assert_eq!(status.code(), Some(0), "{rest}");
        assert!(!rest.contains("hunter2"));
    };
    let (usual, key) =
        ("https://chatgpt.com/backend-api/codex", [("GODEX_PROXY_API_KEY", "hunter2")]);
    check(&[], &key, "the key of --api-key", usual);
    check(&["--allow-any-key=false"], &key, "the key of --api-key", usual);
    check(&["--allow-any-key"], &[], "any bearer token", usual);
    check(&[], &[("GODEX_PROXY_ALLOW_ANY_KEY", "1")], "any bearer token", usual);
    let own = home.write("key", "hunter2\n");
    let own = own.to_str().unwrap();
    check(&["--api-key-file", own], &key, "the key of --api-key", usual);
    check(&["--base-url=http://127.0.0.1:9/x/"], &key, "the key of", "http://127.0.0.1:9/x");
    let other = ("GODEX_PROXY_BASE_URL", "http://127.0.0.1:8");
    check(&["--base-url=http://[::1]:9"], &[key[0], other], "the key of", "http://[::1]:9");
    check(&[], &[key[0], other], "the key of", "http://127.0.0.1:8");
}

#[test]
fn the_key_can_come_through_standard_input() {
    let home = Home::logged_in();
    let mut command = home.godex(&["proxy", "--listen=:0", "--api-key=-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"local-dev-key\n").unwrap();
    let mut banner = [0; 6];
    child.stderr.as_mut().unwrap().read_exact(&mut banner).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(&banner, b"godex ");
}

#[test]
fn with_json_logs_all_is_json_and_the_first_line_says_where_it_listens_whatever_the_level() {
    let home = Home::logged_in();
    let serve = ["proxy", "--api-key=hunter2", "--listen=:0", "--base-url=http://127.0.0.1:9/x"];
    for (more, mock) in [
        (&["--log-level=info"][..], false),
        (&["--log-level=error"], false),
        (&["--mock"], true),
        (&["--mock", "--log-level=error"], true),
    ] {
        let serve = if mock { &["proxy", "--listen=:0"][..] } else { &serve };
        let arguments = [serve, more, &["--log-format=json"]].concat();
        let mut child = home.godex(&arguments).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        stderr.read_line(&mut said).unwrap();
        let line: serde_json::Value = serde_json::from_str(&said).unwrap();
        let listen = line["listen"].as_str().unwrap();
        assert!(listen.starts_with("127.0.0.1:"), "{line}");
        assert_eq!(line["url"], format!("http://{listen}/v1"));
        assert_eq!((&line["level"], line["mock"].as_bool()), (&"INFO".into(), Some(mock)));
        let key = line["api_key"].as_str();
        assert_eq!(key.map(|it| it.starts_with("gxk_demo_")), mock.then_some(true), "{line}");
        let pid = child.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        stderr.read_to_string(&mut said).unwrap();
        child.wait().unwrap();
        for line in said.lines() {
            assert!(serde_json::from_str::<serde_json::Value>(line).unwrap().is_object(), "{said}");
        }
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn an_interrupt_ends_it_well() {
    let home = Home::logged_in();
    for signal in ["INT", "TERM"] {
        let serving = home.serve(&["proxy", "--api-key=k", "--listen=:0"], &[]);
        serving.signal(signal);
        let (status, rest) = serving.end();
        assert_eq!(status.code(), Some(0), "{rest}");
    }
}

#[test]
fn the_mock_needs_no_account_and_leaves_nothing_behind() {
    let home = Home::empty();
    let temporary = tempfile::tempdir().unwrap();
    let around = [("TMPDIR", temporary.path().to_str().unwrap())];
    let serving = home.serve(&["proxy", "--mock", "--listen=:0"], &around);
    assert!(serving.banner.contains("nothing leaves this machine"), "{}", serving.banner);
    let key = serving.banner.split("api key     ").nth(1).unwrap().split("  ").next().unwrap();
    assert!(key.starts_with("gxk_demo_") && key.len() > 32, "{key}");
    let curl = format!("curl -s {}/responses -H 'Authorization: Bearer {key}'", serving.url);
    assert!(serving.banner.contains(&curl), "{}", serving.banner);
    assert!(serving.banner.contains("  backend     http://127.0.0.1:"));
    assert_eq!(names(temporary.path()).len(), 1);
    serving.signal("TERM");
    let (status, rest) = serving.end();
    assert_eq!(status.code(), Some(0), "{rest}");
    assert_eq!(names(temporary.path()).len(), 0);
    assert_eq!(names(home.path()).len(), 0);
}

#[test]
fn the_mock_never_touches_the_login_of_the_user() {
    let home = Home::logged_in();
    let login = home.path().join(".codex/auth.json");
    let before = fs::read(&login).unwrap();
    let around = [("GODEX_PROXY_AUTH_PATH", login.to_str().unwrap())];
    let serving = home.serve(&["proxy", "--mock", "--listen=:0", "--api-key=hunter2"], &around);
    assert!(serving.banner.contains("the one you gave"));
    assert!(!serving.banner.contains("hunter2"));
    serving.signal("INT");
    assert_eq!(serving.end().0.code(), Some(0));
    assert_eq!(fs::read(&login).unwrap(), before);
    assert_eq!(names(&home.path().join(".codex")), ["auth.json"]);
}

#[test]
fn the_simulator_alone_says_how_to_use_it_and_writes_a_login() {
    let home = Home::empty();
    let login = home.path().join("mock.json");
    let arguments = ["mock", "--listen=:0", "--pace=1", "--write-auth", login.to_str().unwrap()];
    // The second run replaces the login of the first.
    for _ in 0..2 {
        let mut child = home.godex(&arguments).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut banner = String::new();
        while !banner.contains("--base-url") {
            assert!(said.read_line(&mut banner).unwrap() > 0, "{banner}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(banner.contains("  base URL    http://127.0.0.1:"), "{banner}");
        assert!(banner.contains(&format!("--auth-path {}", login.display())), "{banner}");
    }
    assert_eq!(fs::metadata(&login).unwrap().permissions().mode() & 0o777, 0o600);
    let ended = home.run(&["proxy", "--auth-path", login.to_str().unwrap()], &[]);
    assert!(ended.stderr.starts_with("error: no API key is configured"), "{}", ended.stderr);
}

#[test]
fn the_simulator_does_not_overwrite_a_login_that_is_not_its_own() {
    let home = Home::logged_in();
    let login = home.path().join(".codex/auth.json");
    let before = fs::read(&login).unwrap();
    let ended = home.run(&["mock", "--listen=:0", "--write-auth", login.to_str().unwrap()], &[]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("is not overwritten"), "{}", ended.stderr);
    assert_eq!(fs::read(&login).unwrap(), before);
}

/// What a folder has in it.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_key_file_is_named_before_or_after_the_subcommand_or_by_the_variable() {
    let home = Home::empty();
    let path = home.path().join("mine.json");
    let path = path.to_str().unwrap();
    let list = |arguments: &[&str], variables: &[(&str, &str)]| {
        let ended = home.run(arguments, variables);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
        ended.stdout.contains("laptop")
    };
    let elsewhere = [("GODEX_PROXY_KEYS_PATH", "/nowhere/keys.json")];
    let add = ["proxy", "keys", "add", "--label=laptop", "--rate=30/m", "--keys-path", path];
    assert_eq!(home.run(&add, &elsewhere).code, Some(0));
    assert!(list(&["proxy", "keys", "list", "--keys-path", path], &elsewhere));
    assert!(list(&["proxy", "keys", "--keys-path", path, "list"], &elsewhere));
    assert!(list(&["proxy", "--keys-path", path, "keys", "list"], &elsewhere));
    assert!(list(&["proxy", "keys", "list"], &[("GODEX_PROXY_KEYS_PATH", path)]));
    assert!(!list(&["proxy", "keys", "list"], &[("GODEX_PROXY_KEYS_PATH", "")]));
    assert!(!list(&["proxy", "keys", "list"], &[]));
}

#[test]
fn a_managed_key_is_enough_to_serve_until_it_is_revoked() {
    let home = Home::logged_in();
    assert_eq!(home.run(&["proxy", "keys", "add", "--label=laptop"], &[]).code, Some(0));
    let serving = home.serve(&["proxy", "--listen=:0"], &[]);
    assert!(serving.banner.contains("managed keys"), "{}", serving.banner);
    drop(serving);
    assert_eq!(home.run(&["proxy", "keys", "revoke", "laptop", "--yes"], &[]).code, Some(0));
    let ended = home.run(&["proxy", "--listen=:0"], &[]);
    assert!(ended.stderr.starts_with("error: no API key is configured"), "{}", ended.stderr);
}

#[test]
fn a_flag_of_the_proxy_is_not_ignored_by_a_subcommand() {
    let ended = Home::empty().run(&["proxy", "--rate=5/m", "keys", "list"], &[]);
    assert_eq!(ended.code, Some(REFUSED));
    assert!(ended.stderr.starts_with("error: --rate is a flag of the proxy itself"));
}

#[test]
fn what_is_missing_or_mistaken_is_named_with_what_helps() {
    let home = Home::empty();
    let check = |arguments: &[&str], what: &str, help: &str| {
        let ended = home.run(arguments, &[]);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.starts_with(&format!("error: {what}")), "{}", ended.stderr);
        assert!(ended.stderr.contains(help), "{}", ended.stderr);
    };
    check(&["connect", "codx"], "invalid value `codx` for CLIENT\n", "did you mean codex?");
    check(&["connect"], "godex connect needs <CLIENT>\n", "godex connect --help");
    check(&["help", "enviroment"], "invalid value `enviroment`", "did you mean environment?");
    let update = ["proxy", "keys", "update", "key_1"];
    check(&update, "godex proxy keys update needs one of --label <TEXT>, ", "update --help");
}

#[test]
fn a_label_that_is_taken_is_told_and_limits_that_were_not_given_are_the_proxys() {
    let home = Home::empty();
    let add = ["proxy", "keys", "add", "--label=a"];
    let first = home.run(&add, &[]).stderr;
    assert!(first.contains("  a  default limits\n") && !first.contains("too"), "{first}");
    let second = home.run(&[&add[..], &["--rate=9/m"]].concat(), &[]).stderr;
    assert!(second.contains(" has this label, too") && second.contains("  a  rate 9/m\n"));
}
