//! Every input that the fuzzer keeps, on the stable toolchain.

#[path = "../../../fuzz/entries/avro_records.rs"]
mod avro_records;
#[path = "../../../fuzz/entries/debezium_json.rs"]
mod debezium_json;
#[path = "../../../fuzz/entries/files.rs"]
mod files;
#[path = "../../../fuzz/entries/log_rows.rs"]
mod log_rows;
#[path = "../../../fuzz/entries/own_records.rs"]
mod own_records;

#[test]
fn kept_inputs_are_decoded_or_refused() {
    files::feed_all("avro_records", avro_records::feed);
    files::feed_all("log_rows", log_rows::feed);
}

#[test]
fn kept_foreign_records_are_decoded_or_refused() {
    files::feed_all("debezium_json", debezium_json::feed);
}

#[test]
fn kept_records_of_our_own_are_read_or_refused() {
    files::feed_all("own_records", own_records::feed);
}
