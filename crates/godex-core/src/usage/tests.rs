//! Facts about usage records and their sums.

use proptest::prelude::*;

use super::summary::{By, Period, Summary};
use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn full() -> Line<'static> {
    let mut line = Line {
        ts: at("2026-11-22T10:00:00.123Z"),
        request_id: "req_1".into(),
        key_id: "key_7f3a1c".into(),
        label: "agent \"a\"\n".into(),
        path: "/v1/responses".into(),
        model: "gpt-5.2-codex".into(),
        status: 200,
        stream: true,
        duration_ms: 900,
        ttft_ms: Some(100),
        upstream_id: "resp_1".into(),
        session: "5f".into(),
        ..Line::default()
    };
    line.set_usage(&Usage { input: 70, cached: 50, output: 30, reasoning: 10, total: 100 });
    line
}

fn written(line: &Line<'_>) -> String {
    let mut bytes = Vec::new();
    line.write(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_record_is_one_line_with_the_documented_names() {
    let expected = concat!(
        r#"{"ts":"2026-11-22T10:00:00.123Z","request_id":"req_1","key_id":"key_7f3a1c","#,
        r#""label":"agent \"a\"\n","path":"/v1/responses","model":"gpt-5.2-codex","status":200,"#,
        r#""stream":true,"prompt_tokens":70,"completion_tokens":30,"total_tokens":100,"#,
        r#""cached_tokens":50,"reasoning_tokens":10,"duration_ms":900,"ttft_ms":100,"#,
        r#""upstream_id":"resp_1","session":"5f"}"#,
        "\n"
    );
    assert_eq!(written(&full()), expected);
}

#[test]
fn a_record_reads_back_what_it_writes() {
    let text = written(&full());
    assert_eq!(Line::parse(text.trim_end().as_bytes()), Some(full()));
}

#[test]
fn overlong_texts_are_cut_between_characters() {
    let line = Line { model: "ä".repeat(1_000_000).into(), ..full() };
    let text = written(&line);
    assert!(text.len() < 2000);
    let read = Line::parse(text.trim_end().as_bytes()).unwrap();
    assert_eq!(read.model, "ä".repeat(TEXT_MAX / 2));
    assert_eq!(read.usage(), line.usage());
}

#[test]
fn records_of_other_versions_are_read_as_far_as_they_go() {
    #[track_caller]
    fn check(text: &str, total: u64, ts: &str) {
        let line = Line::parse(text.as_bytes()).unwrap();
        assert_eq!(line.usage().total, total, "{text}");
        assert_eq!(line.ts, at(ts), "{text}");
    }
    assert_eq!(Line::parse(b"{}"), None);
    check(r#"{"total_tokens":1}"#, 1, "1970-01-01T00:00:00Z");
    check(
        r#"{"ts":"2026-02-12T09:30:00.123456789+01:00","key_id":"key_1","total_tokens":7}"#,
        7,
        "2026-02-12T08:30:00.123456789Z",
    );
    check(
        r#"{"ts":1770885000,"prompt_tokens":3,"completion_tokens":4}"#,
        7,
        "2026-02-12T08:30:00Z",
    );
    check(r#"{"ts":1770885000000,"total_tokens":"9"}"#, 9, "2026-02-12T08:30:00Z");
    check(r#"{"ts":null,"total_tokens":1e3,"label":null,"x":[{}]}"#, 1000, "1970-01-01T00:00:00Z");
    let wrong = r#"{"key_id":"k","ts":"soon","total_tokens":-4,"status":"?","stream":1}"#;
    check(wrong, 0, "1970-01-01T00:00:00Z");
    let odd = r#"{"key_id":"k","total_tokens":{"a":[1]},"model":["x"],"status":99999}"#;
    check(odd, 0, "1970-01-01T00:00:00Z");
}

#[test]
fn a_record_behind_a_torn_one_is_still_read() {
    let whole = written(&full());
    for cut in 0..whole.len() - 1 {
        let glued = format!("{}{}", &whole[..cut], whole.trim_end());
        assert_eq!(Line::parse(glued.as_bytes()), Some(full()), "torn at {cut}");
    }
}

#[test]
fn what_is_no_record_is_none() {
    for text in ["", " ", "null", "7", "\"{\"", "[", "{\"ts\":", "\0\0\0"] {
        assert_eq!(Line::parse(text.as_bytes()), None, "{text}");
    }
    assert_eq!(Line::parse(b"{\"model\":\"\xff\"}"), None);
}

fn spent(
    ts: &str,
    key: &'static str,
    model: &'static str,
    status: u16,
    total: u64,
) -> Line<'static> {
    let (ts, key_id, model) = (at(ts), key.into(), model.into());
    Line { ts, key_id, model, status, total_tokens: total, label: "l".into(), ..Line::default() }
}

fn sample(by: By) -> Vec<(String, u64, u64, u64)> {
    let period = Period { since: at("2026-11-20T00:00:00Z"), until: at("2026-11-22T00:00:00Z") };
    let mut summary = Summary::new(by, period, period);
    for line in [
        spent("2026-11-19T23:59:59.999Z", "a", "m", 200, 1000),
        spent("2026-11-20T00:00:00Z", "a", "m", 200, 1),
        spent("2026-11-20T01:30:00Z", "b", "m", 502, 20),
        spent("2026-11-21T23:59:59Z", "a", "n", 200, 300),
        spent("2026-11-22T00:00:00Z", "a", "m", 200, 1000),
    ] {
        summary.add(&line);
    }
    assert_eq!(summary.total().usage.total, 321);
    assert_eq!(summary.total().trend, [21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 300]);
    let rows = summary.rows();
    rows.into_iter().map(|(name, it)| (name, it.requests, it.errors, it.usage.total)).collect()
}

#[test]
fn records_add_up_by_key_model_day_and_hour_within_the_period() {
    #[track_caller]
    fn check(by: By, expected: &[(&str, u64, u64, u64)]) {
        let rows = sample(by);
        let rows: Vec<_> = rows.iter().map(|(name, a, b, c)| (name.as_str(), *a, *b, *c)).collect();
        assert_eq!(rows, expected);
    }
    check(By::Key, &[("a", 2, 0, 301), ("b", 1, 1, 20)]);
    check(By::Model, &[("n", 1, 0, 300), ("m", 2, 1, 21)]);
    check(By::Day, &[("2026-11-20", 2, 1, 21), ("2026-11-21", 1, 0, 300)]);
    check(
        By::Hour,
        &[
            ("2026-11-20T00:00Z", 1, 0, 1),
            ("2026-11-20T01:00Z", 1, 1, 20),
            ("2026-11-21T23:00Z", 1, 0, 300),
        ],
    );
}

#[test]
fn ever_new_names_do_not_eat_the_memory() {
    let period = Period { since: Timestamp::MIN, until: Timestamp::MAX };
    let mut summary = Summary::new(By::Model, period, period);
    for number in 0..10_050 {
        summary.add(&Line { model: format!("m{number}").into(), ..Line::default() });
    }
    let rows = summary.rows();
    assert_eq!(rows.len(), 10_001);
    assert_eq!((rows[0].0.as_str(), rows[0].1.requests), ("(others)", 50));
}

proptest! {
    #[test]
    fn no_line_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Line::parse(&bytes);
    }

    #[test]
    fn any_text_survives_the_log(text in ".{0,80}", total in any::<u64>()) {
        let line = Line { label: text.into(), total_tokens: total, ..full() };
        let bytes = written(&line);
        prop_assert_eq!(bytes.matches('\n').count(), 1);
        prop_assert_eq!(Line::parse(bytes.trim_end().as_bytes()), Some(line));
    }
}
