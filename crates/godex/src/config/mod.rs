//! Flags and environment become a settled configuration, in two stages.
//!
//! - [`args`] mirrors the command line: what the user wrote, typed, nothing settled. [`global`] has
//!   the flags of every command.
//! - [`table`] lists all settings, made of the flags; [`mod@file`] reads those of the settings file.
//! - [`values`] says how each kind of value is written, and refuses the rest with the remedy.
//! - [`surroundings`] is the only reader of environment variables besides the flags' own.
//! - [`login`] finds the login file.
//! - [`settle`] turns the first three into a [`Config`].
//!
//! A flag wins over its environment variable, which wins over the settings file, which wins over
//! the default. An empty variable is an unset one.

mod args;
mod file;
mod global;
mod login;
mod masked;
mod settle;
mod surroundings;
mod table;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use godex_core::key::ApiKey;
use godex_core::policy::quota::Quota;
use godex_core::policy::rate::{Burst, Rate};
use http::HeaderValue;
use ipnet::IpNet;

pub(crate) use args::{
    DOCUMENTED_MODEL, LogFormat, LogLevel, ProxyArgs, ReasoningMode, ignore_empty_variables,
};
pub(crate) use file::{File, FileError, Place, Problem, closest};
pub(crate) use global::GlobalArgs;
pub(crate) use login::{IssuerAddress, IssuerArgs, KeysPath, LoginFiles, LoginPath, Owner};
pub(crate) use masked::masked;
pub(crate) use settle::{Error, default_user_agent};
pub(crate) use surroundings::{Colour, SIMULATED, Surroundings, VARIABLES, socket_name, variable};
pub(crate) use table::{Kind, Setting, refused, settings};
pub(crate) use values::{BaseUrl, parse_client_url, parse_listen};

/// Everything `godex proxy` has decided before it opens its listener.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Where clients connect.
    pub(crate) listen: SocketAddr,
    /// Certificate and key of the listener, if it speaks TLS.
    pub(crate) tls: Option<TlsFiles>,
    /// Networks whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// How many connections are served at once.
    pub(crate) max_connections: usize,
    /// Names by which a loopback listener is reached, besides its own.
    pub(crate) allowed_hosts: Vec<String>,
    /// Origins of pages that may call, besides those of this machine.
    pub(crate) cors_origins: Vec<String>,
    /// Who may call.
    pub(crate) admission: Admission,
    /// Requests a key may make when it has no rate of its own.
    pub(crate) rate: Rate,
    /// Requests a key may make at once when it has no burst of its own.
    pub(crate) burst: Burst,
    /// Tokens a key may use when it has no quota of its own; `None` is no limit.
    pub(crate) quota: Option<Quota>,
    /// The managed keys, stored as hashes.
    pub(crate) keys_path: PathBuf,
    /// The usage log.
    pub(crate) stats_path: PathBuf,
    /// The size in bytes at which the usage log is set aside; 0 is never.
    pub(crate) stats_max_bytes: u64,
    /// How many usage logs set aside are kept.
    pub(crate) stats_max_backups: u32,

    /// Serve from the embedded simulator instead of the Codex backend.
    pub(crate) mock: bool,
    /// The Codex backend, without a slash at the end: `{base_url}/responses`.
    pub(crate) base_url: BaseUrl,
    /// Where an access token is renewed.
    pub(crate) token_url: BaseUrl,
    /// The login: the file named, else that of `godex login`, else that of the Codex CLI.
    pub(crate) auth_path: PathBuf,
    /// Whether a 401 may be answered by renewing the token over the network.
    pub(crate) allow_refresh: bool,
    /// `User-Agent` of every call to the backend and the issuer.
    pub(crate) user_agent: HeaderValue,
    /// `originator` of every call to the backend and the issuer.
    pub(crate) originator: HeaderValue,
    /// How long connecting to the backend may take, TLS included.
    pub(crate) connect_timeout: Duration,
    /// How long the backend may take to send its response headers.
    pub(crate) upstream_header_timeout: Duration,
    /// How long the backend may be silent inside a response.
    pub(crate) upstream_idle_timeout: Duration,

    /// The model of a request that names none.
    pub(crate) model: String,
    /// Model names of clients and what is asked of the backend instead.
    pub(crate) model_aliases: BTreeMap<String, String>,
    /// Instructions when neither the request nor its session has any.
    pub(crate) instructions: String,
    /// How reasoning shows in chat answers.
    pub(crate) reasoning_mode: ReasoningMode,
    /// How long a session's instructions and tool calls are remembered after their last use.
    pub(crate) cache_ttl: Duration,

    /// How often a silent stream sends a comment to its client; `None` is never.
    pub(crate) heartbeat: Option<Duration>,
    /// The largest request body in bytes.
    pub(crate) max_body: usize,
    /// How long shutdown waits for running requests.
    pub(crate) drain_timeout: Duration,
    /// Threads that serve requests.
    pub(crate) workers: usize,

    /// Where the admin socket is; `None` without a place for it.
    pub(crate) socket_folder: Option<PathBuf>,

    /// What is logged and how.
    pub(crate) logging: Logging,
}

/// The files of a certificate.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    /// The chain.
    pub(crate) cert: PathBuf,
    /// The private key.
    pub(crate) key: PathBuf,
}

/// Who may call.
#[derive(Clone, Debug)]
pub(crate) enum Admission {
    /// Whoever presents a managed key, or the shared one if there is one.
    Keys {
        /// `--api-key`.
        shared: Option<ApiKey>,
    },
    /// Whoever presents any bearer token.
    Anyone,
}

/// What is logged and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logging {
    /// The least severe level that is logged.
    pub(crate) level: LogLevel,
    /// The form of a line.
    pub(crate) format: LogFormat,
    /// Whether every request gets a line.
    pub(crate) requests: bool,
}
