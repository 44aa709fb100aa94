//! What is written after `godex proxy keys`, and how each value is written.

use std::convert::Infallible;
use std::str::FromStr;
use std::time::Duration;

use clap::Subcommand;
use godex_core::key::ApiKey;
use godex_core::policy::quota::Window;
use godex_core::policy::rate::{Burst, Rate};
use jiff::Timestamp;

/// Add, list, show, change, revoke and rotate the keys of clients
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key; its secret is written to standard output, once
    Add(Box<Add>),
    /// List all keys
    List {
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one key
    Show(Named),
    /// Change the label or the limits of a key
    Update(Box<Update>),
    /// End a key for good
    Revoke {
        #[command(flatten)]
        named: Named,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Give a key a new secret; id, limits and history stay
    Rotate(Rotate),
}

#[derive(Debug, clap::Args)]
pub(super) struct Named {
    /// Id, label, or the beginning of an id
    #[arg(value_name = "KEY")]
    pub(super) name: String,
    /// Write JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Add {
    /// What you call it
    #[arg(long, value_name = "TEXT", value_parser = parse_label)]
    pub(super) label: Option<String>,
    /// Requests it may make, like 60/m [default: the proxy's --rate]
    #[arg(long = "rate", id = "key_rate", value_name = "RATE")]
    pub(super) rate: Option<Rate>,
    /// Requests it may make at once [default: the proxy's --burst]
    #[arg(long = "burst", id = "key_burst", value_name = "N")]
    pub(super) burst: Option<Burst>,
    /// Tokens it may use; 0 is no limit [default: the proxy's --quota-tokens]
    #[arg(long = "quota-tokens", id = "key_quota_tokens", value_name = "N")]
    #[arg(value_parser = parse_tokens)]
    pub(super) quota_tokens: Option<u64>,
    /// When the quota comes back: day, week, month (UTC) or none
    #[arg(long = "quota-window", id = "key_quota_window", value_name = "WINDOW")]
    #[arg(requires = "key_quota_tokens")]
    pub(super) quota_window: Option<Window>,
    /// Models it may ask for, separated by commas [default: all]
    #[arg(long, value_name = "MODELS")]
    pub(super) models: Option<Models>,
    /// How long it is valid, like 30d [default: for ever]
    #[arg(long, value_name = "DURATION")]
    pub(super) expires_in: Option<Lifetime>,
    /// Use this secret instead of a new one; `-` reads it from standard input
    #[arg(long, value_name = "SECRET", value_parser = parse_key)]
    pub(super) key: Option<ApiKey>,
    /// Write JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("changes").required(true).multiple(true).args([
    "label", "key_rate", "key_burst", "key_quota_tokens", "key_quota_window", "models", "expires_in",
]))]
pub(super) struct Update {
    #[command(flatten)]
    pub(super) named: Named,
    /// What you call it
    #[arg(long, value_name = "TEXT", value_parser = parse_label)]
    pub(super) label: Option<String>,
    /// Requests it may make, like 60/m, or `default` for the proxy's --rate
    #[arg(long = "rate", id = "key_rate", value_name = "RATE")]
    pub(super) rate: Option<Change<Rate>>,
    /// Requests it may make at once, or `default` for the proxy's --burst
    #[arg(long = "burst", id = "key_burst", value_name = "N")]
    pub(super) burst: Option<Change<Burst>>,
    /// Tokens it may use; 0 is no limit, `default` is the proxy's --quota-tokens
    #[arg(long = "quota-tokens", id = "key_quota_tokens", value_name = "N")]
    #[arg(value_parser = parse_tokens_change)]
    pub(super) quota_tokens: Option<Change<u64>>,
    /// When the quota comes back: day, week, month (UTC) or none
    #[arg(long = "quota-window", id = "key_quota_window", value_name = "WINDOW")]
    pub(super) quota_window: Option<Window>,
    /// Models it may ask for, separated by commas, or `all`
    #[arg(long, value_name = "MODELS")]
    pub(super) models: Option<Change<Models>>,
    /// How long it is valid from now on, like 30d, or `never`
    #[arg(long, value_name = "DURATION")]
    pub(super) expires_in: Option<Change<Lifetime>>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Rotate {
    #[command(flatten)]
    pub(super) named: Named,
    /// How long the old secret still works, like 1h [default: not at all]
    #[arg(long, value_name = "DURATION")]
    pub(super) grace: Option<Lifetime>,
    /// Use this secret instead of a new one; `-` reads it from standard input
    #[arg(long, value_name = "SECRET", value_parser = parse_key)]
    pub(super) key: Option<ApiKey>,
    /// Do not ask
    #[arg(long, short)]
    pub(super) yes: bool,
}

/// A new value, or back to what holds without one.
#[derive(Debug, Clone)]
pub(super) enum Change<T> {
    Back,
    To(T),
}

impl<T> Change<T> {
    pub(super) fn given(self) -> Option<T> {
        match self {
            Self::Back => None,
            Self::To(value) => Some(value),
        }
    }
}

impl<T: FromStr> FromStr for Change<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        match text {
            "default" | "all" | "never" => Ok(Self::Back),
            _ => text.parse().map(Self::To),
        }
    }
}

/// A time span on the command line: `30d`, `12h`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lifetime(Duration);

impl Lifetime {
    /// The moment that far from `now`; none if it is beyond all calendars.
    pub(super) fn after(self, now: Timestamp) -> Option<Timestamp> {
        now.checked_add(self.0).ok()
    }
}

impl FromStr for Lifetime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        /// A hundred years, far from where calendars end.
        const LONGEST: Duration = Duration::from_hours(100 * 366 * 24);
        humantime::parse_duration(text)
            .ok()
            .filter(|it| !it.is_zero() && *it <= LONGEST)
            .map(Self)
            .ok_or_else(|| {
                format!(
                    "`{text}` is not a duration: write a number and a unit, like 30d, 12h or 15m"
                )
            })
    }
}

/// An allow-list of models.
#[derive(Debug, Clone)]
pub(super) struct Models(pub(super) Vec<String>);

impl FromStr for Models {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<String> = text.split(',').map(|it| it.trim().to_owned()).collect();
        let plain = |it: &String| !it.is_empty() && it.bytes().all(|it| it.is_ascii_graphic());
        if names.iter().all(plain) {
            return Ok(Self(names));
        }
        Err("this is no list of models: write their names separated by commas".to_owned())
    }
}

fn parse_key(text: &str) -> Result<ApiKey, Infallible> {
    text.parse()
}

fn parse_label(text: &str) -> Result<String, String> {
    const LONGEST: usize = 100;
    let text = text.trim();
    if text.is_empty() || text.chars().any(char::is_control) || text.chars().count() > LONGEST {
        return Err("this is no label: write one line of 1 to 100 characters".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_tokens(text: &str) -> Result<u64, String> {
    let digits = text.bytes().all(|it| it.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().ok_or_else(|| {
        format!("`{text}` is not a number of tokens: write a whole number, like 1000000, or 0 for no limit")
    })
}

fn parse_tokens_change(text: &str) -> Result<Change<u64>, String> {
    if text == "default" { Ok(Change::Back) } else { parse_tokens(text).map(Change::To) }
}
