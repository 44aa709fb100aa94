//! The attempts of one request, until the model has begun to speak. Nothing of an answer has
//! reached the client by then, which is what makes another attempt safe.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use godex_core::codex::fault::{Fault, PlanSpent};
use godex_core::codex::fields::{self, Refusals};
use godex_core::codex::outgoing::Outgoing;
use godex_core::usage::Usage;
use http::HeaderMap;

use super::backend::{Backend, Failed, kind};
use super::connect::Seen;
use super::handshake::{Opened, shake};
use crate::auth;
use crate::clock;

/// How many parameters may turn out to be refused in one request.
const LESSONS: usize = 4;
/// The longest window of a plan is a week; a reset further away is a mistake.
const LONGEST_WINDOW: u64 = 8 * 24 * 3600;
/// How often a request is sent again that the backend has seen nothing of.
const UNSEEN: u32 = 3;
/// The pause before the one further attempt after a passing fault.
const PAUSE: Duration = Duration::from_millis(250);

/// Why a request has no answer.
#[derive(Debug, Clone)]
pub(crate) enum Problem {
    /// The backend's fault, or the request's, with the head of the backend's answer and what the
    /// attempts have cost.
    Fault(Fault, HeaderMap, Usage),
    /// Our own login.
    Login(auth::Error),
}

impl Problem {
    /// What the attempts have cost.
    pub(crate) fn spent(&self) -> Usage {
        match self {
            Self::Fault(_, _, spent) => *spent,
            Self::Login(_) => Usage::default(),
        }
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault, HeaderMap::new(), Usage::default())
    }
}

impl From<Failed> for Problem {
    fn from(failed: Failed) -> Self {
        Self::Fault(failed.fault, failed.headers, failed.usage)
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
    /// Without the account's list, the backend has said that it does not serve the default.
    default_is_retired: AtomicBool,
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
    /// Our id of the request, for the log.
    pub(crate) id: String,
    /// Its body.
    pub(crate) outgoing: Outgoing,
    /// Headers that go with it.
    pub(crate) headers: HeaderMap,
    /// The model to try when the backend does not serve the one asked for.
    pub(crate) stand_in: Option<String>,
    /// Set once something has been sent to the client: nothing is tried again after that.
    pub(crate) committed: Arc<AtomicBool>,
}

/// An answer, and what it took to get it.
pub(crate) struct Answer {
    /// The answer.
    pub(crate) opened: Box<Opened>,
    /// Parameters that had to be left out.
    pub(crate) dropped: Vec<String>,
    /// The model that stood in.
    pub(crate) stood_in: Option<String>,
    /// What attempts before have cost.
    pub(crate) spent: Usage,
}

impl Opener {
    /// An opener that has learned nothing yet.
    pub(crate) fn new(backend: Arc<Backend>, idle: Duration) -> Self {
        Self {
            backend,
            idle,
            refusals: ArcSwap::default(),
            spent: Mutex::new(None),
            default_is_retired: AtomicBool::new(false),
        }
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
        let Ready { id, mut outgoing, headers, mut stand_in, committed } = ready;
        let (mut renewals, mut repeated, mut restarted, mut unseen) = (0, false, false, 0);
        let (mut dropped, mut stood_in, mut spent) = (Vec::new(), None, Usage::default());
        for parameter in self.refusals.load().learned() {
            if let Some(other) = outgoing.without(parameter) {
                outgoing = other;
                dropped.push(parameter.to_owned());
            }
        }
        if self.default_is_retired.load(Ordering::Relaxed)
            && let Some(model) = stand_in.take()
            && let Some(other) = outgoing.with_model(&model)
        {
            outgoing = other;
            stood_in = Some(model);
        }
        loop {
            let credentials = self.backend.login.current().await?;
            self.still_spent(credentials.generation())?;
            let Failed { fault, headers: told, seen, usage } =
                match self.attempt(&credentials, &outgoing, &headers).await {
                    Ok(opened) => return Ok(Answer { opened, dropped, stood_in, spent }),
                    Err(failed) => failed,
                };
            spent += usage;
            // No attempts: the backend has seen nothing, or was just closing the connection.
            if !committed.load(Ordering::Acquire) {
                if seen == Seen::Nothing && unseen < UNSEEN {
                    unseen += 1;
                    continue;
                }
                if seen == Seen::Hardly && !restarted {
                    restarted = true;
                    continue;
                }
            }
            // Whoever has answered has done nothing for the request, and may close his, too.
            restarted &= seen == Seen::Hardly;
            match &fault {
                // What the file holds may have ended as well; what the endpoint issued has not.
                Fault::Unauthorized
                    if renewals == 0 || (renewals == 1 && !credentials.is_issued()) =>
                {
                    renewals += 1;
                    self.backend.login.renew(&credentials).await?;
                    continue;
                }
                Fault::Unauthorized => {
                    self.backend.login.is_of_no_use(&credentials);
                    return Err(auth::Error::Rejected(auth::Rejection::Refused).into());
                }
                Fault::PlanSpent(_) => self.note(credentials.generation(), &fault),
                Fault::Refused(refusal) if fault.is_unknown_model() => {
                    if let Some(model) = stand_in.take()
                        && let Some(other) = outgoing.with_model(&model)
                    {
                        tracing::warn!(
                            request_id = id,
                            "the backend does not serve the default model; {model} stands in"
                        );
                        outgoing = other;
                        stood_in = Some(model);
                        self.default_is_retired.store(true, Ordering::Relaxed);
                        continue;
                    }
                    tracing::debug!(
                        request_id = id,
                        status = refusal.status,
                        "the backend does not serve this model"
                    );
                }
                Fault::Refused(refusal) if dropped.len() < LESSONS => {
                    let parameter = fields::refused_parameter(&refusal.message)
                        .filter(|name| fields::can_be_left_out(name));
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
            if !fault.is_transient() || repeated || committed.load(Ordering::Acquire) {
                return Err(Problem::Fault(fault, told, spent));
            }
            tracing::info!(request_id = id, kind = kind(&fault), "trying once more");
            repeated = true;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn attempt(
        &self,
        credentials: &auth::Credentials,
        outgoing: &Outgoing,
        headers: &HeaderMap,
    ) -> Result<Box<Opened>, Failed> {
        let answer = self.backend.respond(credentials, outgoing.body().clone(), headers).await?;
        let (head, body) = answer.into_parts();
        shake(head.headers, credentials.generation(), body, self.idle).await
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

    /// Notes what a failure in the middle of an answer means for later requests of this login.
    pub(crate) fn note(&self, generation: u64, fault: &Fault) {
        if let Fault::PlanSpent(spent) = fault {
            self.remember_spent(generation, spent);
        }
    }

    fn remember_spent(&self, generation: u64, spent: &PlanSpent) {
        let now = clock::unix_seconds();
        let until = spent.resets_at.or(spent.resets_in.map(|it| now.saturating_add(it)));
        let Some(until) = until.filter(|until| *until > now) else { return };
        let until = until.min(now + LONGEST_WINDOW);
        tracing::warn!(
            resets_at = until,
            "the plan's window is spent: requests are refused here until it resets"
        );
        let words = PlanSpent { resets_at: Some(until), resets_in: None, ..spent.clone() };
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Spent { generation, until, words });
    }

    /// Until when the backend is not asked because a window of the plan is spent, in seconds since
    /// the Unix epoch.
    pub(crate) fn spent_until(&self) -> Option<u64> {
        let spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.as_ref().map(|it| it.until).filter(|until| clock::unix_seconds() < *until)
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
