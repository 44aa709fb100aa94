//! The program between a client and a backend, and the time a scene may take.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus};
use std::task::Poll;
use std::time::Duration;

use godex_mock::record::Received;
use godex_mock::{Mock, Options, TokenPolicy};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::backend::Backend;
use crate::client::{Call, Http, Reply, Stream, http};
use crate::program::Home;

/// The key of every proxy here, unless a test brings its own.
pub(crate) const KEY: &str = "gx-test-key-0123456789";

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// Plays a scene; one that hangs fails.
pub(crate) fn play(scene: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
    let ended = runtime.block_on(async { tokio::time::timeout(LONG, scene).await });
    assert!(ended.is_ok(), "the scene hangs");
}

/// A running proxy. Dropped, it is killed.
pub(crate) struct Proxy {
    child: Child,
    said: watch::Receiver<String>,
    http: Http,
    /// `HOST:PORT`.
    pub(crate) address: String,
    key: String,
}

/// A proxy with its home and its backend.
pub(crate) struct Stage<B> {
    pub(crate) home: Home,
    pub(crate) backend: B,
    pub(crate) proxy: Proxy,
}

impl Stage<Strict> {
    /// A proxy in front of the strict simulator.
    pub(crate) async fn on_mock(arguments: &[&str]) -> Self {
        Self::on(Options::default(), arguments, &[]).await
    }

    /// The same, where only tokens that the simulator has issued are good.
    pub(crate) async fn with_login(arguments: &[&str]) -> Self {
        let options = Options { tokens: TokenPolicy::Issued, ..Options::default() };
        Self::on(options, arguments, &[]).await
    }

    async fn on(options: Options, arguments: &[&str], more: &[(&str, &str)]) -> Self {
        let mock = Mock::start(options).await.unwrap();
        let home = Home::empty();
        home.write(".codex/auth.json", &mock.auth_json());
        let token_url = mock.token_url();
        let mut variables = vec![("CODEX_REFRESH_TOKEN_URL_OVERRIDE", token_url.as_str())];
        variables.extend_from_slice(more);
        let proxy = Proxy::start(&home, &mock.base_url(), arguments, &variables).await;
        Self { home, backend: Strict { mock }, proxy }
    }

    /// Ends the proxy and starts another in the same home.
    pub(crate) async fn restart(&mut self, arguments: &[&str]) {
        let base_url = self.backend.mock.base_url();
        self.proxy = Proxy::start(&self.home, &base_url, arguments, &[]).await;
    }

    /// The same, where the new one may renew its login.
    pub(crate) async fn renew_at(&mut self, token_url: &str) {
        let base_url = self.backend.mock.base_url();
        let variables = [("CODEX_REFRESH_TOKEN_URL_OVERRIDE", token_url)];
        self.proxy = Proxy::start(&self.home, &base_url, &["--allow-refresh"], &variables).await;
    }

    /// A new managed key.
    pub(crate) fn managed_key(&self, label: &str, more: &[&str]) -> String {
        let add = ["proxy", "keys", "add", "--label", label];
        let added = self.home.run(&[&add, more].concat(), &[]);
        assert_eq!(added.code, Some(0), "{}", added.stderr);
        added.stdout.trim().to_owned()
    }

    /// The requests for a response that the backend got.
    pub(crate) fn sent(&self) -> Vec<Received> {
        let mut requests = self.backend.mock.requests();
        requests.retain(|it| it.path.ends_with("/codex/responses"));
        requests
    }

    /// The bodies of these.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.sent().iter().map(|it| it.body.json().clone()).collect()
    }

    /// The body of the last of them.
    pub(crate) fn last_body(&self) -> Value {
        self.bodies().pop().unwrap()
    }

    /// The last `prompt_cache_key`, which the session header repeats.
    pub(crate) fn last_cache_key(&self) -> String {
        let last = self.sent().pop().unwrap();
        let key = last.body.json()["prompt_cache_key"].as_str().unwrap().to_owned();
        assert_eq!(last.headers.get("session-id"), Some(key.as_str()));
        key
    }
}

impl Stage<Backend> {
    /// A proxy in front of a backend that the test plays.
    pub(crate) async fn on_backend(arguments: &[&str]) -> Self {
        let backend = Backend::start().await;
        let home = Home::logged_in();
        let proxy = Proxy::start(&home, &backend.base_url(), arguments, &[]).await;
        Self { home, backend, proxy }
    }
}

impl<B> Stage<B> {
    /// The records of the usage log.
    pub(crate) fn records(&self) -> Vec<Value> {
        let path = self.home.path().join(".codex/proxy-usage.jsonl");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The simulator. When it goes, it must not have refused anything for being against the
/// contract.
pub(crate) struct Strict {
    pub(crate) mock: Mock,
}

impl Drop for Strict {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let refused = self.mock.counts().refused;
            assert_eq!(refused, 0, "the backend refused: {:#?}", self.mock.requests());
        }
    }
}

impl Proxy {
    /// Starts the proxy and waits until it listens. It takes any number of requests unless
    /// the arguments say otherwise.
    pub(crate) async fn start(
        home: &Home,
        base_url: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let standing = ["proxy", "--listen=127.0.0.1:0", "--base-url", base_url];
        let mut command = home.godex(&[&standing, arguments].concat());
        let own = [
            ("GODEX_PROXY_API_KEY", KEY),
            ("GODEX_PROXY_RATE", "1000/s"),
            ("GODEX_PROXY_BURST", "1000"),
        ];
        let managed = arguments.iter().any(|it| it.starts_with("--allow-any-key"));
        command
            .envs(own.into_iter().filter(|(name, _)| !managed || *name != "GODEX_PROXY_API_KEY"));
        let mut child = command.envs(variables.iter().copied()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, mut said) = watch::channel(String::new());
        std::thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|read| read > 0) {
                sender.send_modify(|said| said.push_str(&std::mem::take(&mut line)));
            }
        });
        let ready = said.wait_for(|said| said.contains("curl ")).await.is_ok();
        let banner = said.borrow().clone();
        assert!(ready, "it ended instead of serving:\n{banner}");
        let (_, url) = banner.split_once("listening   ").unwrap();
        let (_, rest) = url.split_once("://").unwrap();
        let (address, _) = rest.split_once("/v1").unwrap();
        Self { child, said, http: http(), address: address.to_owned(), key: KEY.to_owned() }
    }

    /// Sends a request, with the usual key if it has none, and returns when the head of the
    /// answer is there.
    pub(crate) async fn open(&self, call: Call) -> Stream {
        let keyed = call.has("authorization") || call.has("x-api-key");
        let call = if keyed { call } else { call.key(&self.key) };
        call.open(&self.http, &self.address).await
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&self, call: Call) -> Reply {
        self.open(call).await.rest().await
    }

    pub(crate) async fn responses(&self, body: &Value) -> Reply {
        self.send(Call::responses(body)).await
    }

    pub(crate) async fn chat(&self, body: &Value) -> Reply {
        self.send(Call::chat(body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Call::get(path)).await
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        self.said.borrow().clone()
    }

    /// Waits until it has said something.
    pub(crate) async fn says(&self, words: &str) -> String {
        self.says_times(words, 1).await
    }

    /// Waits until it has said something so many times.
    pub(crate) async fn says_times(&self, words: &str, times: usize) -> String {
        let mut said = self.said.clone();
        let heard = said.wait_for(|said| said.matches(words).count() >= times).await.is_ok();
        assert!(heard, "not {times} times `{words}` in {}", self.said());
        self.said()
    }

    /// All its lines, once it has ended.
    pub(crate) async fn said_to_the_end(&self) -> Vec<String> {
        let mut said = self.said.clone();
        while said.changed().await.is_ok() {}
        said.borrow().lines().map(str::to_owned).collect()
    }

    /// The most memory it has ever held, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.figure("VmHWM:") << 10
    }

    /// The memory it holds, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.figure("VmRSS:") << 10
    }

    /// What the system knows of the process.
    fn figure(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let (_, rest) = status.split_once(name).unwrap();
        rest.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// How many files it has open, connections included.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Closes all connections to it.
    pub(crate) fn hang_up(&mut self) {
        self.http = http();
    }

    /// Sends a signal, by the name that `kill` knows.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits for its end.
    pub(crate) async fn end(mut self) -> ExitStatus {
        tokio::task::spawn_blocking(move || self.child.wait().unwrap()).await.unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A question on `/v1/responses`.
pub(crate) fn question(prompt: &str) -> Value {
    json!({ "model": "gpt-5.5", "input": prompt })
}

/// The same on `/v1/chat/completions`.
pub(crate) fn asked(prompt: &str) -> Value {
    json!({ "model": "gpt-5.5", "messages": [{ "role": "user", "content": prompt }] })
}

/// An object with further fields.
pub(crate) fn with(mut object: Value, more: Value) -> Value {
    let (Value::Object(object_fields), Value::Object(more)) = (&mut object, more) else {
        return object;
    };
    object_fields.extend(more);
    object
}

/// The same question, as a stream.
pub(crate) fn streamed(object: Value) -> Value {
    with(object, json!({ "stream": true }))
}

/// Plays all scenes at once; their ends come in the order of the scenes.
pub(crate) async fn together<S: Future>(scenes: impl IntoIterator<Item = S>) -> Vec<S::Output> {
    let mut scenes: Vec<_> = scenes.into_iter().map(|it| Some(Box::pin(it))).collect();
    let mut ends: Vec<Option<S::Output>> = scenes.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (scene, end) in scenes.iter_mut().zip(&mut ends) {
            if let Some(Poll::Ready(it)) = scene.as_mut().map(|it| it.as_mut().poll(context)) {
                (*scene, *end) = (None, Some(it));
            }
        }
        if ends.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    ends.into_iter().flatten().collect()
}

/// The same question in the four ways to ask it: each endpoint, in one piece and as a stream.
pub(crate) fn four_ways(prompt: &str) -> [Call; 4] {
    [
        Call::responses(&question(prompt)),
        Call::responses(&streamed(question(prompt))),
        Call::chat(&asked(prompt)),
        Call::chat(&streamed(asked(prompt))),
    ]
}
