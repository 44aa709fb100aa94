//! What the Codex backend demands beyond the public API, in one place for both endpoints.

pub mod catalogue;
pub mod content;
pub mod draft;
pub mod fault;
pub mod fields;
pub mod names;
pub mod outgoing;
pub mod pairs;
pub mod refused;
pub mod tools;
