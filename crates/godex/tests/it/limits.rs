//! How many requests a key may make.

use serde_json::json;

use crate::client::{Call, Reply};
use crate::stage::{KEY, Stage, play, question, together};

#[track_caller]
fn over(reply: &Reply) {
    let expected = (429, "rate_limit_error".to_owned(), "rate_limit_exceeded".to_owned());
    assert_eq!(reply.error(), expected);
    let seconds: u64 = reply.header("retry-after").parse().unwrap();
    let millis: u64 = reply.header("retry-after-ms").parse().unwrap();
    assert!(seconds >= 1 && seconds == millis.div_ceil(1000), "{seconds} {millis}");
    assert_eq!(reply.header("x-ratelimit-remaining-requests"), "0");
}

#[test]
fn of_thirty_requests_at_once_exactly_the_burst_passes() {
    play(async {
        let stage = Stage::on_mock(&["--rate=1/h", "--burst=10"]).await;
        let body = question("hi");
        let replies = together((0..30).map(|_| stage.proxy.responses(&body))).await;
        let (passed, refused): (Vec<&Reply>, Vec<&Reply>) =
            replies.iter().partition(|it| it.status == 200);
        assert_eq!((passed.len(), refused.len()), (10, 20));
        for reply in &refused {
            over(reply);
        }
        assert_eq!(stage.sent().len(), 10);
        // A wait of that length is not for an SDK to sleep through.
        assert_eq!(refused[0].header("x-should-retry"), "false");
    });
}

#[test]
fn the_default_is_ten_at_once() {
    play(async {
        let stage = Stage::on_mock(&["--rate=60/m", "--burst=10"]).await;
        let body = question("hi");
        let replies = together((0..30).map(|_| stage.proxy.responses(&body))).await;
        let passed = replies.iter().filter(|it| it.status == 200).count();
        // One a second comes back while they are under way.
        assert!((10..=13).contains(&passed), "{passed}");
        let refused = replies.iter().find(|it| it.status == 429).unwrap();
        over(refused);
        assert_ne!(refused.header("x-should-retry"), "false");
    });
}

#[test]
fn keys_have_limits_of_their_own() {
    play(async {
        let mut stage = Stage::on_mock(&[]).await;
        let small = stage.managed_key("small", &["--rate=1/h", "--burst=2"]);
        let usual = stage.managed_key("usual", &[]);
        stage.restart(&["--rate=1/h", "--burst=3"]).await;
        for (key, burst) in [(small.as_str(), 2), (usual.as_str(), 3), (KEY, 3)] {
            let body = question("hi");
            for count in 0..5 {
                let reply = stage.proxy.send(Call::responses(&body).key(key)).await;
                assert_eq!(reply.status == 200, count < burst, "{count}: {}", reply.body);
            }
        }
    });
}

#[test]
fn tokens_of_any_key_are_limited_one_by_one() {
    play(async {
        let stage = Stage::on_mock(&["--allow-any-key", "--rate=1/h", "--burst=1"]).await;
        for key in ["one", "two"] {
            let body = question("hi");
            assert_eq!(stage.proxy.send(Call::responses(&body).key(key)).await.status, 200);
            over(&stage.proxy.send(Call::responses(&body).key(key)).await);
        }
    });
}

#[test]
fn a_spent_quota_is_told_and_not_retried() {
    play(async {
        let mut stage = Stage::on_mock(&[]).await;
        let key = stage.managed_key("one", &["--quota-tokens=1000"]);
        stage.restart(&[]).await;
        let body = json!({"input": "[[mock: long 5000]]"});
        let mut statuses = Vec::new();
        for _ in 0..3 {
            let reply = stage.proxy.send(Call::responses(&body).key(&key)).await;
            if reply.status != 200 {
                let (_, kind, code) = reply.error();
                assert_eq!(
                    (kind.as_str(), code.as_str()),
                    ("insufficient_quota", "insufficient_quota")
                );
                assert_eq!(reply.header("x-should-retry"), "false");
            }
            statuses.push(reply.status);
        }
        assert_eq!(statuses, [200, 429, 429]);
        assert_eq!(stage.sent().len(), 1);
    });
}
