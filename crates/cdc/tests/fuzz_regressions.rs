//! Every input that the fuzzer keeps, on the stable toolchain.

#[path = "../../../fuzz/entries/configuration.rs"]
mod configuration;
#[path = "../../../fuzz/entries/files.rs"]
mod files;

#[test]
fn kept_files_are_read_or_refused() {
    files::feed_all("configuration", configuration::feed);
}
