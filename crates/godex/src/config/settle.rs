//! What the flags left open is settled, and what they may not say together is refused.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use godex_core::key::ApiKey;
use godex_core::policy::quota::{Quota, Window};
use http::HeaderValue;

use super::login::LoginFiles;
use super::values::{BaseUrl, UrlFault};
use super::{Admission, Config, Logging, ProxyArgs, Surroundings, TlsFiles};

/// Where the Codex CLI renews its token. Source: `docs/wire.md`.
const TOKEN_URL: &str = "https://auth.openai.com/oauth/token";

/// The largest file or input that is read as a key.
const LONGEST_KEY: u64 = 4096;

/// Why a configuration is refused. No variant holds a key or an address with a password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The value cannot be sent in a header, or is nothing.
    #[error("the API key from {origin} cannot be used: {why}")]
    Key {
        /// The flag, the file or the input it came from.
        origin: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The file or the input cannot be read.
    #[error("cannot read the API key from {origin}")]
    KeyUnreadable {
        /// The file or the input.
        origin: String,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// Both forms of the shared key are given at the same level.
    #[error("--api-key and --api-key-file are both given")]
    TwoKeys,
    /// The address of the backend or of the issuer.
    #[error("{origin} is not usable")]
    Url {
        /// The flag or the variable.
        origin: &'static str,
        /// What is wrong with it.
        #[source]
        fault: UrlFault,
    },
    /// Any key from anywhere would spend the account.
    #[error("--allow-any-key on {listen} would let the whole network use your ChatGPT account")]
    OpenToTheNetwork {
        /// The listener.
        listen: std::net::SocketAddr,
    },
    /// Keys would travel in the clear.
    #[error("plain HTTP on {listen} would send keys, prompts and answers in the clear")]
    InTheClear {
        /// The listener.
        listen: std::net::SocketAddr,
    },
    /// A default path needs a home folder.
    #[error("there is no home folder to look for {what} in")]
    NoHome {
        /// The file.
        what: &'static str,
        /// The flag or the variable that names the file.
        flag: &'static str,
    },
    /// A certificate without its key, or the other way round.
    #[error("{given} is given without {missing}")]
    HalfTls {
        /// The flag that is given.
        given: &'static str,
        /// The flag that belongs to it.
        missing: &'static str,
    },
    /// One name with two meanings.
    #[error("--model-alias gives {from} two meanings")]
    AliasTwice {
        /// What the client names.
        from: String,
    },
}

impl Error {
    /// What to do about it.
    pub(crate) fn help(&self) -> String {
        match self {
            Self::Key { .. } => "write 1 to 4096 visible ASCII characters without spaces, like \
                                 --api-key local-dev-key"
                .into(),
            Self::KeyUnreadable { .. } => {
                "name a readable file with --api-key-file, or pipe the key into --api-key -".into()
            }
            Self::TwoKeys => "give one of them".into(),
            Self::Url { origin, .. } => {
                format!(
                    "write an address like https://HOST (or http://127.0.0.1:PORT), or leave {origin} out"
                )
            }
            Self::OpenToTheNetwork { .. } => "listen on loopback, --listen 127.0.0.1:39001, or \
                                              require keys, --allow-any-key=false; if everybody \
                                              shall get in, --insecure-any-key"
                .into(),
            Self::InTheClear { .. } => "encrypt it, --tls-cert CERT.pem --tls-key KEY.pem, or \
                                        listen on loopback, --listen 127.0.0.1:39001; behind a \
                                        proxy that does TLS, or in a network you trust, \
                                        --insecure-http"
                .into(),
            Self::NoHome { flag, .. } if flag.starts_with("--") => {
                format!("set HOME or CODEX_HOME, or name it with {flag}")
            }
            Self::NoHome { flag, .. } => format!("set HOME, or {flag}"),
            Self::HalfTls { given, missing } => {
                format!("name the other file with {missing}, or leave {given} out")
            }
            Self::AliasTwice { .. } => "keep one of them".into(),
        }
    }
}

impl ProxyArgs {
    /// Settles what the flags left open. `input` is read when the key is `-`.
    ///
    /// # Errors
    ///
    /// When a value is refused, alone or next to another.
    pub(crate) fn resolve(
        self,
        surroundings: &Surroundings,
        input: &mut dyn Read,
    ) -> Result<Config, Error> {
        let quota = self.quota();
        let auth_path = self.auth_path(surroundings)?;
        let keys_path = self.keys_path(surroundings)?;
        let stats_path = self.stats_path(surroundings)?;
        let tls = self.tls_files(surroundings)?;
        self.judge_listener(tls.is_some())?;
        let shared = shared_key(self.api_key, self.api_key_file, surroundings, input)?;
        let token_url = surroundings.token_url.as_deref().unwrap_or(TOKEN_URL);
        Ok(Config {
            listen: self.listen,
            tls,
            trusted_proxies: self.trusted_proxies,
            max_connections: self.max_connections,
            allowed_hosts: self.allowed_hosts,
            cors_origins: self.cors_origins,
            admission: if self.allow_any_key {
                Admission::Anyone
            } else {
                Admission::Keys { shared }
            },
            rate: self.rate,
            burst: self.burst,
            quota,
            keys_path,
            stats_path,
            stats_max_bytes: self.stats_max_bytes,
            stats_max_backups: self.stats_max_backups,
            mock: self.mock,
            base_url: url(&self.base_url, "--base-url")?,
            token_url: url(token_url, "CODEX_REFRESH_TOKEN_URL_OVERRIDE")?,
            auth_path,
            allow_refresh: self.allow_refresh,
            user_agent: self.user_agent.unwrap_or_else(default_user_agent),
            originator: self.originator,
            connect_timeout: self.connect_timeout,
            upstream_header_timeout: self.upstream_header_timeout,
            upstream_idle_timeout: self.upstream_idle_timeout,
            model: self.model,
            model_aliases: aliases(self.model_aliases)?,
            instructions: self.instructions,
            reasoning_mode: self.reasoning_mode,
            cache_ttl: self.cache_ttl,
            heartbeat: Some(self.heartbeat).filter(|pause| !pause.is_zero()),
            max_body: self.max_body.0,
            drain_timeout: self.drain_timeout,
            workers: self.workers,
            socket_folder: surroundings.socket_folder(),
            logging: Logging {
                level: self.log_level,
                format: self.log_format,
                requests: self.log_requests,
            },
        })
    }

    /// Refuses to serve other machines in a way that nobody asked for.
    fn judge_listener(&self, private: bool) -> Result<(), Error> {
        let listen = self.listen;
        if listen.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        if self.allow_any_key && !self.insecure_any_key {
            return Err(Error::OpenToTheNetwork { listen });
        }
        // A token that was made up is no secret.
        if !self.allow_any_key && !private && !self.insecure_http {
            return Err(Error::InTheClear { listen });
        }
        Ok(())
    }

    /// The certificate and its key.
    fn tls_files(&self, surroundings: &Surroundings) -> Result<Option<TlsFiles>, Error> {
        let (cert, key) = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => (cert, key),
            (None, None) => return Ok(None),
            (Some(_), None) => {
                return Err(Error::HalfTls { given: "--tls-cert", missing: "--tls-key" });
            }
            (None, Some(_)) => {
                return Err(Error::HalfTls { given: "--tls-key", missing: "--tls-cert" });
            }
        };
        let expand =
            |path: &Path, what, flag| surroundings.expand(path).ok_or(Error::NoHome { what, flag });
        Ok(Some(TlsFiles {
            cert: expand(cert, "the certificate", "--tls-cert")?,
            key: expand(key, "the private key", "--tls-key")?,
        }))
    }

    /// The quota of keys that have none of their own.
    pub(crate) fn quota(&self) -> Option<Quota> {
        Quota::new(self.quota_tokens, Window::default())
    }

    /// The login.
    ///
    /// # Errors
    ///
    /// When that needs a home folder and there is none.
    pub(crate) fn auth_path(&self, surroundings: &Surroundings) -> Result<PathBuf, Error> {
        let files = LoginFiles::find(self.auth_path.as_deref(), surroundings)?;
        Ok(files.in_use().0.to_owned())
    }

    /// Where the managed keys are.
    ///
    /// # Errors
    ///
    /// When that needs a home folder and there is none.
    pub(crate) fn keys_path(&self, surroundings: &Surroundings) -> Result<PathBuf, Error> {
        place(self.keys_path.as_deref(), "proxy-keys.json", "--keys-path", surroundings)
    }

    /// Where the usage log is.
    ///
    /// # Errors
    ///
    /// When that needs a home folder and there is none.
    pub(crate) fn stats_path(&self, surroundings: &Surroundings) -> Result<PathBuf, Error> {
        place(self.stats_path.as_deref(), "proxy-usage.jsonl", "--stats-path", surroundings)
    }
}

/// The path a flag names, else the file `what` in the folder of the Codex CLI.
pub(super) fn place(
    named: Option<&Path>,
    what: &'static str,
    flag: &'static str,
    surroundings: &Surroundings,
) -> Result<PathBuf, Error> {
    match named {
        Some(path) => surroundings.expand(path),
        None => surroundings.codex_folder().map(|folder| folder.join(what)),
    }
    .ok_or(Error::NoHome { what, flag })
}

/// The shared key, from wherever it was given.
fn shared_key(
    key: Option<ApiKey>,
    file: Option<PathBuf>,
    surroundings: &Surroundings,
    input: &mut dyn Read,
) -> Result<Option<ApiKey>, Error> {
    match (key, file) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(Error::TwoKeys),
        (Some(key), None) if key.expose() == "-" => {
            read_key("standard input".into(), input).map(Some)
        }
        (Some(key), None) => judge_key("--api-key", key).map(Some),
        (None, Some(path)) => {
            let path = surroundings
                .expand(&path)
                .ok_or(Error::NoHome { what: "the API key", flag: "--api-key-file" })?;
            let origin = path.display().to_string();
            match std::fs::File::open(&path) {
                Ok(mut file) => read_key(origin, &mut file).map(Some),
                Err(source) => Err(Error::KeyUnreadable { origin, source }),
            }
        }
    }
}

/// The first line of a file or an input, as a key.
fn read_key(origin: String, input: &mut dyn Read) -> Result<ApiKey, Error> {
    let mut text = String::new();
    match input.take(LONGEST_KEY + 2).read_to_string(&mut text) {
        Ok(_) => judge_key(&origin, ApiKey::from(text.trim_end_matches(['\r', '\n']).to_owned())),
        Err(source) => Err(Error::KeyUnreadable { origin, source }),
    }
}

/// Accepts a key that a client can present in a header.
fn judge_key(origin: &str, key: ApiKey) -> Result<ApiKey, Error> {
    match judge_text(key.expose()) {
        Ok(()) => Ok(key),
        Err(why) => Err(Error::Key { origin: origin.to_owned(), why }),
    }
}

/// Why a text is no key that a client can present in a header, if it is none.
pub(super) fn judge_text(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() as u64 > LONGEST_KEY {
        return Err("it is longer than 4096 characters");
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it has spaces, line breaks or characters that are not ASCII");
    }
    Ok(())
}

/// An address that credentials may be sent to.
fn url(text: &str, origin: &'static str) -> Result<BaseUrl, Error> {
    text.parse().map_err(|fault| Error::Url { origin, fault })
}

/// The aliases by the name the client uses.
fn aliases(written: Vec<super::values::ModelAlias>) -> Result<BTreeMap<String, String>, Error> {
    let mut aliases = BTreeMap::new();
    for alias in written {
        match aliases.insert(alias.from.clone(), alias.to.clone()) {
            Some(other) if other != alias.to => {
                return Err(Error::AliasTwice { from: alias.from });
            }
            Some(_) | None => {}
        }
    }
    Ok(aliases)
}

/// A User-Agent in the style of the Codex CLI: a library's default one is turned away by the
/// backend's edge. Source: `docs/wire.md`.
pub(crate) fn default_user_agent() -> HeaderValue {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let name = concat!("godex/", env!("CARGO_PKG_VERSION"));
    HeaderValue::from_str(&format!("{name} ({os}; {arch})"))
        .unwrap_or_else(|_| HeaderValue::from_static(name))
}
