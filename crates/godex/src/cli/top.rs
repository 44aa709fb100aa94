//! `godex top`: the running proxy, as it goes.

use std::fmt::Write as _;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use super::admin::{self, Which};
use super::report::{Exit, Failure};
use super::status::{clock_time, head, word};
use super::table::{Column, Table, short};
use super::talk::{Screen, Talk, pretty};
use crate::config::Surroundings;

/// `godex top`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,

    /// Show it once; this is what happens without a terminal
    #[arg(long)]
    once: bool,

    /// As JSON, once
    #[arg(long)]
    json: bool,
}

/// How often it is drawn.
const PAUSE: Duration = Duration::from_secs(1);
/// From the top of an empty screen.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Shows the proxy until Ctrl-C, or once.
///
/// # Errors
///
/// When no proxy is running, or the output cannot be written.
pub(super) fn run(
    args: &Args,
    surroundings: &Surroundings,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    if args.json {
        let status = admin::status(args.which.connect(surroundings)?)?;
        return talk.say(&pretty(&status));
    }
    let once = args.once || !talk.screen.is_terminal();
    let mut before: Option<u64> = None;
    loop {
        let status = admin::status(args.which.connect(surroundings)?)?;
        let served = status.pointer("/requests/served").and_then(Value::as_u64).unwrap_or(0);
        let pace = before.map(|it| served.saturating_sub(it));
        before = Some(served);
        let text = page(&status, pace, &talk.screen);
        if once {
            return talk.say(&text);
        }
        if !talk.show(&format!("{CLEAR}{text}\nCtrl-C ends it\n"))? {
            return Ok(Exit::Success);
        }
        sleep(PAUSE);
    }
}

fn page(status: &Value, pace: Option<u64>, screen: &Screen) -> String {
    let mut text = head(status);
    if let Some(pace) = pace {
        let _ = writeln!(text, "  {:<10}  {pace} requests/s", "pace");
    }
    let mut table = Table::new(vec![
        Column::left("TIME", 9),
        Column::right("STATUS", 8),
        Column::left("KEY", 7),
        Column::left("LABEL", 3),
        Column::left("PATH", 2),
        Column::left("MODEL", 5),
        Column::right("TOKENS", 6),
        Column::right("TTFT", 4),
        Column::right("TIME MS", 6),
    ]);
    let number = |it: &Value| it.as_u64().map_or_else(|| "-".to_owned(), short);
    for it in status["lately"].as_array().into_iter().flatten().take(15) {
        table.row(vec![
            clock_time(&it["at"]),
            it["status"].to_string(),
            word(&it["key_id"]).to_owned(),
            word(&it["label"]).to_owned(),
            word(&it["path"]).to_owned(),
            word(&it["model"]).to_owned(),
            number(&it["total_tokens"]),
            number(&it["ttft_ms"]),
            number(&it["duration_ms"]),
        ]);
    }
    text.push('\n');
    text.push_str(&table.render(screen));
    text
}
