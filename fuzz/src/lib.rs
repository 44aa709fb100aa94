//! What must hold for any bytes, one room for each fuzz target. Pure parts come from
//! `godex-core`; files of the program that nobody else may see are compiled in by their path,
//! so that the program needs no doors for this.

pub mod answers;
mod clock;
mod deep;
pub mod flags;
pub mod json;
pub mod request;
mod serve;
pub mod sse;
pub mod stream;
pub mod usage_log;
