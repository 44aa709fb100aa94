//! A stream on its way through: the backend's bytes are pulled when the client can take more,
//! whole events only, everything that has come in one piece. Dropping it cancels the backend.
//!
//! ```text
//! Opening ──answer──▶ Flowing ──last event, failure or cut──▶ Over
//!    └────────failure──────────────────────────────────────────▲
//! ```

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use godex_core::codex::fault::{Break, Fault};
use godex_core::responses::event::Event;
use godex_core::sse::Frame;
use godex_core::tap::End;
use http_body::Body;
use tokio::time::{Instant, Sleep};

use super::error::ApiError;
use super::face::{Face, Out};
use super::rest;
use super::watch::Watch;
use crate::clock;
use crate::upstream::handshake::Opened;
use crate::upstream::open::{Answer, Problem};

/// How much is joined into one piece at most, in bytes.
const PIECE: usize = 64 << 10;
/// Bytes that follow one another faster than this come in a burst: what came is held back until
/// everybody else had a turn, since more is likely to be there by then. Streams at the pace of a
/// model are far slower, and nothing of them is held back.
const BURST: Duration = Duration::from_millis(1);
/// How many turns everybody else gets at most: with several threads, the one that reads from the
/// backend may just be at work.
const TURNS: u8 = 3;
/// How long the backend may take to end an answer whose client has all it will get. What it would
/// still say costs the account tokens, so it is cut off after that.
pub(super) const GRACE: Duration = Duration::from_millis(500);
/// With neither heartbeat nor idle timeout there is still a moment at which to look around.
const FAR: Duration = Duration::from_secs(3600);

/// The attempts of a request that has no answer yet.
pub(super) type Opening = Pin<Box<dyn Future<Output = Result<Answer, Problem>> + Send>>;

/// A stream on its way through.
pub(super) struct Relay {
    state: State,
    face: Face,
    watch: Watch,
    out: Out,
    timer: Pin<Box<Sleep>>,
    heartbeat: Option<Duration>,
    idle: Duration,
    last_sent: Instant,
    last_received: Instant,
    /// The last bytes came right behind others.
    bursting: bool,
    /// How many turns everybody else had since the last bytes came.
    held_back: u8,
    /// When to leave the backend although it goes on.
    leave_at: Option<Instant>,
}

enum State {
    Opening(Opening),
    Flowing(Box<Opened>),
    Over,
}

impl Relay {
    /// A relay of an answer whose model has begun to speak.
    pub(super) fn flowing(opened: Box<Opened>, face: Face, watch: Watch) -> Self {
        let (waiting, heard) = (opened.waiting(), opened.heard.into());
        let mut relay = Self::new(State::Flowing(opened), face, watch);
        relay.out.expect(waiting);
        relay.listen_since(heard);
        relay
    }

    /// A relay of an answer that is still to come.
    pub(super) fn opening(opening: Opening, face: Face, watch: Watch) -> Self {
        let mut relay = Self::new(State::Opening(opening), face, watch);
        // The client has waited for as long as one heartbeat already.
        relay.face.breathe(&relay.watch.tap, &mut relay.out);
        relay
    }

    fn new(state: State, face: Face, mut watch: Watch) -> Self {
        watch.tap.ignores_output = !face.needs_output();
        let (heartbeat, idle) = (watch.app.heartbeat, watch.app.idle);
        let now: Instant = clock::monotonic().into();
        let first = heartbeat.unwrap_or(FAR).min(idle);
        let timer = Box::pin(tokio::time::sleep_until(now + first));
        Self {
            state,
            face,
            watch,
            out: Out::default(),
            timer,
            heartbeat,
            idle,
            last_sent: now,
            last_received: now,
            // An answer begins with several events at once.
            bursting: true,
            held_back: 0,
            leave_at: None,
        }
    }

    /// Whether nothing more will come.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over) && self.out.len() == 0
    }

    /// The next piece for the client.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if self.watch.app.is_cutting() && !matches!(self.state, State::Over) {
                self.fail(&ApiError::Draining, None);
            }
            let pulled = match &mut self.state {
                State::Over => Poll::Ready(()),
                State::Opening(opening) => match opening.as_mut().poll(cx) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(Ok(answer)) => {
                        self.watch.entry.in_vain = answer.spent;
                        self.flow(answer.opened);
                        Poll::Ready(())
                    }
                    Poll::Ready(Err(problem)) => {
                        self.watch.entry.in_vain = problem.spent();
                        self.fail(&ApiError::from(problem), None);
                        Poll::Ready(())
                    }
                },
                State::Flowing(_) => self.poll_pull(cx),
            };
            let over = matches!(self.state, State::Over);
            if pulled.is_pending() && self.holds_back() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if over || pulled.is_pending() || self.out.len() >= PIECE {
                if let Some(piece) = self.out.take() {
                    self.last_sent = clock::monotonic().into();
                    self.watch.entry.begin();
                    return Poll::Ready(Some(piece));
                }
                if over {
                    return Poll::Ready(None);
                }
            }
            if pulled.is_pending() {
                ready!(self.poll_timer(cx));
            }
        }
    }

    /// Whether to look once more for what comes next before the client gets what is there.
    fn holds_back(&mut self) -> bool {
        let waits = self.bursting && self.out.len() > 0 && self.out.len() < PIECE;
        self.held_back = self.held_back.saturating_add(u8::from(waits));
        waits && self.held_back <= TURNS
    }

    fn flow(&mut self, opened: Box<Opened>) {
        self.listen_since(opened.heard.into());
        self.watch.entry.accept();
        self.out.expect(opened.waiting());
        self.state = State::Flowing(opened);
    }

    /// The backend was heard last at this moment: the silence after it counts.
    fn listen_since(&mut self, heard: Instant) {
        self.last_received = heard;
        let ends = heard + self.idle;
        if ends < self.timer.deadline() {
            self.timer.as_mut().reset(ends);
        }
    }

    /// Takes what has come from the backend.
    fn poll_pull(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let State::Flowing(opened) = &mut self.state else { return Poll::Ready(()) };
            let frame = match opened.held.pop_front() {
                Some(frame) => Ok(Some(frame)),
                None => opened.decoder.next_frame(),
            };
            match frame {
                Ok(Some(frame)) => {
                    self.take(&frame);
                    if self.out.len() >= PIECE {
                        return Poll::Ready(());
                    }
                    continue;
                }
                Ok(None) => {}
                Err(_) => {
                    self.break_off(Break::TooLong);
                    return Poll::Ready(());
                }
            }
            match ready!(Pin::new(&mut opened.body).poll_frame(cx)) {
                Some(Ok(data)) => {
                    let now: Instant = clock::monotonic().into();
                    self.bursting = now.saturating_duration_since(self.last_received) < BURST;
                    (self.last_received, self.held_back) = (now, 0);
                    if let Ok(data) = data.into_data() {
                        self.out.expect(data.len());
                        opened.decoder.push(data);
                    }
                }
                Some(Err(_)) => {
                    self.break_off(Break::Cut);
                    return Poll::Ready(());
                }
                None => {
                    self.end_of_stream();
                    return Poll::Ready(());
                }
            }
        }
    }

    /// Passes one frame on. The last event ends the answer: whatever the backend's connection
    /// does after it is of no interest to the client.
    fn take(&mut self, frame: &Frame) {
        let Some(event) = Event::of(frame) else { return };
        self.watch.see(&event);
        match &self.watch.tap.end {
            Some(End::Failed(fault)) => {
                if let State::Flowing(opened) = &self.state {
                    self.watch.app.opener.note(opened.generation, fault);
                }
                let error = ApiError::from(fault.clone());
                self.release();
                self.fail(&error, Some(&event));
            }
            // A last event whose text is broken is none: what follows tells how the stream ends.
            None if event.kind.is_terminal() => {}
            end => {
                let over = end.is_some();
                self.face.show(frame, &event, &self.watch.tap, &mut self.out);
                if over {
                    self.release();
                } else if self.leave_at.is_none() && self.face.is_finished() {
                    let at = Instant::from(clock::monotonic()) + GRACE;
                    self.leave_at = Some(at);
                    self.timer.as_mut().reset(at);
                }
            }
        }
    }

    /// The answer is complete: the backend's connection may serve the next one.
    fn release(&mut self) {
        if let State::Flowing(opened) = std::mem::replace(&mut self.state, State::Over) {
            rest::read_off(opened.body, &self.watch.app.tasks);
        }
    }

    /// The backend closed the stream: perhaps its last event only lacked the blank line.
    fn end_of_stream(&mut self) {
        let State::Flowing(opened) = &mut self.state else { return };
        if let Ok(Some(frame)) = opened.decoder.finish()
            && Event::of(&frame).is_some_and(|event| event.kind.is_terminal())
        {
            self.take(&frame);
        }
        if matches!(self.state, State::Over) {
            return;
        }
        self.break_off(Break::Cut);
    }

    /// The client has all it will get: leaves the backend, which ends its work.
    fn leave(&mut self) {
        let usage = self.watch.leave(self.face.heard());
        self.face.end(&usage, &mut self.out);
        self.state = State::Over;
    }

    fn break_off(&mut self, how: Break) {
        if self.face.is_finished() {
            return self.leave();
        }
        let fault = Fault::Broken(how);
        self.watch.broke(&fault);
        self.fail(&ApiError::from(fault), None);
    }

    fn fail(&mut self, error: &ApiError, event: Option<&Event<'_>>) {
        if self.face.is_finished() {
            return self.leave();
        }
        let look = error.look();
        self.watch.fail(&look);
        self.face.fail(&look, event, &mut self.out);
        self.state = State::Over;
        tracing::warn!(
            request_id = %self.watch.entry.request_id,
            code = look.code.as_deref().unwrap_or_default(),
            "a stream ended with an error"
        );
    }

    /// Waits for the next moment at which silence matters. Moments move on with the traffic;
    /// the timer is set anew only when it has rung.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.timer.as_mut().poll(cx));
        let now: Instant = clock::monotonic().into();
        if self.leave_at.is_some_and(|at| now >= at) {
            self.leave();
            return Poll::Ready(());
        }
        let flowing = matches!(self.state, State::Flowing(_));
        if flowing && now >= self.last_received + self.idle {
            self.break_off(Break::Idle);
            return Poll::Ready(());
        }
        if self.heartbeat.is_some_and(|every| now >= self.last_sent + every) {
            self.face.breathe(&self.watch.tap, &mut self.out);
            self.last_sent = now;
        }
        let beat = self.last_sent + self.heartbeat.unwrap_or(FAR);
        let next = if flowing { beat.min(self.last_received + self.idle) } else { beat };
        self.timer.as_mut().reset(self.leave_at.map_or(next, |at| next.min(at)));
        Poll::Ready(())
    }
}
