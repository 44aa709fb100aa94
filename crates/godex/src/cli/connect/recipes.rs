//! The clients: how each is told where the proxy is, and where it keeps that.

use std::path::PathBuf;

use clap::ValueEnum;

use super::edit::{self, Unclear};
use crate::config::{self, Surroundings};

/// What a client has to know.
#[derive(Clone)]
pub(super) struct Target {
    /// The base URL, `/v1` included.
    pub(super) url: String,
    /// The key, if it is known.
    pub(super) key: Option<String>,
    /// The model.
    pub(super) model: String,
}

impl Target {
    /// The key, or what stands for one.
    pub(super) fn key(&self) -> &str {
        self.key.as_deref().unwrap_or("gxk_...")
    }
}

/// The clients with a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Client {
    /// Codex CLI
    Codex,
    /// OpenClaw
    Openclaw,
    /// opencode
    Opencode,
    /// aider
    Aider,
    /// Cline
    Cline,
    /// Continue
    Continue,
    /// Cursor
    Cursor,
    /// LangChain
    Langchain,
    /// openai-python
    Python,
    /// openai-node
    Node,
    /// curl
    Curl,
    /// `Open WebUI`
    OpenWebui,
    /// n8n
    N8n,
    /// Home Assistant
    HomeAssistant,
}

impl Client {
    /// The file that the client reads; none when it keeps its settings itself.
    ///
    /// # Errors
    ///
    /// When there is no home folder to look in.
    pub(in crate::cli) fn file(
        self,
        surroundings: &Surroundings,
    ) -> Result<Option<PathBuf>, config::Error> {
        let home = |path: &str| surroundings.in_home(path);
        match self {
            Self::Codex => surroundings.codex_file("config.toml").map(Some),
            Self::Openclaw => match surroundings.openclaw_folder() {
                Some(folder) => Ok(Some(folder.join("openclaw.json"))),
                None => home(".openclaw/openclaw.json").map(Some),
            },
            Self::Opencode => {
                let folder = surroundings.config_home()?.join("opencode");
                let commented = folder.join("opencode.jsonc");
                Ok(Some(if commented.exists() { commented } else { folder.join("opencode.json") }))
            }
            Self::Aider => home(".aider.conf.yml").map(Some),
            Self::Continue => home(".continue/config.yaml").map(Some),
            Self::Cline
            | Self::Cursor
            | Self::Langchain
            | Self::Python
            | Self::Node
            | Self::Curl
            | Self::OpenWebui
            | Self::N8n
            | Self::HomeAssistant => Ok(None),
        }
    }

    /// The client's file with what it needs in it.
    ///
    /// # Errors
    ///
    /// When the old one cannot be changed without a guess.
    pub(super) fn edit(self, old: Option<&str>, target: &Target) -> Result<String, Unclear> {
        let text = match self {
            Self::Codex => edit::codex(old, target),
            Self::Openclaw => edit::openclaw(old, target),
            Self::Opencode => edit::opencode(old, target),
            Self::Aider => edit::aider(old, target),
            Self::Continue => edit::continue_dev(old, target),
            Self::Cline
            | Self::Cursor
            | Self::Langchain
            | Self::Python
            | Self::Node
            | Self::Curl
            | Self::OpenWebui
            | Self::N8n
            | Self::HomeAssistant => Err(Unclear::NoFile),
        }?;
        Ok(edit::as_lines_end_in(old.unwrap_or_default(), text))
    }

    /// How the client is started once it is connected.
    pub(super) fn start(self) -> Option<&'static str> {
        match self {
            Self::Codex => Some("codex"),
            Self::Openclaw => Some("openclaw agent --local --agent main --message hello"),
            Self::Opencode => Some("opencode"),
            Self::Aider => Some("aider"),
            Self::Continue => Some("cn"),
            Self::Cline
            | Self::Cursor
            | Self::Langchain
            | Self::Python
            | Self::Node
            | Self::Curl
            | Self::OpenWebui
            | Self::N8n
            | Self::HomeAssistant => None,
        }
    }

    /// What somebody should know before.
    pub(super) fn hint(self, url: &str) -> Option<&'static str> {
        let loopback =
            url.contains("//127.") || url.contains("//localhost") || url.contains("//[::1]");
        match self {
            Self::Cursor if loopback => Some(
                "Cursor's own servers make the calls: an address of this machine works only \
                 through a tunnel (see --url)",
            ),
            Self::OpenWebui | Self::N8n | Self::HomeAssistant if loopback => Some(
                "from a container this machine is not 127.0.0.1: listen where it can reach you \
                 (godex proxy --listen) and name that with --url",
            ),
            Self::Codex
            | Self::Openclaw
            | Self::Opencode
            | Self::Aider
            | Self::Cline
            | Self::Continue
            | Self::Cursor
            | Self::Langchain
            | Self::Python
            | Self::Node
            | Self::Curl
            | Self::OpenWebui
            | Self::N8n
            | Self::HomeAssistant => None,
        }
    }

    /// What is printed: a whole file, a program, or what to type into a form.
    pub(super) fn snippet(self, target: &Target) -> String {
        let Target { url, model, .. } = target;
        let key = target.key();
        match self {
            Self::Codex | Self::Openclaw | Self::Opencode | Self::Aider | Self::Continue => {
                self.edit(None, target).unwrap_or_default()
            }
            Self::Cline => format!(
                "cline auth openai-compatible --apikey {key} --modelid {model} --baseurl {url}\n\
                 # in the editor: API Provider \"OpenAI Compatible\", and the same three values\n"
            ),
            Self::Cursor => form(
                "Cursor Settings, Models, API Keys",
                &[
                    ("OpenAI API Key", key),
                    ("Override OpenAI Base URL", url),
                    ("Add custom model", model),
                ],
            ),
            Self::OpenWebui => format!(
                "OPENAI_API_BASE_URL={url}\nOPENAI_API_KEY={key}\nDEFAULT_MODELS={model}\n\
                 # or in its pages: Admin Settings, Connections, OpenAI API\n"
            ),
            Self::N8n => form(
                "Credentials, New, OpenAI; in its nodes choose the model by id",
                &[("API Key", key), ("Base URL", url), ("Model", model)],
            ),
            Self::HomeAssistant => form(
                "an OpenAI-compatible conversation integration, such as Extended OpenAI Conversation",
                &[("API Key", key), ("Base Url", url), ("Model", model)],
            ),
            Self::Langchain => code(include_str!("recipes/langchain.py"), target),
            Self::Python => code(include_str!("recipes/python.py"), target),
            Self::Node => code(include_str!("recipes/node.mjs"), target),
            Self::Curl => code(include_str!("recipes/curl.sh"), target),
        }
    }
}

fn code(template: &str, target: &Target) -> String {
    template
        .replace("@URL@", &target.url)
        .replace("@KEY@", target.key())
        .replace("@MODEL@", &target.model)
}

fn form(place: &str, fields: &[(&str, &str)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let rows = fields.iter().map(|(name, value)| format!("  {name:<width$}  {value}\n"));
    format!("{place}\n{}", rows.collect::<String>())
}
