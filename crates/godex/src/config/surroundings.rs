//! What the process finds around it: folders and variables that have no flag.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::settle::Error;

/// Variables without a flag, read once. An empty one is unset.
#[expect(clippy::struct_excessive_bools, reason = "each is a variable that is set or not")]
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// `HOME`.
    pub(super) home: Option<PathBuf>,
    /// `CODEX_HOME`.
    pub(super) codex_home: Option<PathBuf>,
    /// `CODEX_REFRESH_TOKEN_URL_OVERRIDE`, the variable of the Codex CLI.
    pub(super) token_url: Option<String>,
    /// `TMPDIR`, else `/tmp`.
    temporary: PathBuf,
    /// `NO_COLOR`, <https://no-color.org>.
    no_color: bool,
    /// `TERM=dumb`.
    dumb_terminal: bool,
    /// `SSH_CONNECTION`: somebody sits at another machine.
    remote: bool,
    /// `BROWSER`.
    browser: Option<OsString>,
    /// `DISPLAY` or `WAYLAND_DISPLAY`: windows can be shown.
    desktop: bool,
    /// `XDG_CONFIG_HOME`.
    config_home: Option<PathBuf>,
    /// `XDG_STATE_HOME`.
    state_home: Option<PathBuf>,
    /// `OPENCLAW_STATE_DIR`, of the client of that name.
    openclaw: Option<PathBuf>,
    /// The variables that name a proxy, and the host they name.
    proxies: Vec<(&'static str, String)>,
    /// The folder of a run that leaves nothing behind.
    own_folder: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    runtime: Option<PathBuf>,
    /// `--color`.
    choice: Option<Colour>,
    /// `color` of the settings file.
    usual: Colour,
    /// `GODEX_CONFIG`.
    settings: Option<PathBuf>,
    /// `CLICOLOR_FORCE`.
    forced: bool,
    /// `USER`.
    user: Option<String>,
}

/// What the temporary folders of simulators are called first.
pub(crate) const SIMULATED: &str = "godex-mock-";

/// The name of the admin socket of the proxy on this port.
pub(crate) fn socket_name(port: u16) -> String {
    format!("{port}.sock")
}

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// Variables that have no flag, and what each does.
pub(crate) const VARIABLES: &[(&str, &str)] = &[
    ("CODEX_HOME", "Folder to use instead of ~/.codex"),
    ("CODEX_REFRESH_TOKEN_URL_OVERRIDE", "Where --allow-refresh renews the token"),
    ("HTTPS_PROXY, ALL_PROXY, NO_PROXY", "Proxy on the way to the backend"),
    ("SSL_CERT_FILE, SSL_CERT_DIR", "Certificates to trust"),
    ("NO_COLOR", "Plain text on a terminal, too"),
    ("CLICOLOR_FORCE", "Colours without a terminal, too"),
    ("XDG_CONFIG_HOME", "Folder to use instead of ~/.config"),
    ("XDG_STATE_HOME", "Folder to use instead of ~/.local/state"),
    ("XDG_RUNTIME_DIR", "Where the admin socket of a running proxy is, in godex/"),
    ("OPENCLAW_STATE_DIR", "Where godex connect openclaw finds its file"),
    ("BROWSER", "What godex login opens pages with: commands, separated by colons"),
    ("DISPLAY, WAYLAND_DISPLAY", "When set, godex login may open a window"),
    ("SSH_CONNECTION", "When set, godex login shows the address instead of opening it"),
    ("TMPDIR", "Where the files of --mock are while it runs"),
    ("NOTIFY_SOCKET", "Where systemd is told that the proxy is ready"),
];

/// The variables that name a proxy on the way to the backend.
const PROXIES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// The host and the port of a proxy's address.
fn host(address: &str) -> String {
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    let address = address.rsplit_once('@').map_or(address, |(_, rest)| rest);
    let authority = address.split('/').next().unwrap_or_default();
    match authority.parse::<http::uri::Authority>() {
        Ok(authority) => authority.to_string(),
        Err(_) => "?".to_owned(),
    }
}

/// The value of a variable that is set to something.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

impl Surroundings {
    /// Reads the environment of this process.
    pub(crate) fn of_this_process() -> Self {
        Self::from_variables(&variable)
    }

    /// Reads an environment.
    pub(super) fn from_variables(variables: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let variable = |name| variables(name).filter(|value| !value.is_empty());
        Self {
            home: variable("HOME").map(PathBuf::from),
            codex_home: variable("CODEX_HOME").map(PathBuf::from),
            token_url: variable("CODEX_REFRESH_TOKEN_URL_OVERRIDE")
                .map(|url| url.to_string_lossy().into_owned()),
            temporary: variable("TMPDIR").map_or_else(|| "/tmp".into(), PathBuf::from),
            no_color: variable("NO_COLOR").is_some(),
            dumb_terminal: variable("TERM").is_some_and(|term| term == "dumb"),
            remote: variable("SSH_CONNECTION").is_some(),
            browser: variable("BROWSER"),
            desktop: variable("DISPLAY").or_else(|| variable("WAYLAND_DISPLAY")).is_some(),
            config_home: variable("XDG_CONFIG_HOME").map(PathBuf::from),
            state_home: variable("XDG_STATE_HOME").map(PathBuf::from),
            openclaw: variable("OPENCLAW_STATE_DIR").map(PathBuf::from),
            proxies: PROXIES
                .into_iter()
                .filter_map(|name| Some((name, host(&variable(name)?.to_string_lossy()))))
                .collect(),
            own_folder: None,
            runtime: variable("XDG_RUNTIME_DIR").map(PathBuf::from),
            choice: None,
            usual: Colour::default(),
            settings: variable("GODEX_CONFIG").map(PathBuf::from),
            forced: variable("CLICOLOR_FORCE").is_some_and(|it| it != "0"),
            user: variable("USER").map(|user| user.to_string_lossy().into_owned()),
        }
    }

    /// The same surroundings with another folder of the Codex CLI.
    pub(crate) fn with_codex_folder(&self, folder: &Path) -> Self {
        let folder = Some(folder.to_owned());
        Self { codex_home: folder.clone(), own_folder: folder, ..self.clone() }
    }

    /// The same surroundings, with what the command line says about colours.
    pub(crate) fn with_colour(self, choice: Option<Colour>) -> Self {
        Self { choice, ..self }
    }

    /// The same surroundings, with what the settings file says about colours.
    pub(crate) fn with_usual_colour(self, usual: Colour) -> Self {
        Self { usual, ..self }
    }

    /// The settings file that the environment names.
    pub(crate) fn settings_file(&self) -> Option<&Path> {
        self.settings.as_deref()
    }

    /// Where files of this run alone may be.
    pub(crate) fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Whether somebody is logged in here from another machine, so that no browser opened here
    /// would be seen.
    pub(crate) fn is_remote(&self) -> bool {
        self.remote
    }

    /// The browsers that the user prefers, separated by colons.
    pub(crate) fn browser(&self) -> Option<&OsStr> {
        self.browser.as_deref()
    }

    /// Whether windows can be shown.
    pub(crate) fn has_desktop(&self) -> bool {
        self.desktop
    }

    /// Whose session this is.
    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// What is said about colours: on the command line, in the environment, in the settings file.
    /// With it comes the variable that says it, if one does.
    pub(crate) fn colour_choice(&self) -> (Colour, Option<&'static str>) {
        match self.choice {
            Some(choice @ (Colour::Always | Colour::Never)) => (choice, None),
            Some(Colour::Auto) | None if self.no_color => (Colour::Never, Some("NO_COLOR")),
            Some(Colour::Auto) | None if self.forced => (Colour::Always, Some("CLICOLOR_FORCE")),
            Some(Colour::Auto) => (Colour::Auto, None),
            None => (self.usual, None),
        }
    }

    /// Whether text for a reader may be coloured.
    pub(crate) fn colour(&self, is_terminal: bool) -> bool {
        match self.colour_choice().0 {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => is_terminal && !self.dumb_terminal,
        }
    }

    /// A path in the home folder.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(crate) fn in_home(&self, path: &str) -> Result<PathBuf, Error> {
        let home = self.home.as_ref().map(|home| home.join(path));
        home.ok_or(Error::NoHome { what: "it", flag: "HOME" })
    }

    /// A file of the Codex CLI.
    ///
    /// # Errors
    ///
    /// When there is neither `CODEX_HOME` nor a home folder.
    pub(crate) fn codex_file(&self, name: &str) -> Result<PathBuf, Error> {
        let folder = self.codex_folder().map(|folder| folder.join(name));
        folder.ok_or(Error::NoHome { what: "the Codex CLI's folder", flag: "CODEX_HOME" })
    }

    /// `XDG_CONFIG_HOME`, else `~/.config`.
    ///
    /// # Errors
    ///
    /// When there is neither.
    pub(crate) fn config_home(&self) -> Result<PathBuf, Error> {
        self.config_home.clone().map_or_else(|| self.in_home(".config"), Ok)
    }

    /// Where we keep what is neither a secret nor a setting: `godex` in `XDG_STATE_HOME`, else in
    /// `~/.local/state`.
    ///
    /// # Errors
    ///
    /// When there is neither.
    pub(crate) fn state_folder(&self) -> Result<PathBuf, Error> {
        let home = self.state_home.clone().map_or_else(|| self.in_home(".local/state"), Ok);
        home.map(|folder| folder.join("godex"))
    }

    /// The variables that name a proxy, each with its host alone: a password may stand beside it.
    /// What is no address is a question mark.
    pub(crate) fn proxies(&self) -> &[(&'static str, String)] {
        &self.proxies
    }

    /// Where a proxy opens its admin socket.
    pub(super) fn socket_folder(&self) -> Option<PathBuf> {
        let own = self.own_folder.clone();
        own.or_else(|| Some(self.runtime.as_ref()?.join("godex")))
            .or_else(|| Some(self.state_folder().ok()?.join("run")))
    }

    /// The admin sockets of all proxies of this user, whether or not anybody answers there.
    pub(crate) fn sockets(&self) -> Vec<PathBuf> {
        let entries = |folder: PathBuf| {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|it| it.path()).collect::<Vec<_>>()
        };
        let ours = |path: &PathBuf| {
            path.file_name().is_some_and(|it| it.to_string_lossy().starts_with(SIMULATED))
        };
        let simulated = entries(self.temporary.clone()).into_iter().filter(ours);
        let mut found: Vec<_> = simulated.chain(self.socket_folder()).flat_map(entries).collect();
        found.retain(|path| path.extension().is_some_and(|it| it == "sock"));
        found.sort();
        found
    }

    /// Where `OpenClaw` was told to keep its files.
    pub(crate) fn openclaw_folder(&self) -> Option<&Path> {
        self.openclaw.as_deref()
    }

    /// The folder of the Codex CLI: `$CODEX_HOME`, else `~/.codex`.
    pub(super) fn codex_folder(&self) -> Option<PathBuf> {
        match &self.codex_home {
            Some(folder) => self.expand(folder),
            None => self.home.as_ref().map(|home| home.join(".codex")),
        }
    }

    /// `path` with a leading `~` replaced by the home folder; `None` when there is no home.
    pub(super) fn expand(&self, path: &Path) -> Option<PathBuf> {
        match path.strip_prefix("~") {
            Ok(rest) if rest.as_os_str().is_empty() => self.home.clone(),
            Ok(rest) => self.home.as_ref().map(|home| home.join(rest)),
            Err(_) => Some(path.to_owned()),
        }
    }
}
