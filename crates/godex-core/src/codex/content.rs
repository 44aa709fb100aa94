//! Content of messages and tool outputs, in either spelling, as Codex accepts it: users and
//! developers speak `input_text`, `input_image` and `input_file`, the assistant `output_text`
//! and `refusal`. Source: `docs/wire.md#content`.

use std::borrow::Cow;

use super::refused::{Place, Refused};
use crate::json::{self, Element, Elements, Members, Object, Raw, Writer};

/// Whose words they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// A user or developer, or the output of a tool.
    Input,
    /// The assistant.
    Assistant,
}

impl Voice {
    fn text_type(self) -> &'static str {
        match self {
            Self::Input => "input_text",
            Self::Assistant => "output_text",
        }
    }
}

/// A list of parts as Codex accepts it, from a string or a list. Empty parts are left out;
/// an empty list means that nothing was said. `path` names the content in refusals; members that
/// cannot be carried are added to `dropped` by name.
///
/// # Errors
///
/// When a part cannot be carried.
pub fn parts<'a>(
    content: Raw<'a>,
    voice: Voice,
    path: Place<'_>,
    dropped: &mut Vec<String>,
) -> Result<Cow<'a, str>, Refused> {
    if let Some(text) = content.escaped() {
        if text.is_empty() {
            return Ok(Cow::Borrowed("[]"));
        }
        let list = [r#"[{"type":""#, voice.text_type(), r#"","text":""#, text, r#""}]"#];
        return Ok(Cow::Owned(list.concat()));
    }
    if is_one_text(content, voice) {
        return Ok(Cow::Borrowed(content.get()));
    }
    let Some(elements) = Elements::of(content) else {
        return Err(Refused::kind(path, "a string or a list of content parts"));
    };
    let mut changed = false;
    let list = elements.list();
    let mut parts = Vec::with_capacity(list.len());
    for (index, element) in list.iter().enumerate() {
        match part(element, voice, Place::Index(&path, index), dropped)? {
            None => changed = true,
            Some(part) => {
                changed |= matches!(part, Cow::Owned(_));
                parts.push(part);
            }
        }
    }
    if !changed {
        return Ok(Cow::Borrowed(content.get()));
    }
    Ok(Cow::Owned(json::list(&parts)))
}

/// Whether a content is one text part in the form that needs no change: most are.
fn is_one_text(content: Raw<'_>, voice: Voice) -> bool {
    let opening = match voice {
        Voice::Input => r#"[{"type":"input_text","text":""#,
        Voice::Assistant => r#"[{"type":"output_text","text":""#,
    };
    let Some((text, rest)) = content.get().strip_prefix(opening).and_then(json::split_string)
    else {
        return false;
    };
    !text.is_empty() && rest == "}]"
}

/// A message of one text, which is escaped already.
pub fn message(role: &str, voice: Voice, escaped: &str) -> String {
    let (open, kind) = (r#"{"type":"message","role":""#, voice.text_type());
    let (content, text) = (r#"","content":[{"type":""#, r#"","text":""#);
    [open, role, content, kind, text, escaped, r#""}]}"#].concat()
}

/// A text part around text that is escaped already.
pub fn text_part(voice: Voice, escaped: &str) -> String {
    [r#"{"type":""#, voice.text_type(), r#"","text":""#, escaped, r#""}"#].concat()
}

/// The texts of a content, escaped as written; `None` when it has parts that are not text.
pub fn texts(content: Raw<'_>) -> Option<Vec<&str>> {
    if let Some(text) = content.escaped() {
        return Some(if text.is_empty() { Vec::new() } else { vec![text] });
    }
    let mut texts = Vec::new();
    for raw in content.list()? {
        if let Some(text) = raw.escaped() {
            texts.push(text);
            continue;
        }
        let part = Object::of(raw)?;
        if !matches!(
            part.string("type").as_deref(),
            Some("text" | "input_text" | "output_text") | None
        ) {
            return None;
        }
        texts.push(part.get("text").and_then(Raw::escaped)?);
    }
    texts.retain(|text| !text.is_empty());
    Some(texts)
}

fn part<'a>(
    element: Element<'_, 'a>,
    voice: Voice,
    path: Place<'_>,
    dropped: &mut Vec<String>,
) -> Result<Option<Cow<'a, str>>, Refused> {
    let raw = element.raw;
    if let Some(text) = raw.escaped() {
        return Ok((!text.is_empty()).then(|| Cow::Owned(text_part(voice, text))));
    }
    let Some(object) = element.object else {
        return Err(Refused::kind(path, "a content part"));
    };
    let kind = object.string("type");
    match kind.as_deref() {
        Some("text" | "input_text" | "output_text") => text(raw, object, voice, path, dropped),
        Some("refusal") => refusal(raw, object, voice, path, dropped),
        Some("image_url") => image(object, path, dropped).map(Some),
        Some("input_image") if object.get("image_url").is_some_and(Raw::is_object) => {
            image(object, path, dropped).map(Some)
        }
        Some("file") => file(object, path, dropped).map(Some),
        Some("input_audio" | "audio" | "video_url" | "input_video") => Err(Refused::new(
            path.to_string(),
            format!(
                "'{path}' cannot be carried: the Codex backend takes text, images and files only."
            ),
        )),
        Some(_) => Ok(Some(untouched(raw, object, dropped))),
        None if object.get("text").is_some() => text(raw, object, voice, path, dropped),
        None => Err(Refused::missing(Place::Member(&path, "type"))),
    }
}

/// A part nobody here has to change, but for the one field Codex refuses inside content.
fn untouched<'a>(raw: Raw<'a>, object: Members<'_, 'a>, dropped: &mut Vec<String>) -> Cow<'a, str> {
    if !CACHE_HINTS.iter().any(|hint| object.get(hint).is_some()) {
        return Cow::Borrowed(raw.get());
    }
    let mut writer = Writer::new(raw.get().len());
    rest(object, &[], &mut writer, dropped);
    Cow::Owned(writer.finish_text())
}

/// Hints of other caches: `docs/wire.md#refused-parameters`.
const CACHE_HINTS: [&str; 2] = ["prompt_cache_breakpoint", "cache_control"];

/// Writes the members of a part that are not `known` as they are, but for those Codex refuses.
fn rest(object: Members<'_, '_>, known: &[&str], writer: &mut Writer, dropped: &mut Vec<String>) {
    for (name, value) in object.iter().filter(|(name, _)| !known.contains(name)) {
        if !CACHE_HINTS.contains(&name) {
            writer.raw(name, value.get());
        } else if !value.is_null() {
            drop_named(name, dropped);
        }
    }
}

fn drop_named(name: &str, dropped: &mut Vec<String>) {
    if !dropped.iter().any(|it| it == name) {
        dropped.push(name.to_owned());
    }
}

fn text<'a>(
    raw: Raw<'a>,
    object: Members<'_, 'a>,
    voice: Voice,
    path: Place<'_>,
    dropped: &mut Vec<String>,
) -> Result<Option<Cow<'a, str>>, Refused> {
    let Some(value) = object.get("text") else {
        return Err(Refused::missing(Place::Member(&path, "text")));
    };
    let Some(escaped) = value.escaped() else {
        return Err(Refused::kind(Place::Member(&path, "text"), "a string"));
    };
    if escaped.is_empty() {
        return Ok(None);
    }
    if object.string("type").as_deref() == Some(voice.text_type()) {
        return Ok(Some(untouched(raw, object, dropped)));
    }
    let mut writer = Writer::new(raw.get().len() + 8);
    writer.string("type", voice.text_type());
    rest(object, &["type"], &mut writer, dropped);
    Ok(Some(Cow::Owned(writer.finish_text())))
}

fn refusal<'a>(
    raw: Raw<'a>,
    object: Members<'_, 'a>,
    voice: Voice,
    path: Place<'_>,
    dropped: &mut Vec<String>,
) -> Result<Option<Cow<'a, str>>, Refused> {
    let Some(escaped) = object.get("refusal").and_then(Raw::escaped) else {
        return Err(Refused::missing(Place::Member(&path, "refusal")));
    };
    Ok(match voice {
        _ if escaped.is_empty() => None,
        Voice::Assistant => Some(untouched(raw, object, dropped)),
        Voice::Input => Some(Cow::Owned(text_part(voice, escaped))),
    })
}

/// Chat's `image_url`, a string or `{url, detail}`, as `input_image`.
fn image<'a>(
    object: Members<'_, 'a>,
    path: Place<'_>,
    dropped: &mut Vec<String>,
) -> Result<Cow<'a, str>, Refused> {
    let param = Place::Member(&path, "image_url");
    let Some(value) = object.some("image_url") else {
        return Err(Refused::missing(param));
    };
    let inner = Object::of(value);
    let url = inner.as_ref().map_or(Some(value), |it| it.get("url")).filter(|url| url.is_string());
    let Some(url) = url else {
        return Err(Refused::kind(param, "a URL or a data URL"));
    };
    let detail = inner.as_ref().and_then(|it| it.some("detail")).or_else(|| object.some("detail"));
    let mut writer = Writer::new(url.get().len() + 64);
    writer.string("type", "input_image");
    writer.raw("image_url", url.get());
    if let Some(detail) = detail {
        writer.raw("detail", detail.get());
    }
    for (name, value) in inner.iter().flat_map(Object::iter) {
        if !matches!(name, "url" | "detail") && !value.is_null() {
            drop_named(&format!("image_url.{name}"), dropped);
        }
    }
    rest(object, &["type", "image_url", "detail"], &mut writer, dropped);
    Ok(Cow::Owned(writer.finish_text()))
}

/// Chat's `file` part as `input_file`.
fn file<'a>(
    object: Members<'_, 'a>,
    path: Place<'_>,
    dropped: &mut Vec<String>,
) -> Result<Cow<'a, str>, Refused> {
    let param = Place::Member(&path, "file");
    let Some(inner) = object.some("file").and_then(Object::of) else {
        return Err(Refused::missing(param));
    };
    if inner.some("file_data").is_none()
        && inner.some("file_url").is_none()
        && inner.some("file_id").is_none()
    {
        return Err(Refused::missing(Place::Member(&param, "file_data")));
    }
    let mut writer = Writer::new(256);
    writer.string("type", "input_file");
    for (name, value) in inner.iter().filter(|(_, value)| !value.is_null()) {
        writer.raw(name, value.get());
    }
    rest(object, &["type", "file"], &mut writer, dropped);
    Ok(Cow::Owned(writer.finish_text()))
}

/// The output of a tool: a string stays one, a list of content parts becomes one that Codex
/// accepts, any other JSON value becomes its text.
pub fn output<'a>(value: Option<Raw<'a>>, dropped: &mut Vec<String>) -> Cow<'a, str> {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Cow::Borrowed("\"\"");
    };
    if value.is_string() {
        return Cow::Borrowed(value.get());
    }
    if value.list().is_some_and(|list| !list.is_empty() && list.iter().all(|part| is_part(*part)))
        && let Ok(parts) = parts(value, Voice::Input, Place::Root("output"), dropped)
    {
        return if parts == "[]" { Cow::Borrowed("\"\"") } else { parts };
    }
    Cow::Owned(json::quote(value.get()))
}

/// Whether a value is a content part rather than data that happens to have a type.
fn is_part(value: Raw<'_>) -> bool {
    const PARTS: &[&str] =
        &["text", "input_text", "output_text", "image_url", "input_image", "file", "input_file"];
    let kind = Object::of(value).and_then(|part| part.string("type"));
    kind.is_some_and(|kind| PARTS.contains(&kind.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Raw<'_> {
        Raw::parse(text).unwrap()
    }

    #[test]
    fn content_of_either_spelling_becomes_what_codex_accepts() {
        #[track_caller]
        fn check(voice: Voice, content: &str, expected: &str) {
            assert_eq!(
                parts(raw(content), voice, Place::Root("c"), &mut Vec::new()).unwrap(),
                expected
            );
        }
        use Voice::{Assistant, Input};
        check(Input, r#""hi \"x\"""#, r#"[{"type":"input_text","text":"hi \"x\""}]"#);
        check(Assistant, r#""hi""#, r#"[{"type":"output_text","text":"hi"}]"#);
        check(Input, r#""""#, "[]");
        check(
            Input,
            r#"[{"type":"text","text":"a"},{"type":"text","text":""}]"#,
            r#"[{"type":"input_text","text":"a"}]"#,
        );
        check(
            Assistant,
            r#"[{"type":"input_text","text":"a"}]"#,
            r#"[{"type":"output_text","text":"a"}]"#,
        );
        check(
            Assistant,
            r#"[{"type":"refusal","refusal":"no"}]"#,
            r#"[{"type":"refusal","refusal":"no"}]"#,
        );
        check(
            Input,
            r#"[{"type":"image_url","image_url":{"url":"data:x","detail":"low"}}]"#,
            r#"[{"type":"input_image","image_url":"data:x","detail":"low"}]"#,
        );
        check(
            Input,
            r#"[{"type":"image_url","image_url":"http://x"}]"#,
            r#"[{"type":"input_image","image_url":"http://x"}]"#,
        );
        check(
            Input,
            r#"[{"type":"input_image","image_url":{"url":"u"}}]"#,
            r#"[{"type":"input_image","image_url":"u"}]"#,
        );
        check(
            Input,
            r#"[{"type":"file","file":{"filename":"a.pdf","file_data":"data:x"}}]"#,
            r#"[{"type":"input_file","filename":"a.pdf","file_data":"data:x"}]"#,
        );
        check(
            Input,
            r#"[{"type":"input_text","text":"a","prompt_cache_breakpoint":{"x":1}}]"#,
            r#"[{"type":"input_text","text":"a"}]"#,
        );
        check(Input, r#"[{"type":"new_thing","x":1}]"#, r#"[{"type":"new_thing","x":1}]"#);
    }

    #[test]
    fn req2_hints_of_other_caches_are_left_out_and_named_once() {
        let mut dropped = Vec::new();
        let content = r#"[{"type":"text","text":"a","prompt_cache_breakpoint":{"x":1}},{"type":"input_text","text":"b","prompt_cache_breakpoint":true,"cache_control":{}},{"type":"image_url","image_url":{"url":"u","format":"png"},"cache_control":null,"z":1}]"#;
        let expected = r#"[{"type":"input_text","text":"a"},{"type":"input_text","text":"b"},{"type":"input_image","image_url":"u","z":1}]"#;
        let path = Place::Root("c");
        assert_eq!(parts(raw(content), Voice::Input, path, &mut dropped).unwrap(), expected);
        assert_eq!(dropped, ["prompt_cache_breakpoint", "cache_control", "image_url.format"]);
    }

    #[test]
    fn a_list_that_needs_no_change_is_the_clients_own_text() {
        let content = raw(r#"[ {"type":"input_text", "text":"a"} ]"#);
        assert!(matches!(
            parts(content, Voice::Input, Place::Root("c"), &mut Vec::new()).unwrap(),
            Cow::Borrowed(_)
        ));
    }

    #[test]
    fn what_cannot_be_carried_is_refused_by_its_path() {
        #[track_caller]
        fn check(content: &str, param: &str) {
            assert_eq!(
                parts(raw(content), Voice::Input, Place::Root("c"), &mut Vec::new())
                    .unwrap_err()
                    .param,
                param
            );
        }
        check("5", "c");
        check(r#"[{"type":"text","text":"a"},{"type":"input_audio","input_audio":{}}]"#, "c[1]");
        check(r#"[{"type":"text"}]"#, "c[0].text");
        check(r#"[{"type":"text","text":5}]"#, "c[0].text");
        check(r#"[{"type":"image_url"}]"#, "c[0].image_url");
        check("[{}]", "c[0].type");
        check("[7]", "c[0]");
    }

    #[test]
    fn tool_outputs_of_any_json_survive() {
        #[track_caller]
        fn check(value: Option<&str>, expected: &str) {
            assert_eq!(output(value.map(raw), &mut Vec::new()), expected);
        }
        check(Some(r#""done""#), r#""done""#);
        check(Some(r#"{"a":1}"#), r#""{\"a\":1}""#);
        check(Some("[1,2]"), r#""[1,2]""#);
        check(Some("7"), r#""7""#);
        check(None, r#""""#);
        check(Some(r#"[{"type":"apple"}]"#), r#""[{\"type\":\"apple\"}]""#);
        check(Some(r#"[{"type":"file","path":"a"}]"#), r#""[{\"type\":\"file\",\"path\":\"a\"}]""#);
        check(Some(r#"[{"type":"text","text":"a"}]"#), r#"[{"type":"input_text","text":"a"}]"#);
        check(
            Some(r#"[{"type":"image_url","image_url":{"url":"data:x"}}]"#),
            r#"[{"type":"input_image","image_url":"data:x"}]"#,
        );
    }
}
