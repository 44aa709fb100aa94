//! The port that the proxy listens on.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::check::{Category, Checks};
use super::remedy::Remedy;
use crate::cli::listener::free_after;
use crate::cli::ways::Ways;

const PATIENCE: Duration = Duration::from_secs(2);

/// Who answers there, if anybody does.
pub(super) fn check(listen: SocketAddr, ways: &Ways<'_>, checks: &mut Checks) {
    const HERE: Category = Category::Server;
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V4(_) | IpAddr::V6(_) => listen.ip(),
    };
    let address = SocketAddr::new(ip, listen.port());
    let Ok(stream) = TcpStream::connect_timeout(&address, PATIENCE) else {
        checks.ok("port", HERE, format!("{listen} is free; no proxy is running"));
        return;
    };
    match ask(stream, address).as_deref() {
        Some(answer) if answer.contains("{\"status\":\"ready\"}") => {
            checks.ok("port", HERE, format!("a proxy runs on {listen} and is ready"));
        }
        Some(answer) if answer.contains("\"status\":\"unavailable\"") => {
            let reason = answer.split("\"reason\":\"").nth(1).and_then(|it| it.split('"').next());
            let reason = reason.unwrap_or("it does not say why");
            checks.fail(
                "port",
                HERE,
                format!("a proxy runs on {listen} and is not ready: {reason}"),
                Remedy::from(ways.with("godex login", &["auth_path"])).or("then start it again"),
            );
        }
        Some(_) | None => {
            let other = free_after(listen);
            checks.fail(
                "port",
                HERE,
                format!("another program listens on {listen}"),
                ways.set("listen", &other.to_string()),
            );
        }
    }
}

/// What it says about its readiness.
fn ask(mut stream: TcpStream, address: SocketAddr) -> Option<String> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    // What was read before it broke off tells enough.
    let _ = stream.take(64 << 10).read_to_end(&mut answer);
    (!answer.is_empty()).then(|| String::from_utf8_lossy(&answer).into_owned())
}
