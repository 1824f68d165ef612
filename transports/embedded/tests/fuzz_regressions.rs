//! Every input that the fuzzer keeps, on the stable toolchain.

#[path = "../../../fuzz/entries/files.rs"]
mod files;
#[path = "../../../fuzz/entries/log_frames.rs"]
mod log_frames;

#[test]
fn kept_inputs_are_decoded_or_refused() {
    files::feed_all("log_frames", log_frames::feed);
}
