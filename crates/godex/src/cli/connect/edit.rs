//! Puts the proxy into the configuration of a client. Everything else in there stays as it is,
//! comments and spaces included; what cannot be changed without a guess is refused.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};
use serde_json::{Value, json};
use toml_edit::{DocumentMut, Item, Table, value};

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

/// `.aider.conf.yml`: one flat mapping.
pub(super) fn aider(old: Option<&str>, target: &Target) -> Result<String, Unclear> {
    let mut text = old.unwrap_or_default().to_owned();
    flat(&text)?;
    let model = format!("openai/{}", target.model);
    for (name, value) in [
        ("openai-api-base", target.url.as_str()),
        ("openai-api-key", target.key()),
        ("model", &model),
    ] {
        text = set_line(&text, name, value)?;
    }
    Ok(text)
}

/// `config.yaml` of Continue: a list of models.
pub(super) fn continue_dev(old: Option<&str>, target: &Target) -> Result<String, Unclear> {
    let fields = [
        ("provider", "openai"),
        ("model", target.model.as_str()),
        ("apiBase", target.url.as_str()),
        ("apiKey", target.key()),
    ];
    let item = |indent: &str| {
        let rest = fields.map(|(name, value)| format!("{indent}  {name}: {}\n", quoted(value)));
        format!("{indent}- name: godex\n{}", rest.concat())
    };
    let Some(old) = old.filter(|it| !it.trim().is_empty()) else {
        let head = "name: godex\nversion: 1.0.0\nschema: v1\n";
        return Ok(format!("{head}models:\n{}", item("  ")));
    };
    flat(old)?;
    let lines: Vec<&str> = old.split_inclusive('\n').collect();
    let Some(at) = lines.iter().position(|it| it.starts_with("models:")) else {
        let gap = if old.ends_with('\n') { "" } else { "\n" };
        return Ok(format!("{old}{gap}models:\n{}", item("  ")));
    };
    let (head, rest) = lines.split_at(at + 1);
    let after = head.last().map_or("", |it| it.trim_start_matches("models:").trim());
    if !after.is_empty() && !after.starts_with('#') {
        return Err(Unclear::Odd("its `models` is not a list of lines".to_owned()));
    }
    let first = rest.iter().find(|it| !it.trim().is_empty() && !it.trim().starts_with('#'));
    let indent = match first.map(|it| (it, it.trim_start())) {
        Some((line, item)) if item.starts_with("- ") => &line[..line.len() - item.len()],
        Some((_, other)) if !other.starts_with('-') => "  ",
        Some(_) => return Err(Unclear::Odd("its `models` is not a list of lines".to_owned())),
        None => "  ",
    };
    let named = |line: &&&str| {
        let line = line.trim().trim_start_matches("- ").replace(['"', '\''], "");
        line == "name: godex"
    };
    if rest.iter().find(named).is_some() {
        return Err(Unclear::Odd("it has a model named `godex` already".to_owned()));
    }
    let gap = if head.last().is_some_and(|it| it.ends_with('\n')) { "" } else { "\n" };
    Ok(format!("{}{gap}{}{}", head.concat(), item(indent), rest.concat()))
}

/// Refuses YAML whose top is anything but a mapping written line by line.
fn flat(text: &str) -> Result<(), Unclear> {
    let odd = text.lines().find(|line| {
        let plain = line.starts_with([' ', '\t', '#']) || line.trim().is_empty();
        let start = line.starts_with("---") || *line == "...";
        let key = line.split_once(':').is_some_and(|(key, value)| {
            !key.contains(['{', '[', '"', '\''])
                && (value.is_empty() || value.starts_with([' ', '\r']))
        });
        !(plain || start || key || line.starts_with("- "))
    });
    let documents = text.lines().skip(1).filter(|line| line.starts_with("---")).count();
    let list_on_top = text.lines().find(|line| {
        !line.trim().is_empty() && !line.starts_with(['#', '-']) || line.starts_with("- ")
    });
    match odd {
        Some(_) => Err(Unclear::Odd("it is not YAML of plain `name: value` lines".to_owned())),
        None if documents > 0 => Err(Unclear::Odd("it has several documents in it".to_owned())),
        None if list_on_top.is_some_and(|it| it.starts_with("- ")) => {
            Err(Unclear::Odd("it is a list and not a mapping".to_owned()))
        }
        None => Ok(()),
    }
}

/// The text with one line `name: value`, in the place of an old one or at the end.
fn set_line(text: &str, name: &str, value: &str) -> Result<String, Unclear> {
    let line = format!("{name}: {}\n", quoted(value));
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let is_it = |it: &&str| it.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'));
    let Some(at) = lines.iter().position(is_it) else {
        let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        return Ok(format!("{text}{gap}{line}"));
    };
    let goes_on =
        lines.get(at + 1).is_some_and(|it| it.starts_with([' ', '\t']) && !it.trim().is_empty());
    if goes_on {
        return Err(Unclear::Odd(format!("`{name}` in it has more than one line")));
    }
    let (head, rest) = lines.split_at(at);
    Ok(format!("{}{line}{}", head.concat(), rest.iter().skip(1).copied().collect::<String>()))
}

/// A text that YAML reads as this text, whatever is in it: JSON's form is one of YAML's.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests;
