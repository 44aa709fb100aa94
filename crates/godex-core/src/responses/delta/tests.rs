//! Facts about reading deltas.

use proptest::prelude::*;

use super::*;
use crate::responses::event::Kind;

fn parts(delta: Option<Delta<'_>>) -> Option<(u64, String, String)> {
    let delta = delta?;
    Some((delta.output_index, delta.item_id.into_owned(), delta.delta.get().to_owned()))
}

fn read(text: &str) -> Option<Delta<'_>> {
    serde_json::from_str(text).ok()
}

#[test]
fn a_delta_is_walked_over_as_it_is_read() {
    for text in [
        r#"{"type":"t","item_id":"msg_1","output_index":12,"content_index":0,"delta":"a\"b\\","logprobs":[]}"#,
        r#"{"type":"t","delta":"","output_index":0,"item_id":"x"}"#,
        r#"{"delta":"\"output_index\":7,\"item_id\":\"no\"","output_index":1,"item_id":"y"}"#,
        r#"{"content_index":0,"delta":"é","item_id":"z","logprobs":[],"obfuscation":"q","output_index":1}"#,
    ] {
        let (found, _, _) = walk(text).unwrap();
        assert_eq!(parts(Some(found)), parts(read(text)));
    }
    for odd in [
        r#"{"delta": "a","output_index": 1,"item_id":"x"}"#,
        r#"{"delta":"a","item_id":"x"}"#,
        r#"{"delta":5}"#,
    ] {
        assert!(walk(odd).is_none(), "{odd}");
    }
}

#[test]
fn what_resembles_a_learned_form_is_not_taken_for_it() {
    let mut deltas = Deltas::default();
    let learned = r#"{"type":"t","sequence_number":1,"item_id":"x","delta":"a","output_index":1}"#;
    let mut next = |text: &str| parts(deltas.read(&Event::new(Kind::TextDelta, text)));
    assert_eq!(next(learned), parts(read(learned)));
    for text in [
        learned.replace(":1,", ":23,").replace("\"a\"", r#""é\"b""#),
        learned.replace("\"x\"", "\"xy\""),
        learned.replace(":1}", ":12}"),
        learned.replace(":1}", ":1,\"output_index\":2}"),
        learned.replace(":1,", ":-1,"),
        learned.replace(":1,", ":,"),
        learned.replace("\"a\"", "\"a"),
        learned.replace("\"a\"", "null"),
        learned.replace("\"a\"", "\"\n\""),
        learned.replace("\"a\"", r#""\x""#),
        learned.replace("\"a\",", r#""a","output_index":3,"#),
    ] {
        let alone = parts(Deltas::default().read(&Event::new(Kind::TextDelta, &text)));
        assert_eq!(next(&text), alone, "{text}");
        next(learned);
    }
}

#[test]
fn the_deltas_of_recorded_streams_are_read_like_each_of_them() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/upstream");
    let mut fitted = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let recorded = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let mut deltas = Deltas::default();
        let data = recorded.lines().filter_map(|line| line.strip_prefix("data: "));
        for text in data.filter(|it| it.contains(".delta\"")) {
            fitted += usize::from(deltas.form.fit(text).is_some());
            let found = parts(deltas.read(&Event::new(Kind::TextDelta, text)));
            assert_eq!(found, parts(read(text)), "{text}");
        }
    }
    assert!(fitted > 100, "{fitted} deltas were like the one before");
}

fn event() -> impl Strategy<Value = String> {
    let order = Just(vec![0, 1, 2, 3, 4, 5]).prop_shuffle();
    (order, 0..6_usize, 0..3_u64, "[xy]{1,2}", r#"([a-é"\\]|\\"|\\n){0,3}"#).prop_map(
        |(order, left_out, number, id, text)| {
            let members = [
                r#""type":"t""#.to_owned(),
                format!(r#""sequence_number":{}"#, number * 9),
                format!(r#""item_id":"{id}""#),
                format!(r#""output_index":{number}"#),
                format!(r#""delta":"{text}""#),
                format!(r#""logprobs":[],"obfuscation":"{}""#, id.repeat(2)),
            ];
            let written = order.iter().filter(|at| **at != left_out);
            let written: Vec<_> = written.filter_map(|at| members.get(*at).cloned()).collect();
            format!("{{{}}}", written.join(","))
        },
    )
}

proptest! {
    #[test]
    fn a_stream_of_deltas_is_read_like_each_of_them(
        events in prop::collection::vec((event(), 1..4_usize), 1..12),
    ) {
        let mut deltas = Deltas::default();
        for text in events.iter().flat_map(|(text, times)| std::iter::repeat_n(text, *times)) {
            // The other members of an event are as they were, its piece of text is not.
            let text = text.replace("\"delta\":\"", "\"delta\":\"more ");
            let found = parts(deltas.read(&Event::new(Kind::TextDelta, &text)));
            let alone = parts(Deltas::default().read(&Event::new(Kind::TextDelta, &text)));
            prop_assert_eq!(found, alone);
        }
    }
}
