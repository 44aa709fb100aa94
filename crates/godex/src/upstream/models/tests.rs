//! The account's list over the days of a proxy, against a backend that answers as each test says.

use std::sync::Mutex;

use bytes::Bytes;
use clap::Parser;
use http::header::{ETAG, IF_NONE_MATCH};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::auth::{Login, Settings};
use crate::config::{ProxyArgs, Surroundings};
use crate::upstream::connect::client;

/// An answer to one question for the list: its status, its `ETag` and its body.
#[derive(Clone)]
struct Answer(u16, Option<&'static str>, String);

fn listing(etag: &'static str, slug: &str) -> Answer {
    Answer(200, Some(etag), json!({"models": [{"slug": slug}]}).to_string())
}

/// A backend that gives the same answer until it is told another, and notes by which `ETag` it
/// was asked.
#[derive(Clone)]
struct Served {
    says: Arc<Mutex<Answer>>,
    asked: Arc<Mutex<Vec<Option<String>>>>,
}

impl Served {
    fn says(&self, answer: Answer) {
        *self.says.lock().unwrap() = answer;
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let etag = request.headers().get(IF_NONE_MATCH).map(|it| it.to_str().unwrap().to_owned());
        self.asked.lock().unwrap().push(etag);
        let Answer(status, etag, body) = self.says.lock().unwrap().clone();
        let mut response = Response::new(Full::new(body.into()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        if let Some(etag) = etag {
            response.headers_mut().insert(ETAG, HeaderValue::from_static(etag));
        }
        response
    }
}

/// The list of a backend that listens until this is dropped.
struct World {
    served: Served,
    shared: Shared,
    _folder: tempfile::TempDir,
    _tasks: JoinSet<()>,
}

impl World {
    async fn new(first: Answer) -> Self {
        let says = Arc::new(Mutex::new(first));
        let served = Served { says, asked: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/codex", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        let answering = served.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let served = answering.clone();
                let service = service_fn(move |request| {
                    let answer = served.answer(&request);
                    async { Ok::<_, std::convert::Infallible>(answer) }
                });
                connections.spawn(async move {
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let list = List { catalogue: Catalogue::bundled().into(), etag: None, ask_again_at: None };
        let shared = Shared {
            backend: Arc::new(backend(&base, folder.path())),
            tasks: Tasks::default(),
            list: ArcSwap::from_pointee(list),
            fetching: AtomicBool::new(false),
            settled: tokio::sync::watch::Sender::new(false),
            stop: CancellationToken::new(),
        };
        Self { served, shared, _folder: folder, _tasks: tasks }
    }

    /// Fetches the list once; what it has then, and how long it is not asked for again.
    async fn fetch(&self) -> (Vec<String>, Duration) {
        let before = clock::monotonic();
        self.shared.fetch().await;
        let list = self.shared.list.load();
        let names = ["old", "new"].into_iter().filter(|name| list.catalogue.has(name));
        (names.map(Into::into).collect(), list.ask_again_at.unwrap() - before)
    }
}

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    flags: ProxyArgs,
}

fn backend(base: &str, folder: &std::path::Path) -> Backend {
    let auth = folder.join("auth.json");
    let tokens = json!({"access_token": "a", "refresh_token": "r", "account_id": "acc"});
    std::fs::write(&auth, json!({"tokens": tokens}).to_string()).unwrap();
    let arguments = ["godex", "--base-url", base, "--auth-path", auth.to_str().unwrap()];
    let flags = Program::parse_from(arguments).flags;
    let around = Surroundings::of_this_process();
    let config = flags.resolve(&around, &mut std::io::empty()).unwrap();
    let http = client(Duration::from_secs(5));
    let settings = Settings {
        auth_path: auth,
        allow_refresh: false,
        token_url: base.parse().unwrap(),
        user_agent: config.user_agent.clone(),
        originator: config.originator.clone(),
    };
    let login = Login::open(settings, http.clone(), Tasks::default()).unwrap();
    Backend::new(&config, http, login).unwrap()
}

fn is_about(found: Duration, expected: Duration) -> bool {
    found >= expected && found < expected + ASK_TIME
}

#[tokio::test]
async fn m1_a_list_is_confirmed_by_its_etag_and_kept_while_the_backend_fails() {
    let world = World::new(listing("\"1\"", "old")).await;
    let (names, fresh) = world.fetch().await;
    assert_eq!(names, ["old"]);
    assert!(is_about(fresh, FRESH), "{fresh:?}");

    world.served.says(Answer(304, Some("\"1\""), String::new()));
    let (names, fresh) = world.fetch().await;
    assert_eq!(names, ["old"]);
    assert!(is_about(fresh, FRESH), "{fresh:?}");

    let failures = [
        Answer(500, None, "{}".into()),
        Answer(403, None, "<html>challenge</html>".into()),
        Answer(200, Some("\"x\""), "{\"models\":".into()),
        Answer(200, Some("\"x\""), "{\"models\":[]}".into()),
    ];
    for failure in failures {
        let status = failure.0;
        world.served.says(failure);
        let (names, patience) = world.fetch().await;
        assert_eq!(names, ["old"], "{status}");
        assert!(is_about(patience, PATIENCE), "{status}: {patience:?}");
    }

    world.served.says(listing("\"2\"", "new"));
    assert_eq!(world.fetch().await.0, ["new"]);
    world.fetch().await;
    let asked = world.served.asked.lock().unwrap().clone();
    let asked: Vec<_> = asked.iter().map(Option::as_deref).collect();
    let (first, second) = (Some("\"1\""), Some("\"2\""));
    assert_eq!(asked, [None, first, first, first, first, first, first, second]);
}
