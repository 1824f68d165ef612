//! Records of our own topics: a byte for the format, the header that names the schema up to a line's end,
//! the header of what was not logged up to the next, and the value.

use cdc_codec::connect::avro;
use cdc_codec::debezium::{Encoding, Mark, Options, Payload, Records, SCHEMA_HEADER, TableReader};
use cdc_core::{Column, DataType, Header, Position, TableId, TableSchema};
use std::sync::Arc;

/// Any bytes are refused or read, twice the same way, and always as a row of the schema.
pub(super) fn feed(bytes: &[u8]) {
    let Some((format, rest)) = bytes.split_first() else { return };
    let (mark, rest) = line(rest);
    let (unchanged, value) = line(rest);
    let Ok(mark) = Mark::read(mark) else { return };
    assert_eq!(Mark::read(&mark.value()), Ok(mark.clone()), "a mark is read as it was written");
    let schema = table();
    let reader = TableReader::new(Arc::clone(&schema), &mark);
    let header = |name: &str, value: &[u8]| Header {
        name: name.into(),
        value: bytes::Bytes::copy_from_slice(value),
    };
    let headers = [header("cdc.unchanged", unchanged), header(SCHEMA_HEADER, &mark.value())];
    let avro = avro_reader(&schema, &mark.options());
    let payload = match format % 3 {
        0 => Payload::Json(value),
        1 => Payload::Avro(&avro, value),
        _ => Payload::Protobuf(value),
    };
    let read = || reader.read(payload, &headers, Position::new(1, 1));
    let once = read();
    assert_eq!(format!("{once:?}"), format!("{:?}", read()));
    let Ok(change) = once else { return };
    for row in [&change.before, &change.after].into_iter().flatten() {
        assert_eq!(row.len(), schema.columns.len());
    }
}

fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (line, rest) = bytes.split_at(at);
    (line, rest.strip_prefix(b"\n").unwrap_or(rest))
}

fn avro_reader(schema: &Arc<TableSchema>, options: &Options) -> avro::Reader {
    let records = Records::encoded("p", "d", options.clone(), Encoding::Avro, Encoding::Avro);
    let planned = records.plan(schema);
    let text = &planned.registrations().last().expect("a value's schema").schema.text;
    avro::Reader::new(text).expect("our own schema is read")
}

/// A column of every kind of form.
fn table() -> Arc<TableSchema> {
    let types = [
        (DataType::Int32, "integer"),
        (DataType::UInt64, "xid8"),
        (DataType::Float32, "real"),
        (DataType::Float64, "double precision"),
        (DataType::Decimal { precision: None, scale: None }, "numeric"),
        (DataType::Decimal { precision: Some(9), scale: Some(2) }, "numeric(9,2)"),
        (DataType::Text, "text"),
        (DataType::Bytes, "bytea"),
        (DataType::Json, "jsonb"),
        (DataType::Date, "date"),
        (DataType::Time { precision: None }, "time"),
        (DataType::TimeTz { precision: None }, "timetz"),
        (DataType::Timestamp { precision: None }, "timestamp"),
        (DataType::TimestampTz { precision: None }, "timestamptz"),
        (DataType::Interval, "interval"),
        (DataType::Uuid, "uuid"),
        (DataType::Other, "bit(9)"),
        (DataType::Other, "bit varying"),
        (DataType::Other, "money"),
        (DataType::Other, "oid"),
        (DataType::Other, "point"),
        (DataType::Other, "hstore"),
        (DataType::Other, "geometry"),
        (DataType::Other, "vector"),
        (DataType::Array(Box::new(DataType::Int32)), "integer[]"),
        (DataType::Array(Box::new(DataType::Text)), "text[]"),
    ];
    let columns = types.into_iter().enumerate().map(|(at, (data_type, native_type))| Column {
        name: format!("c{at}"),
        data_type,
        native_type: native_type.to_owned(),
        nullable: at > 0,
        number: None,
        missing: None,
        default: None,
    });
    Arc::new(TableSchema {
        table: TableId::new("public", "t"),
        dialect: "postgres".to_owned(),
        columns: columns.collect(),
        key: vec![0],
        number: None,
    })
}
