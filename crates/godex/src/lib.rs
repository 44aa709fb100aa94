//! godex: an OpenAI-compatible API in front of the ChatGPT Codex backend.

mod auth;
pub mod cli;
mod clock;
mod config;
mod limits;
mod logging;
mod serve;
mod store;
mod tasks;
mod upstream;
