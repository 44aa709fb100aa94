//! What the user wrote: every flag of `godex proxy` with its variable, default and help.
//!
//! Nothing here looks at the machine. Parsers of values that may hold a secret (`--api-key`,
//! `--base-url`) accept every string, because clap quotes what it refuses; they are judged when
//! the configuration is settled.

use std::cmp::Ordering;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{BoolishValueParser, Resettable, StringValueParser, TypedValueParser};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Args, FromArgMatches as _, ValueEnum};
use godex_core::key::ApiKey;
use godex_core::policy::rate::{Burst, Rate};
use http::HeaderValue;
use ipnet::IpNet;

use super::File;
use super::values::{
    ByteSize, ModelAlias, parse_backups, parse_connections, parse_count, parse_duration,
    parse_header, parse_host, parse_listen, parse_network, parse_origin, parse_pause, parse_size,
    parse_text, parse_token, parse_workers,
};

/// The flags of `godex proxy`.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ProxyArgs {
    /// Address to listen on: `HOST:PORT`, or `:PORT` for loopback
    #[arg(
        long,
        env = "GODEX_PROXY_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:39001"
    )]
    #[arg(value_parser = parse_listen, help_heading = LISTENER)]
    pub(super) listen: SocketAddr,

    /// Largest request body: bytes, or a number with KiB, MiB or GiB
    #[arg(long, env = "GODEX_PROXY_MAX_BODY", value_name = "SIZE", default_value = "64MiB")]
    #[arg(help_heading = LISTENER)]
    pub(super) max_body: ByteSize,

    /// Certificate chain for TLS towards clients, a PEM file
    #[arg(long, env = "GODEX_PROXY_TLS_CERT", value_name = "PATH", help_heading = LISTENER)]
    pub(super) tls_cert: Option<PathBuf>,

    /// Private key of --tls-cert, a PEM file
    #[arg(long, env = "GODEX_PROXY_TLS_KEY", value_name = "PATH", help_heading = LISTENER)]
    pub(super) tls_key: Option<PathBuf>,

    /// Serve other machines without TLS: keys, prompts and answers travel in the clear
    #[arg(long, env = "GODEX_PROXY_INSECURE_HTTP", value_name = "BOOL", default_value = "false")]
    #[arg(action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", hide_possible_values = true)]
    #[arg(value_parser = BoolishValueParser::new())]
    #[arg(help_heading = LISTENER)]
    pub(super) insecure_http: bool,

    /// Network of a reverse proxy whose `X-Forwarded-For` is believed, like 10.0.0.0/8; repeatable
    #[arg(long = "trusted-proxy", env = "GODEX_PROXY_TRUSTED_PROXY", value_name = "CIDR")]
    #[arg(value_delimiter = ',', action = ArgAction::Append, value_parser = parse_network)]
    #[arg(help_heading = LISTENER)]
    pub(super) trusted_proxies: Vec<IpNet>,

    /// Connections served at once; others wait to be accepted
    #[arg(long, env = "GODEX_PROXY_MAX_CONNECTIONS", value_name = "N", default_value = "10000")]
    #[arg(value_parser = parse_connections, help_heading = LISTENER)]
    pub(super) max_connections: usize,

    /// Name by which clients reach a loopback listener, besides localhost, like proxy.local;
    /// repeatable
    #[arg(long = "allowed-host", env = "GODEX_PROXY_ALLOWED_HOST", value_name = "HOST")]
    #[arg(value_delimiter = ',', action = ArgAction::Append, value_parser = parse_host)]
    #[arg(help_heading = LISTENER)]
    pub(super) allowed_hosts: Vec<String>,

    /// Origin of web pages that may call, besides those of this machine, like
    /// `https://chat.example`; repeatable
    #[arg(long = "cors-origin", env = "GODEX_PROXY_CORS_ORIGIN", value_name = "ORIGIN")]
    #[arg(value_delimiter = ',', action = ArgAction::Append, value_parser = parse_origin)]
    #[arg(help_heading = LISTENER)]
    pub(super) cors_origins: Vec<String>,

    /// How often a silent stream sends a comment to its client; `0s` is never
    #[arg(long, env = "GODEX_PROXY_HEARTBEAT", value_name = "DURATION", default_value = "15s")]
    #[arg(value_parser = parse_pause, help_heading = LISTENER)]
    pub(super) heartbeat: Duration,

    /// How long shutdown waits for running requests
    #[arg(long, env = "GODEX_PROXY_DRAIN_TIMEOUT", value_name = "DURATION", default_value = "30s")]
    #[arg(value_parser = parse_pause, help_heading = LISTENER)]
    pub(super) drain_timeout: Duration,

    /// Threads that serve requests; never more than there are processors
    #[arg(long, env = "GODEX_PROXY_WORKERS", value_name = "N", default_value = "2")]
    #[arg(value_parser = parse_workers, help_heading = LISTENER)]
    pub(super) workers: usize,

    /// One key for all clients; `-` reads it from standard input [required without managed keys]
    #[arg(long, env = "GODEX_PROXY_API_KEY", value_name = "KEY")]
    #[arg(value_parser = StringValueParser::new().map(ApiKey::from), help_heading = ACCESS)]
    pub(super) api_key: Option<ApiKey>,

    /// File that holds the shared key, instead of --api-key
    #[arg(long, env = "GODEX_PROXY_API_KEY_FILE", value_name = "PATH", help_heading = ACCESS)]
    pub(super) api_key_file: Option<PathBuf>,

    /// Accept any bearer token; only on a loopback address, for development
    #[arg(long, env = "GODEX_PROXY_ALLOW_ANY_KEY", value_name = "BOOL", default_value = "false")]
    #[arg(action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", hide_possible_values = true)]
    #[arg(value_parser = BoolishValueParser::new())]
    #[arg(help_heading = ACCESS)]
    pub(super) allow_any_key: bool,

    /// With --allow-any-key, let the whole network in and not this machine alone
    #[arg(long, env = "GODEX_PROXY_INSECURE_ANY_KEY", value_name = "BOOL")]
    #[arg(default_value = "false", action = ArgAction::Set, num_args = 0..=1)]
    #[arg(require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    #[arg(value_parser = BoolishValueParser::new())]
    #[arg(help_heading = ACCESS)]
    pub(super) insecure_any_key: bool,

    /// Managed keys, stored as hashes [default: ~/.codex/proxy-keys.json]
    #[arg(long, env = "GODEX_PROXY_KEYS_PATH", value_name = "PATH", global = true)]
    #[arg(help_heading = ACCESS)]
    pub(super) keys_path: Option<PathBuf>,

    /// Requests a key may make in a second, a minute or an hour, like 5/s, 60/m or 1000/h
    #[arg(long, env = "GODEX_PROXY_RATE", value_name = "RATE", default_value = "60/m")]
    #[arg(help_heading = LIMITS)]
    pub(super) rate: Rate,

    /// Requests a key may make at once, before its rate holds it back
    #[arg(long, env = "GODEX_PROXY_BURST", value_name = "N", default_value = "10")]
    #[arg(help_heading = LIMITS)]
    pub(super) burst: Burst,

    /// Tokens a key may use in all; 0 is no limit
    #[arg(long, env = "GODEX_PROXY_QUOTA_TOKENS", value_name = "N", default_value = "0")]
    #[arg(value_parser = parse_count, help_heading = LIMITS)]
    pub(super) quota_tokens: u64,

    /// Usage log [default: ~/.codex/proxy-usage.jsonl]
    #[arg(long, env = "GODEX_PROXY_STATS_PATH", value_name = "PATH", global = true)]
    #[arg(help_heading = LIMITS)]
    pub(super) stats_path: Option<PathBuf>,

    /// Size at which the usage log is set aside and a new one begun; 0 is never
    #[arg(
        long,
        env = "GODEX_PROXY_STATS_MAX_BYTES",
        value_name = "SIZE",
        default_value = "256MiB"
    )]
    #[arg(value_parser = parse_size, help_heading = LIMITS)]
    pub(super) stats_max_bytes: u64,

    /// Usage logs set aside that are kept; quotas remember what the others said
    #[arg(long, env = "GODEX_PROXY_STATS_MAX_BACKUPS", value_name = "N", default_value = "4")]
    #[arg(value_parser = parse_backups, help_heading = LIMITS)]
    pub(super) stats_max_backups: u32,

    /// Model of a request that names none
    #[arg(long, env = "GODEX_PROXY_MODEL", value_name = "MODEL", default_value = DOCUMENTED_MODEL)]
    #[arg(value_parser = parse_token, help_heading = ANSWERS)]
    pub(super) model: String,

    /// Ask the backend for another model than the client names, like fast=gpt-5.5; repeatable, or
    /// separated by commas
    #[arg(long = "model-alias", env = "GODEX_PROXY_MODEL_ALIAS", value_name = "FROM=TO")]
    #[arg(value_delimiter = ',', action = ArgAction::Append, help_heading = ANSWERS)]
    pub(super) model_aliases: Vec<ModelAlias>,

    /// Instructions when neither the request nor its session has any
    #[arg(long, env = "GODEX_PROXY_INSTRUCTIONS", value_name = "TEXT")]
    #[arg(default_value = "You are a helpful assistant.")]
    #[arg(value_parser = parse_text, help_heading = ANSWERS)]
    pub(super) instructions: String,

    /// How reasoning shows in chat answers
    #[arg(long, env = "GODEX_PROXY_REASONING_MODE", value_name = "MODE")]
    #[arg(default_value = "reasoning_content", help_heading = ANSWERS)]
    pub(super) reasoning_mode: ReasoningMode,

    /// How long a session's instructions and tool calls are remembered
    #[arg(long, env = "GODEX_PROXY_CACHE_TTL", value_name = "DURATION", default_value = "6h")]
    #[arg(value_parser = parse_pause, help_heading = ANSWERS)]
    pub(super) cache_ttl: Duration,

    /// Serve from a built-in offline backend: no account needed, nothing leaves this machine
    #[arg(long, env = "GODEX_PROXY_MOCK", value_name = "BOOL", default_value = "false")]
    #[arg(action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", hide_possible_values = true)]
    #[arg(value_parser = BoolishValueParser::new())]
    #[arg(help_heading = BACKEND)]
    pub(super) mock: bool,

    /// The Codex backend; plain http only on loopback
    #[arg(long, env = "GODEX_PROXY_BASE_URL", value_name = "URL")]
    #[arg(default_value = "https://chatgpt.com/backend-api/codex", help_heading = BACKEND)]
    pub(super) base_url: String,

    /// Login file; `godex login` writes its own [default: ~/.codex/auth.json]
    #[arg(long, env = "GODEX_PROXY_AUTH_PATH", value_name = "PATH", help_heading = BACKEND)]
    pub(super) auth_path: Option<PathBuf>,

    /// Renew the access token over the network when the backend answers 401
    #[arg(long, env = "GODEX_PROXY_ALLOW_REFRESH", value_name = "BOOL", default_value = "false")]
    #[arg(action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", hide_possible_values = true)]
    #[arg(value_parser = BoolishValueParser::new())]
    #[arg(help_heading = BACKEND)]
    pub(super) allow_refresh: bool,

    /// `User-Agent` sent to the backend [default: godex/VERSION (OS; ARCH)]
    #[arg(long, env = "GODEX_PROXY_USER_AGENT", value_name = "TEXT")]
    #[arg(value_parser = parse_header, help_heading = BACKEND)]
    pub(super) user_agent: Option<HeaderValue>,

    /// `originator` sent to the backend
    #[arg(long, env = "GODEX_PROXY_ORIGINATOR", value_name = "NAME")]
    #[arg(default_value = "codex_cli_rs", value_parser = parse_header, help_heading = BACKEND)]
    pub(super) originator: HeaderValue,

    /// How long connecting to the backend may take
    #[arg(long, env = "GODEX_PROXY_CONNECT_TIMEOUT", value_name = "DURATION")]
    #[arg(default_value = "10s", value_parser = parse_duration, help_heading = BACKEND)]
    pub(super) connect_timeout: Duration,

    /// How long the backend may take to begin its answer
    #[arg(long, env = "GODEX_PROXY_UPSTREAM_HEADER_TIMEOUT", value_name = "DURATION")]
    #[arg(default_value = "120s", value_parser = parse_duration, help_heading = BACKEND)]
    pub(super) upstream_header_timeout: Duration,

    /// How long the backend may be silent inside an answer
    #[arg(long, env = "GODEX_PROXY_UPSTREAM_IDLE_TIMEOUT", value_name = "DURATION")]
    #[arg(default_value = "300s", value_parser = parse_duration, help_heading = BACKEND)]
    pub(super) upstream_idle_timeout: Duration,

    /// Least severe level that is logged
    #[arg(long, env = "GODEX_PROXY_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    #[arg(help_heading = LOGGING)]
    pub(super) log_level: LogLevel,

    /// Form of a log line: `auto` is `human` on a terminal and `json` elsewhere
    #[arg(long, env = "GODEX_PROXY_LOG_FORMAT", value_name = "FORMAT", default_value = "auto")]
    #[arg(help_heading = LOGGING)]
    pub(super) log_format: LogFormat,

    /// Log one line for every request, whatever --log-level says
    #[arg(long, env = "GODEX_PROXY_LOG_REQUESTS", value_name = "BOOL", default_value = "false")]
    #[arg(action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", hide_possible_values = true)]
    #[arg(value_parser = BoolishValueParser::new())]
    #[arg(help_heading = LOGGING)]
    pub(super) log_requests: bool,
}

const LISTENER: &str = "Listener";
const ACCESS: &str = "Access";
const LIMITS: &str = "Limits and usage";
const ANSWERS: &str = "Answers";
const BACKEND: &str = "Codex backend";
const LOGGING: &str = "Logging";

/// The default of `--model`, in everybody's configuration. The backend no longer lists it: that
/// another stands in for it is normal.
pub(crate) const DOCUMENTED_MODEL: &str = "gpt-5.2-codex";

/// How severe a log line must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    /// What a maintainer wants to see.
    Debug,
    /// What happened.
    Info,
    /// What went wrong and was survived.
    Warn,
    /// What failed.
    Error,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Human on a terminal, JSON elsewhere.
    Auto,
    /// For eyes.
    Human,
    /// One JSON object a line.
    Json,
}

/// How reasoning shows in chat answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReasoningMode {
    /// In the field `reasoning_content`.
    #[value(name = "reasoning_content")]
    ReasoningContent,
    /// In the text, between `<think>` and `</think>`.
    Think,
    /// Not at all.
    Off,
}

impl ProxyArgs {
    /// Whether the backend is the simulator.
    pub(crate) fn mock(&self) -> bool {
        self.mock
    }

    /// What the settings file alone says.
    pub(crate) fn of_file(file: &File) -> Option<Self> {
        let command = file.fill(Self::augment_args(clap::Command::new("")));
        let command = command.mut_args(|arg| arg.env(Resettable::Reset));
        let matches = command.try_get_matches_from([""]).ok()?;
        let mut flags = Self::from_arg_matches(&matches).ok()?;
        flags.prefer_closer_key(&matches);
        Some(flags)
    }

    /// Whether this setting has no value although it may have been given one: of two forms of the
    /// shared key, one counts.
    pub(crate) fn lacks(&self, id: &str) -> bool {
        match id {
            "api_key" => self.api_key.is_none(),
            "api_key_file" => self.api_key_file.is_none(),
            _ => false,
        }
    }

    /// A flag on the command line that only serving understands, if there is one.
    pub(crate) fn serving_flag(matches: &ArgMatches) -> Option<String> {
        let written = |id: &&clap::Id| {
            !["keys_path", "stats_path"].contains(&id.as_str())
                && matches.value_source(id.as_str()) == Some(ValueSource::CommandLine)
        };
        let flags = Self::augment_args(clap::Command::new(""));
        let id = matches.ids().find(written)?;
        let flag = flags.get_arguments().find(|arg| arg.get_id() == id)?.get_long()?;
        Some(format!("--{flag}"))
    }

    /// Lets the form of the shared key that is said closer to the user win over the other one: on
    /// the command line, in the environment, in the settings file.
    pub(crate) fn prefer_closer_key(&mut self, matches: &ArgMatches) {
        let source = |id| matches.value_source(id);
        match source("api_key").cmp(&source("api_key_file")) {
            Ordering::Greater => self.api_key_file = None,
            Ordering::Less => self.api_key = None,
            Ordering::Equal => {}
        }
    }
}

/// Makes a command blind to variables that are set to nothing: an empty variable is an unset one.
pub(crate) fn ignore_empty_variables(
    command: clap::Command,
    variables: &dyn Fn(&str) -> Option<OsString>,
) -> clap::Command {
    command
        .mut_args(|arg| {
            let name = arg.get_env().and_then(|name| name.to_str()).map(str::to_owned);
            match name.and_then(|name| variables(&name)) {
                Some(value) if value.is_empty() => arg.env(Resettable::Reset),
                Some(_) | None => arg,
            }
        })
        .mut_subcommands(|command| ignore_empty_variables(command, variables))
}
