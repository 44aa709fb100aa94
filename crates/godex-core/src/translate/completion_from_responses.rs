//! A finished response becomes one Chat Completion.

use std::borrow::Cow;

use crate::json::{self, Object, Raw, Writer};
use crate::responses::event::{ItemHead, Kind};
use crate::responses::response;
use crate::translate::chat_from_responses::{Look, ReasoningMode};
use crate::translate::responses_from_chat::CallStyle;
use crate::translate::stop::Stop;
use crate::usage::Usage;

/// The completion's id: that of the response under chat's prefix.
pub(super) fn completion_id(response_id: &str) -> String {
    format!("chatcmpl-{}", response_id.strip_prefix("resp_").unwrap_or(response_id))
}

/// When the response was created, in seconds of Unix time.
pub(super) fn created(response: &Object<'_>) -> Option<u64> {
    let text = response.get("created_at")?.get();
    text.parse().ok().or_else(|| text.split('.').next()?.parse().ok())
}

/// Why the answer ended, in chat's words.
pub(super) fn finish_reason(
    kind: Kind,
    response: Option<&Object<'_>>,
    called: bool,
    style: CallStyle,
) -> &'static str {
    let details = response.and_then(|it| it.some("incomplete_details")).and_then(Object::of);
    let reason = details.and_then(|it| it.string("reason"));
    match reason.as_deref() {
        Some("content_filter") => "content_filter",
        _ if kind == Kind::Incomplete => "length",
        _ if called && style == CallStyle::Function => "function_call",
        _ if called => "tool_calls",
        _ => "stop",
    }
}

/// Usage under chat's names, both detail objects always there.
pub(super) fn usage_json(usage: &Usage) -> String {
    let Usage { input, cached, output, reasoning, total } = usage;
    format!(
        "{{\"prompt_tokens\":{input},\"completion_tokens\":{output},\"total_tokens\":{total},\
         \"prompt_tokens_details\":{{\"cached_tokens\":{cached},\"audio_tokens\":0}},\
         \"completion_tokens_details\":{{\"reasoning_tokens\":{reasoning},\"audio_tokens\":0,\
         \"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}}}"
    )
}

/// The completion of an answer that was left when its text had ended: the backend never said
/// what became of it.
pub fn stopped(id: Option<&str>, usage: &Usage, items: &[Cow<'_, str>], look: &Look) -> String {
    let id = id.map_or_else(|| look.fallback_id.clone(), completion_id);
    written(&id, look.now, "stop", &Said::of(items, look), Some(usage), look).finish_text()
}

/// The whole completion. `end` is the kind of the stream's last event, `items` its output.
pub fn completion(end: Kind, response: &Object<'_>, items: &[Cow<'_, str>], look: &Look) -> String {
    let said = Said::of(items, look);
    let id =
        response.string("id").map_or_else(|| look.fallback_id.clone(), |id| completion_id(&id));
    let reason = match &said.stop {
        Some(stop) if stop.is_reached() && said.calls.is_empty() => "stop",
        Some(_) | None => finish_reason(end, Some(response), !said.calls.is_empty(), look.style),
    };
    let created = created(response).unwrap_or(look.now);
    let usage = response::usage(response);
    let mut writer = written(&id, created, reason, &said, usage.as_ref(), look);
    if let Some(tier) = response.some("service_tier") {
        writer.raw("service_tier", tier.get());
    }
    writer.finish_text()
}

fn written(
    id: &str,
    created: u64,
    reason: &str,
    said: &Said,
    usage: Option<&Usage>,
    look: &Look,
) -> Writer {
    let mut writer = Writer::new(1024);
    writer.string("id", id);
    writer.string("object", "chat.completion");
    writer.raw("created", &created.to_string());
    writer.string("model", &look.model);
    let message = said.message(look);
    writer.raw(
        "choices",
        &format!("[{{\"index\":0,\"message\":{message},\"logprobs\":null,\"finish_reason\":\"{reason}\"}}]"),
    );
    if let Some(usage) = usage {
        writer.raw("usage", &usage_json(usage));
    }
    writer
}

/// What the output says, its texts with the escapes of a JSON string.
#[derive(Default)]
struct Said {
    text: String,
    refusal: String,
    reasoning: String,
    annotations: Vec<String>,
    calls: Vec<Called>,
    stop: Option<Stop>,
}

struct Called {
    id: String,
    name: String,
    custom: bool,
    argument: String,
}

impl Said {
    fn of(items: &[Cow<'_, str>], look: &Look) -> Self {
        let mut said = Self { stop: Stop::of(&look.stop), ..Self::default() };
        for item in items {
            said.item(item);
        }
        said.release();
        for call in &mut said.calls {
            if let Some(own) = look.tool_names.own(&call.name) {
                own.clone_into(&mut call.name);
            }
        }
        said
    }

    /// Whether nothing more is told: a stop sequence was reached before there was a call.
    fn is_over(&self) -> bool {
        self.calls.is_empty() && self.stop.as_ref().is_some_and(Stop::is_reached)
    }

    fn item(&mut self, item: &str) {
        if self.is_over() {
            return;
        }
        let Some(head) = ItemHead::of_text(item) else { return };
        if let Some(custom) = head.custom_call() {
            self.release();
            let empty = if custom { "" } else { "{}" };
            self.calls.push(Called {
                id: head.call_id.clone().unwrap_or_default().into_owned(),
                name: head.name.clone().unwrap_or_default().into_owned(),
                custom,
                argument: head.argument().unwrap_or(empty).to_owned(),
            });
            return;
        }
        let Some(object) = Object::of_text(item) else { return };
        let parts = |name: &str| object.some(name).and_then(Raw::list).unwrap_or_default();
        match head.kind.as_ref() {
            "message" => parts("content").into_iter().for_each(|part| self.part(part)),
            "reasoning" => {
                for part in
                    parts("summary").into_iter().chain(parts("content")).filter_map(Object::of)
                {
                    if !self.reasoning.is_empty() {
                        self.reasoning.push_str("\\n\\n");
                    }
                    self.reasoning
                        .push_str(part.get("text").and_then(Raw::escaped).unwrap_or_default());
                }
            }
            _ => {}
        }
    }

    /// What was held back because it might have become a stop sequence.
    fn release(&mut self) {
        let rest = self.stop.as_mut().map(Stop::rest).unwrap_or_default();
        self.text.push_str(&rest);
    }

    fn part(&mut self, part: Raw<'_>) {
        if self.is_over() {
            return;
        }
        let Some(part) = Object::of(part) else { return };
        let text = part.get("text").and_then(Raw::escaped).unwrap_or_default();
        match &mut self.stop {
            Some(stop) => self.text.push_str(&stop.push(text)),
            None => self.text.push_str(text),
        }
        self.refusal.push_str(part.get("refusal").and_then(Raw::escaped).unwrap_or_default());
        let annotations = part.some("annotations").and_then(Raw::list).unwrap_or_default();
        for citation in annotations.into_iter().filter_map(Object::of) {
            if citation.string("type").as_deref() == Some("url_citation") {
                let mut inner = Writer::new(256);
                for (name, value) in citation.iter().filter(|(name, _)| *name != "type") {
                    inner.raw(name, value.get());
                }
                self.annotations.push(format!(
                    r#"{{"type":"url_citation","url_citation":{}}}"#,
                    inner.finish_text()
                ));
            }
        }
    }

    fn message(&self, look: &Look) -> String {
        let mut text = self.text.clone();
        if look.reasoning == ReasoningMode::Think && !self.reasoning.is_empty() {
            text = format!("<think>{}</think>\\n\\n{text}", self.reasoning);
        }
        let nothing = text.is_empty() && (!self.calls.is_empty() || !self.refusal.is_empty());
        let mut writer = Writer::new(text.len() + 256);
        writer.string("role", "assistant");
        writer.raw("content", &if nothing { "null".to_owned() } else { format!("\"{text}\"") });
        let refusal = if self.refusal.is_empty() {
            "null".to_owned()
        } else {
            format!("\"{}\"", self.refusal)
        };
        writer.raw("refusal", &refusal);
        writer.raw("annotations", &json::list(&self.annotations));
        if look.reasoning == ReasoningMode::Content && !self.reasoning.is_empty() {
            writer.raw("reasoning_content", &format!("\"{}\"", self.reasoning));
        }
        match (look.style, self.calls.first()) {
            (_, None) => {}
            (CallStyle::Function, Some(call)) => writer.raw("function_call", &call.function()),
            (CallStyle::Tools, Some(_)) => {
                let calls: Vec<String> = self.calls.iter().map(Called::tool_call).collect();
                writer.raw("tool_calls", &json::list(&calls));
            }
        }
        writer.finish_text()
    }
}

impl Called {
    fn function(&self) -> String {
        format!("{{\"name\":{},\"arguments\":\"{}\"}}", json::quote(&self.name), self.argument)
    }

    fn tool_call(&self) -> String {
        let id = json::quote(&self.id);
        if self.custom {
            let name = json::quote(&self.name);
            return format!(
                "{{\"id\":{id},\"type\":\"custom\",\"custom\":{{\"name\":{name},\"input\":\"{}\"}}}}",
                self.argument
            );
        }
        format!("{{\"id\":{id},\"type\":\"function\",\"function\":{}}}", self.function())
    }
}
