//! What keeps pages of strangers out. A browser lets every page send requests to this machine:
//! the `Host` it names tells whether a name was bent to reach us, the `Origin` whose page it is.
//! Pages that are let in get the headers that let them read what they are answered (CORS).

use std::net::{Ipv4Addr, Ipv6Addr};

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW, HOST, ORIGIN, VARY,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version, request};

use super::answer::AnswerBody;
use super::error::ApiError;
use crate::config::Config;

/// Schemes of programs on this machine that are made of pages. No page of the web has them.
const PROGRAMS: [&str; 2] = ["app://", "vscode-webview://"];

const ANY_METHOD: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, OPTIONS");
const USUAL_HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, x-api-key");
/// Two hours: no browser keeps it for longer.
const REMEMBERED: HeaderValue = HeaderValue::from_static("7200");
/// What a page may read besides the body.
const READABLE: HeaderValue = HeaderValue::from_static(
    "x-request-id, openai-processing-ms, openai-version, openai-model, retry-after, retry-after-ms, x-should-retry, \
     x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, \
     x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens, \
     x-godex-dropped, x-godex-model, x-models-etag, x-codex-turn-state, \
     x-codex-primary-used-percent, x-codex-primary-window-minutes, x-codex-primary-reset-at, \
     x-codex-secondary-used-percent, x-codex-secondary-window-minutes, x-codex-secondary-reset-at",
);
const VARIES: HeaderValue = HeaderValue::from_static("Origin");
const PREFLIGHT_VARIES: HeaderValue = HeaderValue::from_static(
    "Origin, Access-Control-Request-Headers, Access-Control-Request-Private-Network",
);
const ASKS_FOR_PRIVATE: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const ALLOWS_PRIVATE: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// Which names and which pages are let in.
pub(super) struct Browser {
    /// Names besides the loopback ones; nothing if any name will do.
    hosts: Option<Vec<String>>,
    /// Origins besides the loopback ones.
    origins: Vec<String>,
}

/// Where a request comes from, as far as a browser tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    /// From no page, or from one of this very address that needs no leave.
    None,
    /// From a page that is let in.
    Welcome(HeaderValue),
    /// From any other page.
    Stranger(String),
}

impl Browser {
    /// The rules for a listener: on loopback names are checked, elsewhere if there is a list.
    pub(super) fn new(config: &Config) -> Self {
        let checked =
            config.listen.ip().to_canonical().is_loopback() || !config.allowed_hosts.is_empty();
        Self {
            hosts: checked.then(|| config.allowed_hosts.clone()),
            origins: config.cors_origins.clone(),
        }
    }

    /// Whether the request names one host, and one that is served.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub(super) fn host(&self, head: &request::Parts) -> Result<(), ApiError> {
        let mut named = head.headers.get_all(HOST).iter();
        let first = named.next();
        if named.next().is_some() || (first.is_none() && head.version > Version::HTTP_10) {
            return Err(ApiError::NoHost);
        }
        if let Some(value) = first {
            let host = value.to_str().ok().and_then(host_of).ok_or(ApiError::NoHost)?;
            self.serves(host)?;
        }
        head.uri.authority().map_or(Ok(()), |authority: &Authority| self.serves(authority.host()))
    }

    fn serves(&self, host: &str) -> Result<(), ApiError> {
        let Some(hosts) = &self.hosts else { return Ok(()) };
        if is_loopback(host) || hosts.iter().any(|it| it.eq_ignore_ascii_case(host)) {
            return Ok(());
        }
        Err(ApiError::WrongHost(host.to_owned()))
    }

    /// The page a request comes from.
    pub(super) fn page(&self, headers: &HeaderMap) -> Page {
        let mut named = headers.get_all(ORIGIN).iter();
        let Some(origin) = named.next() else { return Page::None };
        let text = origin.to_str().unwrap_or_default();
        if named.next().is_none() && self.welcomes(text) {
            return Page::Welcome(origin.clone());
        }
        Page::Stranger(String::from_utf8_lossy(origin.as_bytes()).into_owned())
    }

    fn welcomes(&self, origin: &str) -> bool {
        let local = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        local.and_then(host_of).is_some_and(is_loopback)
            || PROGRAMS.iter().any(|scheme| origin.starts_with(scheme))
            || self.origins.iter().any(|it| it == origin)
    }
}

impl Page {
    /// Lets the page read an answer.
    pub(super) fn describe(self, to: &mut HeaderMap) {
        match self {
            Self::None => {}
            Self::Welcome(origin) => {
                to.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                to.insert(ACCESS_CONTROL_EXPOSE_HEADERS, READABLE);
                to.entry(VARY).or_insert(VARIES);
            }
            Self::Stranger(_) => {
                to.entry(VARY).or_insert(VARIES);
            }
        }
    }
}

/// Whether a browser asks what a page may send.
pub(super) fn is_preflight(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// What a page that is let in may send: anything, to any path.
pub(super) fn preflight(headers: &HeaderMap) -> Response<AnswerBody> {
    let mut response = options(ANY_METHOD);
    let to = response.headers_mut();
    let wanted = headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned().unwrap_or(USUAL_HEADERS);
    to.insert(ACCESS_CONTROL_ALLOW_METHODS, ANY_METHOD);
    to.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted);
    to.insert(ACCESS_CONTROL_MAX_AGE, REMEMBERED);
    to.insert(VARY, PREFLIGHT_VARIES);
    if headers.get(ASKS_FOR_PRIVATE).is_some_and(|it| it == "true") {
        to.insert(ALLOWS_PRIVATE, HeaderValue::from_static("true"));
    }
    response
}

/// The methods of the whole server.
pub(super) fn all_options() -> Response<AnswerBody> {
    options(ANY_METHOD)
}

/// The methods of a path.
pub(super) fn options(methods: HeaderValue) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::Whole(bytes::Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, methods);
    response
}

/// The host of `HOST` or `HOST:PORT`; an address in version 6 keeps its brackets. Nothing when it
/// is neither.
fn host_of(text: &str) -> Option<&str> {
    let end = if text.starts_with('[') {
        text.find(']')? + 1
    } else {
        text.find(':').unwrap_or(text.len())
    };
    let (host, rest) = text.split_at(end);
    let port = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_number);
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"/\\?#@,\"'<>".contains(&byte);
    (port && !host.is_empty() && host.bytes().all(plain)).then_some(host)
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|it| it.is_ascii_digit())
}

/// Whether a host is this machine whatever anybody's name server says.
fn is_loopback(host: &str) -> bool {
    if host == "127.0.0.1" || host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let inner = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    match inner {
        Some(address) => {
            address.parse::<Ipv6Addr>().is_ok_and(|it| it.to_canonical().is_loopback())
        }
        None => host.parse::<Ipv4Addr>().is_ok_and(|it| it.is_loopback()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn browser(hosts: Option<&[&str]>, origins: &[&str]) -> Browser {
        let owned = |list: &[&str]| list.iter().map(|it| (*it).to_owned()).collect();
        Browser { hosts: hosts.map(owned), origins: owned(origins) }
    }

    #[test]
    fn names_of_this_machine_are_served_with_any_port() {
        #[track_caller]
        fn check(host: &str, served: bool) {
            let own = browser(Some(&["proxy.example"]), &[]);
            let outcome = host_of(host).ok_or(ApiError::NoHost).and_then(|it| own.serves(it));
            assert_eq!(outcome.is_ok(), served, "{host}: {outcome:?}");
            let open = browser(None, &[]);
            assert!(host_of(host).is_none_or(|it| open.serves(it).is_ok()));
        }
        for host in [
            "localhost",
            "LocalHost:1",
            "127.0.0.1",
            "127.0.0.1:39001",
            "127.255.0.9:80",
            "[::1]",
            "[::1]:39001",
            "[::ffff:127.0.0.1]",
            "proxy.example",
            "PROXY.example:8443",
        ] {
            check(host, true);
        }
        for host in [
            "",
            ":80",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "0.0.0.0",
            "128.0.0.1",
            "[::2]:1",
            "::1",
            "[::1",
            "[::1]x",
            "localhost:x",
            "localhost:1:2",
            "a@localhost",
            "localhost/x",
            "2130706433",
            "localhost, evil.example",
            "my.proxy.example",
        ] {
            check(host, false);
        }
    }

    #[test]
    fn pages_of_this_machine_and_listed_ones_are_welcome() {
        #[track_caller]
        fn check(origin: &'static str, welcome: bool) {
            let headers = HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(origin))]);
            let page = browser(None, &["https://chat.example"]).page(&headers);
            assert_eq!(matches!(page, Page::Welcome(_)), welcome, "{origin}: {page:?}");
        }
        for origin in [
            "http://localhost",
            "http://localhost:5173",
            "https://127.0.0.1:8443",
            "http://[::1]:3000",
            "app://obsidian.md",
            "app://-",
            "vscode-webview://1a2b3c",
            "https://chat.example",
        ] {
            check(origin, true);
        }
        for origin in [
            "null",
            "*",
            "",
            "http://evil.example",
            "https://chat.example:8443",
            "http://chat.example",
            "https://chat.example.evil.example",
            "http://localhost.evil.example",
            "http://localhost@evil.example",
            "http://evil.example/http://localhost",
            "file://",
            "xapp://x",
            "ftp://localhost",
            "http://",
        ] {
            check(origin, false);
        }
    }

    #[test]
    fn two_origins_are_none_of_ours() {
        let one = HeaderValue::from_static("http://localhost");
        let headers = HeaderMap::from_iter([(ORIGIN, one.clone()), (ORIGIN, one)]);
        assert!(matches!(browser(None, &[]).page(&headers), Page::Stranger(_)));
        assert_eq!(browser(None, &[]).page(&HeaderMap::new()), Page::None);
    }
}
