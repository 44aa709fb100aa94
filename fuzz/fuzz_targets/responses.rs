//! Any bytes as the body of `POST /v1/responses`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| godex_fuzz::request::responses(data));
