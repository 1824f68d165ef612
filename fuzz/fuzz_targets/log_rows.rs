#![no_main]

#[path = "../entries/log_rows.rs"]
mod log_rows;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| log_rows::feed(bytes));
