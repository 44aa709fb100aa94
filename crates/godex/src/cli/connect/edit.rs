//! Puts the proxy into the configuration of a client. Everything else in there stays as it is,
//! comments and spaces included; what cannot be changed without a guess is refused.

mod yaml;

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};
use serde_json::{Value, json};
use toml_edit::{DocumentMut, Item, Table, value};

pub(super) use self::yaml::{aider, continue_dev};
use super::recipes::Target;

/// Why a file is left alone.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unclear {
    /// The client has none.
    #[error("the client has no file")]
    NoFile,
    /// It cannot be read as what it should be.
    #[error("it is not {form}: {reason}")]
    Broken {
        /// What it should be.
        form: &'static str,
        /// What the parser says.
        reason: String,
    },
    /// A part of it has a form that we do not touch.
    #[error("{0}")]
    Odd(String),
}

/// `config.toml` of the Codex CLI.
pub(super) fn codex(old: Option<&str>, target: &Target) -> Result<String, Unclear> {
    let mut document: DocumentMut =
        old.unwrap_or_default().parse().map_err(|error: toml_edit::TomlError| Unclear::Broken {
            form: "TOML",
            reason: error.to_string().trim_end().replace('\n', "\n         "),
        })?;
    for (name, text) in [("model", target.model.as_str()), ("model_provider", "godex")] {
        match document.get_mut(name) {
            Some(Item::Value(found)) => {
                // What stands around it stays, a comment behind it too.
                let decor = found.decor().clone();
                *found = text.into();
                *found.decor_mut() = decor;
            }
            Some(found) => *found = value(text),
            None => {
                document.insert(name, value(text));
            }
        }
    }
    let providers = document.entry("model_providers").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let mut godex = Table::new();
    godex.insert("name", value("godex"));
    godex.insert("base_url", value(&target.url));
    match &target.key {
        Some(key) => godex.insert("experimental_bearer_token", value(key)),
        None => godex.insert("env_key", value("OPENAI_API_KEY")),
    };
    godex.insert("wire_api", value("responses"));
    match providers {
        Item::Table(providers) => {
            providers.insert("godex", Item::Table(godex));
        }
        Item::Value(toml_edit::Value::InlineTable(providers)) => {
            providers.insert("godex", godex.into_inline_table().into());
        }
        Item::None | Item::Value(_) | Item::ArrayOfTables(_) => {
            return Err(Unclear::Odd("model_providers is not a table".to_owned()));
        }
    }
    Ok(document.to_string())
}

/// `openclaw.json`, which is JSON5.
pub(super) fn openclaw(old: Option<&str>, target: &Target) -> Result<String, Unclear> {
    let (root, top) = parse(old)?;
    let models = object(&top, "models")?;
    if models.get("mode").is_none() {
        set(&models, "mode", json!("merge"));
    }
    let provider = json!({
        "baseUrl": target.url,
        "apiKey": target.key(),
        "api": "openai-responses",
        "models": [{ "id": target.model, "name": "Codex (godex proxy)" }],
    });
    set(&object(&models, "providers")?, "godex", provider);
    let name = format!("godex/{}", target.model);
    let defaults = object(&object(&top, "agents")?, "defaults")?;
    match defaults.get("model").and_then(|it| it.value()).map(|it| it.as_string_lit().is_some()) {
        // The short form: a name instead of an object.
        Some(true) => set(&defaults, "model", json!(name)),
        Some(false) | None => set(&object(&defaults, "model")?, "primary", json!(name)),
    }
    set(&object(&defaults, "models")?, &name, json!({ "alias": "Codex (proxy)" }));
    Ok(finish(&root))
}

/// `opencode.json`, with comments or without.
pub(super) fn opencode(old: Option<&str>, target: &Target) -> Result<String, Unclear> {
    let (root, top) = parse(old)?;
    // opencode writes it into a file that lacks it, which would then look changed by hand.
    if top.get("$schema").is_none() {
        set(&top, "$schema", json!("https://opencode.ai/config.json"));
    }
    let model = target.model.as_str();
    let provider = json!({
        "npm": "@ai-sdk/openai-compatible",
        "name": "godex",
        "options": { "baseURL": target.url, "apiKey": target.key() },
        "models": { model: { "name": model } },
    });
    set(&object(&top, "provider")?, "godex", provider);
    set(&top, "model", json!(format!("godex/{model}")));
    Ok(finish(&root))
}

fn parse(old: Option<&str>) -> Result<(CstRootNode, CstObject), Unclear> {
    let text = old.filter(|it| !it.trim().is_empty()).unwrap_or("{}\n");
    let root = CstRootNode::parse(text, &ParseOptions::default())
        .map_err(|error| Unclear::Broken { form: "JSON", reason: error.to_string() })?;
    let top = root.object_value();
    top.map(|top| (root, top)).ok_or_else(|| Unclear::Odd("it is not a JSON object".to_owned()))
}

fn object(parent: &CstObject, name: &str) -> Result<CstObject, Unclear> {
    let found = parent.object_value_or_create(name);
    found.ok_or_else(|| Unclear::Odd(format!("`{name}` in it is not an object")))
}

fn set(object: &CstObject, name: &str, value: Value) {
    match object.get(name) {
        Some(property) => property.set_value(input(value)),
        None => {
            object.append(name, input(value));
        }
    }
}

fn input(value: Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(it) => CstInputValue::Bool(it),
        Value::Number(it) => CstInputValue::Number(it.to_string()),
        Value::String(it) => CstInputValue::String(it),
        Value::Array(items) => CstInputValue::Array(items.into_iter().map(input).collect()),
        Value::Object(fields) => CstInputValue::Object(
            fields.into_iter().map(|(name, value)| (name, input(value))).collect(),
        ),
    }
}

fn finish(root: &CstRootNode) -> String {
    let text = root.to_string();
    if text.ends_with('\n') { text } else { text + "\n" }
}

/// The text with its lines ended as those of the old one, which may be of Windows.
pub(super) fn as_lines_end_in(old: &str, text: String) -> String {
    let first = old.split_inclusive('\n').next().unwrap_or_default();
    if !first.ends_with("\r\n") {
        return text;
    }
    text.replace("\r\n", "\n").replace('\n', "\r\n")
}

#[cfg(test)]
mod tests;
