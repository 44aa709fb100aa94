//! `godex logs`: what the running proxy has logged lately, and what it logs from now on.

use serde_json::Value;

use super::admin::{self, Which};
use super::report::{Exit, Failure};
use super::status::{clock_time, word};
use super::talk::Talk;
use crate::config::Surroundings;

/// `godex logs`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,

    /// Go on with what comes, one line for every request included
    #[arg(long, short)]
    follow: bool,

    /// Only the lines of this request
    #[arg(long, value_name = "ID")]
    request: Option<String>,

    /// One JSON object a line, as it is logged
    #[arg(long)]
    json: bool,
}

/// Shows the lines.
///
/// # Errors
///
/// When no proxy is running, or the output cannot be written.
pub(super) fn run(
    args: &Args,
    surroundings: &Surroundings,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let stream = args.which.connect(surroundings)?;
    let question = if args.follow { "follow" } else { "logs" };
    let mut found_any = false;
    for line in admin::ask(stream, question)? {
        let Ok(line) = line else { break };
        let found: Value = serde_json::from_str(&line).unwrap_or_default();
        let wanted = args
            .request
            .as_deref()
            .is_none_or(|id| found.get("request_id").and_then(Value::as_str) == Some(id));
        if !wanted {
            continue;
        }
        found_any = true;
        let text = if args.json { line + "\n" } else { human(&found) };
        if !talk.show(&text)? {
            break;
        }
    }
    if let (Some(id), false) = (&args.request, found_any || args.follow) {
        talk.note(&format!(
            "no line about {id}: it is too long ago, or went well; requests that do have a line \
             with godex proxy --log-requests, or while godex logs -f runs"
        ));
    }
    Ok(Exit::Success)
}

/// One line for eyes: the fields behind the message, those that say nothing left out.
fn human(line: &Value) -> String {
    let known = ["timestamp", "level", "message", "target"];
    let fields = line.as_object().into_iter().flatten();
    let fields = fields.filter(|(name, value)| !known.contains(&name.as_str()) && !value.is_null());
    let fields: String = fields
        .map(|(name, value)| match value.as_str() {
            Some(text) => format!(" {name}={text}"),
            None => format!(" {name}={value}"),
        })
        .collect();
    let time = clock_time(&line["timestamp"]);
    format!("{time} {:>5} {}{fields}\n", word(&line["level"]), word(&line["message"]))
}
