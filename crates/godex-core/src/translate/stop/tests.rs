//! Facts about stop sequences.

use super::*;
use crate::translate::chat_from_responses::Look;
use crate::translate::completion_from_responses::stopped;
use crate::usage::Usage;

fn cut(sequences: &[&str], pieces: &[&str]) -> (String, bool) {
    let sequences: Vec<String> = sequences.iter().map(|it| (*it).to_owned()).collect();
    let mut stop = Stop::of(&sequences).unwrap();
    let mut shown: String = pieces.iter().map(|piece| stop.push(piece)).collect();
    shown += &stop.rest();
    (shown, stop.is_reached())
}

#[test]
fn req2_a_text_ends_before_its_first_stop_sequence_however_it_is_cut() {
    #[track_caller]
    fn check(sequences: &[&str], text: &str, expected: &str, reached: bool) {
        assert_eq!(cut(sequences, &[text]), (expected.to_owned(), reached));
        for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
            let (left, right) = text.split_at(at);
            if left.ends_with('\\') {
                continue;
            }
            assert_eq!(cut(sequences, &[left, right]), (expected.to_owned(), reached), "{at}");
        }
    }
    check(&["END"], "one END two", "one ", true);
    check(&["END"], "one EN two E", "one EN two E", false);
    check(&["aab"], "aaab", "a", true);
    check(&["\n"], r"one\ntwo", "one", true);
    check(&["é!"], "caffé é! x", "caffé ", true);
    check(&["abcX", "bc"], "abcX", "a", true);
    check(&["abc", "c"], "abc", "", true);
    check(&["x", "y"], "1y2x", "1", true);
    check(&["\"}"], r#"{\"a\":\"b\"}"#, r#"{\"a\":\"b"#, true);
}

#[test]
fn req2_only_the_possible_beginning_of_a_sequence_is_held_back() {
    let mut stop = Stop::of(&["Observation:".to_owned()]).unwrap();
    assert_eq!(stop.push("I see. Obs"), "I see. ");
    assert_eq!(stop.push("e"), "");
    assert_eq!(stop.push("ss"), "Obsess");
    assert_eq!(stop.push(r"\ud83d"), "");
    assert_eq!(stop.push("O"), r"\ud83d");
    assert_eq!(stop.rest(), "O");
    assert!(!stop.is_reached());
}

#[test]
fn req2_stop_is_a_string_or_up_to_four() {
    #[track_caller]
    fn check(value: &str, expected: Option<&[&str]>) {
        let read = read(Raw::parse(value).unwrap()).ok();
        let expected = expected.map(|it| it.iter().map(|it| (*it).to_owned()).collect());
        assert_eq!(read, expected, "{value}");
    }
    check("null", Some(&[]));
    check(r#""a\n""#, Some(&["a\n"]));
    check(r#"["a","","b"]"#, Some(&["a", "b"]));
    check("[]", Some(&[]));
    check(r#"["1","2","3","4","5"]"#, None);
    check("[1]", None);
    check("7", None);
}

#[test]
fn req2_a_sequence_is_found_beside_characters_whose_halves_come_apart() {
    #[track_caller]
    fn check(sequence: &str, pieces: &[&str], expected: &str, reached: bool) {
        assert_eq!(cut(&[sequence], pieces), (expected.to_owned(), reached), "{pieces:?}");
        assert_eq!(cut(&[sequence], &[&pieces.concat()]), (expected.to_owned(), reached));
    }
    check("END", &[r"foo END bar \ud83d", r"\ude00 tail"], "foo ", true);
    check("\u{1f600}", &[r"a \ud83d", r"\ude00 b"], "a ", true);
    check("x\u{1f600}y", &["ax", r"\ud83d", r"\ude00", "y b"], "a", true);
    check("zzz", &[r"a \ud83d", r"\ude00 b"], "a \u{1f600} b", false);
    check("b", &[r"a \ud83d\n", "b"], r"a \ud83d\n", true);
    check("b", &[r"a \ude00", r"\ud83d\ud83d", r"\ude00b"], "a \\ude00\\ud83d\u{1f600}", true);
    check("ab", &["a", r"\ud83d", "b"], r"a\ud83db", false);
    check("ab", &[r"\\ud83d", r"\ude00 a", r"\ud83d"], r"\\ud83d\ude00 a\ud83d", false);
}

#[test]
fn a_completion_says_nothing_behind_its_stop_sequence() {
    let item = r#"{"type":"message","content":[{"type":"output_text","text":"one END two"},{"type":"output_text","text":"three"},{"type":"refusal","refusal":"no"}]}"#;
    let look = Look { stop: vec!["END".to_owned()], ..Look::default() };
    let told = stopped(None, &Usage::default(), &[item.into()], &look);
    assert!(told.contains(r#""content":"one ","refusal":null"#), "{told}");
}
