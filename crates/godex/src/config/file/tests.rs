//! What a settings file may say, what it then means, and how its mistakes are told.

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser};

use super::*;
use crate::config::{Admission, Config, ProxyArgs};

#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    flags: ProxyArgs,
}

/// A value of each setting that is not its default, as a file has it and as a flag has it.
pub(in crate::config) const VALUES: &[(&str, &str, &[&str])] = &[
    ("color", "'never'", &["never"]),
    ("proxy.listen", "'127.0.0.1:7'", &["127.0.0.1:7"]),
    ("proxy.max_body", "4096", &["4096"]),
    ("proxy.tls_cert", "'cert.pem'", &["cert.pem"]),
    ("proxy.tls_key", "'key.pem'", &["key.pem"]),
    ("proxy.insecure_http", "true", &["true"]),
    ("proxy.trusted_proxy", "['10.0.0.0/8', '::1']", &["10.0.0.0/8", "::1"]),
    ("proxy.max_connections", "7", &["7"]),
    ("proxy.allowed_host", "['a.local']", &["a.local"]),
    ("proxy.cors_origin", "['https://a.b', 'https://c.d']", &["https://a.b", "https://c.d"]),
    ("proxy.heartbeat", "'7s'", &["7s"]),
    ("proxy.drain_timeout", "'7s'", &["7s"]),
    ("proxy.workers", "7", &["7"]),
    ("proxy.api_key", "'hunter2'", &["hunter2"]),
    ("proxy.api_key_file", "'KEYFILE'", &["KEYFILE"]),
    ("proxy.allow_any_key", "true", &["true"]),
    ("proxy.insecure_any_key", "true", &["true"]),
    ("proxy.keys_path", "'~/keys.json'", &["~/keys.json"]),
    ("proxy.rate", "'7/h'", &["7/h"]),
    ("proxy.burst", "7", &["7"]),
    ("proxy.quota_tokens", "7", &["7"]),
    ("proxy.stats_path", "'~/usage.jsonl'", &["~/usage.jsonl"]),
    ("proxy.stats_max_bytes", "'7MiB'", &["7MiB"]),
    ("proxy.stats_max_backups", "7", &["7"]),
    ("proxy.model", "'gpt-5.5'", &["gpt-5.5"]),
    ("proxy.model_alias", "['a=b', 'c=d']", &["a=b", "c=d"]),
    ("proxy.instructions", "'Be brief.'", &["Be brief."]),
    ("proxy.reasoning_mode", "'think'", &["think"]),
    ("proxy.cache_ttl", "'7h'", &["7h"]),
    ("proxy.mock", "true", &["true"]),
    ("proxy.base_url", "'https://a.b/c'", &["https://a.b/c"]),
    ("proxy.auth_path", "'~/auth.json'", &["~/auth.json"]),
    ("proxy.allow_refresh", "true", &["true"]),
    ("proxy.user_agent", "'codex/1 (x; y)'", &["codex/1 (x; y)"]),
    ("proxy.originator", "'codex_exec'", &["codex_exec"]),
    ("proxy.connect_timeout", "'7s'", &["7s"]),
    ("proxy.upstream_header_timeout", "'7s'", &["7s"]),
    ("proxy.upstream_idle_timeout", "'7s'", &["7s"]),
    ("proxy.log_level", "'warn'", &["warn"]),
    ("proxy.log_format", "'json'", &["json"]),
    ("proxy.log_requests", "true", &["true"]),
    ("login.issuer", "'https://a.b'", &["https://a.b"]),
];

/// The file `/s.toml` with this text.
fn file(text: &str) -> Result<File, FileError> {
    File::parse(Path::new("/s.toml"), text, 0o600)
}

/// A file that says one thing.
fn saying(key: &str, value: &str) -> File {
    let line = match key.split_once('.') {
        Some((table, name)) => format!("[{table}]\n{name} = {value}\n"),
        None => format!("{key} = {value}\n"),
    };
    file(&line).unwrap_or_else(|error| panic!("{line}: {error:?}"))
}

/// What is decided when a file and a command line say something, without variables.
fn settled(file: Option<&File>, arguments: &[String]) -> Config {
    let command = Program::command();
    let command = file.map_or_else(|| command.clone(), |it| it.fill(command.clone()));
    let command = command.mut_args(|arg| arg.env(clap::builder::Resettable::Reset));
    let words = [&["godex".to_owned()], arguments].concat();
    let matches = command.try_get_matches_from(words).unwrap();
    let mut flags = Program::from_arg_matches(&matches).unwrap().flags;
    flags.prefer_closer_key(&matches);
    let around =
        Surroundings::from_variables(&|name| (name == "HOME").then(|| OsString::from("/home/ann")));
    flags.resolve(&around, &mut std::io::empty()).unwrap()
}

/// Everything that was decided, the key included.
fn shown(config: &Config) -> String {
    let key = match &config.admission {
        Admission::Keys { shared: Some(key) } => key.expose(),
        Admission::Keys { shared: None } | Admission::Anyone => "",
    };
    format!("{config:?} {key}")
}

#[test]
fn every_setting_has_a_value_to_be_tested_with() {
    let known: Vec<_> = settings().iter().map(Setting::key).collect();
    let tested: Vec<_> = VALUES.iter().map(|(key, ..)| (*key).to_owned()).collect();
    assert_eq!(known, tested);
}

#[test]
fn what_a_file_says_is_what_its_flag_would_say_and_a_flag_wins_over_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, "from-a-file\n").unwrap();
    let path = path.to_str().unwrap();
    let plain = shown(&settled(None, &[]));
    for (setting, (key, value, texts)) in settings().iter().zip(VALUES) {
        if setting.table != "proxy" {
            continue;
        }
        let real = |text: &str| text.replace("KEYFILE", path);
        let file = saying(key, &real(value));
        let flag = |text: &&str| format!("{}={}", setting.flag(), real(text));
        let mut arguments: Vec<String> = texts.iter().map(flag).collect();
        // Those two are nothing without the other one, and one says something with another only.
        let partner = match *key {
            "proxy.tls_cert" => Some("--tls-key=k"),
            "proxy.tls_key" => Some("--tls-cert=c"),
            _ => None,
        };
        let beside: Vec<String> = partner.map(str::to_owned).into_iter().collect();
        let by_file = shown(&settled(Some(&file), &beside));
        arguments.extend(beside);
        let by_flag = shown(&settled(None, &arguments));
        assert_eq!(by_file, by_flag, "{key}");
        let judged_alone = ["proxy.insecure_http", "proxy.insecure_any_key"].contains(key);
        assert!(judged_alone || by_file != plain, "{key} has no effect");
        assert_eq!(shown(&settled(Some(&file), &arguments)), by_flag, "{key}");
    }
}

#[test]
fn the_two_switches_that_only_permit_something_permit_it_from_a_file() {
    let open = "[proxy]\nlisten = '0.0.0.0:1'\n";
    let refused = |text: &str| {
        let file = file(text).unwrap();
        let around = Surroundings::from_variables(&|name| {
            (name == "HOME").then(|| OsString::from("/home/ann"))
        });
        let flags = ProxyArgs::of_file(&file).unwrap();
        flags.resolve(&around, &mut std::io::empty()).is_err()
    };
    assert!(refused(open));
    assert!(!refused(&format!("{open}insecure_http = true")));
    assert!(refused(&format!("{open}allow_any_key = true")));
    assert!(!refused(&format!("{open}allow_any_key = true\ninsecure_any_key = true")));
    assert!(refused("[proxy]\ntls_cert = 'c'"));
}

#[test]
fn of_two_forms_of_the_shared_key_the_one_closer_to_the_user_counts() {
    let file = saying("proxy.api_key_file", "'/nowhere/key'");
    let config = settled(Some(&file), &["--api-key=hunter2".to_owned()]);
    assert!(shown(&config).ends_with(" hunter2"));
}

/// The mistakes of a file, as they are told.
fn told(text: &str) -> String {
    let Err(FileError::Wrong { path, problems }) = file(text) else {
        panic!("it is understood: {text}")
    };
    let one =
        |it: &Problem| format!("{}\n{}  help: {}\n", it.headline(&path), it.excerpt(), it.help);
    problems.iter().map(one).collect()
}

#[test]
fn mistakes_are_told_with_their_place_and_what_was_meant() {
    insta::assert_snapshot!(told(
        "colour = 'never'
listen = ':1'
login = 3
[proxi]
[proxy]
lisen = ':1'
GODEX_PROXY_CACHE-TTL = '6h'
rate = '60/d'
log_level = 'inof'
burst = '10'
allow_refresh = 1
\tworkers = 0
\"ünknown\" = 1
trusted_proxy = ['10.0.0.0/8', 'nö']
model = ''
[proxy.rate2]
[prices]
"
    ));
    insta::assert_snapshot!(told("[login]\nissuer = 'http://example.com'\nlisten = ':1'\n"));
    insta::assert_snapshot!(told("[proxy]\nlisten = 127.0.0.1:1\n"));
    insta::assert_snapshot!(told("[proxy]\nlisten = ':1'\nlisten = ':2'\n"));
}

#[test]
fn no_mistake_repeats_a_secret() {
    #[track_caller]
    fn check(text: &str) {
        let said = told(text);
        assert!(!said.contains("hunter"), "{said}");
    }
    check("[proxy]\napi_key = 'hunter 2'\n");
    check("[proxy]\napi_key = hunter2\n");
    check("[proxy]\napi_key = ['hunter2']\n");
    check("[proxy]\napi_key = '''\nhunter 2\n'''\nx = 1");
    check("[proxy]\napi_keys = 'hunter2'\nproxy_api_key = 'hunter2'");
    check("[proxy]\nrate = 'gxk_hunter2'\n");
    check("[proxy]\nbase_url = 'https://ann:hunter2@example.com'\n");
    check("api_key = 'hunter2'\n");
    check("proxy = { api_key = 'hunter2', x = 1 }\n");
}

#[test]
fn tables_may_be_written_in_every_way_that_toml_has() {
    for text in ["proxy.burst = 7", "proxy = { burst = 7 }", "[proxy]\nburst = 0x7"] {
        assert_eq!(settled(Some(&file(text).unwrap()), &[]).burst.get(), 7, "{text}");
    }
    assert_eq!(file("").unwrap().len(), 0);
    assert_eq!(file("# nothing\n[proxy]\n[login]\n").unwrap().len(), 0);
}

#[test]
fn a_file_with_a_key_that_others_can_read_is_exposed() {
    #[track_caller]
    fn check(text: &str, mode: u32, exposed: bool) {
        let file = File::parse(Path::new("/s.toml"), text, mode).unwrap();
        assert_eq!(file.exposed().is_some(), exposed);
        assert!(!format!("{file:?}").contains("hunter2"));
    }
    check("[proxy]\napi_key = 'hunter2'", 0o600, false);
    check("[proxy]\napi_key = 'hunter2'", 0o644, true);
    check("[proxy]\napi_key = 'hunter2'", 0o640, true);
    check("[proxy]\nburst = 7", 0o644, false);
}
