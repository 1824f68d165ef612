#![no_main]

#[path = "../entries/own_records.rs"]
mod own_records;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| own_records::feed(bytes));
