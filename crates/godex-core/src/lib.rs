//! The pure half of godex: no runtime, no HTTP library, no files, no clock, no randomness.
//! Time and random bytes are arguments; the `godex` crate brings them.

#[macro_use]
mod shape;

pub mod codex;
pub mod hex;
pub mod identity;
pub mod json;
pub mod key;
pub mod policy;
pub mod responses;
pub mod session;
pub mod sse;
pub mod tap;
pub mod translate;
pub mod turns;
pub mod usage;
