//! The way to the backend.

/// The one HTTP client.
pub(crate) mod connect;
