//! Facts about admission.

use std::num::NonZeroU64;

use godex_core::key::KeyHash;
use godex_core::policy::quota::Window;

use super::*;

fn now() -> Now {
    Now { monotonic: clock::monotonic(), wall: "2026-11-22T10:00:00Z".parse().unwrap() }
}

fn later(now: Now, seconds: u64) -> Now {
    let span = Duration::from_secs(seconds);
    Now { monotonic: now.monotonic + span, wall: now.wall + span }
}

fn defaults(burst: u32, tokens: u64) -> Defaults {
    let quota = Quota::new(tokens, Window::None);
    Defaults { rate: "60/m".parse().unwrap(), burst: Burst::new(burst).unwrap(), quota }
}

fn key(id: &str) -> Key {
    let limits = crate::store::keys::Limits::default();
    Key { id: KeyId::from(id), label: "".into(), limits, models: None }
}

fn cost(total: u64) -> Usage {
    Usage { total, ..Usage::default() }
}

#[test]
fn of_a_hundred_requests_at_once_a_burst_of_ten_lets_exactly_ten_pass() {
    let (admission, now, key) = (Admission::new(defaults(10, 0)), now(), key("static"));
    let start = std::sync::Barrier::new(100);
    let passed: usize = std::thread::scope(|scope| {
        let request = || {
            start.wait();
            usize::from(admission.admit(&key, 1, now).is_ok())
        };
        let threads: Vec<_> = (0..100).map(|_| scope.spawn(request)).collect();
        threads.into_iter().map(|it| it.join().unwrap()).sum()
    });
    assert_eq!(passed, 10);
    let Err(Denied::Rate { wait, state }) = admission.admit(&key, 1, now) else {
        panic!("the eleventh passed");
    };
    assert_eq!((wait, state.requests.remaining), (Duration::from_secs(1), 0));
    let next = Now { monotonic: now.monotonic + wait, ..now };
    assert!(admission.admit(&key, 1, next).is_ok(), "the wait was enough");
    assert!(admission.admit(&key, 1, next).is_err());
}

#[test]
fn every_key_and_every_token_has_a_bucket_of_its_own() {
    let (admission, now) = (Admission::new(defaults(1, 0)), now());
    let token = |text| key(KeyId::of_token(&KeyHash::of(text)).as_str());
    for key in [key("key_1"), key("key_2"), key("static"), token("one"), token("two")] {
        assert!(admission.admit(&key, 1, now).is_ok(), "{:?}", key.id);
        assert!(admission.admit(&key, 1, now).is_err(), "{:?}", key.id);
    }
}

#[test]
fn limits_of_a_key_win_over_the_defaults() {
    let (admission, now) = (Admission::new(defaults(10, 1000)), now());
    let mut own = key("key_1");
    own.limits.rate = Some("1/h".parse().unwrap());
    own.limits.burst = Burst::new(2);
    own.limits.quota =
        Allowance::Tokens(Quota { tokens: NonZeroU64::new(50).unwrap(), window: Window::Day });
    let state = *admission.admit(&own, 10, now).unwrap().state();
    assert_eq!((state.requests.limit, state.requests.remaining), (2, 1));
    let tokens = state.tokens.unwrap();
    assert_eq!((tokens.limit, tokens.remaining()), (50, 40));
    own.limits.quota = Allowance::Unlimited;
    assert_eq!(admission.state(&own, now).tokens, None);
    assert_eq!(admission.state(&key("key_2"), now).tokens.unwrap().limit, 1000);
}

#[test]
fn fifty_requests_at_once_never_hold_more_than_the_quota() {
    let (admission, now, key) = (Admission::new(defaults(100, 1000)), now(), key("key_1"));
    let reservations: Vec<_> = std::thread::scope(|scope| {
        let request = || admission.admit(&key, 100, now).ok();
        let threads: Vec<_> = (0..50).map(|_| scope.spawn(request)).collect();
        threads.into_iter().filter_map(|it| it.join().unwrap()).collect()
    });
    assert_eq!(reservations.len(), 10);
    for mut reservation in reservations {
        reservation.settle(&cost(100), now.wall);
    }
    let balance = admission.state(&key, now).tokens.unwrap();
    assert_eq!((balance.used, balance.reserved, balance.remaining()), (1000, 0, 0));
    let Err(Denied::Quota { balance, .. }) = admission.admit(&key, 1, later(now, 60)) else {
        panic!("a spent quota let one pass");
    };
    assert!(balance.is_spent());
}

#[test]
fn a_raised_estimate_is_held_if_the_quota_has_it() {
    let (admission, now, key) = (Admission::new(defaults(100, 1000)), now(), key("key_1"));
    let left = || admission.state(&key, now).tokens.unwrap().remaining();
    let other = admission.admit(&key, 100, now).unwrap();
    let mut raised = admission.admit(&key, 10, now).unwrap();
    raised.raise(&key, 600, now).unwrap();
    assert_eq!((left(), raised.state().tokens.unwrap().remaining()), (300, 300));
    raised.raise(&key, 20, now).unwrap();
    assert_eq!(left(), 300, "a smaller one changes nothing");
    assert!(matches!(raised.raise(&key, 901, now), Err(Denied::Quota { .. })));
    assert_eq!(left(), 300, "and a refused one neither");
    drop(other);
    raised.raise(&key, 5000, now).unwrap();
    assert_eq!(left(), 0, "alone it holds all that is left");
    raised.settle(&cost(50), now.wall);
    assert_eq!(left(), 950);
}

#[test]
fn a_dropped_reservation_gives_back_what_it_held() {
    let (admission, now, key) = (Admission::new(defaults(10, 100)), now(), key("key_1"));
    let reservation = admission.admit(&key, 100, now).unwrap();
    assert!(matches!(
        admission.admit(&key, 1, now),
        Err(Denied::Quota { balance, .. }) if !balance.is_spent()
    ));
    drop(reservation);
    assert_eq!(admission.state(&key, now).tokens.unwrap().remaining(), 100);
}

#[test]
fn settling_twice_counts_once() {
    let (admission, now, key) = (Admission::new(defaults(10, 100)), now(), key("key_1"));
    let mut reservation = admission.admit(&key, 10, now).unwrap();
    reservation.settle(&cost(30), now.wall);
    reservation.settle(&cost(30), now.wall);
    drop(reservation);
    let balance = admission.state(&key, now).tokens.unwrap();
    assert_eq!((balance.used, balance.reserved), (30, 0));
}

#[test]
fn what_the_log_knows_counts_and_a_window_ends() {
    let (admission, now) = (Admission::new(defaults(10, 0)), now());
    let mut key = key("key_1");
    key.limits.quota = Quota::new(100, Window::Day).map_or(Allowance::Default, Allowance::Tokens);
    let mut spent = Spent::default();
    spent.add(now.wall, 100);
    admission.restore(&std::collections::HashMap::from([(key.id.clone(), spent)]), now);
    let Err(Denied::Quota { balance, .. }) = admission.admit(&key, 1, now) else {
        panic!("a restart gave the quota back");
    };
    let reset = balance.resets_at.unwrap();
    assert_eq!(reset.to_string(), "2026-11-23T00:00:00Z");
    let tomorrow = Now { wall: reset, ..later(now, 60) };
    assert!(admission.admit(&key, 1, tomorrow).is_ok());
}

#[test]
fn idle_tokens_are_forgotten_and_busy_ones_share_when_there_are_too_many() {
    let (admission, now) = (Admission::new(defaults(1, 0)), now());
    let token = |number: u32| key(&format!("any_{number:08x}"));
    let kept = || {
        let size = |it: &Mutex<Shard>| it.lock().unwrap().accounts.len();
        admission.shards.iter().map(size).sum::<usize>()
    };
    for number in 0..100_000 {
        let _ = admission.admit(&token(number), 1, now);
    }
    assert!(kept() <= SHARDS * (TOKENS_PER_SHARD + 1), "{} are kept", kept());
    for number in 1_000_000..1_010_000 {
        let _ = admission.admit(&token(number), 1, later(now, 3600));
    }
    assert!(kept() <= 10_000 + SHARDS * FIRST_SWEEP, "{} are kept", kept());
}

#[test]
fn tokens_that_share_an_account_settle_on_it() {
    let (admission, now) = (Admission::new(defaults(1000, 100)), now());
    let token = |number: u32| key(&format!("any_{number:08x}"));
    let fill = |number: u32| admission.admit(&token(number), 1, now);
    let held: Vec<_> = (0..100_000).filter_map(|it| fill(it).ok()).collect();
    drop(held);
    let reserved =
        |it: &Mutex<Shard>| it.lock().unwrap().accounts.values().any(|it| it.meter.is_held());
    assert!(!admission.shards.iter().any(reserved), "everything was given back");
}

#[test]
fn an_answer_describes_the_limits() {
    let (admission, now, key) = (Admission::new(defaults(10, 1000)), now(), key("key_1"));
    let reservation = admission.admit(&key, 100, now).unwrap();
    let mut found = http::HeaderMap::new();
    headers::describe(reservation.state(), now.wall, &mut found);
    let value = |name: &str| found[name].to_str().unwrap().to_owned();
    assert_eq!(value("x-ratelimit-limit-requests"), "10");
    assert_eq!(value("x-ratelimit-remaining-requests"), "9");
    assert_eq!(value("x-ratelimit-reset-requests"), "1s");
    assert_eq!(value("x-ratelimit-limit-tokens"), "1000");
    assert_eq!(value("x-ratelimit-remaining-tokens"), "900");
    assert!(!found.contains_key("x-ratelimit-reset-tokens"), "it never comes back");
}
