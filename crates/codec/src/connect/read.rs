//! A schema from the JSON that Kafka's JSON converter prints.

use super::{Field, Kind, Literal, Schema};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value as Json;

/// Structs, arrays and maps within each other; Debezium's records need five.
const DEPTH_MAX: usize = 64;

/// The JSON is no schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableSchema {
    /// It is not an object with a type.
    #[error("the schema has no type")]
    NoType,
    /// Its type is none of Connect's.
    #[error("the schema has a type that Connect does not know")]
    UnknownType,
    /// A struct without fields, an array without items, a map without keys or values, a field without
    /// a name.
    #[error("the schema lacks the schemas of its parts")]
    Incomplete,
    /// It is nested deeper than any record.
    #[error("the schema is nested too deeply")]
    TooDeep,
}

/// Reads a schema.
///
/// # Errors
/// When the JSON is not what Kafka's JSON converter prints.
pub fn read(json: &Json) -> Result<Schema, UnreadableSchema> {
    read_at(json, 0)
}

fn read_at(json: &Json, depth: usize) -> Result<Schema, UnreadableSchema> {
    if depth > DEPTH_MAX {
        return Err(UnreadableSchema::TooDeep);
    }
    let text = |name: &str| json.get(name).and_then(Json::as_str).map(str::to_owned);
    let kind = read_kind(json, depth)?;
    let parameters = json.get("parameters").and_then(Json::as_object);
    let parameters = parameters.into_iter().flatten();
    let default = json.get("default").and_then(|default| literal(&kind, default));
    Ok(Schema {
        optional: json.get("optional").and_then(Json::as_bool).unwrap_or(false),
        name: text("name"),
        version: json.get("version").and_then(Json::as_i64).and_then(|n| i32::try_from(n).ok()),
        parameters: parameters
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect(),
        default,
        doc: text("doc"),
        kind,
    })
}

fn read_kind(json: &Json, depth: usize) -> Result<Kind, UnreadableSchema> {
    let part = |name: &str| {
        let part = json.get(name).ok_or(UnreadableSchema::Incomplete)?;
        read_at(part, depth + 1).map(Box::new)
    };
    let name = json.get("type").and_then(Json::as_str).ok_or(UnreadableSchema::NoType)?;
    Ok(match name {
        "boolean" => Kind::Boolean,
        "int8" => Kind::Int8,
        "int16" => Kind::Int16,
        "int32" => Kind::Int32,
        "int64" => Kind::Int64,
        "float" => Kind::Float32,
        "double" => Kind::Float64,
        "string" => Kind::String,
        "bytes" => Kind::Bytes,
        "array" => Kind::Array(part("items")?),
        "map" => Kind::Map(part("keys")?, part("values")?),
        "struct" => {
            let fields = json.get("fields").and_then(Json::as_array);
            let fields = fields.ok_or(UnreadableSchema::Incomplete)?.iter().map(|field| {
                let name = field.get("field").and_then(Json::as_str);
                let name = name.ok_or(UnreadableSchema::Incomplete)?;
                Ok(Field::new(name, read_at(field, depth + 1)?))
            });
            Kind::Struct(fields.collect::<Result<_, _>>()?)
        }
        _ => return Err(UnreadableSchema::UnknownType),
    })
}

/// A default of another form than its type's is none.
pub(super) fn literal(kind: &Kind, json: &Json) -> Option<Literal> {
    match kind {
        Kind::Boolean => json.as_bool().map(Literal::Boolean),
        Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64 => json.as_i64().map(Literal::Integer),
        Kind::Float32 | Kind::Float64 => json.as_f64().map(Literal::Float),
        Kind::String => json.as_str().map(|text| Literal::Text(text.to_owned())),
        Kind::Bytes => STANDARD.decode(json.as_str()?).ok().map(Literal::Bytes),
        Kind::Array(_) => empty_array(json),
        Kind::Map(..) | Kind::Struct(_) => None,
    }
}

/// No default with items is ever written.
pub(super) fn empty_array(json: &Json) -> Option<Literal> {
    json.as_array().filter(|items| items.is_empty()).map(|_| Literal::EmptyArray)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::print;

    #[test]
    fn a_schema_reads_back_as_it_was_printed() {
        let place = Schema::new(Kind::Bytes)
            .named("org.apache.kafka.connect.data.Decimal")
            .version(1)
            .parameter("scale", "2")
            .parameter("connect.decimal.precision", "10")
            .default_value(Literal::Bytes(vec![0, 1]))
            .optional();
        let text = Schema::new(Kind::String).default_value(Literal::Text("a\"b".to_owned()));
        let map = Kind::Map(
            Box::new(Schema::new(Kind::String)),
            Box::new(Schema::array_of(Schema::new(Kind::Float32))),
        );
        let schema = Schema::of_fields(vec![
            Field::new("price", place),
            Field::new("na\"me", text),
            Field::new("tags", Schema::new(map).doc("by name")),
            Field::new("flag", Schema::new(Kind::Boolean).default_value(Literal::Boolean(true))),
            Field::new("n", Schema::new(Kind::Int8).default_value(Literal::Integer(-3))),
            Field::new("x", Schema::new(Kind::Float64).default_value(Literal::Float(1.5))),
        ])
        .named("a.b.Value")
        .version(2);
        let mut out = Vec::new();
        print(&schema, &mut out);
        assert_eq!(read(&serde_json::from_slice(&out).unwrap()), Ok(schema));
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        let mut deep = serde_json::json!({"type": "string"});
        for _ in 0..=DEPTH_MAX {
            deep = serde_json::json!({"type": "array", "items": deep});
        }
        for (json, expected) in [
            (serde_json::json!(null), UnreadableSchema::NoType),
            (serde_json::json!({"type": "date"}), UnreadableSchema::UnknownType),
            (
                serde_json::json!({"type": "map", "keys": {"type": "string"}}),
                UnreadableSchema::Incomplete,
            ),
            (
                serde_json::json!({"type": "struct", "fields": [{"type": "string"}]}),
                UnreadableSchema::Incomplete,
            ),
            (deep, UnreadableSchema::TooDeep),
        ] {
            assert_eq!(read(&json), Err(expected));
        }
    }
}
