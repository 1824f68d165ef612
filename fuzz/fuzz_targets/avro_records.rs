#![no_main]

#[path = "../entries/avro_records.rs"]
mod avro_records;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| avro_records::feed(bytes));
