//! How a key looks: in a line, in a table, in JSON. Never with its secret or its hash.

use godex_core::policy::quota::Window;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::cli::table::{Column, Table};
use crate::store::keys::record::Record;

/// Whether a key opens the door.
pub(super) fn state(record: &Record, now: Timestamp) -> &'static str {
    match (record.revoked_at, record.is_active(now)) {
        (Some(_), _) => "revoked",
        (None, true) => "active",
        (None, false) => "expired",
    }
}

/// Its id, with its label if it has one.
pub(super) fn name(record: &Record) -> String {
    match record.label.as_str() {
        "" => record.id.to_string(),
        label => format!("{} ({label})", record.id),
    }
}

/// One line: id, label, limits.
pub(super) fn summary(record: &Record, now: Timestamp) -> String {
    let mut parts = vec![record.id.to_string()];
    parts.extend(Some(record.label.clone()).filter(|it| !it.is_empty()));
    // What is not said is the proxy's.
    let limits = [
        record.rate.is_some().then(|| format!("rate {}", rate(record))),
        record.burst.is_some().then(|| format!("burst {}", burst(record))),
        record.quota_tokens.map(|it| match it {
            0 => "no quota".to_owned(),
            _ => format!("quota {}", quota(record)),
        }),
    ];
    if limits.iter().all(Option::is_none) {
        parts.push("default limits".to_owned());
    }
    parts.extend(limits.into_iter().flatten());
    if let Some(models) = &record.models {
        parts.push(format!("models {}", models.join(",")));
    }
    if let Some(until) = record.expires_at {
        parts.push(format!("expires {until:.0}"));
    }
    if let [old, ..] = record.previous.as_slice()
        && now < old.until
    {
        parts.push(format!("old secret until {:.0}", old.until));
    }
    if record.revoked_at.is_some() {
        parts.push("revoked".to_owned());
    }
    parts.join("  ")
}

/// One key, a line a fact.
pub(super) fn lines(record: &Record, now: Timestamp) -> String {
    let time = |it: Option<Timestamp>| it.map_or("-".to_owned(), |it| format!("{it:.0}"));
    let facts = [
        ("id", record.id.to_string()),
        ("label", or_dash(&record.label)),
        ("state", state(record, now).to_owned()),
        ("secret", or_dash(&record.hint)),
        (
            "old one",
            record.previous.first().map_or("-".to_owned(), |it| {
                if now < it.until { format!("until {:.0}", it.until) } else { "-".to_owned() }
            }),
        ),
        ("rate", rate(record)),
        ("burst", burst(record)),
        ("quota", quota(record)),
        ("models", record.models.as_ref().map_or("all".to_owned(), |it| it.join(", "))),
        ("created", time(record.created_at)),
        ("rotated", time(record.rotated_at)),
        ("expires", time(record.expires_at)),
        ("revoked", time(record.revoked_at)),
    ];
    facts.iter().fold(String::new(), |text, (name, value)| text + &format!("{name:<8} {value}\n"))
}

/// All keys, a line each.
pub(super) fn table(records: &[Record], now: Timestamp) -> Table {
    let mut table = Table::new(vec![
        Column::left("KEY", 9),
        Column::left("LABEL", 8),
        Column::left("STATE", 7),
        Column::right("RATE", 6),
        Column::right("BURST", 5),
        Column::right("QUOTA", 4),
        Column::left("SECRET", 2),
        Column::left("CREATED", 1),
        Column::left("EXPIRES", 3),
    ]);
    let day =
        |it: Option<Timestamp>| it.map_or("-".to_owned(), |it| it.strftime("%Y-%m-%d").to_string());
    for record in records {
        table.row(vec![
            record.id.to_string(),
            or_dash(&record.label),
            state(record, now).to_owned(),
            rate(record),
            burst(record),
            quota(record),
            or_dash(&record.hint),
            day(record.created_at),
            day(record.expires_at),
        ]);
    }
    table
}

/// One key for programs.
pub(super) fn json(record: &Record, now: Timestamp) -> Map<String, Value> {
    let time = |it: Option<Timestamp>| it.map(|it| format!("{it:.3}"));
    let grace = record.previous.first().map(|it| it.until).filter(|&it| now < it);
    let value = json!({
        "id": record.id,
        "label": record.label,
        "state": state(record, now),
        "hint": record.hint,
        "rate": record.rate,
        "burst": record.burst,
        "quota_tokens": record.quota_tokens,
        "quota_window": record.quota_window,
        "models": record.models,
        "created_at": time(record.created_at),
        "rotated_at": time(record.rotated_at),
        "old_secret_until": time(grace),
        "expires_at": time(record.expires_at),
        "revoked_at": time(record.revoked_at),
    });
    match value {
        Value::Object(object) => object,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

/// Puts the version of the form in front.
pub(super) fn versioned(object: Map<String, Value>) -> Value {
    let mut versioned = Map::from_iter([("schema_version".to_owned(), Value::from(1))]);
    versioned.extend(object);
    Value::Object(versioned)
}

fn rate(record: &Record) -> String {
    record.rate.map_or("default".to_owned(), |it| it.to_string())
}

fn burst(record: &Record) -> String {
    record.burst.map_or("default".to_owned(), |it| it.to_string())
}

fn quota(record: &Record) -> String {
    match (record.quota_tokens, record.quota_window) {
        (None, _) => "default".to_owned(),
        (Some(0), _) => "none".to_owned(),
        (Some(tokens), Window::None) => tokens.to_string(),
        (Some(tokens), window @ (Window::Day | Window::Week | Window::Month)) => {
            format!("{tokens}/{window}")
        }
    }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}
