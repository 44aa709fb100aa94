//! The models of the account and the answer of `GET /models` (`docs/wire.md`, models).

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::blob;

/// One model as the catalogue describes it.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) slug: &'static str,
    context: u32,
    maximum: u32,
    efforts: &'static [&'static str],
    default_effort: &'static str,
    lite: bool,
    listed: bool,
}

const TO_XHIGH: &[&str] = &["low", "medium", "high", "xhigh"];
const TO_MAX: &[&str] = &["low", "medium", "high", "xhigh", "max"];
const TO_ULTRA: &[&str] = &["low", "medium", "high", "xhigh", "max", "ultra"];

const fn model(
    slug: &'static str,
    context: u32,
    efforts: &'static [&'static str],
    default_effort: &'static str,
) -> Model {
    let maximum = 872_000;
    Model { slug, context, maximum, efforts, default_effort, lite: true, listed: true }
}

const fn hidden(slug: &'static str) -> Model {
    Model { listed: false, ..model(slug, 272_000, TO_MAX, "medium") }
}

/// The catalogue of client version 0.169.0, best first.
static MODELS: &[Model] = &[
    model("gpt-6.1-sol", 272_000, TO_ULTRA, "low"),
    model("gpt-6-astra", 272_000, TO_ULTRA, "low"),
    model("gpt-6.1-terra", 500_000, TO_ULTRA, "low"),
    model("gpt-6-sol", 272_000, TO_ULTRA, "medium"),
    model("gpt-6-luna", 272_000, TO_MAX, "medium"),
    model("gpt-5.6-sol", 272_000, TO_ULTRA, "low"),
    model("gpt-5.6-terra", 272_000, TO_ULTRA, "medium"),
    model("gpt-5.6-luna", 272_000, TO_MAX, "medium"),
    Model { maximum: 272_000, lite: false, ..model("gpt-5.5", 272_000, TO_XHIGH, "medium") },
    hidden("gpt-daybreak-blue-latest"),
    hidden("gpt-daybreak-red-latest"),
    hidden("codex-auto-review"),
];

/// The model of that name, hidden ones included.
pub(crate) fn find(slug: &str) -> Option<&'static Model> {
    MODELS.iter().find(|it| it.slug == slug)
}

impl Model {
    /// Whether a request may ask for this effort. `ultra` is a tier of the client alone.
    pub(crate) fn takes_effort(&self, effort: &str) -> bool {
        self.request_efforts().contains(&effort)
    }

    /// What a request may ask for.
    pub(crate) fn request_efforts(&self) -> Vec<&'static str> {
        let levels = self.efforts.iter().copied().filter(|it| *it != "ultra");
        std::iter::once("none").chain(levels).collect()
    }

    fn describe(&self, priority: usize) -> Value {
        let levels: Vec<Value> = self
            .efforts
            .iter()
            .map(|it| json!({ "effort": it, "description": format!("Thinks with {it} effort.") }))
            .collect();
        json!({
            "slug": self.slug,
            "display_name": self.slug,
            "description": "A simulated model.",
            "default_reasoning_level": self.default_effort,
            "supported_reasoning_levels": levels,
            "shell_type": "shell_command",
            "visibility": if self.listed { "list" } else { "hide" },
            "supported_in_api": true,
            "priority": priority,
            "availability_nux": null,
            "upgrade": null,
            "base_instructions": "You are Codex, a coding agent. This prompt is simulated.",
            "supports_reasoning_summaries": true,
            "default_reasoning_summary": "none",
            "support_verbosity": true,
            "default_verbosity": "low",
            "apply_patch_tool_type": "freeform",
            "web_search_tool_type": "text_and_image",
            "truncation_policy": { "mode": "tokens", "limit": 10_000 },
            "supports_parallel_tool_calls": true,
            "supports_image_detail_original": true,
            "context_window": self.context,
            "max_context_window": self.maximum,
            "auto_compact_token_limit": null,
            "effective_context_window_percent": 95,
            "experimental_supported_tools": [],
            "input_modalities": ["text", "image"],
            "service_tiers": [{ "id": "priority", "name": "Fast", "description": "Faster answers." }],
            "use_responses_lite": self.lite,
        })
    }
}

/// The catalogue as it goes over the wire, and its validator.
pub(crate) struct Document {
    pub(crate) body: String,
    pub(crate) etag: String,
}

/// The whole catalogue, hidden models included.
pub(crate) fn document() -> &'static Document {
    static DOCUMENT: LazyLock<Document> = LazyLock::new(|| {
        let models: Vec<Value> =
            MODELS.iter().enumerate().map(|(at, it)| it.describe(at)).collect();
        let body = json!({ "models": models }).to_string();
        let etag = format!("W/\"{:016x}\"", blob::checksum(body.as_bytes()));
        Document { body, etag }
    });
    &DOCUMENT
}
