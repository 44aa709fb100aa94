//! Between the two wires. Only this room knows both.

pub mod chat_from_responses;
pub mod completion_from_responses;
pub mod responses_from_chat;
pub mod stop;
