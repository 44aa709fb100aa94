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
