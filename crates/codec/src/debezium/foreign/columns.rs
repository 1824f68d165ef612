//! A field of Connect's as a column of a table.

use super::values::{Column, Reading};
use crate::connect::{Field, Kind, Schema};
use cdc_core::{Column as SchemaColumn, DataType};

/// What reads a field's values, and the column they belong to.
pub(super) fn of_field(field: &Field) -> (Column, SchemaColumn) {
    let (data_type, native_type, reading) = declared(&field.schema, type_of(&field.schema));
    let column = SchemaColumn {
        name: field.name.clone(),
        data_type,
        native_type,
        nullable: field.schema.optional,
        number: None,
        missing: None,
        default: None,
    };
    (Column { label: field.name.clone(), reading }, column)
}

/// The type as `column.propagate.source.type` tells it, where the form of the values allows it.
fn declared(schema: &Schema, read: Typed) -> Typed {
    let Some(name) = parameter::<String>(schema, "__debezium.source.column.type") else {
        return read;
    };
    let length = parameter::<u32>(schema, "__debezium.source.column.length");
    // Connect's largest length stands for none.
    let length = length.filter(|length| *length != i32::MAX.unsigned_abs());
    let of_length = |name: &str| match length {
        Some(length) => format!("{name}({length})"),
        None => name.to_owned(),
    };
    let (data_type, native_type, reading) = read;
    match (name.to_ascii_lowercase().as_str(), &data_type) {
        ("varchar", DataType::Text) => (data_type, of_length("character varying"), reading),
        ("bpchar" | "char", DataType::Text) => (data_type, of_length("character"), reading),
        ("json", DataType::Json) => (data_type, "json".to_owned(), reading),
        (other, DataType::Text) if AS_TEXT.contains(&other) => {
            (DataType::Other, other.to_owned(), reading)
        }
        ("varbit", DataType::Other) => {
            let native_type = of_length("bit varying");
            (data_type, native_type, Reading::Bits { length: 0 })
        }
        ("numeric" | "decimal", DataType::Decimal { scale: Some(scale), .. }) => {
            let scale = *scale;
            let native_type = match length {
                Some(length) => format!("numeric({length},{scale})"),
                None => native_type,
            };
            (DataType::Decimal { precision: length, scale: Some(scale) }, native_type, reading)
        }
        _ => (data_type, native_type, reading),
    }
}

/// Types that records tell as PostgreSQL prints them.
const AS_TEXT: [&str; 14] = [
    "cidr",
    "citext",
    "daterange",
    "inet",
    "int4range",
    "int8range",
    "macaddr",
    "macaddr8",
    "numrange",
    "tsquery",
    "tsrange",
    "tstzrange",
    "line",
    "box",
];

/// A type of ours, how PostgreSQL calls it, and how its values are read.
type Typed = (DataType, String, Reading);

fn typed(data_type: DataType, native_type: &str, reading: Reading) -> Typed {
    (data_type, native_type.to_owned(), reading)
}

fn type_of(schema: &Schema) -> Typed {
    if let Some(name) = schema.name.as_deref()
        && let Some(typed) = semantic(name, schema)
    {
        return typed;
    }
    match &schema.kind {
        Kind::Boolean => typed(DataType::Bool, "boolean", Reading::Bool),
        Kind::Int8 | Kind::Int16 => typed(DataType::Int16, "smallint", Reading::Int),
        Kind::Int32 => typed(DataType::Int32, "integer", Reading::Int),
        Kind::Int64 => typed(DataType::Int64, "bigint", Reading::Int),
        Kind::Float32 => typed(DataType::Float32, "real", Reading::Float32),
        Kind::Float64 => typed(DataType::Float64, "double precision", Reading::Float64),
        Kind::String => typed(DataType::Text, "text", Reading::Text),
        Kind::Bytes => typed(DataType::Bytes, "bytea", Reading::Bytes),
        Kind::Array(items) => {
            let (data_type, native_type, reading) = type_of(items);
            match (data_type, &reading) {
                // Nothing in an array's schema says that all its items have the same length.
                (DataType::Array(_), _) | (_, Reading::Document) => json(),
                (data_type, _) => (
                    DataType::Array(Box::new(data_type)),
                    format!("{native_type}[]"),
                    Reading::Array(Box::new(reading)),
                ),
            }
        }
        Kind::Map(..) | Kind::Struct(_) => json(),
    }
}

fn json() -> Typed {
    typed(DataType::Json, "jsonb", Reading::Document)
}

/// The types that have a name; one whose name says nothing that we know is read by its kind.
fn semantic(name: &str, schema: &Schema) -> Option<Typed> {
    let time = |precision| DataType::Time { precision };
    let stamp = |precision| DataType::Timestamp { precision };
    Some(match name {
        "org.apache.kafka.connect.data.Decimal" => decimal(schema)?,
        "io.debezium.data.VariableScaleDecimal" => typed(
            DataType::Decimal { precision: None, scale: None },
            "numeric",
            Reading::AnyDecimal,
        ),
        "io.debezium.time.Date" | "org.apache.kafka.connect.data.Date" => {
            typed(DataType::Date, "date", Reading::Days)
        }
        "io.debezium.time.IsoDate" => typed(DataType::Date, "date", Reading::IsoDate),
        "io.debezium.time.Time" | "org.apache.kafka.connect.data.Time" => {
            typed(time(Some(3)), "time(3) without time zone", Reading::Time { nanos: 1_000_000 })
        }
        "io.debezium.time.MicroTime" => {
            typed(time(None), "time without time zone", Reading::Time { nanos: 1_000 })
        }
        "io.debezium.time.NanoTime" => {
            typed(time(None), "time without time zone", Reading::Time { nanos: 1 })
        }
        "io.debezium.time.IsoTime" => typed(time(None), "time without time zone", Reading::IsoTime),
        "io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp" => typed(
            stamp(Some(3)),
            "timestamp(3) without time zone",
            Reading::Timestamp { per_second: 1_000 },
        ),
        "io.debezium.time.MicroTimestamp" => typed(
            stamp(None),
            "timestamp without time zone",
            Reading::Timestamp { per_second: 1_000_000 },
        ),
        "io.debezium.time.NanoTimestamp" => typed(
            stamp(None),
            "timestamp without time zone",
            Reading::Timestamp { per_second: 1_000_000_000 },
        ),
        "io.debezium.time.IsoTimestamp" => {
            typed(stamp(None), "timestamp without time zone", Reading::IsoTimestamp)
        }
        "io.debezium.time.ZonedTimestamp" => typed(
            DataType::TimestampTz { precision: None },
            "timestamp with time zone",
            Reading::ZonedTimestamp,
        ),
        "io.debezium.time.ZonedTime" => {
            typed(DataType::TimeTz { precision: None }, "time with time zone", Reading::ZonedTime)
        }
        "io.debezium.time.MicroDuration" => {
            typed(DataType::Interval, "interval", Reading::MicroDuration)
        }
        "io.debezium.time.Interval" => typed(DataType::Interval, "interval", Reading::IsoInterval),
        "io.debezium.data.Uuid" => typed(DataType::Uuid, "uuid", Reading::Uuid),
        "io.debezium.data.Json" => typed(DataType::Json, "jsonb", Reading::JsonText),
        "io.debezium.data.Xml" => typed(DataType::Other, "xml", Reading::Text),
        "io.debezium.data.Tsvector" => typed(DataType::Other, "tsvector", Reading::Text),
        "io.debezium.data.geometry.Point" => typed(DataType::Other, "point", Reading::Point),
        "io.debezium.data.Bits" => bits(schema)?,
        _ => return None,
    })
}

fn parameter<T: std::str::FromStr>(schema: &Schema, name: &str) -> Option<T> {
    let found = schema.parameters.iter().find(|(key, _)| key == name);
    found.and_then(|(_, value)| value.parse().ok())
}

fn decimal(schema: &Schema) -> Option<Typed> {
    let scale: i32 = parameter(schema, "scale")?;
    let precision: Option<u32> = parameter(schema, "connect.decimal.precision");
    let data_type = DataType::Decimal { precision, scale: Some(scale) };
    let native_type = match precision {
        Some(precision) => format!("numeric({precision},{scale})"),
        None => "numeric".to_owned(),
    };
    Some((data_type, native_type, Reading::Decimal { scale }))
}

/// A length says that all bits are there, which holds for `bit(n)`; `varbit(n)` has zeros put in front.
fn bits(schema: &Schema) -> Option<Typed> {
    let length: u32 = parameter(schema, "length")?;
    Some(if length == i32::MAX.unsigned_abs() {
        typed(DataType::Other, "bit varying", Reading::Bits { length: 0 })
    } else {
        let native_type = format!("bit({length})");
        (DataType::Other, native_type, Reading::Bits { length })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn propagated_types_are_taken() {
        let of = |schema: Schema, name: &str, length: &str| {
            let schema = schema
                .parameter("__debezium.source.column.type", name)
                .parameter("__debezium.source.column.length", length);
            let (_, column) = of_field(&Field::new("c", schema));
            (column.data_type, column.native_type)
        };
        let text = || Schema::new(Kind::String);
        let cases = [
            (text(), "VARCHAR", "20", DataType::Text, "character varying(20)"),
            (text(), "VARCHAR", "2147483647", DataType::Text, "character varying"),
            (text(), "BPCHAR", "3", DataType::Text, "character(3)"),
            (text(), "INET", "2147483647", DataType::Other, "inet"),
            (text(), "something", "1", DataType::Text, "text"),
            (Schema::new(Kind::Int32), "VARCHAR", "20", DataType::Int32, "integer"),
        ];
        for (schema, name, length, data_type, native_type) in cases {
            assert_eq!(of(schema, name, length), (data_type, native_type.to_owned()), "{name}");
        }
    }
}
