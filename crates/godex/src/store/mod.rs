//! What the proxy keeps on disk.

/// Atomic replacement and locks between processes.
pub(crate) mod file;
