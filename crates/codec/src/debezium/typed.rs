//! Formats with schemas say the same as JSON with schemas.

use super::golden::{change, column, schema};
use super::options::{BinaryMode, DecimalMode, HstoreMode, IntervalMode, Options, TimeMode};
use super::properties::any_sample;
use super::{Envelopes, Telling};
use crate::connect::sample::Told;
use crate::connect::{JsonWriter, NameAdjustment, Unsayable, avro, protobuf};
use cdc_core::{Change, Column, ColumnDefault, Error, Operation, Row, Value};
use proptest::prelude::*;
use std::time::UNIX_EPOCH;

fn any_options() -> impl Strategy<Value = Options> {
    let decimals =
        prop::sample::select(vec![DecimalMode::Precise, DecimalMode::Double, DecimalMode::String]);
    let times = prop::sample::select(vec![
        TimeMode::Adaptive,
        TimeMode::Connect,
        TimeMode::Isostring,
        TimeMode::Nanoseconds,
    ]);
    let binary = prop::sample::select(vec![BinaryMode::Bytes, BinaryMode::Hex]);
    let hstore = prop::sample::select(vec![HstoreMode::Json, HstoreMode::Map]);
    let intervals = prop::sample::select(vec![IntervalMode::Numeric, IntervalMode::String]);
    (decimals, times, binary, hstore, intervals).prop_map(
        |(decimals, times, binary, hstore, intervals)| Options {
            decimals,
            times,
            binary,
            hstore,
            intervals,
            schema_names: NameAdjustment::Avro,
            field_names: NameAdjustment::Avro,
            ..Options::default()
        },
    )
}

/// The default that is this value, where there is one.
fn default_of(value: &Value) -> ColumnDefault {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match value {
        Value::Bool(value) => ColumnDefault::Bool(*value),
        Value::Int(value) => ColumnDefault::Int(*value),
        Value::Float32(value) => ColumnDefault::Number(value.to_string()),
        Value::Float64(value) => ColumnDefault::Number(value.to_string()),
        Value::Decimal(digits) => ColumnDefault::Number(text(digits)),
        Value::Text(bytes) | Value::Json(bytes) => ColumnDefault::Text(text(bytes)),
        Value::Date(days) => ColumnDefault::Date(*days),
        Value::Time(nanos) => ColumnDefault::Time(*nanos),
        Value::Timestamp(at) | Value::TimestampTz(at) => {
            at.to_micros().map_or(ColumnDefault::Computed, ColumnDefault::Timestamp)
        }
        Value::Interval { months, days, micros } => {
            ColumnDefault::Interval { months: *months, days: *days, micros: *micros }
        }
        Value::Array(_) => ColumnDefault::EmptyArray,
        _ => ColumnDefault::Computed,
    }
}

fn any_change() -> impl Strategy<Value = Change> {
    let cell = (any_sample(), 0_u8..16);
    let operations = vec![Operation::Insert, Operation::Update, Operation::Delete];
    (prop::collection::vec(cell, 1..7), prop::sample::select(operations)).prop_map(
        |(cells, operation)| {
            let columns: Vec<Column> = cells
                .iter()
                .enumerate()
                .map(|(at, (sample, chance))| Column {
                    nullable: chance % 2 == 0,
                    default: match chance {
                        0..8 => Some(default_of(&sample.value)),
                        8..10 => Some(ColumnDefault::Computed),
                        _ => None,
                    },
                    ..column(&format!("c-{at}"), sample.data_type.clone(), sample.native_type)
                })
                .collect();
            let row: Row = cells
                .iter()
                .map(|(sample, chance)| match chance % 8 {
                    0 => Value::Null,
                    1 | 2 => Value::Unchanged,
                    _ => sample.value.clone(),
                })
                .collect();
            let (before, after) = match operation {
                Operation::Insert => (None, Some(row)),
                Operation::Delete => (Some(row), None),
                _ => (Some(row.clone()), Some(row)),
            };
            change(&schema(columns, &[]), operation, before, after)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn avro_says_what_json_with_schemas_says(change in any_change(), options in any_options()) {
        let mut envelopes = Envelopes::new("cdc", options);
        let schema = envelopes.value_schema(&change.schema);
        let plan = avro::Plan::new(&schema).unwrap();
        let telling = Telling::whole(UNIX_EPOCH);
        let mut json = Vec::new();
        let said = envelopes.write_value(&change, telling, &mut JsonWriter::new(&mut json, true));
        let mut out = Vec::new();
        let written = plan.write(7, &mut out, |out| envelopes.write_value(&change, telling, out));
        if let Err(error) = said {
            let refused: Error = written.unwrap_err();
            prop_assert_eq!((refused.code, out.len()), (error.code, 0));
            return Ok(());
        }
        let payload = serde_json::from_slice(&json).unwrap();
        let expected = Told::of_json(&schema, &payload);
        match written {
            Ok(()) => {
                let read = avro::properties::oracle(&plan, &schema, &out[5..]);
                prop_assert!(read.is_close(&expected), "{:?} for {:?}", read, expected);
            }
            // JSON says null even where the schema does not allow it.
            Err(error) => prop_assert_eq!((error.code, out.len()), ("CDC-4241", 0)),
        }
    }
    #[test]
    fn protobuf_can_be_read_wherever_it_can_be_written(
        change in any_change(),
        options in any_options(),
    ) {
        let mut envelopes = Envelopes::new("cdc", options);
        let schema = envelopes.value_schema(&change.schema);
        let plan = match protobuf::Plan::new(&schema, protobuf::Nullables::Optional) {
            Ok(plan) => plan,
            // Arrays of `hstore`, where that is a map.
            Err(refused) => {
                prop_assert!(matches!(refused, Unsayable::Shape { .. }), "{}", refused);
                return Ok(());
            }
        };
        let telling = Telling::whole(UNIX_EPOCH);
        let mut out = Vec::new();
        let written = plan.write(7, &mut out, |out| envelopes.write_value(&change, telling, out));
        match written {
            Ok(()) => drop(protobuf::properties::oracle(&plan, &schema, &out[6..])),
            Err(error) => {
                let _: &Error = &error;
                prop_assert!(out.is_empty(), "{}", error);
            }
        }
    }
}
