//! Every input that the fuzzer keeps, on the stable toolchain.

#[path = "../../../fuzz/entries/files.rs"]
mod files;
#[path = "../../../fuzz/entries/schemas.rs"]
mod schemas;

#[test]
fn kept_inputs_are_read_or_refused() {
    files::feed_all("schemas", schemas::feed);
}
