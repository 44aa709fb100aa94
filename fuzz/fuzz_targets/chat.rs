//! Any bytes as the body of `POST /v1/chat/completions`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| godex_fuzz::request::chat(data));
