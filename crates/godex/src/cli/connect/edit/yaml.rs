//! YAML: a mapping written line by line. Its parser tells what stands where; the rest of the text
//! is never written anew.

use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};
use serde_json::Value;

use super::{Target, Unclear};

/// `.aider.conf.yml`: one flat mapping.
pub(in crate::cli::connect) fn aider(
    old: Option<&str>,
    target: &Target,
) -> Result<String, Unclear> {
    let mut text = old.unwrap_or_default().to_owned();
    let model = format!("openai/{}", target.model);
    let settings = [
        ("openai-api-base", target.url.as_str()),
        ("openai-api-key", target.key()),
        ("model", &model),
    ];
    for (name, value) in settings {
        text = set(&text, name, value)?;
    }
    // It says so to its parser, too.
    let members = members(&text)?;
    for (name, value) in settings {
        let said = members.iter().find(|it| it.name == name).and_then(|it| it.word.as_deref());
        if said != Some(value) {
            return Err(Unclear::Odd(format!("`{name}` in it cannot be set without a guess")));
        }
    }
    Ok(text)
}

/// `config.yaml` of Continue: a list of models.
pub(in crate::cli::connect) fn continue_dev(
    old: Option<&str>,
    target: &Target,
) -> Result<String, Unclear> {
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
    let members = members(old)?;
    let lines: Vec<&str> = old.split_inclusive('\n').collect();
    let Some(at) = lines.iter().position(|it| it.starts_with("models:")) else {
        if members.iter().any(|it| it.name == "models") {
            return Err(not_a_list_of_lines());
        }
        return Ok(format!("{}models:\n{}", closed(old), item("  ")));
    };
    let (head, rest) = lines.split_at(at + 1);
    let after = head.last().map_or("", |it| it.trim_start_matches("models:").trim());
    if !after.is_empty() && !after.starts_with('#') {
        return Err(not_a_list_of_lines());
    }
    let first = rest.iter().find(|it| !it.trim().is_empty() && !it.trim().starts_with('#'));
    let indent = match first.map(|it| (it, it.trim_start())) {
        Some((line, item)) if item.starts_with("- ") => &line[..line.len() - item.len()],
        Some((_, other)) if !other.starts_with('-') => "  ",
        Some(_) => return Err(not_a_list_of_lines()),
        None => "  ",
    };
    let named = |line: &&&str| {
        let line = line.trim().trim_start_matches("- ").replace(['"', '\''], "");
        line == "name: godex"
    };
    if rest.iter().find(named).is_some() {
        return Err(Unclear::Odd("it has a model named `godex` already".to_owned()));
    }
    Ok(format!("{}{}{}", closed(&head.concat()), item(indent), rest.concat()))
}

fn not_a_list_of_lines() -> Unclear {
    Unclear::Odd("its `models` is not a list of lines".to_owned())
}

/// The text with its last line ended.
fn closed(text: &str) -> String {
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{gap}")
}

/// A member of the mapping.
struct Member {
    name: String,
    /// Where its name ends.
    behind: usize,
    /// Where its value stands, if it is a word or a string on one line; empty if it has none.
    value: Option<Range<usize>>,
    /// This value.
    word: Option<String>,
}

/// The members of a text that is one mapping, written line by line.
fn members(text: &str) -> Result<Vec<Member>, Unclear> {
    let odd = |what: &str| Err(Unclear::Odd(what.to_owned()));
    let (mut members, mut documents, mut depth) = (Vec::<Member>::new(), 0, 0_usize);
    // The member whose value is being read.
    let mut open = false;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| broken(&error))?;
        match (&event, depth) {
            (Event::DocumentStart(_), _) => {
                documents += 1;
                if documents > 1 {
                    return odd("it has several documents in it");
                }
            }
            (Event::MappingStart(..), 0)
                if text.get(places(text, span)).is_some_and(|it| it.starts_with('{')) =>
            {
                return odd("it is not YAML of plain `name: value` lines");
            }
            (Event::SequenceStart(..), 0) => return odd("it is a list and not a mapping"),
            (Event::Scalar(word, ..), 0) if !matches!(word.as_ref(), "" | "~" | "null") => {
                return odd("it is not YAML of plain `name: value` lines");
            }
            (Event::Scalar(name, ..), 1) if !open => {
                let (name, behind) = (name.clone().into_owned(), places(text, span).end);
                members.push(Member { name, behind, value: None, word: None });
                open = true;
                continue;
            }
            (Event::Scalar(word, style, ..), 1) => {
                let one_line = span.start.line() == span.end.line();
                let plain = !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                if let Some(member) = members.last_mut().filter(|_| one_line && plain) {
                    member.value = Some(without_comment(text, places(text, span)));
                    member.word = Some(word.clone().into_owned());
                }
            }
            (Event::Alias(_) | Event::SequenceStart(..) | Event::MappingStart(..), 1) if !open => {
                return odd("it has a name in it that is no word");
            }
            _ => {}
        }
        let begins = matches!(event, Event::MappingStart(..) | Event::SequenceStart(..));
        let ends = matches!(event, Event::MappingEnd | Event::SequenceEnd);
        depth = (depth + usize::from(begins)).saturating_sub(usize::from(ends));
        // What has just ended at this level was a value.
        open = open && depth > 1;
    }
    Ok(members)
}

fn broken(error: &ScanError) -> Unclear {
    let (line, column) = (error.marker().line(), error.marker().col() + 1);
    Unclear::Broken {
        form: "YAML",
        reason: format!("{} in line {line}, column {column}", error.info()),
    }
}

/// The bytes of a span, which is told in characters.
fn places(text: &str, span: Span) -> Range<usize> {
    let byte = |index| text.char_indices().nth(index).map_or(text.len(), |(byte, _)| byte);
    byte(span.start.index())..byte(span.end.index())
}

/// A value without what its span may have behind it: blanks and a comment.
fn without_comment(text: &str, place: Range<usize>) -> Range<usize> {
    let value = text.get(place.clone()).unwrap_or_default();
    let inside = value.strip_prefix(['"', '\'']).unwrap_or_default();
    let string = match value.chars().next() {
        Some('"') => {
            let escapes = |at: usize| {
                let before = inside.get(..at).unwrap_or_default();
                (before.len() - before.trim_end_matches('\\').len()) % 2 == 1
            };
            inside.match_indices('"').map(|(at, _)| at).find(|at| !escapes(*at))
        }
        Some('\'') => {
            let doubled = inside.replace("''", "  ");
            doubled.find('\'')
        }
        _ => None,
    };
    let before = |at: usize| value.get(..at).unwrap_or_default();
    let comment = |at: &usize| before(*at).ends_with([' ', '\t']);
    let word = || {
        let end = value.match_indices('#').map(|(at, _)| at).find(comment);
        before(end.unwrap_or(value.len())).trim_end().len()
    };
    let length = string.map_or_else(word, |inside| inside + 2);
    place.start..place.start + length
}

/// The text with the value of a member in the place of an old one, or as a line at the end.
fn set(text: &str, name: &str, value: &str) -> Result<String, Unclear> {
    let members = members(text)?;
    let value = quoted(value);
    let mut found = members.iter().filter(|it| it.name == name);
    let Some(member) = found.next() else {
        return Ok(format!("{}{name}: {value}\n", closed(text)));
    };
    if found.next().is_some() {
        return Err(Unclear::Odd(format!("`{name}` comes twice in it")));
    }
    let Some(place) = &member.value else {
        return Err(Unclear::Odd(format!("`{name}` in it has more than one line")));
    };
    let (place, gap) = match text.get(member.behind..).and_then(|it| it.find(':')) {
        Some(colon) if place.is_empty() => {
            let at = member.behind + colon + 1;
            (at..at, " ")
        }
        _ => (place.clone(), ""),
    };
    let mut text = text.to_owned();
    text.replace_range(place, &format!("{gap}{value}"));
    Ok(text)
}

/// A text that YAML reads as this text, whatever is in it: JSON's form is one of YAML's.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}
