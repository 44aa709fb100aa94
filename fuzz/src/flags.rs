//! The values of flags: no text ends the program, what is accepted is within its bounds, and
//! what is written out is read back.

use std::time::Duration;

use godex_core::policy::quota::Window;
use godex_core::policy::rate::{Burst, Rate};

#[path = "../../crates/godex/src/config/values.rs"]
#[expect(dead_code, reason = "the program uses all of it")]
mod values;

/// Ten years.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Checks one text.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    policies(text);
    amounts(text);
    names(text);
    addresses(text);
}

fn policies(text: &str) {
    if let Ok(rate) = text.parse::<Rate>() {
        assert_eq!(rate.to_string().parse(), Ok(rate));
        assert!(rate.interval() > Duration::ZERO, "a rate without a bound");
        assert!(rate.interval() <= Duration::from_secs(3600));
    }
    if let Ok(burst) = text.parse::<Burst>() {
        assert_eq!(burst.to_string().parse(), Ok(burst));
        assert!(burst.get() > 0);
    }
    if let Ok(window) = text.parse::<Window>() {
        assert_eq!(window.to_string(), text);
    }
}

fn amounts(text: &str) {
    if let Ok(pause) = values::parse_pause(text) {
        assert!(pause <= LONGEST);
        let written = humantime::format_duration(pause).to_string();
        assert_eq!(values::parse_pause(&written), Ok(pause));
        let moment = std::time::Instant::now();
        assert!(moment.checked_add(pause).is_some(), "beyond the end of time");
        assert_eq!(values::parse_duration(text).is_ok(), pause >= Duration::from_millis(1));
    } else {
        assert!(values::parse_duration(text).is_err());
    }
    let size = values::parse_size(text);
    let sized = text.parse::<values::ByteSize>();
    assert_eq!(sized.is_ok(), size.as_ref().is_ok_and(|it| *it > 0));
    if let Ok(size) = size {
        assert!(isize::try_from(size).is_ok(), "more than can be held");
        assert_eq!(values::parse_size(&size.to_string()), Ok(size));
    }
    if let Ok(count) = values::parse_count(text) {
        assert_eq!(values::parse_count(&count.to_string()), Ok(count));
    }
    assert!(
        values::parse_workers(text).is_ok_and(|it| (1..=512).contains(&it))
            || values::parse_workers(text).is_err()
    );
    assert!(
        values::parse_backups(text).is_ok_and(|it| it <= 1000)
            || values::parse_backups(text).is_err()
    );
    assert!(
        values::parse_connections(text).is_ok_and(|it| it > 0)
            || values::parse_connections(text).is_err()
    );
}

fn names(text: &str) {
    if let Ok(header) = values::parse_header(text) {
        assert!(header.to_str().is_ok_and(|it| !it.is_empty()));
    }
    if let Ok(token) = values::parse_token(text) {
        assert_eq!(token, text);
        assert!(token.bytes().all(|it| it.is_ascii_graphic()));
    }
    if let Ok(alias) = text.parse::<values::ModelAlias>() {
        assert!(!alias.from.is_empty() && !alias.to.is_empty());
    }
    if let Ok(host) = values::parse_host(text) {
        assert_eq!(values::parse_host(&host), Ok(host.clone()));
        assert_eq!(host, host.to_ascii_lowercase());
    }
    if let Ok(origin) = values::parse_origin(text) {
        assert_eq!(values::parse_origin(&origin), Ok(origin.clone()));
        assert!(!origin.contains('*') && origin != "null");
    }
}

fn addresses(text: &str) {
    if let Ok(listen) = values::parse_listen(text) {
        assert_eq!(values::parse_listen(&listen.to_string()), Ok(listen));
    }
    if let Ok(network) = values::parse_network(text) {
        assert_eq!(values::parse_network(&network.to_string()), Ok(network));
    }
    if let Ok(url) = text.parse::<values::BaseUrl>() {
        assert!(!url.as_str().contains(['@', '?', '#']) && !url.as_str().ends_with('/'));
        let again: values::BaseUrl = url.as_str().parse().expect("it was read before");
        assert_eq!(again, url);
        assert!(url.uri().host().is_some_and(|it| !it.is_empty()));
        assert!(matches!(url.uri().scheme_str(), Some("http" | "https")));
    }
}
