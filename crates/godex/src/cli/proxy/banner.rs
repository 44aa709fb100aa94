//! What the user reads when the listener is open.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

use crate::auth;
use crate::cli::listener::reachable;
use crate::config::{Admission, Config};
use crate::logging::READY;

/// What is known once the listener is open.
pub(super) struct Ready<'a> {
    /// Whose login it is.
    pub(super) login: &'a auth::Status,
    /// The flags that name the key file, if any did.
    pub(super) keys: &'a str,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

/// The text for a proxy that serves. It never holds a key of the user.
pub(super) fn ready(config: &Config, ready: &Ready<'_>, colour: bool) -> String {
    let Ready { login, keys, address } = *ready;
    let url = url(config, address);
    let mut text = title("ready", colour);
    row(&mut text, "listening", &listening(address, &url));
    row(&mut text, "backend", config.base_url.as_str());
    row(&mut text, "account", &account(login));
    row(&mut text, "access", &access(config, keys));
    row(&mut text, "agents", &agents(address, keys));
    let key = "\"Authorization: Bearer $OPENAI_API_KEY\"";
    row(&mut text, "clients", &format!("export OPENAI_BASE_URL={url} OPENAI_API_KEY=…"));
    row(&mut text, "try it", &format!("curl -s {url}/models -H {key}"));
    text
}

/// The text for a proxy in front of the simulator; `key` was made for this run, if any was.
pub(super) fn mock(
    config: &Config,
    address: SocketAddr,
    key: Option<&str>,
    colour: bool,
) -> String {
    let url = url(config, address);
    let what = "MOCK backend: canned answers, nothing leaves this machine";
    let mut text = title(what, colour);
    row(&mut text, "listening", &listening(address, &url));
    let presented = match (key, &config.admission) {
        (Some(key), _) => {
            row(&mut text, "api key", &format!("{key}  (temporary, this run only)"));
            key
        }
        (None, Admission::Anyone) => {
            row(&mut text, "api key", "any bearer token");
            "anything"
        }
        (None, Admission::Keys { .. }) => {
            row(&mut text, "api key", "the one you gave");
            "YOUR_KEY"
        }
    };
    row(&mut text, "backend", config.base_url.as_str());
    row(&mut text, "agents", &agents(address, &format!(" --key {presented}")));
    let _ = writeln!(
        text,
        "  try it
    curl -s {url}/responses -H 'Authorization: Bearer {presented}' \\
      -H 'Content-Type: application/json' -d '{{\"model\":\"{}\",\"input\":\"hello\"}}'",
        config.model
    );
    text
}

/// The same for programs, as one line of the log; `key` was made for a run of the simulator.
pub(super) fn log(config: &Config, ready: &Ready<'_>, key: Option<&str>) {
    let Ready { login, keys, address } = *ready;
    let url = url(config, address);
    let access = match key {
        Some(_) => "the key of this run".to_owned(),
        None => access(config, keys),
    };
    tracing::info!(
        target: READY,
        listen = %address,
        url,
        backend = %config.base_url,
        mock = config.mock,
        account = account(login),
        access,
        api_key = key,
        "listening on {url}"
    );
}

/// Who may call.
fn access(config: &Config, keys: &str) -> String {
    match &config.admission {
        Admission::Anyone => "any bearer token (development only)".to_owned(),
        Admission::Keys { shared: Some(_) } => "the key of --api-key, and managed keys".to_owned(),
        Admission::Keys { shared: None } => format!("managed keys (godex proxy keys list{keys})"),
    }
}

/// Whose login it is, without what nobody should read over a shoulder.
fn account(login: &auth::Status) -> String {
    let plan = login.plan.as_deref().unwrap_or("plan unknown");
    let tail = login.account_tail.as_deref().unwrap_or("?");
    format!("ChatGPT {plan} (account …{tail})")
}

/// What connects a client, with these flags, and some of those that it knows.
fn agents(address: SocketAddr, flags: &str) -> String {
    let usual = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 39001);
    let place = match reachable(address) {
        address if address == usual => String::new(),
        address => format!(" --listen {address}"),
    };
    format!("godex connect codex{flags}{place}  (or openclaw, aider, python …)")
}

fn title(what: &str, colour: bool) -> String {
    let name = concat!("godex ", env!("CARGO_PKG_VERSION"));
    if colour { format!("\u{1b}[1m{name}\u{1b}[0m  {what}\n") } else { format!("{name}  {what}\n") }
}

fn row(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "  {name:<10}  {value}");
}

fn listening(address: SocketAddr, url: &str) -> String {
    if address.ip().is_unspecified() {
        format!("{url}  (and every other address of this machine)")
    } else {
        url.to_owned()
    }
}

/// The base URL of a client on this machine.
fn url(config: &Config, address: SocketAddr) -> String {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{}/v1", reachable(address))
}
