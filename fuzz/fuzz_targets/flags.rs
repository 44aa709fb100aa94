//! Any text as the value of a flag.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| godex_fuzz::flags::check(data));
