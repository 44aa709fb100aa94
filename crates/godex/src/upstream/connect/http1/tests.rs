//! Connections that are used again, or must not be, against a server that says what it is told.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper_util::client::proxy::matcher::Matcher;
use rustls::RootCertStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::tls::Tls;
use super::super::{AnswerBody, Error as NoAnswer, HttpClient, Origin, Seen};
use super::*;
use crate::tasks::Tasks;

const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// A server whose connections are taken one by one.
struct Server(TcpListener);

impl Server {
    async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// The next connection, with the head of its first request read.
    async fn accept(&self) -> TcpStream {
        let mut stream = self.0.accept().await.unwrap().0;
        read_head(&mut stream).await;
        stream
    }
}

async fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
}

fn client() -> HttpClient {
    let tls = Tls::new(RootCertStore::empty);
    HttpClient::new(Matcher::builder().build(), tls, Duration::from_secs(10))
}

type Answer = Result<Response<AnswerBody>, NoAnswer>;

/// A request that is under way.
fn send(client: &HttpClient, server: &Server, body: Bytes) -> tokio::task::JoinHandle<Answer> {
    let request = Request::post(format!("http://{}/", server.address())).body(body).unwrap();
    let client = client.clone();
    Tasks::default().spawn(async move { client.request(request).await })
}

async fn text(answer: Answer) -> Result<Bytes, super::super::BodyError> {
    answer.unwrap().into_body().collect().await.map(http_body_util::Collected::to_bytes)
}

/// What a request gets when the server says `answer` and closes.
async fn told(answer: &str) -> Result<Bytes, String> {
    let (client, server) = (client(), Server::start().await);
    let asked = send(&client, &server, Bytes::new());
    let mut stream = server.accept().await;
    stream.write_all(answer.as_bytes()).await.unwrap();
    drop(stream);
    match asked.await.unwrap() {
        Ok(answer) => text(Ok(answer)).await.map_err(|error| error.to_string()),
        Err(error) => Err(std::error::Error::source(&error).unwrap().to_string()),
    }
}

#[tokio::test]
async fn a_body_ends_where_it_should_or_it_is_an_error() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (answer, expected) in [
        (HELLO.to_owned(), Ok("hello")),
        ("HTTP/1.1 200 OK\r\n\r\nhello".to_owned(), Ok("hello")),
        (format!("{chunked}5\r\nhello\r\n0\r\n\r\n"), Ok("hello")),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello".to_owned(), Err("closed")),
        (format!("{chunked}5\r\nhello\r\n"), Err("closed")),
        (format!("{chunked}5\r\nhel"), Err("closed")),
        (format!("{chunked}hello"), Err("not valid HTTP")),
        ("HTTP/1.1 200 OK\r\ncontent-".to_owned(), Err("closed")),
        (String::new(), Err("closed")),
        ("hello\r\n\r\n".to_owned(), Err("not valid HTTP")),
    ] {
        match (told(&answer).await, expected) {
            (Ok(body), Ok(expected)) => assert_eq!(body, expected),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
            (found, expected) => panic!("{answer:?} is {found:?}, not {expected:?}"),
        }
    }
}

#[tokio::test]
async fn a_connection_serves_again_once_its_answer_was_read() {
    let (client, server) = (client(), Server::start().await);
    let first = send(&client, &server, Bytes::from_static(b"x"));
    let mut stream = server.accept().await;
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
    stream.write_all(HELLO.as_bytes()).await.unwrap();
    assert_eq!(text(first.await.unwrap()).await.unwrap(), "hello");
    let second = send(&client, &server, Bytes::new());
    read_head(&mut stream).await;
    stream.write_all(HELLO.as_bytes()).await.unwrap();
    assert_eq!(text(second.await.unwrap()).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_connection_that_must_not_serve_again_is_closed() {
    for answer in [
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n",
    ] {
        let (client, server) = (client(), Server::start().await);
        let asked = send(&client, &server, Bytes::new());
        let mut stream = server.accept().await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        assert_eq!(text(asked.await.unwrap()).await.unwrap(), "hello");
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0, "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_is_dropped_takes_its_connection_along() {
    let (client, server) = (client(), Server::start().await);
    let asked = send(&client, &server, Bytes::new());
    let mut stream = server.accept().await;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello").await.unwrap();
    let mut body = asked.await.unwrap().unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
    drop(body);
    assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_connection_that_the_server_has_closed_is_not_used_again() {
    let (client, server) = (client(), Server::start().await);
    let first = send(&client, &server, Bytes::new());
    let mut stream = server.accept().await;
    stream.write_all(HELLO.as_bytes()).await.unwrap();
    assert_eq!(text(first.await.unwrap()).await.unwrap(), "hello");
    drop(stream);
    let answer = loop {
        let mut again = send(&client, &server, Bytes::new());
        tokio::select! {
            mut stream = server.accept() => {
                stream.write_all(HELLO.as_bytes()).await.unwrap();
                break again.await.unwrap();
            }
            // The news of the end may come a moment after the request; that shows as such.
            answer = &mut again => {
                let seen = answer.unwrap().err().unwrap().seen(crate::clock::monotonic());
                assert_eq!(seen, Seen::Hardly);
            }
        }
    };
    assert_eq!(text(answer).await.unwrap(), "hello");
}

/// So many answers at a time, each on a connection of its own, of which the server keeps its end.
async fn connections(client: &HttpClient, server: &Server, number: usize) -> Vec<TcpStream> {
    let asked: Vec<_> = (0..number).map(|_| send(client, server, Bytes::new())).collect();
    let mut streams = Vec::new();
    for _ in 0..number {
        streams.push(server.accept().await);
    }
    for stream in &mut streams {
        stream.write_all(HELLO.as_bytes()).await.unwrap();
    }
    for answer in asked {
        assert_eq!(text(answer.await.unwrap()).await.unwrap(), "hello");
    }
    streams
}

#[tokio::test]
async fn of_many_connections_that_a_server_has_closed_none_is_taken_for_open() {
    let (client, server) = (client(), Server::start().await);
    for look in [false, true] {
        drop(connections(&client, &server, 300).await);
        // Whoever hears this has heard all that was said before.
        drop(connections(&self::client(), &server, 1).await);
        if look {
            assert!(client.idle.discard(crate::clock::monotonic()));
        } else {
            let uri = format!("http://{}/", server.address()).parse().unwrap();
            assert!(client.idle.take(&Origin::of(&uri).unwrap()).is_none());
        }
    }
}

/// What a server says on a connection that waited too long.
const TIMED_OUT: &str =
    "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn after_a_stale_connection_a_new_one_is_opened() {
    for farewell in ["", TIMED_OUT] {
        let (client, server) = (client(), Server::start().await);
        let mut streams = connections(&client, &server, 3).await;
        let again = send(&client, &server, Bytes::new());
        let asked = std::future::poll_fn(|cx| {
            let mut room = [0];
            let mut peek = |it: &TcpStream| {
                it.poll_peek(cx, &mut tokio::io::ReadBuf::new(&mut room)).is_ready()
            };
            let asked = streams.iter().position(&mut peek);
            asked.map_or(Poll::Pending, Poll::Ready)
        });
        let mut asked = streams.remove(asked.await);
        asked.write_all(farewell.as_bytes()).await.unwrap();
        drop(asked);
        let seen = again.await.unwrap().err().unwrap().seen(crate::clock::monotonic());
        assert_eq!(seen, Seen::Hardly);
        let further = send(&client, &server, Bytes::new());
        let mut stream = server.accept().await;
        stream.write_all(HELLO.as_bytes()).await.unwrap();
        assert_eq!(text(further.await.unwrap()).await.unwrap(), "hello");
    }
}

#[tokio::test]
async fn a_server_that_waited_in_vain_for_its_first_request_has_answered() {
    let (client, server) = (client(), Server::start().await);
    let asked = send(&client, &server, Bytes::new());
    server.accept().await.write_all(TIMED_OUT.as_bytes()).await.unwrap();
    assert_eq!(asked.await.unwrap().unwrap().status(), 408);
}

#[tokio::test]
async fn a_fresh_connection_that_breaks_is_not_called_stale() {
    let (client, server) = (client(), Server::start().await);
    let asked = send(&client, &server, Bytes::new());
    drop(server.accept().await);
    let seen = asked.await.unwrap().err().unwrap().seen(crate::clock::monotonic());
    assert_eq!(seen, Seen::Perhaps);
}

#[tokio::test]
async fn an_answer_that_comes_before_the_whole_request_is_sent_is_read_and_the_rest_is_sent() {
    const LARGE: usize = 32 << 20;
    let (client, server) = (client(), Server::start().await);
    let asked = send(&client, &server, Bytes::from(vec![b'x'; LARGE]));
    let mut stream = server.accept().await;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel").await.unwrap();
    let reading = Tasks::default().spawn(text(asked.await.unwrap()));
    let mut rest = vec![0; LARGE];
    stream.read_exact(&mut rest).await.unwrap();
    stream.write_all(b"lo").await.unwrap();
    assert_eq!(reading.await.unwrap().unwrap(), "hello");
}

#[tokio::test]
async fn a_server_that_answers_and_wants_no_more_of_the_request_is_understood() {
    let (client, server) = (client(), Server::start().await);
    let asked = send(&client, &server, Bytes::from(vec![b'x'; 32 << 20]));
    let mut stream = server.accept().await;
    let refusal = "HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello";
    stream.write_all(refusal.as_bytes()).await.unwrap();
    let answer = asked.await.unwrap().unwrap();
    assert_eq!(answer.status(), 413);
    drop(stream);
    assert_eq!(text(Ok(answer)).await.unwrap(), "hello");
}

#[tokio::test]
async fn an_answer_is_read_although_the_connection_is_reset_behind_it() {
    for _ in 0..50 {
        let (client, server) = (client(), Server::start().await);
        let asked = send(&client, &server, Bytes::from(vec![b'x'; 1 << 20]));
        let mut stream = server.accept().await;
        let refusal = "HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\n\r\nhello";
        stream.write_all(refusal.as_bytes()).await.unwrap();
        // It has not read the request: the system resets the connection.
        drop(stream);
        let answer = asked.await.unwrap().unwrap();
        assert_eq!(answer.status(), 413);
    }
}

#[tokio::test]
async fn a_server_that_takes_no_request_and_says_nothing_is_an_error() {
    let (client, server) = (client(), Server::start().await);
    let asked = send(&client, &server, Bytes::from(vec![b'x'; 32 << 20]));
    drop(server.accept().await);
    assert!(asked.await.unwrap().is_err());
}

#[tokio::test]
async fn what_comes_before_a_broken_chunk_counts() {
    let (client, server) = (client(), Server::start().await);
    let asked = send(&client, &server, Bytes::new());
    let mut stream = server.accept().await;
    let answer = "HTTP/1.1 429 \r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloX";
    stream.write_all(answer.as_bytes()).await.unwrap();
    let answer = asked.await.unwrap().unwrap();
    assert_eq!(answer.status(), 429);
    let mut body = answer.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
    assert!(body.frame().await.unwrap().is_err());
    assert!(body.frame().await.is_none());
    assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_connection_that_nobody_needs_is_closed_in_time() {
    let (client, server) = (client(), Server::start().await);
    let asked = send(&client, &server, Bytes::new());
    let mut stream = server.accept().await;
    stream.write_all(HELLO.as_bytes()).await.unwrap();
    assert_eq!(text(asked.await.unwrap()).await.unwrap(), "hello");
    let now = crate::clock::monotonic();
    assert!(!client.idle.discard(now), "it may still be needed");
    assert!(client.idle.discard(now + super::super::POOL_IDLE));
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}
