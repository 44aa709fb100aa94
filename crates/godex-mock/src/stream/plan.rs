//! What the model does in one turn: from the script, else from the request itself.

use serde_json::{Map, Value, json};

use super::sense;
use crate::conversation::{self, Tool, Turn};
use crate::instance;
use crate::outflow::Step;
use crate::script::{self, Act, Script};

/// One turn of the model.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) finish: Finish,
}

/// One output item, or several calls at once.
#[derive(Debug)]
pub(crate) enum Piece {
    Reasoning {
        summary: Option<String>,
        encrypted: bool,
    },
    Message {
        text: String,
        phase: Option<&'static str>,
        status: &'static str,
    },
    /// A message in a single delta of that size.
    Huge(usize),
    /// A message that stops in the middle.
    Unfinished(String),
    Refusal(String),
    Calls(Vec<Call>),
    Image,
}

/// A call of the model.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) custom: bool,
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    pub(crate) id: String,
    pub(crate) body: String,
}

/// How the stream ends.
#[derive(Debug)]
pub(crate) enum Finish {
    Completed,
    Incomplete(String),
    Failed(String),
    Error,
    Break(Step),
    /// The end is there, the body goes on.
    CompletedThen(Step),
}

/// Names of shell tools, the likeliest first.
const SHELLS: &[&str] = &[
    "exec_command",
    "shell_command",
    "shell",
    "local_shell",
    "run_shell_command",
    "run_command",
    "run_commands",
    "execute_command",
    "bash",
    "exec",
    "terminal",
];

/// Settles the turn; `number` names its calls.
pub(crate) fn settle(
    act: Option<&Act>,
    script: &Script,
    turn: &Turn,
    fields: &Map<String, Value>,
    number: u64,
) -> Plan {
    let mut plan = match act {
        Some(act) => scripted(act, turn, fields, number),
        None => {
            Plan { pieces: vec![sense::answer(turn, fields, number)], finish: Finish::Completed }
        }
    };
    if !plan.pieces.is_empty()
        && let Some(reasoning) = reasoning(script, turn, fields)
    {
        plan.pieces.insert(0, reasoning);
    }
    plan
}

fn scripted(act: &Act, turn: &Turn, fields: &Map<String, Value>, number: u64) -> Plan {
    let one = |piece: Piece| Plan { pieces: vec![piece], finish: Finish::Completed };
    let partly = |finish: Finish| Plan {
        pieces: vec![Piece::Unfinished("This answer ends in the middle of".to_owned())],
        finish,
    };
    let nothing = |finish: Finish| Plan { pieces: Vec::new(), finish };
    match act {
        Act::Tools(calls) => one(scripted_calls(calls, fields, number)),
        Act::Shell(command) => one(shell(command, fields, number)),
        Act::Echo(text) => one(message(text.clone())),
        Act::Words(count) => {
            let words: Vec<String> = (1..=*count).map(|it| format!("word{it}")).collect();
            one(message(words.join(" ")))
        }
        Act::Huge(size) => one(Piece::Huge(*size)),
        Act::Refusal(text) => one(Piece::Refusal(text.clone())),
        Act::Commentary => Plan {
            pieces: vec![
                phased("Thinking aloud about it.", "commentary"),
                phased(&sense::quote(turn), "final_answer"),
            ],
            finish: Finish::Completed,
        },
        Act::Image => Plan {
            pieces: vec![Piece::Image, message(sense::quote(turn))],
            finish: Finish::Completed,
        },
        Act::Incomplete(reason) => Plan {
            pieces: vec![Piece::Message {
                text: "This answer is not".to_owned(),
                phase: None,
                status: "incomplete",
            }],
            finish: Finish::Incomplete(reason.clone()),
        },
        Act::Fail(code) => partly(Finish::Failed(code.clone())),
        Act::FailFirst(code) => nothing(Finish::Failed(code.clone())),
        Act::ErrorEvent => partly(Finish::Error),
        Act::Cut => partly(Finish::Break(Step::Cut)),
        Act::Drop => partly(Finish::Break(Step::Drop)),
        Act::Reset => partly(Finish::Break(Step::Reset)),
        Act::HangMid => partly(Finish::Break(Step::Hang)),
        Act::HangAfter => Plan {
            pieces: vec![message(sense::quote(turn))],
            finish: Finish::CompletedThen(Step::Linger),
        },
        // These never get as far as a stream of events.
        Act::Empty
        | Act::CutBefore
        | Act::ResetBefore
        | Act::Hang
        | Act::HangBeforeHeaders
        | Act::Html200
        | Act::Status(..) => nothing(Finish::Completed),
    }
}

pub(super) fn message(text: String) -> Piece {
    Piece::Message { text, phase: None, status: "completed" }
}

fn phased(text: &str, phase: &'static str) -> Piece {
    Piece::Message { text: text.to_owned(), phase: Some(phase), status: "completed" }
}

pub(super) fn call(tool: &Tool<'_>, body: String, number: u64, index: usize) -> Call {
    Call {
        custom: tool.kind == "custom",
        name: tool.name.to_owned(),
        namespace: tool.namespace.map(str::to_owned),
        id: format!("call_{number:016x}{index:08x}"),
        body,
    }
}

/// The smallest thing that a tool accepts.
fn body_for(tool: &Tool<'_>) -> String {
    match (tool.kind, tool.parameters) {
        ("custom", _) => "mock".to_owned(),
        (_, Some(schema)) if schema.is_object() => instance::of(schema).to_string(),
        _ => "{}".to_owned(),
    }
}

fn scripted_calls(calls: &[script::Call], fields: &Map<String, Value>, number: u64) -> Piece {
    let offered = conversation::tools(fields);
    let calls = calls.iter().enumerate().map(|(index, scripted)| {
        let custom = matches!(scripted.body, script::Body::Input(_));
        let kind = if custom { "custom" } else { "function" };
        let unknown =
            Tool { kind, name: &scripted.name, namespace: None, parameters: None, description: "" };
        let known = offered.iter().find(|it| it.name == scripted.name);
        let tool = known.copied().unwrap_or(unknown);
        let body = match &scripted.body {
            script::Body::Arguments(body) | script::Body::Input(body) => body.clone(),
            script::Body::FromSchema => body_for(&tool),
        };
        call(&tool, body, number, index)
    });
    Piece::Calls(calls.collect())
}

/// A call of the client's shell tool in whatever form it has.
fn shell(command: &str, fields: &Map<String, Value>, number: u64) -> Piece {
    let offered = conversation::tools(fields);
    let named = |name: &str| offered.iter().find(|it| it.name.eq_ignore_ascii_case(name));
    let found = SHELLS.iter().find_map(|name| named(name));
    let Some(tool) = found else {
        return message("Mock: this client offers no shell tool.".to_owned());
    };
    let body = match tool.kind {
        // The Codex CLI's `exec` takes a program that calls the real tools.
        "custom" if tool.description.contains("JavaScript") => {
            format!("text(await tools.exec_command({{cmd: {}}}));", json!(command))
        }
        "custom" => command.to_owned(),
        _ => shell_arguments(tool.parameters, command),
    };
    Piece::Calls(vec![call(tool, body, number, 0)])
}

fn shell_arguments(schema: Option<&Value>, command: &str) -> String {
    let mut arguments = schema.map_or_else(|| json!({}), instance::of);
    let property =
        |name: &str| schema.and_then(|it| it.get("properties")).and_then(|it| it.get(name));
    let names = ["cmd", "command", "commands", "script"];
    let name = names.into_iter().find(|it| property(it).is_some()).unwrap_or("command");
    let is_list = property(name).and_then(|it| it.get("type")).is_some_and(|it| it == "array");
    let value = match (is_list, name) {
        (true, "commands") => json!([command]),
        (true, _) => json!(["bash", "-lc", command]),
        (false, _) => json!(command),
    };
    if let Some(arguments) = arguments.as_object_mut() {
        arguments.insert(name.to_owned(), value);
    }
    arguments.to_string()
}

/// Reasoning comes first when the request asks for effort, or the script for reasoning.
fn reasoning(script: &Script, turn: &Turn, fields: &Map<String, Value>) -> Option<Piece> {
    let asked = |name: &str| {
        let reasoning = fields.get("reasoning");
        reasoning.and_then(|it| it.get(name)).and_then(Value::as_str)
    };
    let effort = asked("effort").is_some_and(|it| it != "none");
    if !effort && !script.reasoning {
        return None;
    }
    let include = fields.get("include").and_then(Value::as_array);
    let encrypted =
        include.is_some_and(|it| it.iter().any(|it| it == "reasoning.encrypted_content"));
    let wanted = script.reasoning || asked("summary").is_some();
    let topic: String = turn.question.chars().take(60).collect();
    let summary = wanted.then(|| format!("**Weighing the request**\n\nThe user says: {topic}"));
    Some(Piece::Reasoning { summary, encrypted })
}
