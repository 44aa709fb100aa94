//! How each kind of value is written. A refusal says what is wrong and how to write it right.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use http::uri::Authority;
use http::{HeaderValue, Uri};
use ipnet::IpNet;

/// Where clients connect: `HOST:PORT`, with `localhost` and nothing at all meaning loopback.
///
/// # Errors
///
/// When `text` is not an address, with the way to write one.
pub(crate) fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let remedy = "write an IP address and a port, like 127.0.0.1:39001, localhost:39001 or :39001";
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("it has no port; {remedy}"))?;
    let port: u16 =
        port.parse().map_err(|_| format!("the port is not a number up to 65535; {remedy}"))?;
    if host.is_empty() || host.eq_ignore_ascii_case("localhost") {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    Err(format!("the host is not an IP address; {remedy}"))
}

/// Where clients find a proxy, without a slash at the end.
///
/// # Errors
///
/// When `text` is no such address, with the way to write one.
pub(crate) fn parse_client_url(text: &str) -> Result<String, String> {
    let remedy = "write it like http://192.168.1.5:39001/v1";
    let uri: Uri = text.parse().map_err(|_| format!("it is not a URL; {remedy}"))?;
    if uri.host().is_none_or(str::is_empty) || uri.query().is_some() || text.contains('#') {
        return Err(format!("it is not an absolute URL without a query; {remedy}"));
    }
    match uri.scheme_str() {
        Some("http" | "https") => Ok(text.trim_end_matches('/').to_owned()),
        Some(_) | None => Err(format!("its scheme is neither http nor https; {remedy}")),
    }
}

/// A host name or an address, without a port, in lower case.
pub(super) fn parse_host(text: &str) -> Result<String, String> {
    let host = text.trim().to_ascii_lowercase();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let version_6 = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let address = version_6.is_some_and(|it| it.parse::<Ipv6Addr>().is_ok());
    if address || (!host.is_empty() && host.bytes().all(plain)) {
        return Ok(host);
    }
    Err("it is not a host; write a name or an address without a port, like proxy.local".into())
}

/// The origin of a web page, as a browser writes it.
pub(super) fn parse_origin(text: &str) -> Result<String, String> {
    let remedy = "write a scheme and a host, with a port if it has one, like https://chat.example";
    let origin = text.trim().trim_end_matches('/').to_ascii_lowercase();
    if origin == "*" || origin == "null" {
        return Err(format!("it stands for pages of anybody; {remedy}"));
    }
    let (scheme, host) =
        origin.split_once("://").ok_or(format!("it is not an origin; {remedy}"))?;
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"/\\?#@*\"'".contains(&byte);
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    // One host and one port at most.
    let proper = host.bytes().all(plain)
        && host.parse().is_ok_and(|it: Authority| {
            let port = host.strip_prefix(it.host()).and_then(|rest| rest.strip_prefix(':'));
            !it.host().is_empty() && port.is_none_or(|port| port.parse::<u16>().is_ok())
        });
    if scheme.is_empty() || !scheme.bytes().all(named) || !proper {
        return Err(format!("it is not an origin; {remedy}"));
    }
    // Browsers leave out what the scheme says anyway.
    let usual = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => "",
    };
    Ok(origin.strip_suffix(usual).unwrap_or(&origin).to_owned())
}

/// A network, or one address.
pub(super) fn parse_network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    network.ok_or_else(|| "it is no network; write one like 10.0.0.0/8, or an address".into())
}

/// How many connections are served at once.
pub(super) fn parse_connections(text: &str) -> Result<usize, String> {
    text.trim()
        .parse()
        .ok()
        .filter(|most| (1..=1_000_000).contains(most))
        .ok_or_else(|| "it is not a whole number from 1 to 1000000; write one, like 10000".into())
}

/// The longest duration a flag may name: ten years, far from where clocks overflow.
const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

/// A duration that may be zero.
pub(super) fn parse_pause(text: &str) -> Result<Duration, String> {
    let remedy = "write a number and a unit, like 30s, 15m or 6h";
    let duration = humantime::parse_duration(text.trim())
        .map_err(|_| format!("it is not a duration; {remedy}"))?;
    if duration > LONGEST {
        return Err(format!("it is longer than ten years; {remedy}"));
    }
    Ok(duration)
}

/// A duration that is at least a millisecond.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = parse_pause(text)?;
    if duration < Duration::from_millis(1) {
        return Err("it leaves no time at all; write a number and a unit, like 10s or 2m".into());
    }
    Ok(duration)
}

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ByteSize(pub(super) usize);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match parse_size(text)? {
            0 => Err(format!("it lets no request in; {SIZE_REMEDY}")),
            bytes => usize::try_from(bytes)
                .map(Self)
                .map_err(|_| format!("it is larger than this machine can hold; {SIZE_REMEDY}")),
        }
    }
}

const SIZE_REMEDY: &str = "write a number of bytes or one with KiB, MiB or GiB, like 64MiB";

/// A size in bytes that may be zero.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "kib" => 10,
        "mib" => 20,
        "gib" => 30,
        _ => return Err(format!("it is not a size; {SIZE_REMEDY}")),
    };
    let number: u64 = number.parse().map_err(|_| format!("it is not a size; {SIZE_REMEDY}"))?;
    let bytes = number.checked_mul(1 << shift).filter(|bytes| isize::try_from(*bytes).is_ok());
    bytes.ok_or_else(|| format!("it is larger than this machine can hold; {SIZE_REMEDY}"))
}

/// How many usage logs are kept beside the current one.
pub(super) fn parse_backups(text: &str) -> Result<u32, String> {
    text.trim()
        .parse()
        .ok()
        .filter(|backups| *backups <= 1000)
        .ok_or_else(|| "it is not a whole number from 0 to 1000; write one, like 4".into())
}

/// One `--model-alias`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModelAlias {
    /// What the client names.
    pub(super) from: String,
    /// What the backend is asked for.
    pub(super) to: String,
}

impl FromStr for ModelAlias {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refusal = "it is not an alias; write FROM=TO, like gpt-4o=gpt-5.2-codex";
        let (from, to) = text.split_once('=').ok_or(refusal)?;
        let name = |name: &str| parse_token(name.trim()).map_err(|_| refusal.to_owned());
        Ok(Self { from: name(from)?, to: name(to)? })
    }
}

/// A name: one word of visible ASCII.
pub(super) fn parse_token(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("it is empty; write a name or leave it out".into());
    }
    let plain = |byte: u8| byte.is_ascii_graphic() && !br#"'"\"#.contains(&byte);
    if !text.bytes().all(plain) {
        return Err("it has spaces, quotes or characters that are not ASCII; \
                    write one plain word"
            .into());
    }
    Ok(text.to_owned())
}

/// The value of an HTTP header.
pub(super) fn parse_header(text: &str) -> Result<HeaderValue, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("it is empty; write a text or leave it out".into());
    }
    HeaderValue::from_str(text)
        .ok()
        .filter(|_| text.is_ascii())
        .ok_or_else(|| "it cannot stand in an HTTP header; write one line of plain ASCII".into())
}

/// A whole number that may be zero.
pub(super) fn parse_count(text: &str) -> Result<u64, String> {
    Some(text.trim())
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| "it is not a whole number; write one like 1000000, or 0 for none".into())
}

/// How many threads serve requests.
pub(super) fn parse_workers(text: &str) -> Result<usize, String> {
    text.trim()
        .parse()
        .ok()
        .filter(|workers| (1..=512).contains(workers))
        .ok_or_else(|| "it is not a whole number from 1 to 512; write one, like 2".into())
}

/// A text with something in it.
pub(super) fn parse_text(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("it is empty; write a text or leave it out".into());
    }
    Ok(text.to_owned())
}

/// The address of a service that is sent credentials: `https`, or `http` on loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BaseUrl {
    text: String,
    uri: Uri,
}

impl BaseUrl {
    /// The address, without a slash at the end: paths are appended to it.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The address, parsed.
    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why an address is refused. It never quotes the address, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlFault {
    /// Not an absolute address with a host.
    #[error("it is not an absolute URL with a host")]
    NotAUrl,
    /// A user name or a password in front of the host.
    #[error("it has credentials in it; the login comes from the auth file")]
    Credentials,
    /// A query or a fragment, to which no path can be added.
    #[error("it has a query or a fragment")]
    Query,
    /// Neither `https` nor `http`.
    #[error("its scheme is neither https nor http")]
    Scheme,
    /// Credentials would travel in the clear.
    #[error("plain http would send the login in the clear; it is allowed on loopback only")]
    Clear,
}

impl FromStr for BaseUrl {
    type Err = UrlFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim().trim_end_matches(|it: char| it == '/' || it.is_whitespace());
        if text.contains('@') {
            return Err(UrlFault::Credentials);
        }
        if text.contains(['?', '#']) {
            return Err(UrlFault::Query);
        }
        let uri: Uri = text.parse().map_err(|_| UrlFault::NotAUrl)?;
        let scheme = uri.scheme_str().ok_or(UrlFault::NotAUrl)?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(UrlFault::NotAUrl)?;
        match scheme {
            "https" => {}
            "http" if is_loopback(host) => {}
            "http" => return Err(UrlFault::Clear),
            _ => return Err(UrlFault::Scheme),
        }
        Ok(Self { text: text.to_owned(), uri })
    }
}

/// Whether `host` of an address is this machine.
fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}
