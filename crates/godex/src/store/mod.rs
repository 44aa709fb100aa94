//! What the proxy keeps on disk.

/// Atomic replacement and locks between processes.
pub(crate) mod file;
/// The managed keys.
pub(crate) mod keys;
/// The usage log.
pub(crate) mod ledger;
/// The secret that session names are made with.
pub(crate) mod secret;
/// Changes of other programs' files that can be taken back.
pub(crate) mod undo;
