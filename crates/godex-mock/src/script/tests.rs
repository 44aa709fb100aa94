//! Facts about the marker language.

use super::*;

#[track_caller]
fn acts(text: &str) -> Vec<Act> {
    parse(text).unwrap().steps.into_iter().map(|it| it.act).collect()
}

fn call(name: &str, arguments: &str) -> Call {
    Call { name: name.to_owned(), body: Body::Arguments(arguments.to_owned()) }
}

#[test]
fn a_text_without_markers_has_no_script() {
    assert_eq!(parse("hello ]] [mock: x]"), Ok(Script::default()));
}

#[test]
fn tool_arguments_may_contain_brackets() {
    let expected = Act::Tools(vec![call("f", r#"{"a":[[1]]}"#)]);
    assert_eq!(acts(r#"x [[mock: tool f {"a":[[1]]}]] y"#), [expected]);
}

#[test]
fn parallel_calls_share_a_marker() {
    let expected = Act::Tools(vec![call("f", "{}"), call("g", r#"{"b":1}"#)]);
    assert_eq!(acts(r#"[[mock: tools f {} g {"b":1}]]"#), [expected]);
}

#[test]
fn arguments_can_be_left_to_the_schema() {
    let body = Body::FromSchema;
    assert_eq!(acts("[[mock: tool f]]"), [Act::Tools(vec![Call { name: "f".to_owned(), body }])]);
}

#[test]
fn markers_follow_each_other() {
    assert_eq!(
        acts("[[mock: shell ls -l]] then [[mock: fail slow_down]] [[mock:cut]]"),
        [Act::Shell("ls -l".to_owned()), Act::Fail("slow_down".to_owned()), Act::Cut]
    );
}

#[test]
fn an_act_can_be_counted() {
    let script = parse("[[mock: once 503 overloaded]] [[mock: times 3 status 429]]").unwrap();
    assert_eq!(
        script.steps,
        [
            Step { act: Act::Status(503, "overloaded".to_owned()), times: Some(1) },
            Step { act: Act::Status(429, String::new()), times: Some(3) },
        ]
    );
}

#[test]
fn modifiers_go_with_any_act() {
    let script = parse("[[mock: slow 20]] [[mock: pace 5 3]] [[mock: crlf]]").unwrap();
    assert_eq!(script.slow, Duration::from_millis(20));
    assert_eq!(script.pace, Some(Duration::from_millis(5)));
    assert!(script.crlf);
    assert_eq!(script.steps, [Step { act: Act::Words(3), times: None }]);
}

#[test]
fn a_marker_that_cannot_be_read_is_an_error() {
    for text in [
        "[[mock: dance]]",
        "[[mock: slow soon]]",
        "[[mock: tool f {]]",
        "[[mock: tool ]]",
        "[[mock: cut",
        "[[mock: once slow 5]]",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}
