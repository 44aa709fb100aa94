//! The way to the Codex backend: connections, one attempt, the attempts of one request, the
//! account's models. It knows nothing of the clients' protocols.

pub(crate) mod backend;
pub(crate) mod connect;
pub(crate) mod handshake;
pub(crate) mod models;
pub(crate) mod open;
pub(crate) mod patience;
