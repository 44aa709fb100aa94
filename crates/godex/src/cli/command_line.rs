//! Arguments become a command. What clap refuses is told in the form of all failures: what, why
//! and the remedy, naming the variable when the value came from there, and never a secret.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, CommandFactory, FromArgMatches, ValueEnum as _};

use super::Godex;
use super::report::{Exit, Failure, say};
use super::topics;
use crate::config::{self, Colour, File, ignore_empty_variables, masked, variable};

/// What the user asked for, and how each value came about; `None` when help or the version was
/// wanted and has been printed. What `file` says takes the place of the defaults.
///
/// # Errors
///
/// When the arguments or a variable cannot be understood.
pub(super) fn parse(
    arguments: &[OsString],
    colour: bool,
    file: Option<&File>,
) -> Result<Option<(Godex, ArgMatches)>, Failure> {
    let arguments = &with_negative_values(arguments);
    let understood = |file: Option<&File>| {
        let command = command();
        let command = if let Some(file) = file { file.fill(command) } else { command };
        let command = ignore_empty_variables(command, &variable);
        let matches = command.try_get_matches_from(arguments)?;
        Ok((Godex::from_arg_matches(&matches)?, matches))
    };
    // Help shows the defaults of the program, not those of a file that may hold a key.
    let parsed = understood(file).or_else(|error: clap::Error| match file {
        Some(_) if error.kind() == ErrorKind::DisplayHelp => understood(None),
        Some(_) | None => Err(error),
    });
    let error = match parsed {
        Ok(parsed) => return Ok(Some(parsed)),
        Err(error) => error,
    };
    let kind = error.kind();
    if kind == ErrorKind::DisplayHelp {
        let help = error.render();
        let text = if colour { help.ansi().to_string() } else { help.to_string() };
        say(&text).map(|()| None)
    } else if kind == ErrorKind::DisplayVersion {
        say(&version()).map(|()| None)
    } else if kind == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        Err(Failure::help_wanted(error.render().to_string()))
    } else {
        Err(refusal(&error, arguments))
    }
}

/// The command as it is shown: no value of the environment stands in its help.
pub(super) fn command() -> clap::Command {
    hide_values(Godex::command().after_help(topics::exit_codes().trim_end().to_owned()))
        .mut_subcommand("help", |help| {
            help.mut_arg("words", |arg| {
                arg.value_parser(words_of_help()).hide_possible_values(true)
            })
        })
        .mut_subcommand("doctor", hide_settings)
        .mut_subcommand("config", |config| config.mut_subcommand("show", hide_settings))
}

/// What there is help about: completions know it, and a slip is told from it.
fn words_of_help() -> PossibleValuesParser {
    fn collect(command: &clap::Command, names: &mut BTreeSet<String>) {
        for child in command.get_subcommands() {
            names.insert(child.get_name().to_owned());
            collect(child, names);
        }
    }
    let mut names: BTreeSet<_> = topics::TOPICS.iter().map(|it| (*it).to_owned()).collect();
    collect(&Godex::command(), &mut names);
    PossibleValuesParser::new(names)
}

/// Hides the settings of the proxy: they are in its help, and work here, too.
fn hide_settings(command: clap::Command) -> clap::Command {
    command.mut_args(|arg| if arg.get_help_heading().is_some() { arg.hide(true) } else { arg })
}

/// What `--color` says, wherever it stands: refusals are coloured before it is parsed.
pub(super) fn colour(arguments: &[OsString]) -> Option<Colour> {
    Colour::from_str(value_of(arguments, "--color")?.to_str()?, true).ok()
}

/// What `--config` says, wherever it stands: the file is read before the rest is understood.
pub(super) fn settings_file(arguments: &[OsString]) -> Option<PathBuf> {
    value_of(arguments, "--config").map(PathBuf::from)
}

/// The arguments with a number below zero as the value of the flag before it, to which it belongs:
/// no flag of ours looks like `-1`, and what is wrong with the value is said in its own words.
fn with_negative_values(arguments: &[OsString]) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    let mut flags = true;
    for word in arguments {
        flags &= word != "--";
        let negative = matches!(word.as_bytes(), [b'-', b'0'..=b'9' | b'.', ..]);
        let waits =
            |it: &&mut OsString| it.as_bytes().starts_with(b"--") && !it.as_bytes().contains(&b'=');
        match joined.last_mut().filter(waits) {
            Some(flag) if flags && negative => {
                flag.push("=");
                flag.push(word);
            }
            Some(_) | None => joined.push(word.clone()),
        }
    }
    joined
}

/// The value of a flag that belongs to every command.
fn value_of<'a>(arguments: &'a [OsString], flag: &str) -> Option<&'a OsStr> {
    let mut words = arguments.iter().take_while(|it| *it != "--");
    while let Some(word) = words.next() {
        let rest = word.as_bytes().strip_prefix(flag.as_bytes());
        match rest {
            Some([]) => return words.next().map(OsString::as_os_str),
            Some([b'=', value @ ..]) => return Some(OsStr::from_bytes(value)),
            Some(_) | None => {}
        }
    }
    None
}

fn hide_values(command: clap::Command) -> clap::Command {
    command.mut_args(|arg| arg.hide_env_values(true)).mut_subcommands(hide_values)
}

fn version() -> String {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("godex {} ({os}-{arch})\n", env!("CARGO_PKG_VERSION"))
}

/// The reference of all commands in Markdown: `docs/cli.md`.
pub fn reference() -> String {
    let mut text = String::from(
        "# Commands\n\n\
         Generated from the program's own help. After a change of a flag: \
         `UPDATE=1 cargo test -p godex --test it cli`.\n\n\
         A flag wins over its environment variable, which wins over the settings file \
         (docs/configuration.md), which wins over the default. An empty variable is an unset \
         one.\n",
    );
    let mut root = command().term_width(100);
    root.build();
    describe(&mut root, &mut text);
    text
}

fn describe(command: &mut clap::Command, text: &mut String) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    let _ = write!(text, "\n## {name}\n\n```text\n");
    for line in help.trim_end().lines() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push_str("```\n");
    for child in command.get_subcommands_mut() {
        if !child.is_hide_set() && child.get_name() != "help" {
            describe(child, text);
        }
    }
}

/// The failure behind a refusal of clap.
fn refusal(error: &clap::Error, arguments: &[OsString]) -> Failure {
    let value = error.get(ContextKind::InvalidValue);
    // clap has one kind for a value that is wrong and for one that is missing.
    let missing = matches!(value, Some(ContextValue::String(value)) if value.is_empty());
    let judged = error.kind() == ErrorKind::ValueValidation
        || (error.kind() == ErrorKind::InvalidValue && !missing);
    match (error.get(ContextKind::InvalidArg), value) {
        (Some(ContextValue::String(arg)), Some(ContextValue::String(value))) if judged => {
            wrong_value(error, arguments, arg, value)
        }
        (Some(ContextValue::Strings(names)), _)
            if error.kind() == ErrorKind::MissingRequiredArgument =>
        {
            lacking(error, names)
        }
        (_, _) => wrong_form(error),
    }
}

/// A command without something that it needs.
fn lacking(error: &clap::Error, names: &[String]) -> Failure {
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    let usage = usage.trim().trim_start_matches("Usage: ");
    let command = usage.split([' ']).take_while(|it| !it.starts_with(['<', '[', '-']));
    let command = command.collect::<Vec<_>>().join(" ");
    // Several flags of which one is needed stand in brackets of their own.
    let one = |name: &String| match name.strip_prefix("<--").and_then(|it| it.strip_suffix('>')) {
        Some(flags) => format!("one of --{}", flags.replace('|', ", ")),
        None => name.clone(),
    };
    let names: Vec<_> = names.iter().map(one).collect();
    Failure::new(Exit::Usage, format!("{command} needs {}", names.join(" and ")))
        .help(format!("{command} --help"))
}

/// Whether an unexpected argument looks like the value of a switch, as in `--mock false`.
fn is_switch_value(argument: &str) -> bool {
    matches!(argument, "true" | "false" | "yes" | "no" | "on" | "off" | "1" | "0")
}

/// A value that its flag does not take.
fn wrong_value(error: &clap::Error, arguments: &[OsString], arg: &str, value: &str) -> Failure {
    // A flag with its value, or the name of a value without a flag: `[CLIENT]`, `<SHELL>`.
    let flag = arg.trim_start_matches(['[', '<']).split([' ', '=', '[', ']', '>']).next();
    let flag = flag.unwrap_or(arg);
    let place = match (written(arguments, flag), variable_of(&command(), flag)) {
        (false, Some(name)) => format!("the variable {name} ({flag})"),
        (_, _) => flag.to_owned(),
    };
    let failure =
        Failure::new(Exit::Usage, format!("invalid value `{}` for {place}", masked(value)));
    let refused = config::refused(error);
    failure.cause(masked(&refused.why)).help(refused.help)
}

/// Arguments that make no command: unknown, doubled, missing.
fn wrong_form(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let what = lines.next().unwrap_or("the command line cannot be understood");
    let what = what.strip_prefix("error: ").unwrap_or(what);
    let failure = Failure::new(Exit::Usage, masked(what));
    let unexpected = [ContextKind::InvalidArg, ContextKind::InvalidSubcommand];
    let switch = unexpected.into_iter().find_map(|kind| match error.get(kind) {
        Some(ContextValue::String(word)) if is_switch_value(word) => Some(word),
        Some(_) | None => None,
    });
    let failure = match switch {
        Some(word) => failure
            .help(format!("a switch has its value after an equals sign: --allow-any-key={word}")),
        None => failure,
    };
    lines.fold(failure, |failure, line| {
        failure.help(masked(line.strip_prefix("tip: ").unwrap_or(line)))
    })
}

/// Whether `flag` stands on the command line.
fn written(arguments: &[OsString], flag: &str) -> bool {
    arguments.iter().filter_map(|argument| argument.to_str()).any(|argument| {
        argument.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    })
}

/// The variable of `flag`, if it is set to something.
fn variable_of(command: &clap::Command, flag: &str) -> Option<String> {
    let long = flag.strip_prefix("--")?;
    let own = command.get_arguments().find(|arg| arg.get_long() == Some(long));
    match own.and_then(|arg| arg.get_env()).and_then(OsStr::to_str) {
        Some(name) => variable(name).filter(|value| !value.is_empty()).map(|_| name.to_owned()),
        None => command.get_subcommands().find_map(|command| variable_of(command, flag)),
    }
}
