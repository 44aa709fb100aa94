//! What is published about our wire, and whether an answer keeps to it: OpenAI's description of
//! its API, the Open Responses specification (both in `fixtures/schemas`), and our own
//! `openapi.json`. The client of these tests holds everything it gets against all three.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use http::{HeaderMap, Method};
use jsonschema::{Registry, Validator};
use serde_json::{Value, json};

use crate::client::{Event, events};

/// Where an answer may deviate: from whose description (from any without a name), where in the
/// answer, a piece of what is complained about, and why.
const EXCEPTIONS: &[(&str, &str, &str, &str)] = &[
    ("OpenAI", "/safety_identifier", "null", "Open Responses wants null where OpenAI leaves out"),
    ("OpenAI", "/prompt_cache_key", "null", "Open Responses wants null where OpenAI leaves out"),
    ("OpenAI", "/usage", "null", "Open Responses wants null where OpenAI leaves out"),
    (
        "OpenAI",
        "/error",
        "\"code\":",
        "the list of codes has no word for what a gateway fails with",
    ),
    ("OpenAI", "/type", "\"custom\"", "chat has custom calls, but no chunk for them"),
    (
        "OpenAI",
        "/format",
        "\"description\":null",
        "OpenAI's API repeats a missing one as null, too",
    ),
    ("Open Responses", "/format", "\"schema\":", "the specification takes no JSON schema but null"),
    (
        "Open Responses",
        "",
        "\"type\":\"custom",
        "only function tools are specified; OpenAI's holds",
    ),
    (
        "Open Responses",
        "",
        "\"type\":\"tool_search\"",
        "as above: tools of the backend are not specified",
    ),
    (
        "Open Responses",
        "",
        "\"type\":\"web_search",
        "as above: tools of the backend are not specified",
    ),
    ("", "/reasoning", "\"effort\":\"max\"", "models are newer than the descriptions"),
    ("", "", "\"type\":\"hologram_call\"", "what nobody knows passes untouched"),
];

/// Headers of ours: an answer that has one of these says so in `openapi.json`.
const OUR_HEADERS: &[&str] =
    &["x-godex-", "x-ratelimit-", "x-request-id", "retry-after", "x-should-retry", "www-authen"];

static OPENAI: LazyLock<Published> = LazyLock::new(|| {
    Published::of("OpenAI", include_str!("../../../../fixtures/schemas/openai.json"))
});
static OPEN_RESPONSES: LazyLock<Published> = LazyLock::new(|| {
    let text = include_str!("../../../../fixtures/schemas/open-responses.json");
    Published::of("Open Responses", text)
});
static OURS: LazyLock<Published> =
    LazyLock::new(|| Published::of("godex", include_str!("../../src/serve/openapi.json")));

/// A description and its schemas.
struct Published {
    name: &'static str,
    document: Value,
    registry: Registry<'static>,
    /// Where the schema of each event is, by its type.
    events: HashMap<String, String>,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

impl Published {
    fn of(name: &'static str, text: &str) -> Self {
        let document: Value = serde_json::from_str(text).unwrap();
        let mut events = HashMap::new();
        for reference in document["$defs"]["Event"]["anyOf"].as_array().into_iter().flatten() {
            let place = reference["$ref"].as_str().unwrap().trim_start_matches('#');
            let kind = document.pointer(&format!("{place}/properties/type/enum/0")).unwrap();
            events.insert(kind.as_str().unwrap().to_owned(), place.to_owned());
        }
        let registry = Registry::new().add("urn:it", document.clone()).unwrap().prepare().unwrap();
        Self { name, document, registry, events, validators: Mutex::default() }
    }

    fn validator(&self, place: &str) -> Arc<Validator> {
        let mut validators = self.validators.lock().unwrap();
        let made = validators.entry(place.to_owned()).or_insert_with(|| {
            let wanted = json!({ "$ref": format!("urn:it#{place}") });
            let options = jsonschema::options().with_registry(&self.registry);
            Arc::new(options.build(&wanted).unwrap())
        });
        Arc::clone(made)
    }

    /// What is wrong with a value, by the schema at a place of the document.
    fn complaints(&self, place: &str, value: &Value) -> Vec<String> {
        let validator = self.validator(place);
        let mut complaints = Vec::new();
        for error in validator.iter_errors(value) {
            let (at, words) = (error.instance_path().to_string(), error.to_string());
            let excepted = EXCEPTIONS.iter().any(|(name, end, piece, _)| {
                (name.is_empty() || *name == self.name)
                    && at.ends_with(end)
                    && words.contains(piece)
            });
            if !excepted {
                complaints.push(format!("{} {place} {at}: {words}", self.name));
            }
        }
        complaints
    }

    /// What is behind the references at a place of the document.
    fn resolved(&self, mut place: String) -> (String, &Value) {
        loop {
            let value = self.document.pointer(&place).unwrap_or(&Value::Null);
            let Some(reference) = value["$ref"].as_str() else { return (place, value) };
            reference.trim_start_matches('#').clone_into(&mut place);
        }
    }
}

/// A request, as far as its answer depends on it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// It speaks the backend's own dialect and sees the backend's own events.
    pub(crate) by_codex: bool,
}

impl Asked {
    /// The path without what may follow or be doubled.
    fn path(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        let parts: Vec<&str> = path.split('/').filter(|it| !it.is_empty()).collect();
        format!("/{}", parts.join("/"))
    }

    /// The path without what may be left out.
    fn name(&self) -> String {
        let path = self.path();
        path.strip_prefix("/v1").unwrap_or(&path).to_owned()
    }

    /// Everything that is wrong with an answer. Its stream may not be at its end.
    pub(crate) fn complaints(&self, status: u16, headers: &HeaderMap, body: &str) -> Vec<String> {
        let kind = headers.get("content-type").map_or("", |it| it.to_str().unwrap());
        let kind = kind.split(';').next().unwrap_or_default();
        let (place, mut complaints) = self.described(status, headers);
        let content = format!("{place}/content/{}", kind.replace('/', "~1"));
        if body.is_empty() || !complaints.is_empty() {
            return complaints;
        }
        if OURS.resolved(content.clone()).1.is_null() {
            complaints.push(format!("godex {content}: not described"));
        } else if kind == "text/event-stream" {
            complaints.extend(self.stream(body, &format!("{content}/itemSchema/properties/data")));
        } else {
            let body = serde_json::from_str(body).unwrap();
            complaints.extend(OURS.complaints(&format!("{content}/schema"), &body));
            complaints.extend(self.whole(status, &body));
        }
        complaints
    }

    /// Where our own document describes the answer, and what it lacks.
    fn described(&self, status: u16, headers: &HeaderMap) -> (String, Vec<String>) {
        const ERROR: &str = "/components/responses/Bug";
        let model = self.name().strip_prefix("/models/").is_some_and(|it| !it.is_empty());
        let path = if model { "/models/{id}".to_owned() } else { self.path() };
        let (item, found) = OURS.resolved(format!("/paths/{}", path.replace('/', "~1")));
        let method = self.method.as_str().to_ascii_lowercase();
        let expected = match (found.is_null(), found[&method].is_null()) {
            (true, _) => Some(404),
            (false, true) => Some(405),
            (false, false) => None,
        };
        if self.method == Method::OPTIONS {
            return (ERROR.to_owned(), Vec::new());
        }
        if let Some(expected) = expected {
            let wrong = ![expected, 400, 403, 421, 431].contains(&status);
            let wrong = wrong.then(|| format!("{method} {path} is {status}"));
            return (ERROR.to_owned(), wrong.into_iter().collect());
        }
        let responses = format!("{item}/{method}/responses");
        let exact = format!("{responses}/{status}");
        let group = format!("{responses}/{}XX", status / 100);
        let known = OURS.document.pointer(&exact).is_some();
        let (place, response) = OURS.resolved(if known { exact } else { group });
        if response.is_null() {
            let complaint = format!("godex {responses}: {status} is not described");
            return (place, vec![complaint]);
        }
        let mut complaints = Vec::new();
        for name in response["headers"].as_object().into_iter().flat_map(|it| it.keys()) {
            let (_, header) = OURS.resolved(format!("{place}/headers/{name}"));
            if header["required"] == true && !headers.contains_key(name) {
                complaints.push(format!("godex {place}: there is no {name}"));
            }
        }
        for name in headers.keys().map(http::HeaderName::as_str) {
            let ours = OUR_HEADERS.iter().any(|prefix| name.starts_with(prefix));
            if ours && self.method != Method::HEAD && response["headers"][name].is_null() {
                complaints.push(format!("godex {place}: {name} is not described"));
            }
        }
        (place, complaints)
    }

    fn whole(&self, status: u16, body: &Value) -> Vec<String> {
        if status >= 400 && body.get("status").is_none() {
            return OPENAI.complaints("/$defs/ErrorResponse", body);
        }
        match self.name().as_str() {
            "/responses" => {
                let mut complaints = OPENAI.complaints("/$defs/Response", body);
                complaints.extend(OPEN_RESPONSES.complaints("/$defs/ResponseResource", body));
                complaints
            }
            "/chat/completions" => OPENAI.complaints("/$defs/CreateChatCompletionResponse", body),
            "/models" => OPENAI.complaints("/$defs/ListModelsResponse", body),
            model if model.starts_with("/models/") => OPENAI.complaints("/$defs/Model", body),
            _ => Vec::new(),
        }
    }

    fn stream(&self, text: &str, schema: &str) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut number = 0;
        // What follows the last empty line is the beginning of an event.
        let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
        for event in events(whole).iter().filter(|it| it.data != "[DONE]") {
            let Ok(data) = serde_json::from_str::<Value>(&event.data) else {
                complaints.push(format!("no JSON: {}", event.data));
                continue;
            };
            if self.name() == "/chat/completions" {
                complaints.extend(chunk(&data, &format!("{schema}/anyOf/1/contentSchema")));
            } else if self.by_codex && !is_public(&data) {
                number += u64::from(data["sequence_number"].is_u64());
            } else {
                complaints.extend(response_event(number, event, &data));
                complaints.extend(OURS.complaints(&format!("{schema}/contentSchema"), &data));
                number += 1;
            }
        }
        complaints
    }
}

/// Whether the backend's own event is one of the public API in every respect: it may leave out
/// the name at the end of a call's arguments.
fn is_public(data: &Value) -> bool {
    let kind = data["type"].as_str().unwrap();
    OPENAI.events.contains_key(kind) && kind != "response.function_call_arguments.done"
}

fn chunk(data: &Value, schema: &str) -> Vec<String> {
    let failed = data.get("error").is_some();
    let published = if failed { "ErrorResponse" } else { "CreateChatCompletionStreamResponse" };
    let mut complaints = OPENAI.complaints(&format!("/$defs/{published}"), data);
    complaints.extend(OURS.complaints(schema, data));
    complaints
}

fn response_event(number: u64, event: &Event, data: &Value) -> Vec<String> {
    let kind = data["type"].as_str().unwrap_or_default();
    let mut complaints = Vec::new();
    if event.name != kind {
        complaints.push(format!("the event {} says it is {kind}", event.name));
    }
    if data["sequence_number"] != number {
        complaints.push(format!("{kind} is number {number}, not {}", data["sequence_number"]));
    }
    match OPENAI.events.get(kind) {
        Some(schema) => complaints.extend(OPENAI.complaints(schema, data)),
        None => complaints.push(format!("OpenAI has no event {kind}")),
    }
    if let Some(schema) = OPEN_RESPONSES.events.get(kind) {
        complaints.extend(OPEN_RESPONSES.complaints(schema, data));
    }
    complaints
}

#[test]
fn what_does_not_keep_to_what_is_published_is_found() {
    let asked =
        |method: Method, path: &str| Asked { method, path: path.to_owned(), by_codex: false };
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("x-request-id", "req_0"),
        ("openai-processing-ms", "1"),
        ("openai-version", "2020-10-01"),
        ("content-type", "application/json"),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    let models = asked(Method::GET, "/v1/models");
    let found =
        |status: u16, headers: &HeaderMap, body: &str| models.complaints(status, headers, body);
    let model = r#"{"id":"m","object":"model","created":1,"owned_by":"o"}"#;
    let list = |of: &str| format!(r#"{{"object":"list","data":[{of}]}}"#);
    assert_eq!(found(200, &headers, &list(model)), Vec::<String>::new());
    assert_eq!(found(200, &headers, &list(&model.replace("created", "made"))).len(), 2);
    assert_eq!(found(418, &headers, "{}").len(), 1);
    assert_eq!(asked(Method::POST, "/v1/models").complaints(200, &headers, "{}").len(), 1);
    assert_eq!(asked(Method::GET, "/v1/nothing").complaints(200, &headers, "{}").len(), 1);
    let mut extra = headers.clone();
    extra.insert("x-godex-new", "1".parse().unwrap());
    assert_eq!(found(200, &extra, "").len(), 1);
    headers.remove("x-request-id");
    assert_eq!(found(200, &headers, "").len(), 1);
    headers.insert("x-request-id", "req_0".parse().unwrap());
    headers.insert("content-type", "text/event-stream".parse().unwrap());
    let events = r#"event: response.output_text.delta
data: {"type":"response.output_text.delta","item_id":"i","output_index":0,"content_index":0,"delta":"a","logprobs":[],"sequence_number":1}

"#;
    let streamed = asked(Method::POST, "/v1/responses").complaints(200, &headers, events);
    assert_eq!(streamed.len(), 1, "{streamed:?}");
    let renamed = events.replace("output_text", "psalm").replace(":1}", ":0}");
    let unknown = asked(Method::POST, "/v1/responses").complaints(200, &headers, &renamed);
    assert_eq!(unknown, ["OpenAI has no event response.psalm.delta"]);
}
