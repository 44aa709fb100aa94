//! Facts about rates and buckets.

use proptest::prelude::*;

use super::*;

fn rate(text: &str) -> Rate {
    text.parse().unwrap()
}

fn burst(count: u32) -> Burst {
    Burst::new(count).unwrap()
}

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin for offsets")]
    Instant::now()
}

#[test]
fn a_rate_is_a_number_a_slash_and_a_unit() {
    #[track_caller]
    fn check(text: &str, interval: Duration) {
        assert_eq!(rate(text).interval(), interval);
        assert_eq!(rate(text).to_string(), text.trim());
    }
    check("60/m", Duration::from_secs(1));
    check("1/s", Duration::from_secs(1));
    check("1/h", Duration::from_hours(1));
    check("7/s", Duration::from_nanos(142_857_143));
    check(" 120/m ", Duration::from_millis(500));
    check("4294967295/s", Duration::from_nanos(1));
}

#[test]
fn anything_else_is_refused_and_never_unlimited() {
    for text in [
        "",
        "60",
        "/m",
        "60/",
        "0/m",
        "-1/m",
        "+1/m",
        "1.5/m",
        "60/d",
        "60/min",
        "60 /m",
        "60/M",
        "4294967296/s",
        "60/m/m",
        "six/m",
        "٦/m",
        "inf/s",
    ] {
        assert!(text.parse::<Rate>().is_err(), "{text}");
    }
    for text in ["", "0", "-1", "+1", "1.0", "4294967296", "ten"] {
        assert!(text.parse::<Burst>().is_err(), "{text}");
    }
}

#[test]
fn the_error_says_how_to_write_it() {
    assert_eq!(
        "60/d".parse::<Rate>().unwrap_err().to_string(),
        "`60/d` is not a rate: write a number, a slash and one of s, m, h, like `60/m`"
    );
    assert_eq!(
        "0".parse::<Burst>().unwrap_err().to_string(),
        "`0` is not a burst: write a whole number of at least 1, like `10`"
    );
}

#[test]
fn a_burst_passes_at_once_and_then_one_request_per_interval() {
    let (now, rate, burst) = (start(), rate("60/m"), burst(10));
    let mut bucket = Bucket::full(now, rate, burst);
    for remaining in (0..10).rev() {
        assert_eq!(bucket.take(now, rate, burst).map(|it| it.remaining), Ok(remaining));
    }
    let refused = bucket.take(now, rate, burst).unwrap_err();
    assert_eq!(refused.wait, Duration::from_secs(1));
    let reset = Duration::from_secs(10);
    assert_eq!(refused.level, Level { limit: 10, remaining: 0, reset });
    let just_before = now + refused.wait.saturating_sub(Duration::from_nanos(1));
    assert_eq!(bucket.take(just_before, rate, burst).unwrap_err().wait, Duration::from_nanos(1));
    assert!(bucket.take(now + refused.wait, rate, burst).is_ok());
    assert!(!bucket.is_full(now + reset));
    assert!(bucket.is_full(now + reset + Duration::from_secs(1)));
}

#[test]
fn a_change_of_limits_keeps_what_was_spent() {
    let now = start();
    let (slow, fast) = (rate("1/h"), rate("60/m"));
    let mut bucket = Bucket::full(now, slow, burst(100));
    for _ in 0..100 {
        bucket.take(now, slow, burst(100)).unwrap();
    }
    assert_eq!(bucket.peek(now, fast, burst(100)).reset, Duration::from_secs(100));
    assert_eq!(bucket.peek(now, fast, burst(10)).reset, Duration::from_secs(10));
    assert_eq!(bucket.peek(now, fast, burst(150)).remaining, 50);
    assert_eq!(bucket.take(now, fast, burst(10)).unwrap_err().wait, Duration::from_secs(1));
}

#[test]
fn a_clock_reading_that_arrives_late_gives_nothing_away() {
    let (early, rate, burst) = (start(), rate("1/s"), burst(2));
    let now = early + Duration::from_millis(1);
    let mut bucket = Bucket::full(now, rate, burst);
    bucket.take(now, rate, burst).unwrap();
    bucket.take(now, rate, burst).unwrap();
    assert_eq!(bucket.take(early, rate, burst).unwrap_err().wait, Duration::from_millis(1001));
    assert_eq!(bucket.take(now, rate, burst).unwrap_err().wait, Duration::from_secs(1));
}

/// A bucket of drops: one drop a nanosecond, `interval` drops a request.
struct Model {
    drops: u128,
    at: Duration,
}

impl Model {
    fn take(&mut self, now: Duration, interval: u128, burst: u128) -> Result<u128, u128> {
        self.drops = (self.drops + now.saturating_sub(self.at).as_nanos()).min(interval * burst);
        self.at = now;
        if self.drops < interval {
            return Err(interval - self.drops);
        }
        self.drops -= interval;
        Ok(self.drops / interval)
    }
}

proptest! {
    #[test]
    fn the_bucket_is_a_token_bucket_to_the_nanosecond(
        count in 1_u32..5000, unit in prop::sample::select(vec!["s", "m", "h"]),
        depth in 1_u32..50, gaps in prop::collection::vec(0_u64..4_000_000_000, 1..200),
    ) {
        let (rate, burst, origin) = (rate(&format!("{count}/{unit}")), burst(depth), start());
        let interval = rate.interval().as_nanos();
        let mut bucket = Bucket::full(origin, rate, burst);
        let mut model = Model { drops: interval * u128::from(depth), at: Duration::ZERO };
        let mut at = Duration::ZERO;
        for gap in gaps {
            at += Duration::from_nanos(gap);
            let taken = bucket.take(origin + at, rate, burst);
            match model.take(at, interval, u128::from(depth)) {
                Ok(left) => prop_assert_eq!(taken.map(|it| u128::from(it.remaining)), Ok(left)),
                Err(wait) => {
                    prop_assert_eq!(taken.map_err(|it| it.wait.as_nanos()), Err(wait));
                    at += Duration::from_nanos(u64::try_from(wait).unwrap());
                    prop_assert!(bucket.take(origin + at, rate, burst).is_ok(), "the wait was enough");
                    prop_assert!(model.take(at, interval, u128::from(depth)).is_ok());
                }
            }
        }
    }

    #[test]
    fn a_rate_reads_back_what_it_writes(count in 1_u32.., unit in "[smh]") {
        let text = format!("{count}/{unit}");
        prop_assert_eq!(rate(&text).to_string(), text);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".*") {
        let _ = text.parse::<Rate>();
        let _ = text.parse::<Burst>();
    }
}
