//! A request between the two wires: read from either endpoint, not yet what Codex accepts.
//! Everything in it is a piece of the client's own text wherever nothing had to change.

use std::borrow::Cow;
use std::fmt;

use super::content;
use super::fields::Refusals;
use super::names::ToolNames;
use super::tools::Tools;
use crate::json::{Object, Raw, Writer};

/// Who speaks: an ordinary client of the public API, or the Codex CLI, whose requests are
/// already in the backend's own dialect and pass with their developer prompt in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// The public API.
    Standard,
    /// The Codex CLI's own.
    Codex,
}

/// What the proxy itself must know of a request.
#[derive(Default, Clone)]
pub struct Ask {
    /// The model as the client wrote it.
    pub model: Option<String>,
    /// Whether the answer is wanted as a stream.
    pub stream: bool,
    /// The `user` field: the mission's first choice for naming a session.
    pub user: Option<String>,
    /// The client's own `prompt_cache_key`.
    pub cache_key: Option<String>,
    /// `stream_options.include_usage` of chat.
    pub include_usage: bool,
    /// `previous_response_id`: the response this request goes on from.
    pub previous: Option<String>,
    /// Whether later requests may name this one and its answer instead of repeating them.
    pub keeps: bool,
    /// Values that Codex refuses but a client expects to read back: name and JSON.
    pub echo: Vec<(String, Box<str>)>,
    /// `stop` of chat, which the proxy honours itself.
    pub stop: Vec<String>,
    /// Tools that go under other names, to be called by their own in the answer.
    pub tool_names: ToolNames,
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ask({:?})", self.model)
    }
}

/// One item of the input.
#[derive(Clone)]
pub struct Item<'a> {
    /// What the proxy must know of it.
    pub kind: Kind<'a>,
    /// The item as it goes upstream.
    pub json: Cow<'a, str>,
}

impl fmt::Debug for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Item({} bytes)", self.json.len())
    }
}

impl Item<'_> {
    /// Whether the other one says the same, be it in another form: the words of a message count,
    /// and of other items all members but the id and the status.
    pub fn repeats(&self, other: &Self) -> bool {
        self.kind == other.kind
            && (self.json == other.json
                || self.said().is_some_and(|said| other.said() == Some(said)))
    }

    fn said(&self) -> Option<Vec<(String, String)>> {
        let object = Object::of_text(&self.json)?;
        if matches!(self.kind, Kind::User | Kind::Developer | Kind::Assistant) {
            let texts = content::texts(object.get("content")?)?;
            return Some(texts.into_iter().map(|it| (String::new(), it.to_owned())).collect());
        }
        let members = object.iter().filter(|(name, _)| !matches!(*name, "id" | "status"));
        let mut members: Vec<_> =
            members.map(|(name, value)| (name.to_owned(), value.get().to_owned())).collect();
        members.sort_unstable();
        Some(members)
    }

    /// Takes its id away.
    pub fn remove_id(&mut self) {
        let Some(object) = Object::of_text(&self.json) else { return };
        if object.get("id").is_none() {
            return;
        }
        let mut writer = Writer::new(self.json.len());
        for (name, value) in object.iter().filter(|(name, _)| *name != "id") {
            writer.raw(name, value.get());
        }
        self.json = Cow::Owned(writer.finish_text());
    }
}

/// What kind of item it is, as far as anybody here asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A message of the user.
    User,
    /// A developer message.
    Developer,
    /// A message of the assistant.
    Assistant,
    /// A call that must be followed by its output.
    Call(Call<'a>),
    /// The output of a call.
    Output(Call<'a>),
    /// The id of an earlier item that belongs here.
    Reference(Cow<'a, str>),
    /// Anything else, known or not.
    Other,
}

impl fmt::Debug for Kind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User => f.write_str("User"),
            Self::Developer => f.write_str("Developer"),
            Self::Assistant => f.write_str("Assistant"),
            Self::Call(call) => write!(f, "Call({call:?})"),
            Self::Output(call) => write!(f, "Output({call:?})"),
            Self::Reference(id) => write!(f, "Reference({} bytes)", id.len()),
            Self::Other => f.write_str("Other"),
        }
    }
}

impl Kind<'_> {
    /// The same kind, which borrows what this one holds.
    pub fn borrowed(&self) -> Kind<'_> {
        match self {
            Self::User => Kind::User,
            Self::Developer => Kind::Developer,
            Self::Assistant => Kind::Assistant,
            Self::Call(call) => Kind::Call(call.borrowed()),
            Self::Output(call) => Kind::Output(call.borrowed()),
            Self::Reference(id) => Kind::Reference(Cow::Borrowed(id)),
            Self::Other => Kind::Other,
        }
    }
}

/// Which call an item belongs to.
#[derive(Clone, PartialEq, Eq)]
pub struct Call<'a> {
    /// The `call_id`.
    pub id: Cow<'a, str>,
    /// Whether it is a `custom_tool_call` rather than a `function_call`.
    pub custom: bool,
}

shape!(Call<'_>, it => "Call({} bytes)", it.id.len());

impl Call<'_> {
    fn borrowed(&self) -> Call<'_> {
        Call { id: Cow::Borrowed(&self.id), custom: self.custom }
    }
}

/// One top-level field on its way, in the client's order.
#[derive(Clone)]
pub enum Field<'a> {
    /// The place of a field that the proxy writes itself.
    Slot(Slot),
    /// A field that goes as it is: name and JSON.
    Raw(Cow<'a, str>, Cow<'a, str>),
}

impl fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slot(slot) => write!(f, "{slot:?}"),
            Self::Raw(name, value) => write!(f, "Raw({} and {} bytes)", name.len(), value.len()),
        }
    }
}

/// The fields that the proxy writes itself, wherever the client had them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// `model`.
    Model,
    /// `instructions`.
    Instructions,
    /// `input`.
    Input,
    /// `tools`.
    Tools,
    /// `tool_choice`.
    ToolChoice,
    /// `parallel_tool_calls`.
    ParallelToolCalls,
    /// `reasoning`.
    Reasoning,
    /// `include`.
    Include,
    /// `prompt_cache_key`.
    PromptCacheKey,
    /// `store`.
    Store,
    /// `stream`.
    Stream,
}

impl Slot {
    /// All of them, in the order in which those the client did not write are added.
    pub const ALL: [Self; 11] = [
        Self::Model,
        Self::Instructions,
        Self::Input,
        Self::Tools,
        Self::ToolChoice,
        Self::ParallelToolCalls,
        Self::Reasoning,
        Self::Include,
        Self::PromptCacheKey,
        Self::Store,
        Self::Stream,
    ];
}

/// What is asked of the model's reasoning.
#[derive(Default, Clone)]
pub struct Reasoning<'a> {
    /// The client's object; what is not named below is kept.
    pub object: Object<'a>,
    /// The effort, if the client chose one.
    pub effort: Option<Cow<'a, str>>,
    /// The kind of summary, if one is wanted.
    pub summary: Option<Cow<'a, str>>,
}

shape!(Reasoning<'_>, it => "Reasoning({:?})", it.object);

/// A request between the two wires.
pub struct Draft<'a> {
    /// Who speaks.
    pub dialect: Dialect,
    /// Texts that make up the instructions, each with the escapes of a JSON string.
    pub instructions: Vec<Cow<'a, str>>,
    /// How many of `instructions`, at their end, were recalled from an earlier turn.
    pub recalled: usize,
    /// The input.
    pub items: Vec<Item<'a>>,
    /// Leading messages of the input that became instructions: how many texts each gave to the
    /// end of `instructions`, and the message.
    pub hoisted: Vec<(usize, Item<'a>)>,
    /// The ids that the client gave to items, by place in `items`, in order.
    pub ids: Vec<(usize, Cow<'a, str>)>,
    /// The tools and the choice among them.
    pub tools: Tools<'a>,
    /// Whether the client sent `tools` at all.
    pub has_tools: bool,
    /// What is asked of the model's reasoning.
    pub reasoning: Reasoning<'a>,
    /// The top-level fields in the client's order.
    pub fields: Vec<Field<'a>>,
    /// Elements of `include`, each as JSON.
    pub include: Vec<Cow<'a, str>>,
    /// Whether the answer must be a JSON object of no particular schema.
    pub json_object: bool,
    /// What was left out, by the name the client used.
    pub dropped: Vec<String>,
}

impl fmt::Debug for Draft<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Draft({} items, {} fields)", self.items.len(), self.fields.len())
    }
}

impl<'a> Draft<'a> {
    /// An empty draft.
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            instructions: Vec::new(),
            recalled: 0,
            items: Vec::new(),
            hoisted: Vec::new(),
            ids: Vec::new(),
            tools: Tools::default(),
            has_tools: false,
            reasoning: Reasoning::default(),
            fields: Vec::with_capacity(16),
            include: Vec::new(),
            json_object: false,
            dropped: Vec::new(),
        }
    }

    /// Notes that a parameter was left out.
    pub fn drop_named(&mut self, name: impl Into<String>) {
        let name = name.into();
        if !self.dropped.contains(&name) {
            self.dropped.push(name);
        }
    }

    /// Takes a field that neither endpoint gives a meaning of its own: refused ones are left
    /// out and named, all others go as they are.
    pub fn carry(
        &mut self,
        ask: &mut Ask,
        refusals: &Refusals,
        name: Cow<'a, str>,
        value: Raw<'a>,
    ) {
        if refusals.refuses(&name) {
            if !value.is_null() {
                self.drop_named(name.clone());
                ask.echo.push((name.into_owned(), value.get().into()));
            }
        } else {
            self.fields.push(Field::Raw(name, Cow::Borrowed(value.get())));
        }
    }

    /// Ends the input. Codex wants at least one item: where all of it became instructions, the
    /// last message of `guidance` (how many texts it gave, and itself) goes back.
    pub fn close_input(&mut self, guidance: Option<(usize, Item<'a>)>) {
        if self.items.is_empty()
            && let Some((texts, item)) = guidance
        {
            let kept = self.instructions.len().saturating_sub(texts);
            self.instructions.truncate(kept);
            self.items.push(item);
        }
    }

    /// Makes a leading message of the input part of the instructions.
    pub fn hoist(&mut self, texts: Vec<Cow<'a, str>>, item: Item<'a>) {
        self.hoisted.push((texts.len(), item));
        self.instructions.extend(texts);
    }

    /// Makes a message that was part of an earlier turn's instructions part of these, behind the
    /// request's own.
    pub fn hoist_recalled(&mut self, texts: Vec<Cow<'a, str>>, item: Item<'a>) {
        self.recalled += texts.len();
        self.hoist(texts, item);
    }

    /// Puts the messages that became instructions back to the head of the input.
    pub fn unhoist(&mut self) {
        let texts: usize = self.hoisted.iter().map(|(texts, _)| texts).sum();
        self.instructions.truncate(self.instructions.len().saturating_sub(texts));
        let count = self.hoisted.len();
        self.items.splice(..0, self.hoisted.drain(..).map(|(_, item)| item));
        for (place, _) in &mut self.ids {
            *place += count;
        }
    }

    /// Whether the input carries a developer message.
    pub fn has_developer_message(&self) -> bool {
        self.items.iter().any(|item| item.kind == Kind::Developer)
    }

    /// The text of the first user message, as written: what tells one conversation from
    /// another.
    pub fn opening(&self) -> String {
        let Some(first) = self.items.iter().find(|item| item.kind == Kind::User) else {
            return String::new();
        };
        let content = Object::of_text(&first.json).and_then(|object| object.get("content"));
        let Some(parts) = content.and_then(Raw::list) else {
            return first.json.clone().into_owned();
        };
        let texts = parts.into_iter().filter_map(Object::of).filter_map(|part| part.get("text"));
        texts.filter_map(Raw::escaped).collect::<Vec<_>>().join("\n")
    }

    /// The instructions of this request as one text with JSON escapes, without what was recalled;
    /// `None` when it has none of its own.
    pub fn own_instructions(&self) -> Option<Cow<'_, str>> {
        joined(self.split_instructions().0)
    }

    /// All instructions as one text with JSON escapes: the request's own, or else those that its
    /// session remembers, and behind them what was recalled, unless they end in it already.
    pub fn all_instructions<'s>(&'s self, remembered: Option<&'s str>) -> Option<Cow<'s, str>> {
        let (own, recalled) = self.split_instructions();
        match (joined(own).or(remembered.map(Cow::Borrowed)), joined(recalled)) {
            (Some(first), Some(recalled)) if !ends_in(&first, &recalled) => {
                Some(Cow::Owned([first, recalled].join(BETWEEN)))
            }
            (first, recalled) => first.or(recalled),
        }
    }

    fn split_instructions(&self) -> (&[Cow<'a, str>], &[Cow<'a, str>]) {
        self.instructions.split_at(self.instructions.len().saturating_sub(self.recalled))
    }
}

/// What stands between two texts of the instructions, escaped.
const BETWEEN: &str = "\\n\\n";

fn joined<'t>(texts: &'t [Cow<'_, str>]) -> Option<Cow<'t, str>> {
    match texts {
        [] => None,
        [one] => Some(Cow::Borrowed(one)),
        many => Some(Cow::Owned(many.join(BETWEEN))),
    }
}

fn ends_in(text: &str, end: &str) -> bool {
    text.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with(BETWEEN))
}
