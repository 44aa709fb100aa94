//! Any bytes as the backend's answer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| godex_fuzz::stream::check(data));
