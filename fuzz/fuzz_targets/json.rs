//! Any bytes as JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| godex_fuzz::json::check(data));
