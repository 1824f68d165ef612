//! Every input that the fuzzer keeps, on the stable toolchain.

#[path = "../../../fuzz/entries/files.rs"]
mod files;
#[path = "../../../fuzz/entries/pgoutput.rs"]
mod pgoutput;
#[path = "../../../fuzz/entries/postgres_values.rs"]
mod postgres_values;

#[test]
fn kept_streams_are_decoded_or_refused() {
    files::feed_all("pgoutput", pgoutput::feed);
}

#[test]
fn kept_values_are_read_or_refused() {
    files::feed_all("postgres_values", postgres_values::feed);
}
