//! Heads as they go out and come in.

use super::*;

fn written(request: http::request::Builder, body: &'static str, to_proxy: bool) -> String {
    String::from_utf8(write(&request.body(Bytes::from(body)).unwrap(), to_proxy)).unwrap()
}

#[test]
fn a_request_names_its_host_its_fields_and_its_length() {
    let request = || Request::post("http://user:pass@backend:8080/a/b?c=d").header("accept", "x/y");
    assert_eq!(
        written(request(), "hello", false),
        "POST /a/b?c=d HTTP/1.1\r\nhost: backend:8080\r\naccept: x/y\r\ncontent-length: 5\r\n\r\n"
    );
    assert_eq!(
        written(request(), "", true),
        "POST http://backend:8080/a/b?c=d HTTP/1.1\r\nhost: backend:8080\r\naccept: x/y\r\n\
         content-length: 0\r\n\r\n"
    );
}

#[test]
fn the_usual_port_and_an_empty_path_are_written_as_http_wants_them() {
    for (uri, expected) in [
        ("http://a:80", "GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("https://a:443/", "GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("https://a:80?q", "GET /?q HTTP/1.1\r\nhost: a:80\r\n\r\n"),
        ("http://[::1]:80/x", "GET /x HTTP/1.1\r\nhost: [::1]\r\n\r\n"),
    ] {
        assert_eq!(written(Request::get(uri), "", false), expected, "{uri}");
    }
}

/// Status, framing, whether the connection may be used again, and what follows the head.
type Seen = (u16, Framing, bool, String);

/// Reads a head that comes in pieces of this size; `None` when it is not complete.
fn read_in_pieces(input: &str, size: usize, method: &Method) -> Result<Option<Seen>, Error> {
    let mut heads = Heads::new(method);
    let mut pieces = input.as_bytes().chunks(size);
    while let Some(piece) = pieces.next() {
        if let Some((head, rest)) = heads.read(piece)? {
            let rest = [&rest[..], &pieces.collect::<Vec<_>>().concat()].concat();
            let rest = String::from_utf8(rest).unwrap();
            return Ok(Some((head.response.status().as_u16(), head.framing, head.reusable, rest)));
        }
    }
    Ok(None)
}

#[track_caller]
fn seen(input: &str) -> (u16, Framing, bool, String) {
    let whole = read_in_pieces(input, input.len(), &Method::POST).unwrap().expect("a head");
    for size in [1, 2, 7, 30] {
        assert_eq!(read_in_pieces(input, size, &Method::POST).unwrap().as_ref(), Some(&whole));
    }
    whole
}

#[test]
fn a_head_tells_where_the_body_ends_and_whether_the_connection_lives_on() {
    let chunked = Framing::chunked();
    for (fields, framing, reusable) in [
        ("content-length: 5\r\n", Framing::Length(5), true),
        ("Content-Length: 5, 5\r\ncontent-length: 5\r\n", Framing::Length(5), true),
        ("transfer-encoding: chunked\r\n", chunked, true),
        ("Transfer-Encoding: gzip, Chunked\r\n", chunked, true),
        ("transfer-encoding: chunked, ,\r\ntransfer-encoding: \r\n", chunked, true),
        ("transfer-encoding: chunked\r\ncontent-length: 5\r\n", chunked, false),
        ("transfer-encoding: gzip\r\n", Framing::UntilClosed, false),
        ("", Framing::UntilClosed, false),
        ("content-length: 5\r\nconnection: x, Close\r\n", Framing::Length(5), false),
    ] {
        let found = seen(&format!("HTTP/1.1 200 OK\r\n{fields}\r\nrest"));
        assert_eq!(found, (200, framing, reusable, "rest".to_owned()), "{fields}");
    }
    let old = |fields: &str| seen(&format!("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n{fields}\r\n"));
    assert!(!old("").2);
    assert!(old("connection: Keep-Alive\r\n").2);
    assert!(!old("connection: keep-alive, close\r\n").2);
    assert!(!old("transfer-encoding: chunked\r\nconnection: keep-alive\r\n").2);
}

#[test]
fn interim_answers_are_passed_over() {
    let input = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n\
                 HTTP/1.1 429 \r\ncontent-length: 0\r\n\r\n";
    assert_eq!(seen(input), (429, Framing::Length(0), true, String::new()));
    let many = |times| "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(times);
    let (most, ok) = (MOST_INTERIM as usize, "HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(seen(&(many(most) + ok)).0, 204);
    let too_many = many(most + 1) + ok;
    for size in [too_many.len(), 20] {
        assert!(read_in_pieces(&too_many, size, &Method::GET).is_err());
    }
}

#[test]
fn answers_without_a_body_have_none_whatever_they_say() {
    for status in ["204 No Content", "304 Not Modified"] {
        let found = seen(&format!("HTTP/1.1 {status}\r\ncontent-length: 7\r\n\r\n"));
        assert_eq!((found.1, found.2), (Framing::Length(0), true), "{status}");
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n";
    let found = read_in_pieces(head, head.len(), &Method::HEAD).unwrap().unwrap();
    assert_eq!(found.1, Framing::Length(0));
}

#[test]
fn the_fields_keep_their_order_and_their_bytes() {
    let input = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a:  caf\xe9 \r\nx-b:\r\ncontent-length: 0\r\n\r\n";
    let (head, _) = Heads::new(&Method::GET).read(input).unwrap().unwrap();
    let values: Vec<_> = head.response.headers().get_all("x-a").iter().collect();
    assert_eq!(values, ["1".as_bytes(), b"caf\xe9"]);
    assert_eq!(head.response.headers()["x-b"], "");
}

#[test]
fn what_is_no_head_is_refused() {
    for input in [
        "<html>",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 099 Odd\r\n\r\n",
        "HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: \r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
    ] {
        assert!(read_in_pieces(input, input.len(), &Method::GET).is_err(), "{input:?}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(LONGEST));
    assert!(read_in_pieces(&endless, 1 << 10, &Method::GET).is_err());
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(MOST_FIELDS + 1));
    assert!(read_in_pieces(&many, many.len(), &Method::GET).is_err());
}
