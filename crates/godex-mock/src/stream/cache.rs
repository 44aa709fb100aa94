//! The prompt cache: how much of an input its session has sent before.
//!
//! The cache is found by the session header alone and holds the last input of a session.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};

use super::envelope::Input;

/// How many sessions are remembered.
const SESSIONS: usize = 10_000;

/// Remembers the last input of each session.
#[derive(Default)]
pub(crate) struct Cache {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sessions: HashMap<String, Vec<Piece>>,
    order: VecDeque<String>,
}

/// A part of an input: its hash and its size.
#[derive(Clone, Copy, Default, PartialEq)]
struct Piece {
    hash: u64,
    bytes: u64,
}

impl Cache {
    /// Measures an input, and remembers it for the session.
    pub(crate) fn measure(&self, session: Option<&str>, fields: &Map<String, Value>) -> Input {
        let pieces = pieces(fields);
        let tokens = tokens(&pieces);
        let Some(session) = session else { return Input { tokens, cached: 0 } };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { sessions, order } = &mut *state;
        let cached = if let Some(before) = sessions.get(session) {
            let same = pieces.iter().zip(before).take_while(|(now, then)| now == then).count();
            self::tokens(pieces.get(..same).unwrap_or_default()).min(tokens)
        } else {
            order.push_back(session.to_owned());
            if order.len() > SESSIONS
                && let Some(oldest) = order.pop_front()
            {
                sessions.remove(&oldest);
            }
            0
        };
        sessions.insert(session.to_owned(), pieces);
        Input { tokens, cached }
    }
}

/// The input in the order in which the model reads it.
fn pieces(fields: &Map<String, Value>) -> Vec<Piece> {
    let head = ["model", "tools", "instructions"].iter().filter_map(|it| fields.get(*it));
    let items = fields.get("input").and_then(Value::as_array).into_iter().flatten();
    head.chain(items).map(piece).collect()
}

fn piece(value: &Value) -> Piece {
    let mut writer = Hasher::default();
    // The writer never fails.
    let _ = serde_json::to_writer(&mut writer, value);
    writer.0
}

fn tokens(pieces: &[Piece]) -> u64 {
    pieces.iter().map(|it| it.bytes.div_ceil(4)).sum()
}

/// Hashes what is written to it, without keeping it.
#[derive(Default)]
struct Hasher(Piece);

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Piece { hash, bytes: length } = &mut self.0;
        for byte in bytes {
            *hash = (*hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(5);
        }
        *length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
