//! Bodies on the wire, cut wherever the network likes.

use proptest::prelude::*;

use super::*;

/// What a body is, how many bytes of the input it has taken and whether it is complete, when the
/// input comes in pieces of these sizes.
fn read(framing: Framing, input: &[u8], sizes: &[usize]) -> Result<(Vec<u8>, usize, bool), Error> {
    let (mut framing, mut body, mut at) = (framing, BytesMut::new(), 0);
    let mut sizes = sizes.iter().copied().cycle();
    while at < input.len() && !framing.is_done() {
        let end = input.len().min(at + sizes.next().unwrap_or(input.len()).max(1));
        let own = framing.read(&input[at..end], &mut body)?;
        assert!(own == end - at || framing.is_done(), "bytes in the middle were left over");
        at += own;
    }
    Ok((body.to_vec(), at, framing.is_done()))
}

fn chunked(input: &str) -> Result<(String, bool), Error> {
    let (body, _, done) = read(Framing::chunked(), input.as_bytes(), &[])?;
    Ok((String::from_utf8(body).unwrap(), done))
}

#[test]
fn chunks_are_put_together_and_what_stands_around_them_is_left_out() {
    for (input, body) in [
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "hello"),
        ("00005;a=b;c=\"d\"\r\nhello\r\n000\r\n\r\n", "hello"),
        ("A \t\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ("5 ; a=b\r\nhello\r\n0 \r\n\r\n", "hello"),
        ("a\r\n0123456789\r\n0\r\nserver-timing: x\r\nb: c\r\n\r\n", "0123456789"),
        ("4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n"),
        ("0\r\n\r\n", ""),
    ] {
        assert_eq!(chunked(input).unwrap(), (body.to_owned(), true), "{input:?}");
        for cut in 0..input.len() {
            assert!(!chunked(&input[..cut]).unwrap().1, "{:?} is whole", &input[..cut]);
        }
    }
}

#[test]
fn what_is_no_chunk_is_refused() {
    for input in [
        "hello",
        "\r\n",
        "5\nhello\r\n",
        "5\r\nhelloX",
        "5\r\nhello\rX",
        "5\r\nhello\n0\r\n\r\n",
        "-5\r\nhello\r\n",
        "5 x\r\nhello\r\n",
        "5 5\r\nhello\r\n",
        "5;a\nhello\r\n",
        "fffffffffffffffff\r\n",
        "0\r\n\n",
        "0\r\na: b\n\r\n",
    ] {
        assert!(chunked(input).is_err(), "{input:?}");
    }
    assert!(chunked(&format!("5;{}\r\nhello", "x".repeat(MOST_AROUND))).is_err());
    assert!(chunked(&format!("0\r\n{}", "a: b\r\n".repeat(MOST_AROUND / 6 + 1))).is_err());
    // Each chunk may have an extension of its own.
    let many = "1;a=b\r\nx\r\n".repeat(MOST_AROUND);
    assert!(
        chunked(&format!("{many}0\r\n\r\n"))
            .is_ok_and(|(body, done)| done && body.len() == MOST_AROUND)
    );
}

#[test]
fn the_end_is_where_the_framing_says() {
    let after = b"5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200";
    assert_eq!(read(Framing::chunked(), after, &[]).unwrap(), (b"hello".to_vec(), 15, true));
    assert_eq!(read(Framing::Length(3), b"hello", &[]).unwrap(), (b"hel".to_vec(), 3, true));
    assert_eq!(read(Framing::Length(9), b"hello", &[]).unwrap(), (b"hello".to_vec(), 5, false));
    assert_eq!(read(Framing::UntilClosed, b"hello", &[]).unwrap(), (b"hello".to_vec(), 5, false));
    assert!(Framing::Length(0).is_done());
}

#[test]
fn a_body_may_end_with_the_connection_only_when_nothing_else_tells_its_end() {
    assert!(Framing::UntilClosed.may_close());
    assert!(!Framing::Length(1).may_close());
    assert!(!Framing::chunked().may_close());
}

proptest! {
    #[test]
    fn every_split_of_the_bytes_gives_the_same_body(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
        sizes in prop::collection::vec(1_usize..12, 1..8),
    ) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            wire.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            wire.extend(chunk);
            wire.extend(b"\r\n");
        }
        wire.extend(b"0\r\n\r\n");
        let expected = (chunks.concat(), wire.len(), true);
        prop_assert_eq!(read(Framing::chunked(), &wire, &sizes).unwrap(), expected);
    }

    #[test]
    fn any_bytes_are_read_or_refused(input in prop::collection::vec(any::<u8>(), 0..200)) {
        let whole = read(Framing::chunked(), &input, &[]).ok();
        let bytewise = read(Framing::chunked(), &input, &[1]).ok();
        prop_assert_eq!(whole, bytewise);
    }
}
