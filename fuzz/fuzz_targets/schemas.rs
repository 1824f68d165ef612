#![no_main]

#[path = "../entries/schemas.rs"]
mod schemas;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| schemas::feed(bytes));
