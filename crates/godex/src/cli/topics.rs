//! `godex help`: the help of a command, and the topics that belong to none.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;

use super::command_line;
use super::report::{Exit, Failure};
use super::talk::Talk;
use crate::config::VARIABLES;

/// `godex help`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A command, or one of: environment, exit-codes
    #[arg(value_name = "COMMAND|TOPIC")]
    words: Vec<String>,
}

/// What has a help of its own and is no command.
pub(super) const TOPICS: [&str; 2] = ["environment", "exit-codes"];

/// Prints a topic, or the help of the command.
///
/// # Errors
///
/// When there is no such command.
pub(super) fn run(args: &Args, colour: bool, talk: &mut Talk<'_>) -> Result<Exit, Failure> {
    let words: Vec<_> = args.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["environment"] => talk.say(&environment()),
        ["exit-codes"] => talk.say(&exit_codes()),
        words => {
            let line = ["godex"].iter().chain(words).chain(&["--help"]).map(OsString::from);
            let line: Vec<_> = line.collect();
            command_line::parse(&line, colour, None)?;
            Ok(Exit::Success)
        }
    }
}

/// The exit codes, one a line.
pub(super) fn exit_codes() -> String {
    let mut text = String::from("Exit codes:\n");
    for exit in Exit::ALL {
        let _ = writeln!(text, "  {:<3} {}", exit as u8, exit.meaning());
    }
    text
}

/// Every variable that is read: those of flags, and those that have none.
fn environment() -> String {
    let mut flags = BTreeMap::new();
    collect(&command_line::command(), &mut flags);
    let width = flags.keys().map(String::len).max().unwrap_or(0);
    let mut text = String::from("Variables that stand for a flag, which wins over them:\n");
    for (name, (flag, help)) in &flags {
        let _ = writeln!(text, "  {name:<width$}  {flag}  {help}");
    }
    text.push_str("\nOther variables:\n");
    let width = VARIABLES.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, help) in VARIABLES {
        let _ = writeln!(text, "  {name:<width$}  {help}");
    }
    text
}

fn collect(command: &clap::Command, found: &mut BTreeMap<String, (String, String)>) {
    for arg in command.get_arguments() {
        let (Some(name), Some(flag)) = (arg.get_env().and_then(|it| it.to_str()), arg.get_long())
        else {
            continue;
        };
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        found.entry(name.to_owned()).or_insert((format!("--{flag}"), help));
    }
    command.get_subcommands().for_each(|it| collect(it, found));
}
