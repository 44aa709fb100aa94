//! Where a request comes from. Behind a reverse proxy that is trusted, its `X-Forwarded-For`
//! says so; from anybody else that header is only a claim and is not read.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

/// The address of the client behind the trusted proxies: the last one in the list that is none
/// of theirs. What cannot be read ends the search.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut client = peer.to_canonical();
    if !is_trusted(client, trusted) {
        return client;
    }
    for line in headers.get_all("x-forwarded-for").iter().rev() {
        for entry in line.to_str().unwrap_or_default().rsplit(',') {
            let Some(address) = address(entry.trim()) else { return client };
            client = address;
            if !is_trusted(client, trusted) {
                return client;
            }
        }
    }
    client
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|it| it.contains(&address))
}

/// An address, with a port or without.
fn address(entry: &str) -> Option<IpAddr> {
    let bracketed = entry.strip_prefix('[').and_then(|it| it.split_once(']')).map(|it| it.0);
    let with_port = entry.split_once(':').map(|it| it.0);
    let parsed = [Some(entry), bracketed, with_port].into_iter().flatten();
    parsed.filter_map(|it| it.parse::<IpAddr>().ok()).map(|it| it.to_canonical()).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(peer: &str, lines: &[&str], expected: &str) {
        let trusted = ["127.0.0.0/8", "10.0.0.0/8", "fd00::/8"].map(|it| it.parse().unwrap());
        let name = http::HeaderName::from_static("x-forwarded-for");
        let headers = lines.iter().map(|it| (name.clone(), it.parse().unwrap())).collect();
        let client = client(peer.parse().unwrap(), &headers, &trusted);
        assert_eq!(client.to_string(), expected, "{peer} {lines:?}");
    }

    #[test]
    fn a_claim_of_somebody_who_is_not_trusted_is_not_read() {
        check("192.0.2.1", &["198.51.100.7"], "192.0.2.1");
        check("2001:db8::1", &["198.51.100.7"], "2001:db8::1");
    }

    #[test]
    fn the_last_address_that_is_no_proxys_is_the_clients() {
        check("127.0.0.1", &[], "127.0.0.1");
        check("127.0.0.1", &["198.51.100.7"], "198.51.100.7");
        check("::ffff:127.0.0.1", &["198.51.100.7"], "198.51.100.7");
        check("10.0.0.9", &["203.0.113.5, 198.51.100.7, 10.1.1.1"], "198.51.100.7");
        check("10.0.0.9", &["203.0.113.5", "198.51.100.7", "10.1.1.1,fd00::2"], "198.51.100.7");
        check("10.0.0.9", &["10.3.3.3, 10.2.2.2"], "10.3.3.3");
        check("10.0.0.9", &["198.51.100.7:4711"], "198.51.100.7");
        check("10.0.0.9", &["[2001:db8::7]:4711"], "2001:db8::7");
        check("10.0.0.9", &["2001:db8::7"], "2001:db8::7");
    }

    #[test]
    fn what_cannot_be_read_ends_the_search() {
        check("10.0.0.9", &["198.51.100.7, unknown, 10.1.1.1"], "10.1.1.1");
        check("10.0.0.9", &["", "x"], "10.0.0.9");
        check("10.0.0.9", &["198.51.100.7\u{fc}"], "10.0.0.9");
    }
}
