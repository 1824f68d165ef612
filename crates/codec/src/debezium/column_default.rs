//! Defaults of columns as Connect has them: a literal in the column's schema.

use super::form::Form;
use super::value;
use crate::connect::{Label, Literal, Writer};
use bytes::Bytes;
use cdc_core::{Array, Column, ColumnDefault, DataType, Timestamp, Value};

/// The literal of a column's default; `None` without one, and where its form has no literal. What the
/// database computes for each row is the type's zero, as Debezium has it.
pub(super) fn literal(column: &Column, form: &Form) -> Option<Literal> {
    let value = match column.default.as_ref()? {
        ColumnDefault::Computed => zero(column)?,
        default => constant(default, &column.data_type)?,
    };
    let mut out = Captured::default();
    value::write(&mut out, &value, form).ok()?;
    out.literal.filter(|_| !out.spoiled)
}

/// Writes a literal in the form of its column.
pub(super) fn write<W: Writer>(out: &mut W, literal: &Literal, form: &Form) {
    match literal {
        Literal::Boolean(value) => out.boolean(*value),
        Literal::Integer(value) => out.integer(*value),
        #[expect(clippy::cast_possible_truncation, reason = "it was one")]
        Literal::Float(value) if *form == Form::Float32 => out.float32(*value as f32),
        Literal::Float(value) => out.float64(*value),
        Literal::Text(value) => out.string(value),
        Literal::Bytes(value) => out.bytes(value),
        Literal::EmptyArray => {
            out.begin_array(0);
            out.end_array();
        }
    }
}

fn constant(default: &ColumnDefault, data_type: &DataType) -> Option<Value> {
    let bytes = |text: &String| Bytes::from(text.clone());
    Some(match (default, data_type) {
        (ColumnDefault::Bool(value), DataType::Bool) => Value::Bool(*value),
        (ColumnDefault::Int(value), DataType::UInt64) => Value::UInt(u64::try_from(*value).ok()?),
        (ColumnDefault::Int(value), _) => Value::Int(*value),
        (ColumnDefault::Number(text), DataType::Float32) => Value::Float32(text.parse().ok()?),
        (ColumnDefault::Number(text), DataType::Float64) => Value::Float64(text.parse().ok()?),
        (ColumnDefault::Number(text), _) => Value::Decimal(bytes(text)),
        (ColumnDefault::Text(text), DataType::Json) => Value::Json(bytes(text)),
        (ColumnDefault::Text(text), _) => Value::Text(bytes(text)),
        (ColumnDefault::Uuid(text), _) => {
            Value::Uuid(uuid::Uuid::try_parse(text).ok()?.into_bytes())
        }
        (ColumnDefault::Date(days), _) => Value::Date(*days),
        (ColumnDefault::Time(nanos), _) => Value::Time(*nanos),
        (ColumnDefault::Timestamp(micros), DataType::TimestampTz { .. }) => {
            Value::TimestampTz(Timestamp::from_micros(*micros))
        }
        (ColumnDefault::Timestamp(micros), _) => Value::Timestamp(Timestamp::from_micros(*micros)),
        (ColumnDefault::Interval { months, days, micros }, _) => {
            Value::Interval { months: *months, days: *days, micros: *micros }
        }
        (ColumnDefault::EmptyArray, _) => {
            Value::Array(Box::new(Array { dimensions: Vec::new(), elements: Vec::new() }))
        }
        (ColumnDefault::Bool(_) | ColumnDefault::Computed, _) => return None,
    })
}

/// What stands for a value that nobody knows before the row is there; of the types for which Debezium
/// makes one up.
fn zero(column: &Column) -> Option<Value> {
    let epoch = Timestamp { seconds: 0, nanos: 0 };
    Some(match &column.data_type {
        DataType::Bool => Value::Bool(false),
        DataType::Int16 | DataType::Int32 | DataType::Int64 => Value::Int(0),
        DataType::UInt64 => Value::UInt(0),
        DataType::Float32 => Value::Float32(0.0),
        DataType::Float64 => Value::Float64(0.0),
        DataType::Decimal { scale, .. } => {
            let digits = scale.and_then(|scale| usize::try_from(scale).ok()).unwrap_or(0);
            let zero = if digits == 0 { "0".to_owned() } else { format!("0.{:0digits$}", 0) };
            Value::Decimal(Bytes::from(zero))
        }
        DataType::Text => Value::text(""),
        DataType::Json => Value::Json(Bytes::from_static(b"{}")),
        DataType::Date => Value::Date(0),
        DataType::Time { .. } => Value::Time(0),
        DataType::Timestamp { .. } => Value::Timestamp(epoch),
        DataType::TimestampTz { .. } => Value::TimestampTz(epoch),
        DataType::Interval => Value::Interval { months: 0, days: 0, micros: 0 },
        DataType::Uuid => Value::Uuid([0; 16]),
        DataType::Other if column.native_type.starts_with("bit") => Value::text("0"),
        DataType::Other if column.native_type == "xml" => Value::text(""),
        DataType::Bytes
        | DataType::TimeTz { .. }
        | DataType::Enum { .. }
        | DataType::Array(_)
        | DataType::Other => return None,
    })
}

/// Takes one value that is neither null nor made of parts.
#[derive(Default)]
struct Captured {
    literal: Option<Literal>,
    spoiled: bool,
}

impl Captured {
    fn take(&mut self, literal: Literal) {
        self.spoiled |= self.literal.is_some();
        self.literal = Some(literal);
    }

    /// No format has a word for what is not finite.
    fn number(&mut self, value: Option<f64>) {
        match value.filter(|value| value.is_finite()) {
            Some(value) => self.take(Literal::Float(value)),
            None => self.spoiled = true,
        }
    }
}

impl Writer for Captured {
    fn null(&mut self) {
        self.spoiled = true;
    }

    fn boolean(&mut self, value: bool) {
        self.take(Literal::Boolean(value));
    }

    fn integer(&mut self, value: i64) {
        self.take(Literal::Integer(value));
    }

    fn float32(&mut self, value: f32) {
        // The digits that a single-precision number is printed with.
        self.number(value.to_string().parse().ok());
    }

    fn float64(&mut self, value: f64) {
        self.number(Some(value));
    }

    fn string(&mut self, value: &str) {
        self.take(Literal::Text(value.to_owned()));
    }

    fn bytes(&mut self, value: &[u8]) {
        self.take(Literal::Bytes(value.to_vec()));
    }

    fn begin_struct(&mut self) {
        self.spoiled = true;
    }

    fn field(&mut self, _: &Label) {}

    fn end_struct(&mut self) {}

    fn begin_array(&mut self, length: usize) {
        self.spoiled |= length > 0;
        self.take(Literal::EmptyArray);
    }

    fn item(&mut self) {}

    fn end_array(&mut self) {}

    fn begin_map(&mut self, _: usize) {
        self.spoiled = true;
    }

    fn key(&mut self, _: &str) {}

    fn end_map(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::super::golden::{change, column, schema};
    use super::super::options::DecimalMode;
    use super::super::{Envelopes, Options, Telling};
    use super::*;
    use crate::connect::{JsonWriter, NameAdjustment, avro};
    use cdc_core::Operation;
    use serde_json::{Value as Json, json};
    use std::time::UNIX_EPOCH;

    fn with(data_type: DataType, native_type: &str, default: ColumnDefault) -> Column {
        Column { default: Some(default), ..column("c", data_type, native_type) }
    }

    fn literal_of(column: &Column, options: &Options) -> Option<Literal> {
        literal(column, &Form::of(column, options))
    }

    #[test]
    fn what_is_computed_is_the_zero_that_debezium_makes_up() {
        let usual = Options::default();
        let text = |text: &str| Some(Literal::Text(text.to_owned()));
        for (data_type, native_type, expected) in [
            (DataType::Bool, "boolean", Some(Literal::Boolean(false))),
            (DataType::Int32, "integer", Some(Literal::Integer(0))),
            (DataType::Text, "text", text("")),
            (DataType::Json, "jsonb", text("{}")),
            (DataType::Uuid, "uuid", text("00000000-0000-0000-0000-000000000000")),
            (DataType::Date, "date", Some(Literal::Integer(0))),
            (
                DataType::TimestampTz { precision: None },
                "timestamp with time zone",
                text("1970-01-01T00:00:00.000000Z"),
            ),
            (
                DataType::Decimal { precision: Some(10), scale: Some(2) },
                "numeric(10,2)",
                Some(Literal::Bytes(vec![0])),
            ),
            // A struct has no default.
            (DataType::Decimal { precision: None, scale: None }, "numeric", None),
            (DataType::Other, "bit(1)", Some(Literal::Boolean(false))),
            (DataType::Other, "inet", None),
            (DataType::Bytes, "bytea", None),
            (DataType::Enum { labels: vec!["a".to_owned()] }, "mood", None),
        ] {
            let column = with(data_type, native_type, ColumnDefault::Computed);
            assert_eq!(literal_of(&column, &usual), expected, "{native_type}");
        }
    }

    #[test]
    fn a_default_is_in_the_form_of_its_column() {
        let decimal = || DataType::Decimal { precision: Some(10), scale: Some(2) };
        let price = with(decimal(), "numeric(10,2)", ColumnDefault::Number("1.25".to_owned()));
        for (decimals, expected) in [
            (DecimalMode::Precise, Literal::Bytes(vec![125])),
            (DecimalMode::Double, Literal::Float(1.25)),
            (DecimalMode::String, Literal::Text("1.25".to_owned())),
        ] {
            let options = Options { decimals, ..Options::default() };
            assert_eq!(literal_of(&price, &options), Some(expected));
        }
        let usual = Options::default();
        let single = with(DataType::Float32, "real", ColumnDefault::Number("0.1".to_owned()));
        assert_eq!(literal_of(&single, &usual), Some(Literal::Float(0.1)));
        let list = DataType::Array(Box::new(DataType::Text));
        let list = with(list, "text[]", ColumnDefault::EmptyArray);
        assert_eq!(literal_of(&list, &usual), Some(Literal::EmptyArray));
        let odd = with(DataType::Text, "text", ColumnDefault::Bool(true));
        assert_eq!(literal_of(&odd, &usual), None);
    }

    #[test]
    fn null_stays_null_and_what_was_not_logged_is_the_default() {
        let int = |name: &str, nullable, default| Column {
            name: name.to_owned(),
            nullable,
            ..with(DataType::Int32, "integer", ColumnDefault::Int(default))
        };
        let schema = schema(vec![int("id", false, 7), int("n", false, 8), int("o", true, 9)], &[0]);
        let before = Box::new([Value::Int(1), Value::Unchanged, Value::Unchanged]);
        let after = Box::new([Value::Int(1), Value::Int(2), Value::Null]);
        let update = change(&schema, Operation::Update, Some(before), Some(after));
        let options = Options {
            schema_names: NameAdjustment::Avro,
            field_names: NameAdjustment::Avro,
            ..Options::default()
        };
        let mut envelopes = Envelopes::new("cdc", options);
        let telling = Telling::whole(UNIX_EPOCH);
        let mut told = Vec::new();
        envelopes.write_value(&update, telling, &mut JsonWriter::new(&mut told, true)).unwrap();
        let expected = [json!({"id": 1, "n": 8, "o": null}), json!({"id": 1, "n": 2, "o": null})];
        let images = |json: &Json| [json["before"].clone(), json["after"].clone()];
        assert_eq!(images(&serde_json::from_slice(&told).unwrap()), expected);
        let plan = avro::Plan::new(&envelopes.value_schema(&schema)).unwrap();
        let mut record = Vec::new();
        plan.write(1, &mut record, |out| envelopes.write_value(&update, telling, out)).unwrap();
        let mut told = Vec::new();
        avro::Reader::new(plan.text()).unwrap().json(&record[5..], &mut told).unwrap();
        let told: Json = serde_json::from_slice(&told).unwrap();
        assert_eq!(images(&told["payload"]), expected);
        let text: Json = serde_json::from_str(plan.text()).unwrap();
        let field = &text["fields"][0]["type"][1]["fields"][2];
        let number = json!({"type": "int", "connect.default": 9});
        assert_eq!(*field, json!({"name": "o", "type": [number, "null"], "default": 9}));
    }
}
