#![no_main]

#[path = "../entries/debezium_json.rs"]
mod debezium_json;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| debezium_json::feed(bytes));
