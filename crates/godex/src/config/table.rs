//! All settings: the flags that have a variable, as the keys of a file.
//!
//! The one table is that of the flags: name, kind, default and words of a key are those of its
//! flag. `GODEX_PROXY_CACHE_TTL` is `cache_ttl` in the table `[proxy]`.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Args as _, Command};

use super::{GlobalArgs, IssuerArgs, ProxyArgs};

/// Settings that nobody else may read.
const SECRET: &[&str] = &["api_key"];

/// The tables of a file, and what the variables of their settings begin with.
const TABLES: &[(&str, &str)] = &[("proxy", "GODEX_PROXY_"), ("login", "GODEX_LOGIN_")];

/// How the value of a setting is written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `true` or `false`.
    Switch,
    /// A whole number.
    Number,
    /// A number of bytes, or a text with a unit.
    Size,
    /// A text.
    Text,
    /// Several texts, or one.
    List,
}

impl Kind {
    /// What belongs there, for the reader of a refusal.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Switch => "true or false",
            Self::Number => "a whole number",
            Self::Size => "a number of bytes, or a text with a unit like \"64MiB\"",
            Self::Text => "a text in quotes",
            Self::List => "a list of texts, like [\"a\", \"b\"]",
        }
    }
}

/// One setting.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// Its table in the file; empty for those before the first table.
    pub(crate) table: &'static str,
    /// Its name in the table.
    pub(crate) name: String,
    /// How its value is written.
    pub(crate) kind: Kind,
    arg: Arg,
}

/// Why a value is refused. It does not quote the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// What is wrong with it.
    pub(crate) why: String,
    /// How to write it.
    pub(crate) help: String,
}

/// All settings, in the order of the help.
pub(crate) fn settings() -> Vec<Setting> {
    let mut found: Vec<Setting> = Vec::new();
    for command in [
        GlobalArgs::augment_args(Command::new("")),
        ProxyArgs::augment_args(Command::new("")),
        IssuerArgs::augment_args(Command::new("")),
    ] {
        for setting in command.get_arguments().filter_map(Setting::of) {
            if found.iter().all(|it| it.key() != setting.key()) {
                found.push(setting);
            }
        }
    }
    found
}

impl Setting {
    /// The setting behind a flag, if it is one.
    pub(super) fn of(arg: &Arg) -> Option<Self> {
        let (table, name) = place(arg)?;
        let value = arg.get_value_names().and_then(|it| it.first()).map(clap::builder::Str::as_str);
        let kind = match (arg.get_action(), value) {
            (ArgAction::Append, _) => Kind::List,
            (_, Some("BOOL")) => Kind::Switch,
            (_, Some("N")) => Kind::Number,
            (_, Some("SIZE")) => Kind::Size,
            (_, _) => Kind::Text,
        };
        Some(Self { table, name, kind, arg: arg.clone() })
    }

    /// `table.name`.
    pub(crate) fn key(&self) -> String {
        if self.table.is_empty() {
            self.name.clone()
        } else {
            format!("{}.{}", self.table, self.name)
        }
    }

    /// The name under which the parsed command line knows it.
    pub(crate) fn id(&self) -> &str {
        self.arg.get_id().as_str()
    }

    /// `--flag`.
    pub(crate) fn flag(&self) -> String {
        format!("--{}", self.arg.get_long().unwrap_or_default())
    }

    /// Its variable, if it has one of its own.
    pub(crate) fn variable(&self) -> Option<&str> {
        self.arg.get_env().and_then(|it| it.to_str())
    }

    /// What it sets, what it is when nobody sets it and what it can be, in the words of the help.
    pub(crate) fn help(&self) -> String {
        let help = self.arg.get_help().map(ToString::to_string).unwrap_or_default();
        let choices = self.choices();
        if choices.is_empty() || choices.iter().all(|it| help.contains(it)) {
            return help;
        }
        format!("{help}: {}", choices.join(", "))
    }

    /// The heading under which the help has it.
    pub(crate) fn heading(&self) -> &str {
        self.arg.get_help_heading().unwrap_or("Login")
    }

    /// What stands for its value in the help.
    pub(crate) fn value_name(&self) -> &str {
        let names = self.arg.get_value_names();
        names.and_then(|it| it.first()).map(clap::builder::Str::as_str).unwrap_or_default()
    }

    /// Its value when nobody sets it, as it is written on a command line.
    pub(crate) fn default(&self) -> Option<String> {
        self.arg.get_default_values().first().map(|it| it.to_string_lossy().into_owned())
    }

    /// The values it can have, when they are few.
    fn choices(&self) -> Vec<String> {
        match self.kind {
            Kind::Switch => Vec::new(),
            Kind::Number | Kind::Size | Kind::Text | Kind::List => {
                let all = self.arg.get_possible_values();
                all.iter().map(|it| it.get_name().to_owned()).collect()
            }
        }
    }

    /// Whether its value must not be shown.
    pub(crate) fn is_secret(&self) -> bool {
        SECRET.contains(&self.name.as_str())
    }

    /// Whether a value could be a flag's.
    ///
    /// # Errors
    ///
    /// Why not, and how to write it.
    pub(super) fn judge(&self, value: &str) -> Result<(), Refused> {
        // Those two are judged when all is settled, because they must not be quoted.
        let settled = match self.name.as_str() {
            "api_key" => super::settle::judge_text(value).map_err(str::to_owned),
            "base_url" | "issuer" => {
                value.parse::<super::BaseUrl>().map(|_| ()).map_err(|it| it.to_string())
            }
            _ => Ok(()),
        };
        settled.map_err(|why| Refused { why, help: self.example() })?;
        let arg = self.arg.clone().env(clap::builder::Resettable::Reset);
        let words = [String::new(), format!("{}={value}", self.flag())];
        let parsed = Command::new("").no_binary_name(false).arg(arg).try_get_matches_from(words);
        parsed.map(|_| ()).map_err(|error| refused(&error))
    }

    /// These values as a file has them.
    ///
    /// # Errors
    ///
    /// Why one of them cannot be the setting's, and how to write it.
    pub(crate) fn written(&self, values: &[String]) -> Result<toml_edit::Value, Refused> {
        values.iter().try_for_each(|value| self.judge(value))?;
        let Some(first) = values.first() else { return Ok(toml_edit::Array::new().into()) };
        if values.len() > 1 && self.kind != Kind::List {
            let why = format!("there are {} values", values.len());
            return Err(Refused { why, help: "give one; quotes keep words together".to_owned() });
        }
        let number = first.trim().parse::<i64>().ok();
        Ok(match (self.kind, number) {
            (Kind::List, _) => {
                values.iter().map(String::as_str).collect::<toml_edit::Array>().into()
            }
            (Kind::Switch, _) => is_yes(first).into(),
            (Kind::Number | Kind::Size, Some(number)) => number.into(),
            (Kind::Number | Kind::Size | Kind::Text, _) => first.as_str().into(),
        })
    }

    /// How a value can look.
    fn example(&self) -> String {
        match self.name.as_str() {
            "api_key" => "write 1 to 4096 visible ASCII characters without spaces".to_owned(),
            _ => "write an address like https://HOST, or http://127.0.0.1:PORT".to_owned(),
        }
    }
}

/// Whether a switch with this value is on, of the values that it takes.
fn is_yes(value: &str) -> bool {
    ["y", "yes", "t", "true", "on", "1"].contains(&value.to_ascii_lowercase().as_str())
}

/// Table and name of the key of a flag.
fn place(arg: &Arg) -> Option<(&'static str, String)> {
    if arg.get_id() == "color" {
        return Some(("", "color".to_owned()));
    }
    let variable = arg.get_env()?.to_str()?;
    let of = |(table, lead): &(&'static str, &str)| {
        Some((*table, variable.strip_prefix(lead)?.to_ascii_lowercase()))
    };
    TABLES.iter().find_map(of)
}

/// The tables of a file.
pub(super) fn tables() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|(table, _)| *table)
}

/// Why clap refuses a value, and how to write it right.
pub(crate) fn refused(error: &clap::Error) -> Refused {
    let refused = |why: &str, help: String| Refused { why: why.to_owned(), help };
    let texts = |kind| match error.get(kind) {
        Some(ContextValue::Strings(values)) if !values.is_empty() => Some(values.as_slice()),
        Some(ContextValue::String(value)) => Some(std::slice::from_ref(value)),
        Some(_) | None => None,
    };
    let empty = texts(ContextKind::InvalidValue).is_some_and(|it| it.iter().all(String::is_empty));
    if error.kind() == ErrorKind::InvalidValue && empty {
        return refused("it is empty", "write a value or leave it out".to_owned());
    }
    if let Some(values) = texts(ContextKind::ValidValue) {
        let all = format!("write one of {}", values.join(", "));
        let help = match texts(ContextKind::SuggestedValue).and_then(<[String]>::first) {
            Some(close) => format!("did you mean {close}? {all}"),
            None => all,
        };
        return refused("it is none of the values it can have", help);
    }
    let why = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    match why.split_once("write ") {
        Some((cause, remedy)) => {
            refused(cause.trim_end_matches([' ', ';', ':', ',']), format!("write {remedy}"))
        }
        None if why == "value was not a boolean" => {
            refused("it is neither yes nor no", "write true or false".to_owned())
        }
        None => refused(&why, "see what it takes with --help".to_owned()),
    }
}
