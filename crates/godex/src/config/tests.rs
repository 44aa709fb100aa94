//! What flags, variables and defaults become together.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

use clap::{CommandFactory, FromArgMatches, Parser};

use super::values::{parse_duration, parse_pause};
use super::{Admission, Config, Error, ProxyArgs, Surroundings, parse_client_url, parse_listen};

#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    flags: ProxyArgs,
}

/// Parses without the environment of the test's own process.
fn flags(arguments: &[&str]) -> Result<ProxyArgs, clap::Error> {
    let command = Program::command().mut_args(|arg| arg.env(clap::builder::Resettable::Reset));
    let matches = command.try_get_matches_from([&["godex"], arguments].concat())?;
    let mut flags = Program::from_arg_matches(&matches)?.flags;
    flags.prefer_closer_key(&matches);
    Ok(flags)
}

fn around(variables: &[(&str, &str)]) -> Surroundings {
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    Surroundings::from_variables(&|name| variables.get(name).map(OsString::from))
}

fn settle(arguments: &[&str], variables: &[(&str, &str)], input: &str) -> Result<Config, Error> {
    flags(arguments).unwrap().resolve(&around(variables), &mut input.as_bytes())
}

fn settled(arguments: &[&str]) -> Config {
    settle(arguments, &[("HOME", "/home/ann")], "").unwrap()
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let config = settled(&[]);
    assert_eq!(config.listen.to_string(), "127.0.0.1:39001");
    assert!(matches!(config.admission, Admission::Keys { shared: None }));
    assert_eq!(config.model, "gpt-5.2-codex");
    assert_eq!(config.base_url.as_str(), "https://chatgpt.com/backend-api/codex");
    assert_eq!(config.token_url.as_str(), "https://auth.openai.com/oauth/token");
    assert!(!config.allow_refresh);
    assert_eq!(config.auth_path, Path::new("/home/ann/.codex/auth.json"));
    assert_eq!(config.keys_path, Path::new("/home/ann/.codex/proxy-keys.json"));
    assert_eq!(config.stats_path, Path::new("/home/ann/.codex/proxy-usage.jsonl"));
    assert_eq!((config.stats_max_bytes, config.stats_max_backups), (256 << 20, 4));
    assert_eq!(config.cache_ttl.as_secs(), 6 * 3600);
    assert_eq!(config.rate.to_string(), "60/m");
    assert_eq!(config.burst.get(), 10);
    assert_eq!(config.quota, None);
    assert!(!config.logging.requests);
    assert_eq!(config.originator, "codex_cli_rs");
    assert!(config.user_agent.to_str().unwrap().starts_with("godex/"));
    assert_eq!(config.instructions, "You are a helpful assistant.");
    assert_eq!(config.connect_timeout.as_secs(), 10);
    assert_eq!(config.upstream_header_timeout.as_secs(), 120);
    assert_eq!(config.upstream_idle_timeout.as_secs(), 300);
    assert_eq!(config.heartbeat.unwrap().as_secs(), 15);
    assert_eq!(config.max_body, 64 << 20);
    assert_eq!(config.drain_timeout.as_secs(), 30);
    assert_eq!(config.workers, 2);
    assert_eq!(config.max_connections, 10_000);
    assert!(config.tls.is_none() && config.trusted_proxies.is_empty());
    assert!(config.allowed_hosts.is_empty() && config.cors_origins.is_empty());
    assert!(!config.mock);
}

#[test]
fn files_are_where_a_flag_or_codex_home_says() {
    #[track_caller]
    fn check(arguments: &[&str], variables: &[(&str, &str)], auth: &str) {
        let config = settle(arguments, variables, "").unwrap();
        assert_eq!(config.auth_path, Path::new(auth));
    }
    let home = ("HOME", "/home/ann");
    check(&[], &[home, ("CODEX_HOME", "/srv/codex")], "/srv/codex/auth.json");
    check(&[], &[home, ("CODEX_HOME", "")], "/home/ann/.codex/auth.json");
    check(&[], &[home, ("CODEX_HOME", "~/codex")], "/home/ann/codex/auth.json");
    check(&[], &[("CODEX_HOME", "/srv/codex")], "/srv/codex/auth.json");
    check(&["--auth-path=~/a.json"], &[home, ("CODEX_HOME", "/srv")], "/home/ann/a.json");
    check(&["--auth-path=a~b/~"], &[home], "a~b/~");
}

#[test]
fn without_a_home_folder_the_flag_that_names_the_file_is_asked_for() {
    let error = settle(&[], &[], "").unwrap_err();
    assert_eq!(error.to_string(), "there is no home folder to look for auth.json in");
    assert_eq!(error.help(), "set HOME or CODEX_HOME, or name it with --auth-path");
    settle(&["--auth-path=a", "--keys-path=k", "--stats-path=s"], &[], "").unwrap();
}

#[test]
fn a_listener_is_an_ip_address_and_a_port() {
    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(parse_listen(text).ok().map(|it| it.to_string()).as_deref(), expected);
    }
    check("127.0.0.1:39001", Some("127.0.0.1:39001"));
    check("0.0.0.0:80", Some("0.0.0.0:80"));
    check("[::1]:8080", Some("[::1]:8080"));
    check("localhost:80", Some("127.0.0.1:80"));
    check("LOCALHOST:0", Some("127.0.0.1:0"));
    check(":39002", Some("127.0.0.1:39002"));
    check("39001", None);
    check("127.0.0.1", None);
    check("127.0.0.1:65536", None);
    check("127.0.0.1:", None);
    check("example.com:80", None);
    check("::1:80x", None);
    check("", None);
}

#[test]
fn clients_are_sent_to_an_absolute_address_over_http() {
    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let found = parse_client_url(text);
        match expected {
            Ok(url) => assert_eq!(found.as_deref(), Ok(url)),
            Err(why) => assert!(found.as_ref().is_err_and(|it| it.contains(why)), "{found:?}"),
        }
    }
    check("http://10.0.0.2:39001/v1", Ok("http://10.0.0.2:39001/v1"));
    check("https://llm.example/v1/", Ok("https://llm.example/v1"));
    check("foo", Err("neither http nor https"));
    check("", Err("not a URL"));
    check("10.0.0.2:39001", Err("neither http nor https"));
    check("localhost:39001/v1", Err("it is not"));
    check("/v1", Err("not an absolute URL"));
    check("ftp://x/v1", Err("neither http nor https"));
    check("http://x/v1?key=1", Err("without a query"));
}

#[test]
fn any_key_is_accepted_on_loopback_only() {
    #[track_caller]
    fn check(listen: &str, switch: &str, refused: bool) {
        let result = settle(&["--listen", listen, switch], &[("HOME", "/h")], "");
        let open = matches!(&result, Err(Error::OpenToTheNetwork { .. }));
        assert_eq!(open, refused, "{listen} {switch}: {result:?}");
    }
    check("127.0.0.1:1", "--allow-any-key", false);
    check("127.8.8.8:1", "--allow-any-key", false);
    check("[::1]:1", "--allow-any-key=true", false);
    check("[::ffff:127.0.0.1]:1", "--allow-any-key=true", false);
    check("0.0.0.0:1", "--allow-any-key", true);
    check("[::]:1", "--allow-any-key=yes", true);
    check("192.168.1.2:1", "--allow-any-key=1", true);
    check("0.0.0.0:1", "--allow-any-key=false", false);
}

#[test]
fn a_switch_is_bare_or_takes_its_value_after_an_equals_sign() {
    #[track_caller]
    fn check(arguments: &[&str], expected: bool) {
        let config = settled(arguments);
        assert_eq!(matches!(config.admission, Admission::Anyone), expected, "{arguments:?}");
    }
    check(&["--allow-any-key"], true);
    check(&["--allow-any-key=true"], true);
    check(&["--allow-any-key=1"], true);
    check(&["--allow-any-key=on"], true);
    check(&["--allow-any-key=false"], false);
    check(&["--allow-any-key=no"], false);
    check(&["--allow-any-key", "--allow-refresh"], true);
    assert!(flags(&["--allow-any-key", "false"]).is_err());
    let config = settled(&["--allow-refresh", "--log-requests", "--mock"]);
    assert!(config.allow_refresh && config.logging.requests && config.mock);
    let config = settled(&["--allow-refresh=0", "--log-requests=off", "--mock=f"]);
    assert!(!config.allow_refresh && !config.logging.requests && !config.mock);
}

#[test]
fn the_backend_gets_credentials_over_tls_or_on_loopback() {
    #[track_caller]
    fn check(url: &str, expected: Result<&str, &str>) {
        let result = settle(&["--base-url", url], &[("HOME", "/h")], "");
        let seen = match &result {
            Ok(config) => Ok(config.base_url.as_str()),
            Err(error) => Err(std::error::Error::source(error).unwrap().to_string()),
        };
        assert_eq!(seen.as_ref().map_err(String::as_str), expected.as_ref().map_err(|it| *it));
    }
    let clear = "plain http would send the login in the clear; it is allowed on loopback only";
    let credentials = "it has credentials in it; the login comes from the auth file";
    check("https://example.com/a/", Ok("https://example.com/a"));
    check("https://example.com", Ok("https://example.com"));
    check("http://127.0.0.1:8080/x//", Ok("http://127.0.0.1:8080/x"));
    check("http://localhost:1", Ok("http://localhost:1"));
    check("https://example.com/\u{85}/", Ok("https://example.com"));
    check("http://[::1]:1", Ok("http://[::1]:1"));
    check("http://example.com", Err(clear));
    check("http://127.0.0.1.example.com", Err(clear));
    check("http://0.0.0.0:1", Err(clear));
    check("https://ann:secret@example.com", Err(credentials));
    check("http://127.0.0.1@example.com", Err(credentials));
    check("https://example.com?a=b", Err("it has a query or a fragment"));
    check("https://example.com/#a", Err("it has a query or a fragment"));
    check("ftp://example.com", Err("its scheme is neither https nor http"));
    check("example.com/x", Err("it is not an absolute URL with a host"));
    check("/x", Err("it is not an absolute URL with a host"));
    check("https://", Err("it is not an absolute URL with a host"));
    check("not a url", Err("it is not an absolute URL with a host"));
}

#[test]
fn the_variable_of_the_codex_cli_moves_the_token_endpoint() {
    let variables = |url| [("HOME", "/h"), ("CODEX_REFRESH_TOKEN_URL_OVERRIDE", url)];
    let config = settle(&[], &variables("http://127.0.0.1:5/oauth/token"), "").unwrap();
    assert_eq!(config.token_url.as_str(), "http://127.0.0.1:5/oauth/token");
    assert_eq!(config.token_url.uri().path(), "/oauth/token");
    let error = settle(&[], &variables("http://example.com"), "").unwrap_err();
    assert_eq!(error.to_string(), "CODEX_REFRESH_TOKEN_URL_OVERRIDE is not usable");
    let config = settle(&[], &variables(""), "").unwrap();
    assert_eq!(config.token_url.as_str(), "https://auth.openai.com/oauth/token");
}

#[test]
fn the_shared_key_comes_from_the_flag_a_file_or_the_input() {
    #[track_caller]
    fn check(arguments: &[&str], input: &str, expected: &str) {
        let config = settle(arguments, &[("HOME", "/h")], input).unwrap();
        let Admission::Keys { shared: Some(key) } = config.admission else { panic!("no key") };
        assert_eq!(key.expose(), expected);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "from-a-file\r\n").unwrap();
    check(&["--api-key", "local-dev-key"], "", "local-dev-key");
    check(&["--api-key=-"], "from-input\n", "from-input");
    check(&["--api-key", "-"], "from-input", "from-input");
    check(&["--api-key-file", path.to_str().unwrap()], "", "from-a-file");
}

#[test]
fn a_key_that_no_header_can_carry_is_refused_without_being_repeated() {
    #[track_caller]
    fn check(arguments: &[&str], input: &str, expected: &str) {
        let error = settle(arguments, &[("HOME", "/h")], input).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(!format!("{error:?} {}", error.help()).contains("hunter"));
    }
    let shape = "it has spaces, line breaks or characters that are not ASCII";
    let from = |origin: &str, why: &str| format!("the API key from {origin} cannot be used: {why}");
    check(&["--api-key", "hunter 2"], "", &from("--api-key", shape));
    check(&["--api-key", "hünter"], "", &from("--api-key", shape));
    check(&["--api-key="], "", &from("--api-key", "it is empty"));
    check(&["--api-key=-"], "", &from("standard input", "it is empty"));
    check(&["--api-key=-"], "hunter\n2\n", &from("standard input", shape));
    let long = "it is longer than 4096 characters";
    check(&["--api-key=-"], &"h".repeat(5000), &from("standard input", long));
    check(
        &["--api-key", "hunter", "--api-key-file", "/x"],
        "",
        "--api-key and --api-key-file are both given",
    );
    check(&["--api-key-file", "/nowhere/key"], "", "cannot read the API key from /nowhere/key");
}

#[test]
fn neither_flags_nor_config_print_the_key() {
    let flags = flags(&["--api-key", "hunter2"]).unwrap();
    assert!(!format!("{flags:?}").contains("hunter2"));
    assert!(!format!("{:?}", settled(&["--api-key", "hunter2"])).contains("hunter2"));
}

#[test]
fn durations_are_written_with_a_unit_and_end_before_clocks_do() {
    #[track_caller]
    fn check(text: &str, pause_ms: Option<u128>, duration: bool) {
        assert_eq!(parse_pause(text).ok().map(|it| it.as_millis()), pause_ms, "{text}");
        assert_eq!(parse_duration(text).is_ok(), duration, "{text}");
    }
    check("6h", Some(6 * 3_600_000), true);
    check("1h 30m", Some(5_400_000), true);
    check("250ms", Some(250), true);
    check(" 15s ", Some(15_000), true);
    check("0s", Some(0), false);
    check("1us", Some(0), false);
    check("3650d", Some(3650 * 86_400_000), true);
    check("11years", None, false);
    check("99999999999999999999h", None, false);
    check("6", None, false);
    check("-1s", None, false);
    check("soon", None, false);
}

#[test]
fn sizes_are_bytes_or_have_a_binary_unit() {
    #[track_caller]
    fn check(text: &str, expected: Option<usize>) {
        let flags = flags(&["--max-body", text]).ok();
        assert_eq!(flags.map(|it| it.max_body.0), expected, "{text}");
    }
    check("1", Some(1));
    check("4096", Some(4096));
    check("8B", Some(8));
    check("64KiB", Some(64 << 10));
    check("64 mib", Some(64 << 20));
    check("2GiB", Some(2 << 30));
    check("0", None);
    check("64MB", None);
    check("1.5MiB", None);
    check("MiB", None);
    check("99999999999GiB", None);
    check("-1", None);
}

#[test]
fn a_heartbeat_of_zero_is_none_and_a_quota_of_zero_is_no_limit() {
    let config = settled(&["--heartbeat=0s", "--quota-tokens=0", "--cache-ttl=0s"]);
    assert_eq!(config.heartbeat, None);
    assert_eq!(config.quota, None);
    assert!(config.cache_ttl.is_zero());
    assert_eq!(settled(&["--quota-tokens=7"]).quota.unwrap().tokens.get(), 7);
}

#[test]
fn aliases_repeat_and_combine_but_do_not_contradict() {
    let config = settled(&["--model-alias=a=x,b=y", "--model-alias", "c = z", "--model-alias=a=x"]);
    let aliases: Vec<_> =
        config.model_aliases.iter().map(|(from, to)| format!("{from}>{to}")).collect();
    assert_eq!(aliases, ["a>x", "b>y", "c>z"]);
    let error = settle(&["--model-alias=a=x,a=y"], &[("HOME", "/h")], "").unwrap_err();
    assert_eq!(error.to_string(), "--model-alias gives a two meanings");
    for wrong in ["a", "=x", "a=", "a b=x", ""] {
        assert!(flags(&["--model-alias", wrong]).is_err(), "{wrong}");
    }
}

#[test]
fn an_origin_is_one_host_and_at_most_one_port() {
    for (given, read) in [
        ("https://Chat.example:443/", "https://chat.example"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("vscode-webview://id", "vscode-webview://id"),
    ] {
        assert_eq!(settled(&["--cors-origin", given]).cors_origins, [read]);
    }
    for wrong in ["https://:443", "https://a:443:443", "https://a:b", "https://a:70000", "a", "*"] {
        assert!(flags(&["--cors-origin", wrong]).is_err(), "{wrong}");
    }
}

#[test]
fn what_goes_into_a_header_is_one_line_of_ascii() {
    assert_eq!(settled(&["--user-agent", " codex/1 (x; y) "]).user_agent, "codex/1 (x; y)");
    for wrong in ["", " ", "a\nb", "ü"] {
        assert!(flags(&["--user-agent", wrong]).is_err(), "{wrong:?}");
        assert!(flags(&["--originator", wrong]).is_err(), "{wrong:?}");
        assert!(flags(&["--model", wrong]).is_err(), "{wrong:?}");
    }
    assert!(flags(&["--instructions", " "]).is_err());
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    #[track_caller]
    fn check(variables: &[(&str, &str)], is_terminal: bool, expected: bool) {
        assert_eq!(around(variables).colour(is_terminal), expected, "{variables:?}");
    }
    check(&[], true, true);
    check(&[], false, false);
    check(&[("NO_COLOR", "1")], true, false);
    check(&[("NO_COLOR", "")], true, true);
    check(&[("TERM", "dumb")], true, false);
}
