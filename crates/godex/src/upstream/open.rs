//! The attempts of one request, until the model has begun to speak. Nothing of an answer has
//! reached the client by then, which is what makes another attempt safe.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use godex_core::codex::fault::{Fault, PlanSpent};
use godex_core::codex::fields::{self, Refusals};
use godex_core::codex::outgoing::Outgoing;
use http::HeaderMap;

use super::backend::{Backend, kind};
use super::handshake::{Opened, shake};
use crate::auth;
use crate::clock;

/// How many parameters may turn out to be refused in one request.
const LESSONS: usize = 8;
/// The pause before the one further attempt after a passing fault.
const PAUSE: Duration = Duration::from_millis(250);

/// Why a request has no answer.
#[derive(Debug, Clone)]
pub(crate) enum Problem {
    /// The backend's fault, or the request's.
    Fault(Fault),
    /// Our own login.
    Login(auth::Error),
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<auth::Error> for Problem {
    fn from(error: auth::Error) -> Self {
        Self::Login(error)
    }
}

/// Opens answers and learns from refusals.
pub(crate) struct Opener {
    backend: Arc<Backend>,
    idle: Duration,
    refusals: ArcSwap<Refusals>,
    spent: Mutex<Option<Spent>>,
}

/// A window of the plan that is spent: asked again only once it has opened again, or when
/// somebody else has logged in.
struct Spent {
    generation: u64,
    until: u64,
    words: PlanSpent,
}

/// A request ready to go.
pub(crate) struct Ready {
    /// Its body.
    pub(crate) outgoing: Outgoing,
    /// Headers that go with it.
    pub(crate) headers: HeaderMap,
    /// The model to try when the backend does not serve the one asked for.
    pub(crate) stand_in: Option<String>,
}

/// An answer, and what it took to get it.
pub(crate) struct Answer {
    /// The answer.
    pub(crate) opened: Opened,
    /// Parameters that had to be left out.
    pub(crate) dropped: Vec<String>,
    /// The model that stood in.
    pub(crate) stood_in: Option<String>,
}

impl Opener {
    /// An opener that has learned nothing yet.
    pub(crate) fn new(backend: Arc<Backend>, idle: Duration) -> Self {
        Self { backend, idle, refusals: ArcSwap::default(), spent: Mutex::new(None) }
    }

    /// What the backend is known to refuse.
    pub(crate) fn refusals(&self) -> Arc<Refusals> {
        self.refusals.load_full()
    }

    /// Opens the answer to a request.
    ///
    /// # Errors
    ///
    /// When the backend, the login or the request itself stands in the way.
    pub(crate) async fn open(&self, ready: Ready) -> Result<Answer, Problem> {
        let Ready { mut outgoing, headers, mut stand_in } = ready;
        let (mut renewed, mut repeated) = (false, false);
        let (mut dropped, mut stood_in) = (Vec::new(), None);
        loop {
            let credentials = self.backend.login.current().await?;
            self.still_spent(credentials.generation())?;
            let fault = match self.attempt(&credentials, &outgoing, &headers).await {
                Ok(opened) => return Ok(Answer { opened, dropped, stood_in }),
                Err(fault) => fault,
            };
            match &fault {
                Fault::Unauthorized if !renewed => {
                    renewed = true;
                    self.backend.login.renew(&credentials).await?;
                    continue;
                }
                Fault::Unauthorized => {
                    return Err(auth::Error::Rejected(auth::Rejection::Refused).into());
                }
                Fault::PlanSpent(spent) => self.remember_spent(credentials.generation(), spent),
                Fault::Refused(refusal) if fault.is_unknown_model() => {
                    if let Some(model) = stand_in.take()
                        && let Some(other) = outgoing.with_model(&model)
                    {
                        tracing::warn!(
                            "the backend does not serve the default model; {model} stands in"
                        );
                        outgoing = other;
                        stood_in = Some(model);
                        continue;
                    }
                    tracing::debug!(
                        status = refusal.status,
                        "the backend does not serve this model"
                    );
                }
                Fault::Refused(refusal) if dropped.len() < LESSONS => {
                    let parameter = fields::refused_parameter(&refusal.message);
                    if let Some((parameter, other)) =
                        parameter.and_then(|it| Some((it, outgoing.without(it)?)))
                    {
                        self.learn(parameter);
                        dropped.push(parameter.to_owned());
                        outgoing = other;
                        continue;
                    }
                }
                Fault::Refused(_)
                | Fault::Blocked
                | Fault::PlanExcludes { .. }
                | Fault::RateLimited { .. }
                | Fault::Overloaded { .. }
                | Fault::Server { .. }
                | Fault::Unreachable
                | Fault::TimedOut
                | Fault::Broken(_) => {}
            }
            if !fault.is_transient() || repeated {
                return Err(fault.into());
            }
            tracing::info!(kind = kind(&fault), "trying once more");
            repeated = true;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn attempt(
        &self,
        credentials: &auth::Credentials,
        outgoing: &Outgoing,
        headers: &HeaderMap,
    ) -> Result<Opened, Fault> {
        let answer = self.backend.respond(credentials, outgoing.body().clone(), headers).await?;
        let (head, body) = answer.into_parts();
        shake(head.headers, body, self.idle).await
    }

    fn learn(&self, parameter: &str) {
        let mut refusals = Refusals::clone(&self.refusals.load());
        if refusals.learn(parameter) {
            tracing::warn!(
                parameter,
                "the backend refuses `{parameter}`: it is left out from now on"
            );
            self.refusals.store(Arc::new(refusals));
        }
    }

    fn remember_spent(&self, generation: u64, spent: &PlanSpent) {
        let now = clock::unix_seconds();
        let until = spent.resets_at.or(spent.resets_in.map(|it| now.saturating_add(it)));
        let Some(until) = until.filter(|until| *until > now) else { return };
        tracing::warn!(
            resets_at = until,
            "the plan's window is spent: requests are refused here until it resets"
        );
        let words = PlanSpent { resets_at: Some(until), resets_in: None, ..spent.clone() };
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Spent { generation, until, words });
    }

    /// Answers for the backend while the plan's window is spent.
    fn still_spent(&self, generation: u64) -> Result<(), Fault> {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        match spent.as_ref() {
            None => Ok(()),
            Some(it) if it.generation == generation && clock::unix_seconds() < it.until => {
                Err(Fault::PlanSpent(it.words.clone()))
            }
            Some(_) => {
                *spent = None;
                Ok(())
            }
        }
    }
}
