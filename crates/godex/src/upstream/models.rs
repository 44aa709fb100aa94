//! The account's models: fetched in the background, kept for five minutes, kept longer when
//! the backend does not answer. Source: `docs/wire.md#models`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use godex_core::codex::catalogue::Catalogue;
use godex_core::codex::fault::Fault;
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt, Limited};
use tokio_util::sync::CancellationToken;

use super::backend::{Backend, Failed, kind};
use super::open::Problem;
use crate::clock;
use crate::tasks::Tasks;

/// How long a list counts as fresh.
const FRESH: Duration = Duration::from_secs(300);
/// How long after a failure the backend is asked again.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the backend may take to send the whole list.
const ASK_TIME: Duration = Duration::from_secs(10);
/// How long the first request for a model that nobody knows waits for the list.
const FIRST_LIST: Duration = Duration::from_secs(5);
/// The largest list, in bytes.
const LARGEST: usize = 8 << 20;
/// The version of the Codex CLI whose models we ask for.
const CLIENT_VERSION: &str = "0.169.0";

/// The account's models as last seen.
#[derive(Clone)]
pub(crate) struct Models {
    shared: Arc<Shared>,
}

struct Shared {
    backend: Arc<Backend>,
    tasks: Tasks,
    list: ArcSwap<List>,
    fetching: AtomicBool,
    /// The first attempt to fetch the list has ended, or was waited for long enough.
    settled: tokio::sync::watch::Sender<bool>,
    stop: CancellationToken,
}

struct List {
    catalogue: Arc<Catalogue>,
    etag: Option<HeaderValue>,
    ask_again_at: Option<Instant>,
}

impl Models {
    /// The bundled list, until the backend has answered: the first question is asked now.
    pub(crate) fn new(backend: Arc<Backend>, tasks: Tasks) -> Self {
        let list =
            List { catalogue: Arc::new(Catalogue::bundled()), etag: None, ask_again_at: None };
        let settled = tokio::sync::watch::Sender::new(false);
        let fetching = AtomicBool::new(false);
        let models = Self {
            shared: Arc::new(Shared {
                backend,
                tasks,
                list: ArcSwap::from_pointee(list),
                fetching,
                settled,
                stop: CancellationToken::new(),
            }),
        };
        models.refresh();
        models
    }

    /// The list; one that is no longer fresh is fetched again meanwhile.
    pub(crate) fn current(&self) -> Arc<Catalogue> {
        let list = self.shared.list.load();
        if list.ask_again_at.is_some_and(|at| at <= clock::monotonic()) {
            self.refresh();
        }
        Arc::clone(&list.catalogue)
    }

    /// The list, after the backend had a moment to answer for the first time. Whoever comes
    /// after that moment no longer waits.
    pub(crate) async fn settled(&self) -> Arc<Catalogue> {
        let mut settled = self.shared.settled.subscribe();
        if tokio::time::timeout(FIRST_LIST, settled.wait_for(|it| *it)).await.is_err() {
            self.shared.settled.send_replace(true);
        }
        self.current()
    }

    /// Ends the fetching: shutdown does not wait for a list.
    pub(crate) fn stop(&self) {
        self.shared.stop.cancel();
    }

    fn refresh(&self) {
        if self.shared.fetching.swap(true, Ordering::AcqRel) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn(async move {
            if shared.stop.run_until_cancelled(shared.fetch()).await.is_none() {
                return;
            }
            shared.fetching.store(false, Ordering::Release);
            shared.settled.send_replace(true);
        });
    }
}

impl Shared {
    async fn fetch(&self) {
        let before = self.list.load_full();
        let asked = tokio::time::timeout(ASK_TIME, self.ask(before.etag.as_ref())).await;
        let list = match asked.unwrap_or(Err(Problem::from(Fault::TimedOut))) {
            Ok(Some(list)) => list,
            Ok(None) => List {
                catalogue: Arc::clone(&before.catalogue),
                etag: before.etag.clone(),
                ask_again_at: Some(clock::monotonic() + FRESH),
            },
            Err(problem) => {
                let why = match &problem {
                    Problem::Fault(fault, ..) => kind(fault).to_owned(),
                    Problem::Login(error) => error.to_string(),
                };
                tracing::warn!(
                    "the account's models could not be listed ({why}); the last list stays"
                );
                List {
                    catalogue: Arc::clone(&before.catalogue),
                    etag: before.etag.clone(),
                    ask_again_at: Some(clock::monotonic() + PATIENCE),
                }
            }
        };
        self.list.store(Arc::new(list));
    }

    /// Asks the backend; `None` when nothing has changed.
    async fn ask(&self, etag: Option<&HeaderValue>) -> Result<Option<List>, Problem> {
        let mut renewed = false;
        loop {
            let credentials = self.backend.login.current().await?;
            let answer = match self.backend.list_models(&credentials, CLIENT_VERSION, etag).await {
                Err(Failed { fault: Fault::Unauthorized, .. }) if !renewed => {
                    renewed = true;
                    self.backend.login.renew(&credentials).await?;
                    continue;
                }
                other => other?,
            };
            if answer.status() == StatusCode::NOT_MODIFIED {
                return Ok(None);
            }
            let etag = answer.headers().get(http::header::ETAG).cloned();
            let body = Limited::new(answer.into_body(), LARGEST).collect().await;
            let body =
                body.map_err(|_| Fault::Broken(godex_core::codex::fault::Break::Cut))?.to_bytes();
            let catalogue =
                Catalogue::parse(&body).ok_or(Fault::Server { status: 200, message: None })?;
            let ask_again_at = Some(clock::monotonic() + FRESH);
            return Ok(Some(List { catalogue: Arc::new(catalogue), etag, ask_again_at }));
        }
    }
}

#[cfg(test)]
mod tests;
