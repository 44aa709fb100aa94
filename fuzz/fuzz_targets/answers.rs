//! Any answer of a model, told by a backend that keeps to the wire.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| godex_fuzz::answers::check(data));
