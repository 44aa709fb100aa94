//! The way to the backend: names, proxies, TLS, what it answers, and whose clock is right.

use std::net::ToSocketAddrs as _;
use std::time::Duration;

use bytes::Bytes;
use godex_core::codex::catalogue::Catalogue;
use http::header::{ACCEPT, AUTHORIZATION, DATE, USER_AGENT};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use jiff::fmt::rfc2822::DateTimeParser;

use super::check::{Category, Checks};
use crate::auth::{Login, Settings};
use crate::cli::proxy;
use crate::clock;
use crate::config::{Config, Surroundings};
use crate::tasks::Tasks;
use crate::upstream::connect::{self, ConnectError, HttpClient};

const HERE: Category = Category::Network;
/// How long the backend may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
const MAX_ANSWER: usize = 8 << 20;
/// How far clocks may be apart: tokens are renewed five minutes before they end.
const SKEW: i64 = 60;
/// The version of the Codex CLI that the list of models is asked for.
const CLIENT_VERSION: &str = "0.169.0";

/// Looks at the network, or says that it was left alone.
pub(super) fn check(
    config: &Config,
    surroundings: &Surroundings,
    offline: bool,
    checks: &mut Checks,
) {
    let proxies = surroundings.proxies();
    let shown: Vec<_> = proxies.iter().map(|(name, host)| format!("{name} {host}")).collect();
    match proxies.iter().find(|(_, host)| host == "?") {
        Some((name, _)) => {
            checks.fail(
                "proxy-env",
                HERE,
                format!("{name} is no address"),
                format!("unset {name}"),
            );
        }
        None if proxies.is_empty() => {
            checks.ok("proxy-env", HERE, "no proxy between here and the backend");
        }
        None => checks.ok("proxy-env", HERE, shown.join(", ")),
    }
    if offline {
        for id in ["dns", "upstream", "clock", "models", "buffering"] {
            checks.skip(id, HERE, "left alone (--offline)");
        }
        return;
    }
    let direct = proxies.is_empty();
    names(config, direct, checks);
    let Ok(runtime) = proxy::runtime(1) else { return };
    runtime.block_on(backend(config, checks));
    runtime.shutdown_background();
    if direct {
        checks.ok("buffering", HERE, "nothing in between that could hold streams back");
    } else {
        checks.warn(
            "buffering",
            HERE,
            "a proxy is in between: if answers come in one piece, it holds streams back",
            format!("NO_PROXY={} godex proxy", config.base_url.uri().host().unwrap_or_default()),
        );
    }
}

/// Whether the backend's name is known.
fn names(config: &Config, direct: bool, checks: &mut Checks) {
    let uri = config.base_url.uri();
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(443);
    if !direct {
        checks.skip("dns", HERE, "names are the proxy's business");
        return;
    }
    match (host, port).to_socket_addrs().map(|mut it| it.next()) {
        Ok(Some(address)) => checks.ok("dns", HERE, format!("{host} is {}", address.ip())),
        Ok(None) | Err(_) => checks.fail(
            "dns",
            HERE,
            format!("{host} has no address here"),
            "look at the network connection and /etc/resolv.conf; behind a company's proxy: export HTTPS_PROXY=http://HOST:PORT",
        ),
    }
}

/// One question to the backend answers the rest.
async fn backend(config: &Config, checks: &mut Checks) {
    let http = connect::client(config.connect_timeout);
    let before = clock::monotonic();
    let asked = tokio::time::timeout(PATIENCE, ask(config, &http)).await;
    let took = clock::monotonic().duration_since(before).as_millis();
    let host = config.base_url.uri().host().unwrap_or_default();
    let (head, status, body, with_login) = match asked {
        Ok(Ok(answer)) => answer,
        Ok(Err(why)) => {
            checks.fail("upstream", HERE, format!("{host} cannot be reached: {}", why.0), why.1);
            skip_rest(checks);
            return;
        }
        Err(_) => {
            let what = format!("{host} has not answered within {} s", PATIENCE.as_secs());
            checks.fail(
                "upstream",
                HERE,
                what,
                "try again, or name another backend with --base-url",
            );
            skip_rest(checks);
            return;
        }
    };
    match status {
        StatusCode::OK => checks.ok("upstream", HERE, format!("{host} takes the login, {took} ms")),
        StatusCode::UNAUTHORIZED if with_login => {
            checks.fail(
                "upstream",
                HERE,
                format!("{host} refuses the login (401)"),
                "godex login\ngodex proxy --allow-refresh",
            );
        }
        StatusCode::UNAUTHORIZED => {
            checks.ok(
                "upstream",
                HERE,
                format!("{host} is there (401 without a login), {took} ms"),
            );
        }
        StatusCode::FORBIDDEN => checks.fail(
            "upstream",
            HERE,
            format!("{host} blocks this network or this name (403)"),
            "try another network, or another name with --user-agent",
        ),
        other => {
            checks.warn("upstream", HERE, format!("{host} answers {other}"), "try again later");
        }
    }
    skew(&head, checks);
    models(config, status, &body, checks);
}

fn skip_rest(checks: &mut Checks) {
    checks.skip("clock", HERE, "nobody to compare with");
    checks.skip("models", HERE, "nobody to ask");
}

type Answer = (HeaderMap, StatusCode, Bytes, bool);

/// Asks for the account's models, with the login if there is one.
async fn ask(config: &Config, http: &HttpClient) -> Result<Answer, (String, &'static str)> {
    let settings = Settings {
        auth_path: config.auth_path.clone(),
        // To look is not to renew.
        allow_refresh: false,
        token_url: config.token_url.uri().clone(),
        user_agent: config.user_agent.clone(),
        originator: config.originator.clone(),
    };
    let login = Login::open(settings, http.clone(), Tasks::default()).ok();
    let credentials = match &login {
        Some(login) => login.current().await.ok(),
        None => None,
    };
    let mut request = Request::builder()
        .uri(format!("{}/models?client_version={CLIENT_VERSION}", config.base_url))
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, &config.user_agent)
        .header("originator", &config.originator);
    if let Some(credentials) = &credentials {
        request = request.header(AUTHORIZATION, credentials.authorization());
        if let Some(account) = credentials.account_id() {
            request = request.header("chatgpt-account-id", account);
        }
    }
    let unusable = |_| ("its address cannot be used".to_owned(), "godex proxy --base-url URL");
    let request = request.body(Full::new(Bytes::new())).map_err(unusable)?;
    let answer =
        http.request(request).await.map_err(|error| unreachable(ConnectError::of(&error)))?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Ok((head.headers, head.status, body, credentials.is_some()))
}

fn unreachable(error: Option<&ConnectError>) -> (String, &'static str) {
    let Some(error) = error else {
        return ("it broke off".to_owned(), "try again");
    };
    let cause = std::error::Error::source(error).map(|it| format!(": {it}")).unwrap_or_default();
    let remedy = match error {
        ConnectError::TimedOut(_) | ConnectError::Unreachable(_) => {
            "look at the network connection; behind a company's proxy: export HTTPS_PROXY=http://HOST:PORT"
        }
        ConnectError::Proxy(_) => "look at HTTPS_PROXY, ALL_PROXY and NO_PROXY",
        ConnectError::Tls(_) => {
            "if a company's proxy opens TLS: export SSL_CERT_FILE=/path/to/its/certificates.pem"
        }
    };
    (format!("{error}{cause}"), remedy)
}

fn skew(head: &HeaderMap, checks: &mut Checks) {
    let theirs = head
        .get(DATE)
        .and_then(|it| it.to_str().ok())
        .and_then(|it| DateTimeParser::new().parse_timestamp(it).ok());
    let Some(theirs) = theirs else {
        checks.skip("clock", HERE, "the backend does not tell the time");
        return;
    };
    let apart = (clock::timestamp().as_second() - theirs.as_second()).abs();
    if apart > SKEW {
        checks.warn(
            "clock",
            HERE,
            format!("this clock is {apart} s away from the backend's"),
            "sudo timedatectl set-ntp true",
        );
    } else {
        checks.ok("clock", HERE, format!("{apart} s away from the backend's"));
    }
}

fn models(config: &Config, status: StatusCode, body: &Bytes, checks: &mut Checks) {
    let list = Some(body).filter(|_| status.is_success()).and_then(|it| Catalogue::parse(it));
    let Some(list) = list else {
        checks.skip("models", HERE, "the backend has not listed them");
        return;
    };
    let model = &config.model;
    let first = list.first().unwrap_or("?");
    if list.has(model) {
        checks.ok("models", HERE, format!("{model} is served"));
    } else if model == "gpt-5.2-codex" {
        checks.ok(
            "models",
            HERE,
            format!("{model} is not listed any more; {first} stands in for it"),
        );
    } else {
        checks.warn(
            "models",
            HERE,
            format!("{model} is not listed; {first} stands in for it"),
            format!("godex proxy --model {first}"),
        );
    }
}
