//! How a report looks: a table for eyes, JSON and CSV for programs.
//!
//! JSON and CSV have fixed names and integers for tokens; a change of meaning raises
//! `schema_version`.

use std::fmt::Write as _;

use godex_core::policy::quota::{Balance, Window};
use godex_core::usage::summary::{By, Summary, Totals};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::cli::table::{Column, Table, short};
use crate::cli::talk::{Screen, pretty};

const SCHEMA_VERSION: u32 = 1;

/// What a report is made of.
pub(super) struct Report<'a> {
    /// The sums.
    pub(super) summary: &'a Summary,
    /// The first moment of the report.
    pub(super) since: Timestamp,
    /// The first moment after it.
    pub(super) until: Timestamp,
    /// Lines that are no records.
    pub(super) unreadable: u64,
    /// The key it is about, if it is about one.
    pub(super) subject: Option<Subject>,
    /// What is known of a key.
    pub(super) account: &'a dyn Fn(&str) -> Account,
}

/// The key that a report is about.
pub(super) struct Subject {
    /// Its id.
    pub(super) id: String,
    /// What is known of it.
    pub(super) account: Account,
}

/// What the key file and the log know of a key.
pub(super) struct Account {
    /// What its owner calls it now.
    pub(super) label: Option<String>,
    /// Its quota and how it stands.
    pub(super) quota: Option<(Window, Balance)>,
}

/// One row with all that can be said about it.
struct Row<'a> {
    name: String,
    totals: &'a Totals,
    label: String,
    quota: Option<(Window, Balance)>,
}

impl Report<'_> {
    fn rows(&self) -> Vec<Row<'_>> {
        let by_key = self.summary.by() == By::Key;
        let row = |(name, totals): (String, _)| {
            let account = by_key.then(|| (self.account)(&name));
            let Account { label, quota } = account.unwrap_or(Account { label: None, quota: None });
            let totals: &Totals = totals;
            Row { label: label.unwrap_or_else(|| totals.label.clone()), name, totals, quota }
        };
        self.summary.rows().into_iter().map(row).collect()
    }

    fn title(&self) -> &'static str {
        match self.summary.by() {
            By::Key => "KEY",
            By::Model => "MODEL",
            By::Day => "DAY",
            By::Hour => "HOUR",
        }
    }
}

/// The report for eyes.
pub(super) fn table(report: &Report<'_>, screen: &Screen) -> String {
    let mut text = heading(report, screen);
    let by_key = report.summary.by() == By::Key;
    let mut columns = vec![Column::left(report.title(), 20)];
    if by_key {
        columns.push(Column::left("LABEL", 15));
    }
    columns.extend([
        Column::right("REQS", 16),
        Column::right("ERR", 12),
        Column::right("INPUT", 10),
        Column::right("CACHED", 6),
        Column::right("HIT%", 5),
        Column::right("OUTPUT", 9),
        Column::right("REASON", 4),
        Column::right("TOTAL", 18),
    ]);
    if by_key {
        columns.push(Column::left("QUOTA", 14));
    }
    columns.push(Column::right("P50/P95 TTFT", 3));
    if screen.is_terminal() {
        columns.push(Column::left("TREND", 2));
    }
    let mut table = Table::new(columns);
    for row in report.rows() {
        let name = if row.name.is_empty() { "-".to_owned() } else { printable(&row.name) };
        table.row(cells(name, Some(&row), row.totals, by_key, screen));
    }
    table.row(cells("total".to_owned(), None, report.summary.total(), by_key, screen));
    text += &table.render(screen);
    text
}

fn heading(report: &Report<'_>, screen: &Screen) -> String {
    let time = |it: Timestamp| it.strftime("%Y-%m-%d %H:%M").to_string();
    let mut text = format!("{} → {} UTC\n", time(report.since), time(report.until));
    if let Some(Subject { id, account }) = &report.subject {
        let label = account.label.as_deref().map(|it| format!("  {it}")).unwrap_or_default();
        let quota = match &account.quota {
            None => "no quota".to_owned(),
            Some((_, balance)) => {
                let resets = balance.resets_at.map(|it| format!(", resets {} UTC", time(it)));
                format!(
                    "quota {} {} of {}{}",
                    quota_bar(balance, screen),
                    short(balance.used),
                    short(balance.limit),
                    resets.unwrap_or_default()
                )
            }
        };
        text = format!("{id}{label}  {quota}\n{text}");
    }
    text
}

fn cells(
    name: String,
    row: Option<&Row<'_>>,
    totals: &Totals,
    by_key: bool,
    screen: &Screen,
) -> Vec<String> {
    let usage = &totals.usage;
    let mut cells = vec![name];
    if by_key {
        cells.push(row.map(|it| printable(&it.label)).unwrap_or_default());
    }
    cells.extend([
        totals.requests.to_string(),
        totals.errors.to_string(),
        short(usage.input),
        short(usage.cached),
        percent(usage.cached, usage.input).map_or("-".to_owned(), |it| format!("{it}%")),
        short(usage.output),
        short(usage.reasoning),
        short(usage.total),
    ]);
    if by_key {
        cells.push(match row.map(|it| &it.quota) {
            None => String::new(),
            Some(None) => "none".to_owned(),
            Some(Some((_, balance))) => quota_bar(balance, screen),
        });
    }
    let quantile = |it| totals.ttft.quantile(it);
    cells.push(match (quantile(50), quantile(95)) {
        (Some(half), Some(most)) => format!("{}/{} s", seconds(half), seconds(most)),
        (None, _) | (_, None) => "-".to_owned(),
    });
    if screen.is_terminal() {
        cells.push(sparkline(&totals.trend));
    }
    cells
}

/// Everything, as one object.
pub(super) fn json(report: &Report<'_>) -> String {
    let by = report.summary.by();
    let rows: Vec<_> = report.rows().iter().map(|row| object(row, by)).collect();
    let mut value = json!({
        "schema_version": SCHEMA_VERSION,
        "by": by.name(),
        "since": format!("{:.3}", report.since),
        "until": format!("{:.3}", report.until),
        "rows": rows,
        "total": sums(report.summary.total()),
        "unreadable_lines": report.unreadable,
    });
    if let (Some(Subject { id, account }), Some(object)) = (&report.subject, value.as_object_mut())
    {
        let label = account.label.as_deref().unwrap_or("");
        let key = json!({"id": id, "label": label, "quota": quota(account.quota.as_ref())});
        object.insert("key".to_owned(), key);
    }
    pretty(&value)
}

/// Every row as an object on a line of its own.
pub(super) fn jsonl(report: &Report<'_>) -> String {
    let by = report.summary.by();
    report.rows().iter().fold(String::new(), |mut text, row| {
        let mut value = Map::from_iter([("schema_version".to_owned(), SCHEMA_VERSION.into())]);
        value.extend(object(row, by));
        let _ = writeln!(text, "{}", Value::Object(value));
        text
    })
}

/// Every row as a line of comma-separated values, under a line of names.
pub(super) fn csv(report: &Report<'_>) -> String {
    let by = report.summary.by();
    let mut text = format!(
        "{},{}requests,errors,prompt_tokens,cached_tokens,completion_tokens,reasoning_tokens,\
         total_tokens,ttft_ms_p50,ttft_ms_p95\n",
        if by == By::Key { "key_id" } else { by.name() },
        if by == By::Key { "label," } else { "" },
    );
    for row in report.rows() {
        let (totals, usage) = (row.totals, &row.totals.usage);
        text += &quoted(&row.name);
        if by == By::Key {
            let _ = write!(text, ",{}", quoted(&row.label));
        }
        let quantile = |it| totals.ttft.quantile(it).map(|it| it.to_string()).unwrap_or_default();
        let _ = writeln!(
            text,
            ",{},{},{},{},{},{},{},{},{}",
            totals.requests,
            totals.errors,
            usage.input,
            usage.cached,
            usage.output,
            usage.reasoning,
            usage.total,
            quantile(50),
            quantile(95),
        );
    }
    text
}

fn object(row: &Row<'_>, by: By) -> Map<String, Value> {
    let mut object = Map::new();
    if by == By::Key {
        object.insert("key_id".to_owned(), row.name.as_str().into());
        object.insert("label".to_owned(), row.label.as_str().into());
    } else {
        object.insert(by.name().to_owned(), row.name.as_str().into());
    }
    object.extend(sums(row.totals));
    if by == By::Key {
        object.insert("quota".to_owned(), quota(row.quota.as_ref()));
    }
    object
}

fn sums(totals: &Totals) -> Map<String, Value> {
    let usage = &totals.usage;
    Map::from_iter([
        ("requests".to_owned(), totals.requests.into()),
        ("errors".to_owned(), totals.errors.into()),
        ("prompt_tokens".to_owned(), usage.input.into()),
        ("cached_tokens".to_owned(), usage.cached.into()),
        ("completion_tokens".to_owned(), usage.output.into()),
        ("reasoning_tokens".to_owned(), usage.reasoning.into()),
        ("total_tokens".to_owned(), usage.total.into()),
        ("ttft_ms_p50".to_owned(), totals.ttft.quantile(50).into()),
        ("ttft_ms_p95".to_owned(), totals.ttft.quantile(95).into()),
    ])
}

fn quota(quota: Option<&(Window, Balance)>) -> Value {
    match quota {
        None => Value::Null,
        Some((window, balance)) => json!({
            "tokens": balance.limit,
            "window": window,
            "used": balance.used,
            "remaining": balance.remaining(),
            "resets_at": balance.resets_at.map(|it| it.to_string()),
        }),
    }
}

/// `████░░ 67%`, without the bar where nobody looks.
fn quota_bar(balance: &Balance, screen: &Screen) -> String {
    const WIDTH: u64 = 6;
    let share = percent(balance.used, balance.limit).unwrap_or(0);
    if !screen.is_terminal() {
        return format!("{share}%");
    }
    let full = usize::try_from((share * WIDTH / 100).min(WIDTH)).unwrap_or(0);
    format!("{:░<6} {share}%", "█".repeat(full))
}

fn sparkline(parts: &[u64]) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = parts.iter().copied().max().unwrap_or(0).max(1);
    let height = |part: u64| usize::try_from(u128::from(part) * 7 / u128::from(most)).unwrap_or(0);
    parts.iter().filter_map(|&it| HEIGHTS.get(height(it))).collect()
}

fn percent(part: u64, whole: u64) -> Option<u64> {
    let share = (u128::from(part) * 100).checked_div(u128::from(whole))?;
    Some(u64::try_from(share).unwrap_or(u64::MAX))
}

fn seconds(millis: u64) -> String {
    format!("{}.{:02}", millis / 1000, millis % 1000 / 10)
}

/// Names come from clients: nothing in them may move the cursor.
fn printable(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { '\u{FFFD}' } else { it }).collect()
}

/// A CSV value. What a spreadsheet would take for a formula is made a text.
fn quoted(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}
