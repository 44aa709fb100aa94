//! Any bytes as the usage log.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| godex_fuzz::usage_log::check(data));
