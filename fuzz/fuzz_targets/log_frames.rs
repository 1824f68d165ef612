#![no_main]

#[path = "../entries/log_frames.rs"]
mod log_frames;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| log_frames::feed(bytes));
