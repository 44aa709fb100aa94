//! What happens beside a stream while it passes: its calls are remembered, its cost is noted,
//! its record is written before its end is told.

use std::sync::Arc;

use godex_core::codex::fault::Fault;
use godex_core::identity::Name;
use godex_core::json::Object;
use godex_core::key::KeyId;
use godex_core::responses::event::{Event, Kind};
use godex_core::responses::item;
use godex_core::tap::{End, Tap};
use godex_core::turns::{Kept, Open};
use godex_core::usage::Usage;

use super::entry::Entry;
use super::error::{ApiError, Look};
use super::state::App;
use crate::clock;

/// Watches one answer.
pub(super) struct Watch {
    pub(super) app: Arc<App>,
    pub(super) entry: Entry,
    pub(super) tap: Tap,
    key: KeyId,
    session: Name,
    /// What later requests may name, until it is filed.
    turn: Option<Box<Open>>,
}

impl Watch {
    /// A watch over the answer to a request of this session.
    pub(super) fn new(
        app: Arc<App>,
        entry: Entry,
        key: KeyId,
        session: Name,
        turn: Option<Box<Open>>,
    ) -> Self {
        Self { app, entry, tap: Tap::default(), key, session, turn }
    }

    /// Looks at one event. At the last one of an answer the record is written; one that fails
    /// leaves that to whoever knows whether the client had all it will get before.
    pub(super) fn see(&mut self, event: &Event<'_>) {
        if event.kind == Kind::Unknown
            && let Some(name) = Object::of_text(event.text).and_then(|it| it.string("type"))
        {
            self.app.note_unknown(&name);
        }
        if let Some(call) = self.tap.push(event) {
            self.app.memory().keep_call(
                &self.key,
                &self.session,
                &call.id,
                &call.json,
                clock::monotonic(),
            );
        }
        match &self.tap.end {
            Some(End::Completed | End::Incomplete) => self.finish(200),
            Some(End::Failed(_)) | None => {}
        }
    }

    /// The client has all it wanted before the backend has said all, or what it cost. Returns
    /// what is known of that.
    pub(super) fn leave(&mut self, heard: usize) -> Usage {
        let usage = match self.tap.usage {
            Some(usage) => usage,
            None => self.entry.guess(heard),
        };
        self.tap.usage = Some(usage);
        self.finish(200);
        usage
    }

    /// The answer broke off.
    pub(super) fn broke(&mut self, fault: &Fault) {
        self.fail(&ApiError::from(fault.clone()).look());
    }

    /// The client gets this error. Writes the record.
    pub(super) fn fail(&mut self, error: &Look) {
        self.settle();
        self.entry.fail(error);
    }

    /// Files the answer under its id, before its client can name it. What a stream has shown
    /// counts, however it ended; an answer in one piece only shows when it is whole.
    fn keep(&mut self) {
        let status = match &self.tap.end {
            Some(End::Completed) => "completed",
            Some(End::Incomplete) => "incomplete",
            Some(End::Failed(_)) | None if self.entry.stream => "incomplete",
            Some(End::Failed(_)) | None => return,
        };
        let (Some(turn), Some(id)) = (self.turn.take(), &self.tap.response_id) else { return };
        let output = self.tap.output.items(status);
        let output: Vec<_> = output.iter().filter_map(|json| item::of_answer(json)).collect();
        let kept = output.iter().map(|(id, item)| Kept::of_answer(id.as_deref(), item));
        if let Some(turn) = turn.answer(&kept.collect::<Vec<_>>()) {
            self.app.turns().keep(&self.key, turn, id, clock::monotonic());
        }
    }

    /// Writes the record.
    fn finish(&mut self, status: u16) {
        self.settle();
        self.entry.finish(status);
    }

    /// What the answer has said is in its record.
    fn settle(&mut self) {
        self.keep();
        if self.entry.stream {
            // What ends a stream goes out with it, if nothing has before.
            self.entry.begin();
        }
        self.entry.usage = self.tap.usage.unwrap_or_default();
        if let Some(id) = &self.tap.response_id {
            self.entry.upstream_id.clone_from(id);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.keep();
        if let Some(id) = self.tap.response_id.take() {
            self.entry.upstream_id = id;
        }
    }
}
