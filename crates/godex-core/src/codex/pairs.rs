//! Calls and their outputs: Codex wants each call followed by exactly one output, and each
//! output preceded by its call. What a follow-up left out is put back from memory; what
//! cannot be put back becomes text, so that a conversation never ends in a permanent 400.
//! Source: `docs/wire.md#pairs`.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use super::draft::{Call, Item, Kind};
use crate::json::{self, Object, Writer};

/// The output given to a call whose own never came.
const INTERRUPTED: &str = "[interrupted: this call has no output in the conversation]";

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

/// Makes every pair whole; those that are stay as they are. `remembered` holds calls by id, as the backend once gave them.
/// Returns whether an output had to become text for want of its call.
pub fn repair<'a>(
    items: Vec<Item<'a>>,
    remembered: &HashMap<String, String, impl BuildHasher>,
) -> (Vec<Item<'a>>, bool) {
    let plan = Plan::of(&items);
    let mut orphans = false;
    let mut out: Vec<Item<'a>> = Vec::with_capacity(items.len() + 4);
    let mut later: HashMap<String, Item<'a>> = HashMap::new();
    let mut called: HashMap<String, bool> = HashMap::new();
    let mut answered: HashSet<String> = HashSet::new();
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
                if called.contains_key(&id) {
                    continue;
                }
                called.insert(id.clone(), call.custom);
                let answer = (!plan.answered.contains(&id)).then(|| interrupted(call));
                out.push(item);
                out.extend(answer);
            }
            Kind::Output(call) => {
                let id = call.id.clone().into_owned();
                if !called.contains_key(&id)
                    && let Some(found) = later.remove(&id).or_else(|| recalled(&id, remembered))
                {
                    let custom = matches!(&found.kind, Kind::Call(call) if call.custom);
                    called.insert(id.clone(), custom);
                    out.push(found);
                }
                if let Some(custom) = called.get(&id)
                    && answered.insert(id.clone())
                {
                    out.push(as_output_of(item, *custom));
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

/// What is wrong with the pairs of an input.
struct Plan {
    answered: HashSet<String>,
    late: HashSet<String>,
}

impl Plan {
    fn of(items: &[Item<'_>]) -> Self {
        let mut answered = HashSet::new();
        let mut late = HashSet::new();
        for item in items {
            match &item.kind {
                Kind::Call(call) if answered.contains(call.id.as_ref()) => {
                    late.insert(call.id.clone().into_owned());
                }
                Kind::Output(call) => {
                    answered.insert(call.id.clone().into_owned());
                }
                Kind::Call(_)
                | Kind::User
                | Kind::Developer
                | Kind::Assistant
                | Kind::Reference(_)
                | Kind::Other => {}
            }
        }
        Self { answered, late }
    }
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
mod tests {
    use super::*;

    fn call(id: &str) -> Item<'static> {
        let kind = Kind::Call(Call { id: id.to_owned().into(), custom: false });
        Item { kind, json: format!(r#"{{"type":"function_call","call_id":"{id}"}}"#).into() }
    }

    fn output(id: &str) -> Item<'static> {
        let kind = Kind::Output(Call { id: id.to_owned().into(), custom: false });
        Item {
            kind,
            json: format!(
                r#"{{"type":"function_call_output","call_id":"{id}","output":"o-{id}"}}"#
            )
            .into(),
        }
    }

    fn user() -> Item<'static> {
        Item { kind: Kind::User, json: r#"{"type":"message"}"#.into() }
    }

    fn sketch(items: &[Item<'_>]) -> Vec<String> {
        items
            .iter()
            .map(|item| match &item.kind {
                Kind::Call(call) => {
                    format!("{}{}", if call.custom { "custom " } else { "call " }, call.id)
                }
                Kind::Output(call) => {
                    let mark =
                        if item.json.contains("interrupted") { "interrupted " } else { "output " };
                    format!("{mark}{}{}", if call.custom { "custom " } else { "" }, call.id)
                }
                Kind::Other if item.json.contains("Output of the tool call") => "text".to_owned(),
                Kind::User
                | Kind::Developer
                | Kind::Assistant
                | Kind::Reference(_)
                | Kind::Other => "message".to_owned(),
            })
            .collect()
    }

    #[track_caller]
    fn check(items: Vec<Item<'static>>, remembered: &[&str], expected: &[&str]) {
        let memory: HashMap<String, String> = remembered
            .iter()
            .map(|id| {
                let kind = if id.starts_with('c') { "custom_tool_call" } else { "function_call" };
                ((*id).to_owned(), format!(r#"{{"type":"{kind}","call_id":"{id}"}}"#))
            })
            .collect();
        assert_eq!(sketch(&repair(items, &memory).0), expected);
    }

    #[test]
    fn whole_pairs_are_left_alone() {
        let items = vec![user(), call("a"), call("b"), output("b"), output("a"), user()];
        check(items, &[], &["message", "call a", "call b", "output b", "output a", "message"]);
    }

    #[test]
    fn pairs_are_whole_only_one_to_one_and_in_order() {
        #[track_caller]
        fn whole(items: &[Item<'static>], expected: bool) {
            assert_eq!(are_whole(items), expected, "{:?}", sketch(items));
        }
        whole(&[], true);
        whole(&[user()], true);
        whole(&[call("b"), call("a"), output("a"), user(), output("b")], true);
        whole(&[call("a")], false);
        whole(&[output("a")], false);
        whole(&[output("a"), call("a")], false);
        whole(&[call("a"), output("a"), output("a")], false);
        whole(&[call("a"), call("a"), output("a")], false);
        whole(&[call("a"), output("a"), call("a"), output("a")], false);
        whole(&[call("a"), call("b"), output("a"), output("c")], false);
    }

    #[test]
    fn a_missing_call_comes_back_right_before_its_output_and_once() {
        check(vec![output("a")], &["a"], &["call a", "output a"]);
        check(
            vec![user(), output("a"), output("b")],
            &["a", "b"],
            &["message", "call a", "output a", "call b", "output b"],
        );
        check(vec![output("a"), output("a")], &["a"], &["call a", "output a", "text"]);
    }

    #[test]
    fn an_output_takes_the_type_of_its_call() {
        check(vec![output("c1")], &["c1"], &["custom c1", "output custom c1"]);
    }

    #[test]
    fn an_output_without_any_call_becomes_text() {
        check(vec![output("a")], &[], &["text"]);
        let (items, orphans) = repair(vec![output("a")], &HashMap::new());
        assert!(orphans);
        assert!(items[0].json.contains("o-a"), "{}", items[0].json);
    }

    #[test]
    fn a_call_without_output_is_called_interrupted() {
        check(vec![call("a"), user()], &[], &["call a", "interrupted a", "message"]);
        check(
            vec![call("a"), call("b"), output("b")],
            &[],
            &["call a", "interrupted a", "call b", "output b"],
        );
    }

    #[test]
    fn repeated_and_late_calls_are_put_in_order() {
        check(vec![call("a"), call("a"), output("a")], &[], &["call a", "output a"]);
        check(vec![output("a"), call("a")], &[], &["call a", "output a"]);
    }

    #[test]
    fn the_calls_to_remember_are_named_once() {
        let items = [call("a"), output("a"), output("b"), output("b")];
        assert_eq!(missing_calls(&items), Some(vec!["b".to_owned()]));
        assert_eq!(missing_calls(&[call("a")]), Some(vec![]), "its output is missing");
        assert_eq!(missing_calls(&items[..2]), None);
    }
}
