//! Requests that share connections, against a server that plays its part stream by stream.

use std::sync::Mutex;
use std::time::Duration;

use h2::Reason;
use h2::server::SendResponse;
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::super::tests::{Listening, Secured, client_with, listen, no_proxy, secured};
use super::super::{AnswerBody, Error, HttpClient, Seen};
use super::*;
use crate::tasks::Tasks;

/// What the server does with a request.
#[derive(Clone, Copy)]
enum Part {
    /// Answers when the test allows it.
    Answers,
    /// Resets its stream.
    Resets(Reason),
    /// Closes the connection without a word, right behind the greeting of TLS.
    HangsUp,
    /// Answers once on each connection, and closes it.
    Leaves,
    /// Answers once on each connection, and drops it when the next request arrives.
    Breaks,
}

/// A server that takes so many requests at a time on one connection.
struct World {
    client: HttpClient,
    server: Listening,
    /// Allows one answer each.
    answers: Arc<Semaphore>,
}

impl World {
    /// What it does on its connections, one after the other; the last part is for all that follow.
    async fn new(limit: u32, parts: &[Part]) -> Self {
        let Secured { tls, mut server } = secured();
        server.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let (answers, playing) =
            (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new(parts.to_vec())));
        let allowed = Arc::clone(&answers);
        let server = listen(move |stream, log| {
            let (acceptor, allowed, playing) =
                (acceptor.clone(), Arc::clone(&allowed), Arc::clone(&playing));
            async move {
                let stream = acceptor.accept(stream).await.unwrap();
                log.lock().unwrap().push("connection".to_owned());
                let part = {
                    let mut parts = playing.lock().unwrap();
                    if parts.len() > 1 { parts.remove(0) } else { parts[0] }
                };
                if matches!(part, Part::HangsUp) {
                    return;
                }
                let mut http = h2::server::Builder::new();
                let mut http = http.max_concurrent_streams(limit).handshake(stream).await.unwrap();
                let mut answering = JoinSet::new();
                let mut met = false;
                while let Some(Ok((_, respond))) = http.accept().await {
                    if matches!(part, Part::Breaks) && std::mem::replace(&mut met, true) {
                        return;
                    }
                    log.lock().unwrap().push("request".to_owned());
                    answering.spawn(answer(respond, part, Arc::clone(&allowed)));
                    if matches!(part, Part::Leaves) {
                        http.graceful_shutdown();
                    }
                }
            }
        })
        .await;
        Self { client: client_with(no_proxy(), tls), server, answers }
    }

    fn count(&self, what: &str) -> usize {
        self.server.seen().iter().filter(|it| *it == what).count()
    }

    /// Waits until the server has seen so much of it.
    async fn until(&self, what: &str, number: usize) {
        while self.count(what) < number {
            tokio::task::yield_now().await;
        }
    }

    /// A request that is under way.
    fn send(&self) -> tokio::task::JoinHandle<Result<Response<AnswerBody>, Error>> {
        let uri = format!("https://localhost:{}/", self.server.address.port());
        let request = Request::get(uri).body(bytes::Bytes::new()).unwrap();
        let client = self.client.clone();
        Tasks::default().spawn(async move { client.request(request).await })
    }

    /// What the server has seen of a request that it did not answer.
    async fn seen(&self) -> Seen {
        self.send().await.unwrap().err().unwrap().seen(crate::clock::monotonic())
    }

    /// One request, answered.
    async fn ask(&self) {
        let asked = self.send();
        self.answers.add_permits(1);
        read(asked.await.unwrap().unwrap()).await;
    }
}

async fn answer(mut respond: SendResponse<bytes::Bytes>, part: Part, allowed: Arc<Semaphore>) {
    match part {
        Part::Answers | Part::Leaves | Part::Breaks => {
            allowed.acquire().await.unwrap().forget();
            let mut body = respond.send_response(Response::new(()), false).unwrap();
            body.send_data("hello".into(), true).unwrap();
        }
        Part::Resets(reason) => respond.send_reset(reason),
        Part::HangsUp => {}
    }
}

async fn read(answer: Response<AnswerBody>) {
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
}

#[tokio::test]
async fn after_a_sleep_of_the_machine_another_connection_is_opened_and_running_requests_stay() {
    let world = World::new(100, &[Part::Answers]).await;
    let now = crate::clock::lead();
    let mut running = Vec::new();
    for (slept, connections) in [(0, 1), (4_000, 1), (60_000, 2)] {
        world.client.wake(now + slept);
        running.push(world.send());
        world.until("request", running.len()).await;
        assert_eq!(world.count("connection"), connections, "{slept} ms");
    }
    world.answers.add_permits(running.len());
    for asked in running {
        read(asked.await.unwrap().unwrap()).await;
    }
}

#[tokio::test]
async fn however_many_come_at_once_one_of_them_connects() {
    let world = World::new(100, &[Part::Answers]).await;
    let asked: Vec<_> = (0..100).map(|_| world.send()).collect();
    world.until("request", 100).await;
    assert_eq!(world.count("connection"), 1);
    world.answers.add_permits(100);
    for asked in asked {
        read(asked.await.unwrap().unwrap()).await;
    }
    for _ in 0..150 {
        world.ask().await;
    }
    assert_eq!(world.count("connection"), 1);
}

#[tokio::test]
async fn no_request_waits_behind_others_because_its_connection_is_full() {
    for (limit, number, connections) in [(5, 12, 3), (1, 4, 4), (1000, 101, 2)] {
        let world = World::new(limit, &[Part::Answers]).await;
        // Behind the first answer, what the server takes is known.
        world.ask().await;
        let asked: Vec<_> = (0..number).map(|_| world.send()).collect();
        world.until("request", 1 + number).await;
        assert_eq!(world.count("connection"), connections, "{limit}");
        world.answers.add_permits(number);
        for asked in asked {
            read(asked.await.unwrap().unwrap()).await;
        }
    }
}

#[tokio::test]
async fn a_request_that_nobody_wants_makes_room() {
    let world = World::new(1, &[Part::Answers]).await;
    world.ask().await;
    for round in 2..6 {
        let asked = world.send();
        world.until("request", round).await;
        asked.abort();
        assert!(asked.await.is_err());
    }
    assert_eq!(world.count("connection"), 1);
}

#[tokio::test]
async fn what_the_server_has_made_of_a_request_is_told_by_how_it_failed() {
    for (part, expected) in [
        (Part::Resets(Reason::REFUSED_STREAM), Seen::Nothing),
        (Part::Resets(Reason::INTERNAL_ERROR), Seen::Perhaps),
        (Part::Resets(Reason::CANCEL), Seen::Perhaps),
        (Part::Resets(Reason::HTTP_1_1_REQUIRED), Seen::Perhaps),
    ] {
        let world = World::new(100, &[part]).await;
        for _ in 0..2 {
            assert_eq!(world.seen().await, expected);
        }
        assert_eq!(world.count("connection"), 1, "only the stream has failed");
    }
}

#[tokio::test]
async fn an_older_connection_that_breaks_has_hardly_read_the_request() {
    let world = World::new(100, &[Part::Breaks]).await;
    world.ask().await;
    let begun = crate::clock::monotonic();
    let error = world.send().await.unwrap().err().unwrap();
    assert_eq!(error.seen(begun), Seen::Hardly);
    world.ask().await;
    assert_eq!(world.count("connection"), 2);
}

#[tokio::test]
async fn after_a_connection_that_is_closed_at_once_another_is_opened() {
    let world = World::new(100, &[Part::HangsUp, Part::HangsUp, Part::Answers]).await;
    world.ask().await;
    assert_eq!(world.count("connection"), 3);
    let world = World::new(100, &[Part::HangsUp]).await;
    assert!(world.send().await.unwrap().err().unwrap().connect().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_meets_the_end_of_a_connection_hears_of_it() {
    let world = World::new(100, &[Part::Leaves]).await;
    world.answers.add_permits(150);
    let mut answered = 0;
    for _ in 0..150 {
        let asked = tokio::time::timeout(Duration::from_secs(10), world.send()).await;
        match asked.expect("it hears of it").unwrap() {
            Ok(answer) => {
                drop(answer);
                answered += 1;
            }
            Err(error) => assert_ne!(error.seen(crate::clock::monotonic()), Seen::Perhaps),
        }
    }
    assert!(answered > 0);
}

#[tokio::test]
async fn everybody_who_waits_for_a_connection_hears_that_there_is_none() {
    let server = listen(|_, log| async move {
        log.lock().unwrap().push("connection".to_owned());
    })
    .await;
    let client = client_with(no_proxy(), secured().tls);
    let uri = format!("https://localhost:{}/", server.address.port());
    let asking = (0..20).map(|_| {
        let request = Request::get(uri.clone()).body(bytes::Bytes::new()).unwrap();
        let client = client.clone();
        Tasks::default().spawn(async move { client.request(request).await })
    });
    for asked in asking.collect::<Vec<_>>() {
        let error = asked.await.unwrap().err().unwrap();
        assert!(matches!(error.connect(), Some(ConnectError::Tls(_))), "{error:?}");
    }
    assert_eq!(server.seen().len(), 1);
}
