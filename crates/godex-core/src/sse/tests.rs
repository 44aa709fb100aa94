//! Facts about framing.

use super::*;

const STREAM: &[u8] = b"\xef\xbb\xbf: hello\n\nevent: a\ndata: {\"x\":1}\n\nevent: b\r\ndata: one\r\ndata: two\r\n\r\n\
    data:bare\n\nevent: c\rdata: \xc3\xa9\r\rid: 7\nretry: 5\nevent: d\ndata: last\n\nevent: empty\ndata:\n\nevent: e\ndata: end\n\n";

fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<(String, Vec<u8>)> {
    let mut decoder = Decoder::new(1 << 20);
    let mut seen = Vec::new();
    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk));
        while let Some(frame) = decoder.next_frame().unwrap() {
            seen.push((frame.event().to_owned(), frame.data().to_vec()));
        }
    }
    while let Some(frame) = decoder.finish().unwrap() {
        seen.push((frame.event().to_owned(), frame.data().to_vec()));
    }
    seen
}

#[test]
fn s1_an_event_of_fifty_megabytes_is_read_in_linear_time() {
    // Looked at from its beginning for every piece, this would be 300 GB.
    const PIECE: &[u8] = &[b'x'; 4 << 10];
    let mut decoder = Decoder::new(64 << 20);
    decoder.push(Bytes::from_static(b"event: a\ndata: "));
    for _ in 0..12_800 {
        decoder.push(Bytes::from_static(PIECE));
        assert!(decoder.next_frame().unwrap().is_none());
    }
    decoder.push(Bytes::from_static(b"\n\n"));
    assert_eq!(decoder.next_frame().unwrap().unwrap().data().len(), 50 << 20);
}

#[test]
fn an_event_is_written_as_one_line_whatever_breaks_its_json_has() {
    #[track_caller]
    fn check(json: &str, expected: &str) {
        let mut written = b"before".to_vec();
        write("a.b", json, &mut written);
        let written = String::from_utf8(written).unwrap();
        assert_eq!(written, format!("beforeevent: a.b\ndata: {expected}\n\n"));
        let read = decode([written.strip_prefix("before").unwrap().as_bytes()]);
        assert_eq!(read, [("a.b".to_owned(), expected.as_bytes().to_vec())]);
    }
    check(r#"{"x":"é"}"#, r#"{"x":"é"}"#);
    check("{\n  \"x\":1,\r\n\r  \"y\":2\n}", "{  \"x\":1,  \"y\":2}");
    check("\n1\n", "1");
}

#[test]
fn every_framing_of_the_specification_is_read() {
    let expected = [
        ("a", "{\"x\":1}"),
        ("b", "one\ntwo"),
        ("", "bare"),
        ("c", "é"),
        ("d", "last"),
        ("e", "end"),
    ];
    let seen = decode([STREAM]);
    let seen: Vec<_> =
        seen.iter().map(|(e, d)| (e.as_str(), std::str::from_utf8(d).unwrap())).collect();
    assert_eq!(seen, expected);
}

#[test]
fn every_cut_gives_the_same_frames() {
    let whole = decode([STREAM]);
    for cut in 0..=STREAM.len() {
        let (head, tail) = STREAM.split_at(cut);
        assert_eq!(decode([head, tail]), whole, "cut at byte {cut}");
    }
    assert_eq!(decode(STREAM.chunks(1)), whole);
    assert_eq!(decode(STREAM.chunks(3)), whole);
}

proptest::proptest! {
    #[test]
    fn frames_are_the_same_in_one_piece_and_byte_by_byte(
        stream in "((event: |data: |event:|: |a|\\{\\}|\u{e9}|\u{feff}|\n\n|\n|\r|\r\n)){0,24}",
    ) {
        fn frames(stream: &str, piece: usize) -> Vec<(String, Vec<u8>, Option<Bytes>)> {
            let mut decoder = Decoder::new(1 << 20);
            let mut seen = Vec::new();
            let mut note = |frame: Frame| {
                let raw = frame.verbatim().cloned();
                seen.push((frame.event().to_owned(), frame.data().to_vec(), raw));
            };
            for chunk in stream.as_bytes().chunks(piece) {
                decoder.push(Bytes::copy_from_slice(chunk));
                while let Some(frame) = decoder.next_frame().unwrap() {
                    note(frame);
                }
            }
            while let Some(frame) = decoder.finish().unwrap() {
                note(frame);
            }
            seen
        }
        proptest::prop_assert_eq!(frames(&stream, usize::MAX), frames(&stream, 1));
    }
}

#[test]
fn recorded_streams_have_the_same_frames_in_pieces_of_any_length() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/upstream");
    for file in std::fs::read_dir(folder).unwrap() {
        let recorded = std::fs::read(file.unwrap().path()).unwrap();
        let whole = decode([recorded.as_slice()]);
        for length in (1..64).chain([100, 255, 256, 1000, 4096]) {
            assert_eq!(decode(recorded.chunks(length)), whole, "pieces of {length} bytes");
        }
    }
}

#[test]
fn only_the_canonical_form_is_handed_on_verbatim() {
    #[track_caller]
    fn check(stream: &'static [u8], verbatim: bool) {
        let mut decoder = Decoder::new(1024);
        decoder.push(Bytes::from_static(stream));
        let frame = decoder.next_frame().unwrap().unwrap();
        assert_eq!(frame.verbatim().is_some(), verbatim);
        if let Some(raw) = frame.verbatim() {
            assert_eq!(raw, &Bytes::from_static(b"event: a\ndata: b\n\n"));
        }
    }
    check(b"event: a\ndata: b\n\n", true);
    check(b"\n\nevent: a\ndata: b\n\n", true);
    check(b"event: a\r\ndata: b\r\n\r\n", false);
    check(b"event:a\ndata: b\n\n", false);
    check(b"data: b\nevent: a\n\n", false);
    check(b"event: a\ndata: b\nid: 1\n\n", false);
    check(b"data: b\n\n", false);
    check(b"event: \xff\ndata: b\n\n", false);
}

#[test]
fn an_unfinished_last_frame_is_given_at_the_end() {
    assert_eq!(decode([&b"event: a\ndata: b"[..]]), [("a".to_owned(), b"b".to_vec())]);
    assert_eq!(decode([&b"event: a\ndata: b\n"[..]]), [("a".to_owned(), b"b".to_vec())]);
}

#[test]
fn endless_blank_lines_take_no_room() {
    let mut decoder = Decoder::new(64);
    for _ in 0..100 {
        decoder.push(Bytes::from(vec![b'\n'; 1000]));
        assert_eq!(decoder.next_frame(), Ok(None));
    }
    assert_eq!(decoder.pieces.len() + decoder.whole.len(), 0);
}

#[test]
fn a_frame_over_the_limit_is_refused_before_it_is_whole() {
    let mut decoder = Decoder::new(64);
    decoder.push(Bytes::from(vec![b'x'; 65]));
    assert_eq!(decoder.next_frame(), Err(TooLong { limit: 64 }));
}
