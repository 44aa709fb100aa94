//! The two ends of the benchmark, without the proxy between them.
//!
//! `backend` answers what a request orders ([`order`]) and costs microseconds; `load` sends
//! requests ([`body`]) in closed or open loops or holds thousands of streams, and reads what the
//! measured process costs from the kernel ([`process`]). Both run on one thread each.

pub mod backend;
pub mod body;
pub mod clock;
pub mod http1;
pub mod load;
pub mod order;
pub mod process;
