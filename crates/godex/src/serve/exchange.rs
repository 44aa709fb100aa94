//! One request for a response, whichever endpoint it came in by: admitted, read, completed
//! from memory, sent, answered. Handlers connect; the rules are elsewhere.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use godex_core::codex::catalogue::Chosen;
use godex_core::codex::draft::{Ask, Dialect, Draft};
use godex_core::codex::outgoing::Settled;
use godex_core::codex::pairs;
use godex_core::identity::{Name, Source, is_uuid};
use godex_core::policy::quota;
use godex_core::turns::{self, Open, Origins, Recalled};
use http::{HeaderMap, HeaderValue, Response, StatusCode, request};

use super::answer::{self, AnswerBody};
use super::body::{Received, Upload};
use super::entry::Entry;
use super::error::ApiError;
use super::face::Face;
use super::passed::Named;
use super::relay::{Opening, Relay};
use super::state::App;
use super::watch::Watch;
use super::{body, collect, passed};
use crate::clock;
use crate::limits::{Now, State, headers};
use crate::store::keys::Key;
use crate::upstream::backend::SESSION_ID;
use crate::upstream::open::{Answer, Ready};

/// How much is noted of a name that stands for no model, in characters.
const LONGEST_NAME: usize = 64;

/// A request that was let in.
pub(super) struct Exchange {
    pub(super) app: Arc<App>,
    pub(super) key: Arc<Key>,
    /// Where it comes from.
    pub(super) remote: IpAddr,
    pub(super) entry: Entry,
    /// How its key stood when it was let in.
    pub(super) standing: Option<State>,
}

/// What is sent, and how its answer shows.
pub(super) struct Prepared {
    ready: Ready,
    showing: Box<Showing>,
}

/// How an answer shows, and what is kept of it.
struct Showing {
    face: Face,
    session: Name,
    turn: Option<Box<Open>>,
    stream: bool,
    told: Told,
}

/// What headers tell of an answer.
struct Told {
    dropped: Vec<String>,
    stood_in: Option<String>,
    model: Named,
}

impl Told {
    /// What it took to get the answer.
    fn learn(&mut self, dropped: Vec<String>, stood_in: Option<String>) {
        self.dropped.extend(dropped);
        if let Some(other) = stood_in {
            self.model.upstream.clone_from(&other);
            self.stood_in = Some(other);
        }
    }

    /// Tells it.
    fn tell(&self, to_client: &mut HeaderMap) {
        answer::name_dropped(to_client, &self.dropped);
        if let Some(model) = &self.stood_in {
            answer::set(to_client, answer::MODEL, model);
        }
    }
}

impl Exchange {
    /// Reads the body and takes one request of the key's rate and quota for it. A packed body
    /// is unpacked after that: the work is the key's, and what it stands for is held then.
    ///
    /// # Errors
    ///
    /// When the body cannot be read or a limit is in the way.
    pub(super) async fn receive(
        &mut self,
        parts: &request::Parts,
        upload: &mut Upload,
    ) -> Result<bytes::Bytes, ApiError> {
        let received = body::read(&parts.headers, upload, self.app.max_body).await?;
        let denied = |it| ApiError::Denied(Box::new(it));
        let now = Now::read();
        let estimate = quota::estimate(received.len() as u64, None);
        let admitted = self.app.admission.admit(&self.key, estimate, now);
        let mut reservation = admitted.map_err(denied)?;
        self.standing = Some(*reservation.state());
        let body = match received {
            Received::Plain(body) => body,
            Received::Packed(packed) => {
                let body = packed.unpack(&self.app.unpacking).await?;
                let (now, estimate) = (Now::read(), quota::estimate(body.len() as u64, None));
                reservation.raise(&self.key, estimate, now).map_err(denied)?;
                self.standing = Some(*reservation.state());
                body
            }
        };
        self.entry.hold(reservation, quota::estimate(body.len() as u64, Some(0)));
        Ok(body)
    }

    /// Settles all that the request left open, now that its model is chosen.
    ///
    /// # Errors
    ///
    /// When the request names an earlier response or item that is not there.
    pub(super) fn prepare(
        &mut self,
        ask: Ask,
        draft: Draft<'_>,
        chosen: Chosen,
        head: &HeaderMap,
        face: impl FnOnce(Ask, &Chosen, Dialect) -> Face,
    ) -> Result<Prepared, ApiError> {
        self.entry.model.clone_from(&chosen.shown);
        self.entry.stream = ask.stream;
        let session = self.session(&ask, head);
        session.as_str().clone_into(&mut self.entry.session);

        let recalled = self.recall(&ask, &draft)?;
        // From here on it may borrow from what was recalled, too.
        let mut draft: Draft<'_> = draft;
        let origins = recalled.expand(&mut draft);
        let (remembered, conversation, turn) =
            self.remember(&mut draft, &ask, &origins, &session, head);
        let own = (draft.dialect == Dialect::Codex).then(|| own_name(&ask, head)).flatten();
        let cache_key = own.unwrap_or_else(|| conversation.as_str());
        let outgoing = draft.prepare(Settled {
            model: &chosen.upstream,
            effort: chosen.effort.as_deref(),
            cache_key,
            remembered: remembered.as_deref(),
            fallback: &self.app.instructions,
        });
        let mut to_backend = passed::upstream(head, draft.dialect);
        if let Ok(value) = HeaderValue::from_str(cache_key) {
            to_backend.insert(SESSION_ID, value);
        }
        if chosen.stand_in {
            self.app.note_stand_in(&chosen);
        }
        let catalogue = self.app.models.current();
        let stand_in = (chosen.upstream == self.app.names.default && !catalogue.known())
            .then(|| catalogue.first().map(str::to_owned))
            .flatten();
        let stream = ask.stream;
        let (id, committed) = (self.entry.request_id.clone(), Arc::default());
        let face = face(ask, &chosen, draft.dialect);
        let told = Told {
            dropped: draft.dropped,
            stood_in: chosen.stand_in.then(|| chosen.upstream.clone()),
            model: Named { upstream: chosen.upstream, shown: chosen.shown },
        };
        Ok(Prepared {
            ready: Ready { id, outgoing, headers: to_backend, stand_in, committed },
            showing: Box::new(Showing { face, session, turn, stream, told }),
        })
    }

    /// The model that a request names.
    ///
    /// # Errors
    ///
    /// When it is not served, or not to this key.
    pub(super) async fn choose(&mut self, ask: &Ask) -> Result<Chosen, ApiError> {
        let (app, asked) = (&self.app, ask.model.as_deref());
        // Whoever looks for what went wrong wants to know what was asked for.
        let visible = |it: &char| it.is_ascii_graphic() || it.is_alphanumeric();
        self.entry.model =
            asked.unwrap_or_default().chars().filter(visible).take(LONGEST_NAME).collect();
        let mut catalogue = app.models.current();
        if !catalogue.known() && !asked.is_some_and(|model| catalogue.has(model)) {
            catalogue = app.models.settled().await;
        }
        let chosen = catalogue.choose(&app.names, asked).map_err(ApiError::NoModel)?;
        if !self.key.allows(&chosen.shown) && !self.key.allows(&chosen.upstream) {
            return Err(ApiError::ModelNotAllowed(chosen.shown));
        }
        Ok(chosen)
    }

    /// The session of the request, by the mission's order and what clients of today send.
    fn session(&self, ask: &Ask, head: &HeaderMap) -> Name {
        let remote = self.remote.to_string();
        let user = ask.user.as_deref().filter(|it| !it.is_empty()).map(Source::User);
        let source = user
            .or_else(|| passed::openclaw_session(head).map(Source::OpenClaw))
            .or_else(|| passed::session(head).map(Source::Header))
            .or_else(|| ask.cache_key.as_deref().filter(|it| !it.is_empty()).map(Source::CacheKey))
            .unwrap_or(Source::Remote(&remote));
        self.app.namer.session(&self.key.id, source)
    }

    /// What the request names instead of sending it.
    fn recall(&self, ask: &Ask, draft: &Draft<'_>) -> Result<Recalled, ApiError> {
        let references = turns::references(draft);
        if ask.previous.is_none() && references.is_empty() {
            return Ok(Recalled::default());
        }
        let (previous, now) = (ask.previous.as_deref(), clock::monotonic());
        Ok(self.app.turns().recall(&self.key.id, previous, &references, now)?)
    }

    /// Completes the draft from memory and files what it brings. Returns the instructions to
    /// use when it has none, the conversation it belongs to, and what later requests may name.
    fn remember(
        &self,
        draft: &mut Draft<'_>,
        ask: &Ask,
        origins: &Origins<'_>,
        session: &Name,
        head: &HeaderMap,
    ) -> (Option<Arc<str>>, Name, Option<Box<Open>>) {
        let key = &self.key.id;
        let named = ask.cache_key.as_deref().filter(|it| !it.is_empty());
        let named = named.or_else(|| passed::session(head)).map(str::to_owned);
        let opening = named.unwrap_or_else(|| draft.opening());
        let missing = pairs::missing_calls(&draft.items);
        let own = draft.own_instructions();
        let now = clock::monotonic();

        let mut memory = self.app.memory();
        let recalled = memory.recall(key, session, missing.as_deref().unwrap_or_default(), now);
        let conversation = match &recalled.conversation {
            Some(last) if opening.is_empty() => last.clone(),
            Some(_) | None => self.app.namer.conversation(session, &opening),
        };
        if let Some(own) =
            own.as_deref().filter(|own| recalled.instructions.as_deref() != Some(own))
        {
            memory.keep_instructions(key, session, &own.into(), now);
        }
        if recalled.conversation.as_ref() != Some(&conversation) {
            memory.keep_conversation(key, session, &conversation, now);
        }
        drop(memory);
        let turn = ask
            .keeps
            .then(|| self.app.turns().open(key, &conversation, draft, origins, now))
            .flatten()
            .map(Box::new);

        let has_own = own.is_some();
        let remembered = recalled.instructions.filter(|_| !has_own);
        // The Codex CLI keeps its own history; a call of its may have several outputs.
        let fits = missing.is_none_or(|it| it.is_empty() && draft.dialect == Dialect::Codex);
        if fits {
            return (remembered, conversation, turn);
        }
        let (items, orphans) = pairs::repair(std::mem::take(&mut draft.items), &recalled.calls);
        draft.items = items;
        if orphans {
            tracing::warn!(
                request_id = %self.entry.request_id,
                "a tool output came without its call, which is not in the session either: it is passed on as text"
            );
        }
        (remembered, conversation, turn)
    }

    /// Answers, with what comes back or with what stands in the way.
    pub(super) async fn finish(
        mut self: Box<Self>,
        prepared: Result<Prepared, ApiError>,
    ) -> Response<AnswerBody> {
        let admitted = self.standing;
        let (app, key) = (Arc::clone(&self.app), Arc::clone(&self.key));
        let outcome = match prepared {
            Ok(prepared) => {
                tokio::select! {
                    outcome = self.send(prepared) => outcome,
                    () = app.cut_off() => Err(ApiError::Draining),
                }
            }
            Err(error) => {
                self.entry.fail(&error.look());
                Err(error)
            }
        };
        let mut response = outcome.unwrap_or_else(ApiError::into_response);
        if let Some(admitted) = admitted {
            let state = match response.body() {
                // It no longer holds tokens back: what it has cost is known.
                AnswerBody::Whole(_) => app.admission.state(&key, Now::read()),
                AnswerBody::Stream(_) => admitted,
            };
            headers::describe(&state, clock::timestamp(), response.headers_mut());
        }
        response
    }

    /// Sends the request.
    async fn send(
        mut self: Box<Self>,
        prepared: Prepared,
    ) -> Result<Response<AnswerBody>, ApiError> {
        let Prepared { ready, showing } = prepared;
        let committed = Arc::clone(&ready.committed);
        let mut attempts = self.attempts(ready);
        let outcome = match self.app.heartbeat.filter(|_| showing.stream) {
            Some(heartbeat) => tokio::time::timeout(heartbeat, &mut attempts).await.ok(),
            None => Some(attempts.as_mut().await),
        };
        match outcome {
            None => {
                committed.store(true, Ordering::Release);
                Ok(self.promise(*showing, attempts))
            }
            Some(Err(problem)) => {
                self.entry.in_vain = problem.spent();
                let error = ApiError::from(problem);
                self.entry.fail(&error.look());
                Err(error)
            }
            Some(Ok(answer)) => {
                drop(attempts);
                self.entry.in_vain = answer.spent;
                self.entry.accept();
                if showing.stream {
                    return Ok(self.pass(*showing, answer));
                }
                self.gather(showing, answer).await
            }
        }
    }

    /// All that is done to get an answer. Who has come by now is prepared first: requests that
    /// leave one right after the other cost less than each by itself, here and where they go.
    fn attempts(&self, ready: Ready) -> Opening {
        let app = Arc::clone(&self.app);
        Box::pin(async move {
            tokio::task::yield_now().await;
            let outcome = app.opener.open(ready).await;
            app.board.plan(&outcome);
            outcome
        })
    }

    /// A stream whose answer is still to come.
    fn promise(self, showing: Showing, attempts: Opening) -> Response<AnswerBody> {
        let Showing { face, session, turn, told, .. } = showing;
        let mut response =
            answer::stream(Relay::opening(attempts, face, self.watch(session, turn)));
        told.tell(response.headers_mut());
        response
    }

    /// An answer as a stream.
    fn pass(self, showing: Showing, answer: Answer) -> Response<AnswerBody> {
        let Showing { face, session, turn, mut told, .. } = showing;
        let Answer { mut opened, dropped, stood_in, .. } = answer;
        told.learn(dropped, stood_in);
        let from_backend = std::mem::take(&mut opened.headers);
        let mut response = answer::stream(Relay::flowing(opened, face, self.watch(session, turn)));
        passed::downstream(&from_backend, response.headers_mut(), Some(&told.model));
        told.tell(response.headers_mut());
        response
    }

    /// An answer in one piece.
    async fn gather(
        self: Box<Self>,
        mut showing: Box<Showing>,
        answer: Answer,
    ) -> Result<Response<AnswerBody>, ApiError> {
        let Answer { mut opened, dropped, stood_in, .. } = answer;
        showing.told.learn(dropped, stood_in);
        let from_backend = std::mem::take(&mut opened.headers);
        let idle = self.app.idle;
        let mut watch = self.watch(showing.session.clone(), showing.turn.take());
        let gathered = collect::collect(opened, &mut showing.face, &mut watch, idle).await;
        let gathered = gathered.map_err(|fault| collect::failed(&mut watch, fault))?;
        let mut response = answer::json(StatusCode::OK, gathered);
        passed::downstream(&from_backend, response.headers_mut(), Some(&showing.told.model));
        showing.told.tell(response.headers_mut());
        Ok(response)
    }

    fn watch(self, session: Name, turn: Option<Box<Open>>) -> Watch {
        let key = self.key.id.clone();
        Watch::new(self.app, self.entry, key, session, turn)
    }
}

/// The name that the Codex CLI gave its session: one UUID, in the body, the header or both.
fn own_name<'a>(ask: &'a Ask, head: &'a HeaderMap) -> Option<&'a str> {
    let names = [ask.cache_key.as_deref(), passed::session(head)];
    names.into_iter().flatten().find(|name| is_uuid(name))
}

/// Headers that say how the key stands, for answers that are no exchange.
pub(super) fn standing(app: &App, key: &Key, to: &mut HeaderMap) {
    headers::describe(&app.admission.state(key, Now::read()), clock::timestamp(), to);
}
