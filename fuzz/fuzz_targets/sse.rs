//! Any bytes as a stream of server-sent events.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| godex_fuzz::sse::check(data));
