//! Which file holds the login: the one that is named, else the one `godex login` wrote, else that
//! of the Codex CLI. And the flags that other commands than the proxy share with it.

use std::path::{Path, PathBuf};

use super::settle::{Error, place};
use super::{BaseUrl, Surroundings};

/// The login that `godex login` writes, beside that of the Codex CLI.
const OWN: &str = "proxy-auth.json";
/// The login of the Codex CLI.
const CODEX: &str = "auth.json";

/// Whose a login file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Named with `--auth-path` or its variable.
    Named,
    /// Written by `godex login`.
    Godex,
    /// Shared with the Codex CLI.
    Codex,
}

/// Where a login may be.
#[derive(Clone, Debug)]
pub(crate) struct LoginFiles {
    named: Option<PathBuf>,
    own: PathBuf,
    codex: PathBuf,
}

impl LoginFiles {
    /// The places, of which `named` is the one of `--auth-path`.
    ///
    /// # Errors
    ///
    /// When that needs a home folder and there is none.
    pub(crate) fn find(named: Option<&Path>, surroundings: &Surroundings) -> Result<Self, Error> {
        let at = |named, what| place(named, what, "--auth-path", surroundings);
        match named {
            Some(_) => {
                let path = at(named, CODEX)?;
                Ok(Self { named: Some(path.clone()), own: path.clone(), codex: path })
            }
            None => Ok(Self { named: None, codex: at(None, CODEX)?, own: at(None, OWN)? }),
        }
    }

    /// The one that is used. Looks whether there is one of our own.
    pub(crate) fn in_use(&self) -> (&Path, Owner) {
        match &self.named {
            Some(path) => (path, Owner::Named),
            None if self.own.exists() => (&self.own, Owner::Godex),
            None => (&self.codex, Owner::Codex),
        }
    }

    /// The one that a sign-in writes.
    pub(crate) fn of_sign_in(&self) -> (&Path, Owner) {
        match &self.named {
            Some(path) => (path, Owner::Named),
            None => (&self.own, Owner::Godex),
        }
    }

    /// That of the Codex CLI.
    pub(crate) fn codex(&self) -> &Path {
        &self.codex
    }
}

/// The flag and the variable that name the login file.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LoginPath {
    /// Login file [default: proxy-auth.json beside the one of the Codex CLI]
    #[arg(long, env = "GODEX_PROXY_AUTH_PATH", value_name = "PATH")]
    pub(crate) auth_path: Option<PathBuf>,
}

/// The flag and the variable that name the key file.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct KeysPath {
    /// Managed keys, stored as hashes [default: ~/.codex/proxy-keys.json]
    #[arg(long, env = "GODEX_PROXY_KEYS_PATH", value_name = "PATH")]
    keys_path: Option<PathBuf>,
}

impl KeysPath {
    /// Where the managed keys are.
    ///
    /// # Errors
    ///
    /// When that needs a home folder and there is none.
    pub(crate) fn find(&self, surroundings: &Surroundings) -> Result<PathBuf, Error> {
        place(self.keys_path.as_deref(), "proxy-keys.json", "--keys-path", surroundings)
    }
}

/// The flag and the variable that name who signs in.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct IssuerAddress {
    /// Who signs you in; `godex mock` can
    #[arg(long, env = "GODEX_LOGIN_ISSUER", value_name = "URL")]
    #[arg(default_value = "https://auth.openai.com")]
    issuer: String,
}

/// Who signs in, and under which name it is asked.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct IssuerArgs {
    #[command(flatten)]
    address: IssuerAddress,

    /// `User-Agent` sent to the issuer [default: godex/VERSION (OS; ARCH)]
    #[arg(long, env = "GODEX_PROXY_USER_AGENT", value_name = "TEXT")]
    #[arg(value_parser = super::values::parse_header)]
    user_agent: Option<http::HeaderValue>,

    /// `originator` sent to the issuer
    #[arg(long, env = "GODEX_PROXY_ORIGINATOR", value_name = "NAME")]
    #[arg(default_value = "codex_cli_rs", value_parser = super::values::parse_header)]
    originator: http::HeaderValue,
}

impl IssuerArgs {
    /// The address, the `User-Agent` and the `originator`.
    ///
    /// # Errors
    ///
    /// When secrets cannot be sent to the address.
    pub(crate) fn settle(self) -> Result<(BaseUrl, http::HeaderValue, http::HeaderValue), Error> {
        let address = self.address.issuer;
        let address = address.parse().map_err(|fault| Error::Url { origin: "--issuer", fault })?;
        let agent = self.user_agent.unwrap_or_else(super::settle::default_user_agent);
        Ok((address, agent, self.originator))
    }
}
