//! `godex config show`: every setting as it counts, and where it comes from. What it prints is a
//! settings file; a secret is never part of it.

use std::fmt::Write as _;

use clap::ArgMatches;
use clap::parser::ValueSource;
use serde_json::{Value, json};

use super::{Show, World};
use crate::cli::report::{Exit, Failure};
use crate::cli::settings;
use crate::cli::talk::{Talk, pretty};
use crate::config::{self, BaseUrl, File, Kind, Setting, Surroundings};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Flag,
    Variable(String),
    File(usize),
    Default,
}

impl Origin {
    fn name(&self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Variable(_) => "environment",
            Self::File(_) => "file",
            Self::Default => "default",
        }
    }

    fn words(&self, setting: &Setting) -> String {
        match self {
            Self::Flag => format!("flag {}", setting.flag()),
            Self::Variable(name) => format!("variable {name}"),
            Self::File(line) => format!("file, line {line}"),
            Self::Default => "default".to_owned(),
        }
    }
}

/// One setting as it counts.
struct Row {
    setting: Setting,
    value: Value,
    /// Whether it has a value that is not shown.
    hidden: bool,
    origin: Origin,
}

/// Shows all settings.
///
/// # Errors
///
/// When the file is not understood, a path needs a home folder, or the output cannot be written.
pub(super) fn run(
    args: &Show,
    world: &World<'_>,
    surroundings: &Surroundings,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let file = world.file.as_ref().map_err(settings::unread)?.as_ref();
    let own = world.matches.subcommand_matches("config");
    let own = own.and_then(|it| it.subcommand_matches("show")).unwrap_or(world.matches);
    let mut flags = args.flags.clone();
    flags.prefer_closer_key(own);
    let mut rows = Vec::new();
    for setting in config::settings() {
        rows.push(row(setting, own, file, &flags, surroundings)?);
    }
    if let Some(warning) = file.and_then(settings::exposed) {
        talk.note(&format!("warning: {warning}"));
    }
    let path = world.place.map(|it| it.path.display().to_string());
    talk.say(&if args.json {
        document(&rows, path.as_deref(), file)
    } else {
        text(&rows, path.as_deref(), file, args.origin)
    })
}

fn row(
    setting: Setting,
    matches: &ArgMatches,
    file: Option<&File>,
    flags: &config::ProxyArgs,
    surroundings: &Surroundings,
) -> Result<Row, Failure> {
    let line = file.and_then(|it| it.line(&setting));
    let source = matches.value_source(setting.id());
    let mut origin = match (source, setting.variable(), line) {
        (Some(ValueSource::CommandLine), _, _) => Origin::Flag,
        (Some(ValueSource::EnvVariable), Some(name), _) => Origin::Variable(name.to_owned()),
        (_, _, Some(line)) => Origin::File(line),
        (_, _, None) => Origin::Default,
    };
    let mut value = value(&setting, matches);
    if setting.key() == "color" {
        let (choice, variable) = surroundings.colour_choice();
        value = clap::ValueEnum::to_possible_value(&choice)
            .map_or(Value::Null, |it| it.get_name().into());
        origin = variable.map_or(origin, |it| Origin::Variable(it.to_owned()));
    }
    if flags.lacks(setting.id()) {
        (value, origin) = (Value::Null, Origin::Default);
    }
    if value.is_null() {
        value = usual(&setting, flags, surroundings)?;
    }
    let usable = |it: &str| it.parse::<BaseUrl>().is_ok();
    let unusable = ["base_url", "issuer"].contains(&setting.name.as_str())
        && !value.as_str().is_some_and(usable);
    let hidden = !value.is_null() && (setting.is_secret() || unusable);
    Ok(Row { value: if hidden { Value::Null } else { value }, setting, hidden, origin })
}

/// The value on the command line, in the environment, in the file or by default.
fn value(setting: &Setting, matches: &ArgMatches) -> Value {
    let raw = matches.get_raw(setting.id()).into_iter().flatten();
    let mut all = raw.map(|it| it.to_string_lossy().into_owned());
    match setting.kind {
        Kind::List => all.map(|it| it.trim().to_owned()).collect(),
        Kind::Switch => matches.get_one::<bool>(setting.id()).map_or(Value::Null, |it| json!(it)),
        Kind::Number | Kind::Size => {
            let text = all.next().unwrap_or_default();
            text.trim().parse::<u64>().map_or_else(|_| Value::String(text), Value::from)
        }
        Kind::Text => all.next().map_or(Value::Null, Value::String),
    }
}

/// What is used where nothing is said, of settings whose default depends on the machine.
fn usual(
    setting: &Setting,
    flags: &config::ProxyArgs,
    surroundings: &Surroundings,
) -> Result<Value, Failure> {
    let path = match setting.id() {
        "auth_path" => flags.auth_path(surroundings),
        "keys_path" => flags.keys_path(surroundings),
        "stats_path" => flags.stats_path(surroundings),
        "user_agent" => {
            return Ok(config::default_user_agent().to_str().unwrap_or_default().into());
        }
        _ => return Ok(Value::Null),
    };
    let path = path.map_err(|error| settings::refused(&error))?;
    Ok(path.display().to_string().into())
}

fn document(rows: &[Row], path: Option<&str>, file: Option<&File>) -> String {
    let setting = |row: &Row| {
        let line = match row.origin {
            Origin::File(line) => Some(line),
            Origin::Flag | Origin::Variable(_) | Origin::Default => None,
        };
        json!({
            "key": row.setting.key(),
            "value": row.value,
            "hidden": row.hidden,
            "origin": row.origin.name(),
            "line": line,
            "flag": row.setting.flag(),
            "variable": row.setting.variable(),
        })
    };
    pretty(&json!({
        "schema_version": 1,
        "file": {"path": path, "exists": file.is_some()},
        "settings": rows.iter().map(setting).collect::<Vec<_>>(),
    }))
}

fn text(rows: &[Row], path: Option<&str>, file: Option<&File>, origins: bool) -> String {
    let mut out = match (path, file) {
        (Some(path), Some(_)) => format!("# {path}\n"),
        (Some(path), None) => format!("# {path} does not exist\n"),
        (None, _) => String::new(),
    };
    let lines: Vec<_> = rows.iter().map(|row| (row, line(row))).collect();
    let width = lines.iter().map(|(_, line)| line.chars().count()).max().unwrap_or(0).min(60);
    let mut table = "";
    for (row, line) in lines {
        if row.setting.table != table {
            table = row.setting.table;
            let _ = writeln!(out, "\n[{table}]");
        }
        let _ = if origins {
            writeln!(out, "{line:<width$}  # {}", row.origin.words(&row.setting))
        } else {
            writeln!(out, "{line}")
        };
    }
    out
}

/// A setting as a file has it.
fn line(row: &Row) -> String {
    let name = &row.setting.name;
    match (&row.value, row.hidden) {
        (_, true) => format!("# {name} is set, and not shown"),
        (Value::Null, false) => format!("# {name} is not set"),
        (value, false) => format!("{name} = {}", toml(value)),
    }
}

fn toml(value: &Value) -> String {
    match value {
        Value::String(text) => toml_edit::Value::from(text.as_str()).to_string(),
        Value::Array(all) => {
            format!("[{}]", all.iter().map(toml).collect::<Vec<_>>().join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}
