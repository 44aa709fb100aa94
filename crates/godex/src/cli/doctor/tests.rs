//! How the findings look.

use std::time::Duration;

use super::*;

fn sample() -> Vec<Check> {
    let check = |id, category, status, summary: &str, remedy: Option<Remedy>| Check {
        id,
        category,
        status,
        summary: summary.to_owned(),
        remedy,
        duration: Duration::from_millis(3),
    };
    vec![
        check("login", Category::Account, Status::Ok, "ChatGPT plus (account …c91f)", None),
        check(
            "login-mode",
            Category::Account,
            Status::Warn,
            "others can read it",
            Some("chmod 600 it".into()),
        ),
        check(
            "token",
            Category::Account,
            Status::Fail,
            "ended 3 h ago",
            Some(Remedy::from("godex login").or("or not")),
        ),
        check("dns", Category::Network, Status::Skip, "left alone", None),
    ]
}

#[test]
fn what_is_wrong_comes_first_with_its_remedies_and_all_is_counted() {
    insta::assert_snapshot!(text(&sample(), &Screen::default()).replace(&platform(), "PLATFORM"));
    let coloured = text(&sample(), &Screen { width: Some(80), colour: true });
    assert!(coloured.contains("\u{1b}[31m✗\u{1b}[0m token"), "{coloured}");
}

#[test]
fn the_document_has_a_version_and_the_worst_status() {
    let found: serde_json::Value = serde_json::from_str(&document(&sample())).unwrap();
    assert_eq!(found["schema_version"], 1);
    assert_eq!(found["overall_status"], "fail");
    assert_eq!(found["checks"][1]["remedy"], "chmod 600 it");
    assert_eq!(found["checks"][2]["remedy"], "godex login\nor not");
    assert_eq!(found["checks"][2]["commands"], json!(["godex login"]));
    assert_eq!(found["checks"][0]["commands"], json!([]));
    assert_eq!(found["checks"][3]["duration_ms"], 3);
    let fine: serde_json::Value = serde_json::from_str(&document(&sample()[..1])).unwrap();
    assert_eq!(fine["overall_status"], "ok");
}
