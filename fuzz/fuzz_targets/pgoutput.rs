#![no_main]

#[path = "../entries/pgoutput.rs"]
mod pgoutput;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pgoutput::feed(bytes));
