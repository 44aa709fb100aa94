//! The way to the backend: names, proxies, TLS, what it answers, and whose clock is right.

use std::net::ToSocketAddrs as _;
use std::time::Duration;

use bytes::Bytes;
use godex_core::codex::catalogue::{Catalogue, Names};
use http::header::{ACCEPT, AUTHORIZATION, DATE, USER_AGENT};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use jiff::fmt::rfc2822::DateTimeParser;

use super::account::Login;
use super::check::{Category, Checks};
use super::remedy::Remedy;
use crate::auth::{self, Settings};
use crate::cli::proxy;
use crate::cli::ways::Ways;
use crate::clock;
use crate::config::{Config, DOCUMENTED_MODEL, Surroundings};
use crate::tasks::Tasks;
use crate::upstream::connect::{ConnectError, HttpClient};

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
    login: Login,
    ways: &Ways<'_>,
    checks: &mut Checks,
) {
    let proxies = surroundings.proxies();
    if config.mock {
        checks.skip("proxy-env", HERE, "there is none between here and the simulator");
    } else {
        environment(proxies, checks);
    }
    if offline {
        for id in ["dns", "upstream", "clock", "models", "buffering"] {
            checks.skip(id, HERE, "left alone (--offline)");
        }
        return;
    }
    let http = proxy::way_out(config);
    let direct = !http.has_proxy(config.base_url.uri());
    names(config, direct, ways, checks);
    let Ok(runtime) = proxy::runtime(1) else { return };
    let unset = proxies.iter().fold("unset".to_owned(), |line, (name, _)| line + " " + name);
    let asking = Asking { config, http: &http, login, ways, unset };
    runtime.block_on(backend(&asking, checks));
    runtime.shutdown_background();
    if direct {
        checks.ok("buffering", HERE, "nothing in between that could hold streams back");
    } else {
        checks.warn(
            "buffering",
            HERE,
            "a proxy is in between: if answers come in one piece, it holds streams back",
            format!("export NO_PROXY={}", config.base_url.uri().host().unwrap_or_default()),
        );
    }
}

/// The variables that name a proxy.
fn environment(proxies: &[(&'static str, String)], checks: &mut Checks) {
    let wrong: Vec<_> = proxies.iter().filter(|it| it.1 == "?").map(|it| it.0).collect();
    if proxies.is_empty() {
        checks.ok("proxy-env", HERE, "no proxy between here and the backend");
    } else if wrong.is_empty() {
        let shown: Vec<_> = proxies.iter().map(|(name, host)| format!("{name} {host}")).collect();
        checks.ok("proxy-env", HERE, shown.join(", "));
    } else {
        let what = format!("{} is no address", wrong.join(", "));
        checks.fail("proxy-env", HERE, what, format!("unset {}", wrong.join(" ")));
    }
}

/// What the backend is asked with.
struct Asking<'a> {
    config: &'a Config,
    http: &'a HttpClient,
    login: Login,
    ways: &'a Ways<'a>,
    /// What forgets all proxies.
    unset: String,
}

/// Whether the backend's name is known.
fn names(config: &Config, direct: bool, ways: &Ways<'_>, checks: &mut Checks) {
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
            network(ways).or("names come from the servers in /etc/resolv.conf"),
        ),
    }
}

/// What to do when nobody is reached: back to the usual backend, if another one was named.
fn network(ways: &Ways<'_>) -> Remedy {
    Remedy::commands(ways.reset("base_url"))
        .or("look at the network connection")
        .or("behind a company's proxy: export HTTPS_PROXY=http://HOST:PORT")
}

/// One question to the backend answers the rest.
async fn backend(asking: &Asking<'_>, checks: &mut Checks) {
    let Asking { config, ways, .. } = *asking;
    let before = clock::monotonic();
    let asked = tokio::time::timeout(PATIENCE, ask(asking)).await;
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
            checks.fail("upstream", HERE, what, network(ways).or("or try again later"));
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
                ways.with("godex login", &["auth_path"]),
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
            Remedy::advice("try another network, or another name with --user-agent"),
        ),
        other => {
            checks.warn(
                "upstream",
                HERE,
                format!("{host} answers {other}"),
                Remedy::advice("try again later"),
            );
        }
    }
    skew(&head, checks);
    models(config, status, &body, ways, checks);
}

fn skip_rest(checks: &mut Checks) {
    checks.skip("clock", HERE, "nobody to compare with");
    checks.skip("models", HERE, "nobody to ask");
}

type Answer = (HeaderMap, StatusCode, Bytes, bool);

/// Asks for the account's models, with the login if there is one.
async fn ask(asking: &Asking<'_>) -> Result<Answer, (String, Remedy)> {
    let Asking { config, http, .. } = *asking;
    let settings = Settings {
        auth_path: config.auth_path.clone(),
        // To look is not to renew.
        allow_refresh: false,
        token_url: config.token_url.uri().clone(),
        user_agent: config.user_agent.clone(),
        originator: config.originator.clone(),
    };
    let login = auth::Login::open(settings, http.clone(), Tasks::default()).ok();
    let login = login.filter(|_| asking.login == Login::Good);
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
    let unusable = |_| ("its address cannot be used".to_owned(), network(asking.ways));
    let request = request.body(Bytes::new()).map_err(unusable)?;
    let answer =
        http.request(request).await.map_err(|error| unreachable(error.connect(), asking))?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Ok((head.headers, head.status, body, credentials.is_some()))
}

fn unreachable(error: Option<&ConnectError>, asking: &Asking<'_>) -> (String, Remedy) {
    let Some(error) = error else {
        return ("it broke off".to_owned(), network(asking.ways).or("or try again"));
    };
    let cause = std::error::Error::source(error).map(|it| format!(": {it}")).unwrap_or_default();
    let remedy = match error {
        ConnectError::TimedOut(_) | ConnectError::Unreachable(_) | ConnectError::Proxy(_)
            if asking.http.has_proxy(asking.config.base_url.uri()) =>
        {
            Remedy::from(asking.unset.clone())
                .or("or, where there is no way without a proxy, export its right address")
        }
        ConnectError::TimedOut(_) | ConnectError::Unreachable(_) | ConnectError::Proxy(_) => {
            network(asking.ways)
        }
        ConnectError::Tls(_) => Remedy::commands(asking.ways.reset("base_url")).or(
            "if a company's proxy opens TLS: export SSL_CERT_FILE=/path/to/its/certificates.pem",
        ),
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

fn models(config: &Config, status: StatusCode, body: &Bytes, ways: &Ways<'_>, checks: &mut Checks) {
    let list = Some(body).filter(|_| status.is_success()).and_then(|it| Catalogue::parse(it));
    let Some(list) = list else {
        checks.skip("models", HERE, "the backend has not listed them");
        return;
    };
    let model = &config.model;
    let first = list.first().unwrap_or("?");
    if list.has(model) {
        checks.ok("models", HERE, format!("{model} is served"));
    } else if model == DOCUMENTED_MODEL {
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
            ways.set("model", first),
        );
    }
    aliases(config, &list, first, ways, checks);
}

/// Whether the names that were given to models mean any.
fn aliases(config: &Config, list: &Catalogue, first: &str, ways: &Ways<'_>, checks: &mut Checks) {
    let aliases: Vec<_> = config.model_aliases.clone().into_iter().collect();
    let names = Names { default: config.model.clone(), aliases };
    let dead = |alias: &str| list.dead_end(&names, alias);
    let told = names
        .aliases
        .iter()
        .filter_map(|(alias, _)| dead(alias).map(|target| format!("{alias} stands for {target}")));
    let told: Vec<_> = told.collect();
    if names.aliases.is_empty() {
        return;
    }
    if told.is_empty() {
        let count = names.aliases.len();
        checks.ok("aliases", HERE, format!("all {count} stand for models that are listed"));
        return;
    }
    let mended = names.aliases.iter().map(|(alias, target)| {
        format!("{alias}={}", if dead(alias).is_some() { first } else { target })
    });
    let mended = mended.collect::<Vec<_>>().join(",");
    checks.warn(
        "aliases",
        HERE,
        format!("{}: not listed, so not served", told.join(", ")),
        ways.set("model_aliases", &mended),
    );
}
