//! Avro of foreign topics: the text of a schema, a zero byte, and the bytes of a record.

use cdc_codec::connect::avro::{AvroWriter, Plan, Reader, Unreadable};
use cdc_codec::connect::{JsonWriter, Misfit};

/// Any text is refused or is a schema; any bytes are refused or read. What was read is JSON, and can be
/// written and read again where our own writer has a form for the schema.
pub(super) fn feed(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (text, record) = bytes.split_at(at);
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Ok(reader) = Reader::new(text) else { return };
    let record = record.get(1..).unwrap_or_default();
    let mut json = Vec::new();
    if reader.read(record, &mut JsonWriter::new(&mut json, true)).is_err() {
        return;
    }
    serde_json::from_slice::<serde_json::Value>(&json).expect("what was read is JSON");
    let Ok(plan) = Plan::new(reader.schema()) else { return };
    let mut again = Vec::new();
    let mut writer = AvroWriter::new(&plan, &mut again);
    reader.read(record, &mut writer).expect("what was read is read again");
    // Null in a union of null alone with a default has another form.
    if writer.finish() != Ok::<(), Misfit>(()) {
        return;
    }
    let same = match Reader::new(plan.text()) {
        Ok(same) => same,
        // What was written out twice is named the second time, which is one step deeper.
        Err(refused) => return assert_eq!(refused, Unreadable::TooLarge),
    };
    let mut json_again = Vec::new();
    same.read(&again, &mut JsonWriter::new(&mut json_again, true)).expect("our own record is read");
}
