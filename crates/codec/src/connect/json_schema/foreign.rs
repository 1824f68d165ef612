//! A Connect schema from the text of any JSON Schema that Connect could have registered.

use super::super::read::literal;
use super::super::{Field, Kind, Schema, UnreadableSchema, print};
use serde_json::Value as Json;

/// Objects, arrays and choices within each other; Debezium's records need ten.
const DEPTH_MAX: usize = 64;

/// Makes JSON with schemas of records of one JSON Schema, so that what reads Debezium's JSON reads them,
/// too.
#[derive(Debug)]
pub struct Reader {
    /// `{"schema":…,"payload":`
    envelope: Vec<u8>,
}

impl Reader {
    /// Prepares a schema from its text.
    ///
    /// # Errors
    /// When the text is no schema, or one that Connect would not have made.
    pub fn new(text: &str) -> Result<Self, UnreadableSchema> {
        let schema = read(text)?;
        let mut envelope = b"{\"schema\":".to_vec();
        print(&schema, &mut envelope);
        envelope.extend_from_slice(b",\"payload\":");
        Ok(Self { envelope })
    }

    /// Appends a record, which is JSON, with its schema.
    pub fn json(&self, record: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.envelope);
        out.extend_from_slice(record);
        out.push(b'}');
    }
}

/// Reads a schema.
fn read(text: &str) -> Result<Schema, UnreadableSchema> {
    let json: Json = serde_json::from_str(text).map_err(|_| UnreadableSchema::NoType)?;
    any(&json, 0)
}

fn any(json: &Json, depth: usize) -> Result<Schema, UnreadableSchema> {
    if depth > DEPTH_MAX {
        return Err(UnreadableSchema::TooDeep);
    }
    let Some(choices) = json.get("oneOf").and_then(Json::as_array) else {
        return required(json, depth);
    };
    let is_null = |json: &&Json| json.get("type").is_some_and(|name| name == "null");
    let mut values = choices.iter().filter(|choice| !is_null(choice));
    match (values.next(), values.next()) {
        (Some(value), None) => {
            let optional = choices.len() == 2;
            Ok(any(value, depth + 1)?.with_optional(optional))
        }
        _ => Err(UnreadableSchema::UnknownType),
    }
}

fn required(json: &Json, depth: usize) -> Result<Schema, UnreadableSchema> {
    let text = |name: &str| json.get(name).and_then(Json::as_str).map(str::to_owned);
    let kind = kind(json, depth)?;
    let version = json.get("connect.version").and_then(Json::as_i64);
    let parameters = json.get("connect.parameters").and_then(Json::as_object);
    Ok(Schema {
        optional: false,
        name: text("title"),
        version: version.and_then(|version| version.try_into().ok()),
        parameters: parameters
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect(),
        default: json.get("default").and_then(|default| literal(&kind, default)),
        doc: text("description"),
        kind,
    })
}

fn kind(json: &Json, depth: usize) -> Result<Kind, UnreadableSchema> {
    let part = |name: &str| {
        let part = json.get(name).ok_or(UnreadableSchema::Incomplete)?;
        any(part, depth + 1).map(Box::new)
    };
    let name = json.get("type").and_then(Json::as_str).ok_or(UnreadableSchema::NoType)?;
    let connect = json.get("connect.type").and_then(Json::as_str);
    Ok(match (name, connect) {
        ("boolean", _) => Kind::Boolean,
        ("integer", Some("int8")) => Kind::Int8,
        ("integer", Some("int16")) => Kind::Int16,
        ("integer", Some("int32")) => Kind::Int32,
        ("integer", _) => Kind::Int64,
        ("number" | "string", Some("bytes")) => Kind::Bytes,
        ("number", Some("float32")) => Kind::Float32,
        ("number", _) => Kind::Float64,
        ("string", _) => Kind::String,
        ("array", _) => Kind::Array(part("items")?),
        ("object", Some("map")) => {
            Kind::Map(Box::new(Schema::new(Kind::String)), part("additionalProperties")?)
        }
        ("object", _) => fields(json, depth)?,
        _ => return Err(UnreadableSchema::UnknownType),
    })
}

/// Fields in the order that Connect had them in.
fn fields(json: &Json, depth: usize) -> Result<Kind, UnreadableSchema> {
    let properties = json.get("properties").and_then(Json::as_object);
    let mut fields = Vec::new();
    for (name, property) in properties.ok_or(UnreadableSchema::Incomplete)? {
        let index = property.get("connect.index").and_then(Json::as_u64);
        fields.push((index, Field::new(name.clone(), any(property, depth + 1)?)));
    }
    fields.sort_by_key(|(index, _)| *index);
    Ok(Kind::Struct(fields.into_iter().map(|(_, field)| field).collect()))
}

#[cfg(test)]
mod tests {
    use super::super::super::sample::any_schema;
    use super::super::Plan;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_schema_reads_back_as_it_was_registered(schema in any_schema()) {
            let plan = Plan::new(&schema).unwrap();
            prop_assert_eq!(read(plan.text()).unwrap(), schema);
        }

        #[test]
        fn any_text_is_a_schema_or_refused(text: String) {
            drop(read(&text));
        }
    }

    #[test]
    fn what_connect_would_not_have_made_is_refused() {
        for text in [
            "",
            "[]",
            r#"{"type":"date"}"#,
            r#"{"type":"object"}"#,
            r#"{"type":"array"}"#,
            r#"{"oneOf":[]}"#,
            r#"{"oneOf":[{"type":"string"},{"type":"integer"}]}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
