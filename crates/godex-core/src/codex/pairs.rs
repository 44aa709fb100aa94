//! Calls and their outputs: Codex wants each call followed by exactly one output, and each
//! output preceded by its call. What a follow-up left out is put back from memory; what
//! cannot be put back becomes text, so that a conversation never ends in a permanent 400.
//! Source: `docs/wire.md#pairs`.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;

use super::draft::{Call, Item, Kind};
use crate::json::{self, Object, Writer};

/// The output given to a call whose own never came.
const INTERRUPTED: &str = "[interrupted: this call has no output in the conversation]";

/// The longest `call_id` that the backend takes, in characters.
const LONGEST_ID: usize = 64;

/// Whether each call has its one output behind it and each output its call before it, as in
/// nearly every request.
fn are_whole(items: &[Item<'_>]) -> bool {
    let mut ends: Vec<(&Call<'_>, bool)> = items
        .iter()
        .filter_map(|item| match &item.kind {
            Kind::Call(call) => Some((call, false)),
            Kind::Output(call) => Some((call, true)),
            Kind::User | Kind::Developer | Kind::Assistant | Kind::Reference(_) | Kind::Other => {
                None
            }
        })
        .collect();
    // Under equal ids the order stays: the call, then its output.
    ends.sort_by(|(one, _), (other, _)| one.id.cmp(&other.id));
    let mut last = None;
    ends.chunks(2).all(|pair| match pair {
        [(call, false), (output, true)] => {
            call == output && last.replace(&call.id).is_none_or(|last| *last != call.id)
        }
        _ => false,
    })
}

/// The ids of calls that have an output but do not stand in front of it; `None` when all pairs
/// are whole and there is nothing to [`repair`].
pub fn missing_calls(items: &[Item<'_>]) -> Option<Vec<String>> {
    if are_whole(items) {
        return None;
    }
    let mut missing = Vec::new();
    let mut seen = HashSet::new();
    for item in items {
        match &item.kind {
            Kind::Call(call) => drop(seen.insert(call.id.as_ref())),
            Kind::Output(call) if !seen.contains(call.id.as_ref()) => {
                seen.insert(call.id.as_ref());
                missing.push(call.id.clone().into_owned());
            }
            Kind::Output(_)
            | Kind::User
            | Kind::Developer
            | Kind::Assistant
            | Kind::Reference(_)
            | Kind::Other => {}
        }
    }
    Some(missing)
}

/// Makes every pair whole; those that are stay as they are. `remembered` holds calls by id, as the
/// backend once gave them. A pair whose id stands on an earlier pair gets one of its own: some
/// clients count their calls from the start in every turn. Returns whether an output had to become
/// text for want of its call.
pub fn repair<'a>(
    items: Vec<Item<'a>>,
    remembered: &HashMap<String, String, impl BuildHasher>,
) -> (Vec<Item<'a>>, bool) {
    let mut plan = Plan::of(&items);
    let mut orphans = false;
    let mut out: Vec<Item<'a>> = Vec::with_capacity(items.len() + 4);
    let mut later: HashMap<String, Item<'a>> = HashMap::new();
    let mut called: HashMap<String, Called> = HashMap::new();
    for item in &items {
        if let Kind::Call(call) = &item.kind
            && plan.late.contains(call.id.as_ref())
        {
            later.entry(call.id.clone().into_owned()).or_insert_with(|| item.clone());
        }
    }
    for item in items {
        match &item.kind {
            Kind::Call(call) => {
                let id = call.id.clone().into_owned();
                let outputs = plan.outputs.get(&id).copied().unwrap_or_default();
                let Some(earlier) = called.get_mut(&id) else {
                    called.insert(id, Called::first(call));
                    let answer = (outputs == 0).then(|| interrupted(call));
                    out.push(item);
                    out.extend(answer);
                    continue;
                };
                // One more than its outputs is the same call once more.
                if outputs > earlier.open.len() {
                    let name = plan.name(&id, earlier.times);
                    earlier.again(name.clone(), call.custom);
                    out.push(under(item, name));
                }
            }
            Kind::Output(call) => {
                let id = call.id.clone().into_owned();
                plan.outputs.entry(id.clone()).and_modify(|left| *left = left.saturating_sub(1));
                if !called.contains_key(&id)
                    && let Some(found) = later.remove(&id).or_else(|| recalled(&id, remembered))
                {
                    if let Kind::Call(call) = &found.kind {
                        called.insert(id.clone(), Called::first(call));
                    }
                    out.push(found);
                }
                if let Some((name, custom)) = called.get_mut(&id).and_then(|it| it.open.pop_front())
                {
                    let item = as_output_of(item, custom);
                    out.push(if name == id { item } else { under(item, name) });
                } else {
                    orphans = true;
                    out.push(as_text(&item, &id));
                }
            }
            Kind::User | Kind::Developer | Kind::Assistant | Kind::Reference(_) | Kind::Other => {
                out.push(item);
            }
        }
    }
    (out, orphans)
}

/// The calls so far that came under one id.
struct Called {
    /// How many there were.
    times: usize,
    /// Those without an output so far: under which id each goes on, and whether it is a custom one.
    open: VecDeque<(String, bool)>,
}

impl Called {
    fn first(call: &Call<'_>) -> Self {
        Self { times: 1, open: VecDeque::from([(call.id.clone().into_owned(), call.custom)]) }
    }

    fn again(&mut self, name: String, custom: bool) {
        self.times += 1;
        self.open.push_back((name, custom));
    }
}

/// What is to be known of the pairs of an input before the first is made whole.
struct Plan {
    /// How many outputs are still to come under an id.
    outputs: HashMap<String, usize>,
    /// Calls that stand behind their outputs.
    late: HashSet<String>,
    /// All ids.
    taken: HashSet<String>,
}

impl Plan {
    fn of(items: &[Item<'_>]) -> Self {
        let mut plan =
            Self { outputs: HashMap::new(), late: HashSet::new(), taken: HashSet::new() };
        for item in items {
            match &item.kind {
                Kind::Call(call) => {
                    let id = call.id.clone().into_owned();
                    if plan.outputs.contains_key(&id) && !plan.taken.contains(&id) {
                        plan.late.insert(id.clone());
                    }
                    plan.taken.insert(id);
                }
                Kind::Output(call) => {
                    *plan.outputs.entry(call.id.clone().into_owned()).or_default() += 1;
                }
                Kind::User
                | Kind::Developer
                | Kind::Assistant
                | Kind::Reference(_)
                | Kind::Other => {}
            }
        }
        plan
    }

    /// An id for one more call under `id`: the same in every request that repeats the
    /// conversation.
    fn name(&mut self, id: &str, times: usize) -> String {
        let kept = id.chars().take(LONGEST_ID - 8).collect::<String>();
        let mut names = (times + 1..).map(|number| format!("{kept}_{number}"));
        // Never `None`: there are more numbers than ids.
        let name = names.find(|name| !self.taken.contains(name)).unwrap_or_default();
        self.taken.insert(name.clone());
        name
    }
}

/// A call or an output under another `call_id`.
fn under(item: Item<'_>, id: String) -> Item<'_> {
    let Some(object) = Object::of_text(&item.json) else { return item };
    let mut writer = Writer::new(item.json.len() + 8);
    for (name, value) in object.iter() {
        match name {
            "call_id" => writer.string(name, &id),
            // It names the item, which comes once.
            "id" => {}
            _ => writer.raw(name, value.get()),
        }
    }
    let json = Cow::Owned(writer.finish_text());
    let id = Cow::Owned(id);
    let kind = match item.kind {
        Kind::Call(call) => Kind::Call(Call { id, ..call }),
        Kind::Output(call) => Kind::Output(Call { id, ..call }),
        kind @ (Kind::User
        | Kind::Developer
        | Kind::Assistant
        | Kind::Reference(_)
        | Kind::Other) => kind,
    };
    Item { kind, json }
}

fn recalled<'a>(
    id: &str,
    remembered: &HashMap<String, String, impl BuildHasher>,
) -> Option<Item<'a>> {
    let json = remembered.get(id)?;
    let custom = Object::of_text(json)?.string("type")? == "custom_tool_call";
    let call = Call { id: Cow::Owned(id.to_owned()), custom };
    Some(Item { kind: Kind::Call(call), json: Cow::Owned(json.clone()) })
}

fn interrupted<'a>(call: &Call<'a>) -> Item<'a> {
    let mut writer = Writer::new(160);
    writer.string(
        "type",
        if call.custom { "custom_tool_call_output" } else { "function_call_output" },
    );
    writer.string("call_id", &call.id);
    writer.string("output", INTERRUPTED);
    Item { kind: Kind::Output(call.clone()), json: Cow::Owned(writer.finish_text()) }
}

/// An output under the type that fits its call: chat does not tell the two apart.
fn as_output_of(item: Item<'_>, custom: bool) -> Item<'_> {
    let Kind::Output(call) = &item.kind else { return item };
    if call.custom == custom {
        return item;
    }
    let kind = Kind::Output(Call { id: call.id.clone(), custom });
    let Some(object) = Object::of_text(&item.json) else { return item };
    let mut writer = Writer::new(item.json.len() + 8);
    writer.string("type", if custom { "custom_tool_call_output" } else { "function_call_output" });
    for (name, value) in object.iter().filter(|(name, _)| !matches!(*name, "type" | "id")) {
        writer.raw(name, value.get());
    }
    let json = Cow::Owned(writer.finish_text());
    Item { kind, json }
}

/// An output whose call nobody knows, as words the model can read.
fn as_text<'a>(item: &Item<'_>, id: &str) -> Item<'a> {
    let output = Object::of_text(&item.json).and_then(|object| object.get("output"));
    let lead = json::escape(&format!(
        "Output of the tool call {id}, whose call is not in the conversation:\n"
    ))
    .into_owned();
    let mut parts = Vec::new();
    match output.map(|output| (output.escaped(), output.list())) {
        Some((Some(text), _)) => parts.push(super::content::text_part(
            super::content::Voice::Input,
            &format!("{lead}{text}"),
        )),
        Some((None, Some(list))) => {
            parts.push(super::content::text_part(super::content::Voice::Input, &lead));
            parts.extend(list.into_iter().map(|part| part.get().to_owned()));
        }
        Some((None, None)) | None => {
            parts.push(super::content::text_part(super::content::Voice::Input, &lead));
        }
    }
    let json = format!(r#"{{"type":"message","role":"user","content":{}}}"#, json::list(&parts));
    Item { kind: Kind::Other, json: Cow::Owned(json) }
}

#[cfg(test)]
mod tests;
