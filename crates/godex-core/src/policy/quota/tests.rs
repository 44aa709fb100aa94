//! Facts about quotas.

use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn quota(tokens: u64, window: Window) -> Quota {
    Quota::new(tokens, window).unwrap()
}

#[test]
fn windows_are_calendar_windows_in_utc() {
    #[track_caller]
    fn check(window: Window, now: &str, from: &str, until: &str) {
        let (first, next) = window.around(at(now));
        assert_eq!(Timestamp::from_second(first).unwrap(), at(from));
        assert_eq!(Timestamp::from_second(next).unwrap(), at(until));
    }
    check(Window::Day, "2026-11-22T23:59:59.9Z", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z");
    check(Window::Day, "2026-11-22T00:00:00Z", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z");
    check(Window::Week, "2026-11-22T12:00:00Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z");
    check(Window::Week, "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z");
    check(Window::Month, "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z");
    check(Window::Month, "2026-12-31T12:00:00Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
}

#[test]
fn a_window_reads_back_what_it_writes() {
    for name in ["none", "day", "week", "month"] {
        assert_eq!(name.parse::<Window>().unwrap().to_string(), name);
    }
    assert_eq!(
        "year".parse::<Window>().unwrap_err().to_string(),
        "`year` is not a quota window: write day, week, month or none"
    );
}

#[test]
fn spending_counts_in_every_window_and_each_ends_in_its_time() {
    let mut spent = Spent::default();
    spent.add(at("2026-11-22T10:00:00Z"), 100);
    spent.add(at("2026-11-23T10:00:00Z"), 10);
    spent.add(at("2026-11-24T10:00:00Z"), 1);
    let check = |now: &str, expected: [u64; 4]| {
        let windows = [Window::None, Window::Day, Window::Week, Window::Month];
        assert_eq!(windows.map(|it| spent.within(it, at(now))), expected, "{now}");
    };
    check("2026-11-24T23:59:59Z", [111, 1, 11, 111]);
    check("2026-11-25T00:00:00Z", [111, 0, 11, 111]);
    check("2026-11-30T00:00:00Z", [111, 0, 0, 111]);
    check("2026-12-01T00:00:00Z", [111, 0, 0, 0]);
}

#[test]
fn a_late_record_counts_for_life_but_not_in_the_new_window() {
    let mut spent = Spent::default();
    spent.add(at("2026-11-23T00:00:01Z"), 10);
    spent.add(at("2026-11-22T23:59:59Z"), 5);
    let now = at("2026-11-23T00:00:02Z");
    assert_eq!(spent.within(Window::None, now), 15);
    assert_eq!(spent.within(Window::Day, now), 10);
    assert_eq!(spent.within(Window::Month, now), 15);
}

#[test]
fn a_clock_that_ran_ahead_neither_frees_nor_locks_a_key() {
    let mut spent = Spent::default();
    spent.add(at("2031-01-01T00:00:00Z"), 10);
    let now = at("2026-11-22T10:00:00Z");
    assert_eq!(spent.within(Window::Day, now), 10);
    spent.add(now, 5);
    assert_eq!(spent.within(Window::Day, now), 15);
    assert_eq!(spent.within(Window::Day, at("2026-11-23T00:00:00Z")), 0);
}

#[test]
fn counts_of_two_sources_add_up_window_by_window() {
    let (yesterday, today) = (at("2026-11-21T10:00:00Z"), at("2026-11-22T10:00:00Z"));
    let (mut old, mut new) = (Spent::default(), Spent::default());
    old.add(yesterday, 100);
    new.add(today, 10);
    for (mut one, two) in [(old, new), (new, old)] {
        one.merge(&two);
        assert_eq!(one.within(Window::Day, today), 10);
        assert_eq!(one.within(Window::Month, today), 110);
        assert_eq!(one.within(Window::None, today), 110);
    }
}

#[test]
fn tokens_are_held_then_settled_with_the_truth() {
    let (now, quota) = (at("2026-11-22T10:00:00Z"), quota(1000, Window::Day));
    let mut meter = Meter::default();
    let held = meter.reserve(quota, 400, now).unwrap();
    assert_eq!(held, 400);
    assert_eq!(meter.balance(quota, now).remaining(), 600);
    let refused = meter.reserve(quota, 601, now).unwrap_err();
    assert_eq!((refused.used, refused.reserved), (0, 400));
    assert!(!refused.is_spent(), "the tokens are only held");
    meter.settle(held, 1000, now);
    let refused = meter.reserve(quota, 1, now).unwrap_err();
    assert!(refused.is_spent());
    assert_eq!(refused.resets_at, Some(at("2026-11-23T00:00:00Z")));
    assert_eq!(meter.reserve(quota, 1, at("2026-11-23T00:00:00Z")), Ok(1));
}

#[test]
fn a_quota_without_window_never_comes_back() {
    let (now, quota) = (at("2026-11-22T10:00:00Z"), quota(10, Window::None));
    let mut meter = Meter::default();
    meter.settle(0, 10, now);
    let refused = meter.reserve(quota, 1, at("2036-11-22T10:00:00Z")).unwrap_err();
    assert_eq!(refused.resets_at, None);
}

#[test]
fn an_estimate_above_a_small_quota_still_lets_one_request_pass() {
    let (now, quota) = (at("2026-11-22T10:00:00Z"), quota(100, Window::None));
    let mut meter = Meter::default();
    let held = meter.reserve(quota, 5000, now).unwrap();
    assert_eq!(held, 100);
    assert!(meter.reserve(quota, 1, now).is_err());
    meter.settle(held, 40, now);
    assert_eq!(meter.reserve(quota, 5000, now), Ok(60));
}

#[test]
fn an_estimate_knows_the_prompt_and_a_stated_limit() {
    assert_eq!(estimate(4000, Some(100)), 1100);
    assert_eq!(estimate(4000, None), 5096);
    assert_eq!(estimate(4000, Some(128_000)), 5096);
    assert_eq!(estimate(0, Some(0)), 1);
}

proptest! {
    #[test]
    fn what_is_spent_and_held_never_exceeds_the_quota_at_admission(
        tokens in 1_u64..5000, steps in prop::collection::vec((0_u64..800, any::<bool>()), 1..100),
    ) {
        let (now, quota) = (at("2026-11-22T10:00:00Z"), quota(tokens, Window::Week));
        let (mut meter, mut open) = (Meter::default(), Vec::new());
        for (amount, admit) in steps {
            if admit {
                if let Ok(held) = meter.reserve(quota, amount, now) {
                    open.push(held);
                    let balance = meter.balance(quota, now);
                    prop_assert!(balance.used + balance.reserved <= tokens);
                }
            } else if let Some(held) = open.pop() {
                meter.settle(held, held.min(amount), now);
            }
        }
        open.drain(..).for_each(|held| meter.release(held));
        prop_assert!(!meter.is_held());
    }
}
