#![no_main]

#[path = "../entries/postgres_values.rs"]
mod postgres_values;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| postgres_values::feed(bytes));
