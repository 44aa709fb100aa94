//! Facts about gathered output.

use super::*;

fn gathered(events: &[&str]) -> String {
    let mut output = Output::default();
    for text in events {
        let kind = Object::of_text(text).unwrap().string("type").map(|it| Kind::of(&it)).unwrap();
        output.push(&Event::new(kind, text));
    }
    output.json("completed").unwrap_or_default()
}

const ADDED: &str = r#"{"type":"response.output_item.added","output_index":1,"item":{"id":"fc_1","type":"function_call","status":"in_progress","call_id":"c","name":"f","arguments":"{}"}}"#;
const PIECE: &str = r#"{"type":"response.function_call_arguments.delta","item_id":"fc_1","output_index":9,"delta":"{\"a"}"#;
const WHOLE: &str = r#"{"type":"response.function_call_arguments.done","item_id":"fc_1","output_index":1,"arguments":"{\"b\":1}"}"#;
const DONE: &str = r#"{"type":"response.output_item.done","output_index":1,"item":{"id":"fc_1","type":"function_call","status":"completed","call_id":"c","name":"f","arguments":"{\"c\":1}"}}"#;

#[test]
fn the_most_finished_form_of_a_call_wins() {
    assert!(gathered(&[ADDED, PIECE, WHOLE, DONE]).contains(r#"{\"c\":1}"#));
    assert!(gathered(&[DONE, ADDED, PIECE]).contains(r#"{\"c\":1}"#));
    assert!(gathered(&[ADDED, PIECE, WHOLE]).contains(r#""arguments":"{\"b\":1}""#));
    assert!(gathered(&[ADDED, PIECE]).contains(r#""arguments":"{\"a""#));
    assert!(
        gathered(&[PIECE.replace("fc_1", "").replace('9', "1").as_str(), ADDED])
            .contains(r#"{\"a"#)
    );
}

#[test]
fn the_end_of_arguments_names_its_function() {
    let mut output = Output::default();
    let done = Event::new(Kind::ArgumentsDone, WHOLE);
    assert_eq!(output.named(&done), None);
    output.push(&Event::new(Kind::ItemAdded, ADDED));
    output.push(&done);
    let named = output.named(&done).unwrap();
    assert_eq!(named, WHOLE.replace("}\"}", "}\",\"name\":\"f\"}"));
    assert_eq!(output.named(&Event::new(Kind::ArgumentsDone, &named)), None);
}

#[test]
fn the_listed_output_counts_where_pieces_name_no_item() {
    let listed = r#"[{"id":"fc_1","type":"function_call","call_id":"c"}]"#;
    let adopted = |before: &[&str]| {
        let mut output = Output::default();
        for text in before {
            let kind = Kind::of(&Object::of_text(text).unwrap().string("type").unwrap());
            output.push(&Event::new(kind, text));
        }
        output.adopt(Raw::parse(listed).unwrap());
        output.json("completed").unwrap()
    };
    assert_eq!(adopted(&[]), listed);
    assert_eq!(adopted(&[PIECE]), listed);
    assert!(adopted(&[ADDED, PIECE]).contains(r#"{\"a"#));
    assert!(adopted(&[DONE]).contains(r#"{\"c\":1}"#));
}

#[test]
fn items_come_in_the_order_of_the_output_and_calls_once() {
    let first = r#"{"type":"response.output_item.done","output_index":0,"item":{"id":"rs_1","type":"reasoning"}}"#;
    let again = DONE.replace("\"output_index\":1", "\"output_index\":2");
    let json = gathered(&[DONE, first, &again]);
    assert!(json.starts_with(r#"[{"id":"rs_1""#), "{json}");
    assert_eq!(json.matches("call_id").count(), 1);
}

#[test]
fn a_message_without_its_end_is_put_together_from_its_pieces() {
    let json = gathered(&[
        r#"{"type":"response.output_item.added","output_index":0,"item":{"id":"msg_1","type":"message","status":"in_progress","role":"assistant","content":[]}}"#,
        r#"{"type":"response.output_text.delta","item_id":"msg_1","output_index":0,"delta":"a\n"}"#,
        r#"{"type":"response.output_text.delta","item_id":"msg_1","output_index":0,"delta":"b"}"#,
    ]);
    assert!(json.contains(r#""text":"a\nb""#), "{json}");
    assert!(json.contains(r#""status":"completed""#), "{json}");
}

/// The ids of the calls and messages that were gathered.
fn ids(events: &[&str]) -> Vec<String> {
    let gathered = gathered(events);
    let list = Raw::parse(&gathered).unwrap().list().unwrap();
    let id = |item: Raw<'_>| {
        let item = Object::of_text(item.get()).unwrap();
        item.string("call_id").or_else(|| item.string("id")).unwrap().into_owned()
    };
    list.into_iter().map(id).collect()
}

#[test]
fn items_that_do_not_tell_their_place_are_all_kept_in_their_order() {
    let message = r#"{"type":"response.output_item.done","item":{"id":"m","type":"message","role":"assistant","content":[]}}"#;
    let call = |phase: &str, id: &str, place: &str| {
        format!(
            r#"{{"type":"response.output_item.{phase}",{place}"item":{{"type":"function_call","call_id":"{id}","name":"f","arguments":"{{}}"}}}}"#
        )
    };
    for place in ["", r#""output_index":0,"#] {
        let (a, b) = (call("done", "a", place), call("done", "b", place));
        assert_eq!(ids(&[message, &a, &b]), ["m", "a", "b"], "{place}");
        let (begun_a, begun_b) = (call("added", "a", place), call("added", "b", place));
        assert_eq!(ids(&[&begun_a, &begun_b, &b, &a, &a]), ["a", "b"], "{place}");
        assert_eq!(ids(&[&begun_a, &a, &begun_b, &b]), ["a", "b"], "{place}");
    }
    // An id that changes on the way is still that of the one item at this place.
    let renamed = DONE.replace("fc_1", "fc_2");
    assert_eq!(ids(&[ADDED, &renamed]), ["c"]);
}

#[test]
fn text_without_an_item_becomes_a_message() {
    let delta = r#"{"type":"response.output_text.delta","item_id":"m","delta":"Hel"}"#;
    let rest = r#"{"type":"response.output_text.delta","item_id":"m","delta":"lo"}"#;
    let whole = r#"{"type":"response.output_text.done","text":"Hello"}"#;
    let refusal = r#"{"type":"response.refusal.delta","delta":"no"}"#;
    let message = |id: &str, part: &str| {
        format!(
            r#"[{{"id":"{id}","type":"message","status":"completed","role":"assistant","content":[{part}]}}]"#
        )
    };
    let hello = r#"{"type":"output_text","annotations":[],"logprobs":[],"text":"Hello"}"#;
    assert_eq!(gathered(&[delta, rest]), message("m", hello));
    assert_eq!(gathered(&[whole]), message("msg_0", hello));
    assert_eq!(gathered(&[refusal]), message("msg_0", r#"{"type":"refusal","refusal":"no"}"#));
}
