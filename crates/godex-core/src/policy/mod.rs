//! Who may do how much: request rates and token quotas. Time is always an argument.

pub mod quota;
pub mod rate;
