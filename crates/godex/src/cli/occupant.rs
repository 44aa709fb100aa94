//! Who listens on a port: asked over HTTP, because it may be a proxy of somebody else.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::listener::reachable;

/// How long whoever it is may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who answers on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Occupant {
    /// A proxy that can serve.
    Ready,
    /// A proxy that cannot, and why.
    Unready(String),
    /// `godex mock`.
    Simulator,
    /// Another program.
    Stranger,
}

/// Who listens on `address`; `None` when nobody does.
pub(super) fn of(address: SocketAddr) -> Option<Occupant> {
    let address = reachable(address);
    let stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    let answer = ask(stream, address).unwrap_or_default();
    Some(told(&answer))
}

/// Who gives such an answer about its readiness.
fn told(answer: &str) -> Occupant {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    if body.contains("{\"status\":\"ready\"}") {
        Occupant::Ready
    } else if body.contains("\"status\":\"unavailable\"") {
        let reason = body.split("\"reason\":\"").nth(1).and_then(|it| it.split('"').next());
        Occupant::Unready(reason.unwrap_or("it does not say why").to_owned())
    } else if head.lines().any(|it| it.starts_with("cf-ray: ") && it.ends_with("-MCK")) {
        Occupant::Simulator
    } else {
        Occupant::Stranger
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
    Some(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_who_gives_it() {
        let check = |answer: &str, expected: Occupant| assert_eq!(told(answer), expected);
        check("HTTP/1.1 200 OK\r\n\r\n{\"status\":\"ready\"}", Occupant::Ready);
        let unready = "HTTP/1.1 503 x\r\n\r\n{\"status\":\"unavailable\",\"reason\":\"no\"}";
        check(unready, Occupant::Unready("no".to_owned()));
        check("HTTP/1.1 404 x\r\ncf-ray: 01-MCK\r\n\r\n{}", Occupant::Simulator);
        check("HTTP/1.1 404 x\r\ncf-ray: 01-FRA\r\n\r\n{}", Occupant::Stranger);
        check("", Occupant::Stranger);
    }
}
