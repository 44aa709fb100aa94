//! `godex connect --list`: every client, where its file is, and whether it was connected.

use clap::ValueEnum as _;
use serde_json::json;

use super::recipes::Client;
use super::{name, note_place};
use crate::cli::report::{Exit, Failure};
use crate::cli::table::{Column, Table};
use crate::cli::talk::{Talk, pretty};
use crate::config::Surroundings;
use crate::store::undo::Note;

/// Lists them.
///
/// # Errors
///
/// When the output cannot be written.
pub(super) fn run(
    as_json: bool,
    surroundings: &Surroundings,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let mut table = Table::new(vec![
        Column::left("CLIENT", 9),
        Column::left("CONNECTED", 5),
        Column::left("FILE OF --write", 3),
    ]);
    let mut rows = Vec::new();
    for &client in Client::value_variants() {
        let file = client.file(surroundings).ok().flatten().map(|it| it.display().to_string());
        let note = note_place(client, surroundings).ok().and_then(|it| Note::read(&it).ok()?);
        let connected = note.is_some();
        let shown = if connected { "yes" } else { "-" };
        table.row(vec![name(client), shown.to_owned(), file.clone().unwrap_or_else(|| "-".into())]);
        rows.push(json!({"name": name(client), "file": file, "connected": connected}));
    }
    let text = if as_json {
        pretty(&json!({"schema_version": 1, "clients": rows}))
    } else {
        table.render(&talk.screen)
    };
    talk.say(&text)
}
