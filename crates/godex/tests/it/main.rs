//! The program as its users meet it: one binary of tests, a module for each subject.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so"
)]

mod agree;
mod backend;
mod book;
mod browser;
mod cancel;
mod carried;
mod chat;
mod cli;
mod client;
mod connect;
mod connections;
mod conventions;
mod doctor;
mod encodings;
mod errors;
mod faults;
mod first_run;
mod hardening;
mod items;
mod limits;
mod login;
mod minute;
mod models;
mod names;
mod open_responses;
mod openapi;
mod pace;
mod packaging;
mod pages;
mod paths;
mod program;
mod published;
mod readme;
mod recorded;
mod records;
mod refresh;
mod refused;
mod reliability;
mod responses;
mod running;
mod sessions;
mod settings;
mod stage;
mod stop;
mod terminal;
mod tidy;
mod tls;
mod transcripts;
mod turns;
mod unsaid;
mod upstream;
mod wire;
