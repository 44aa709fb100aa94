//! The Responses wire: requests as clients write them, events and answers as Codex gives them.

pub mod delta;
pub mod event;
pub mod item;
pub mod output;
pub mod request;
pub mod response;
pub mod restore;
