#![no_main]

#[path = "../entries/configuration.rs"]
mod configuration;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| configuration::feed(bytes));
