//! JSON Schema as Confluent's converter for Connect makes it; the payload is JSON without schemas.
//!
//! | Connect | JSON Schema |
//! |---|---|
//! | struct | `object` with `properties`, each with its `connect.index` |
//! | optional | `oneOf` null and the type |
//! | integers, floats | `integer`, `number` with `connect.type` |
//! | bytes | `string`, Decimal `number`, both with `connect.type` `bytes`; values are base64 in both |
//! | map | `object` with `additionalProperties` and `connect.type` `map` |
//! | name, doc | `title`, `description` |
//! | version, parameters | `connect.version`, `connect.parameters` |

mod foreign;

pub use foreign::Reader;

use super::distinct::distinct;
use super::{JsonWriter, Kind, Literal, Schema, Unsayable, frame};
use crate::json;

const FORMAT: &str = "JSON Schema";

/// A schema, ready to be written by.
#[derive(Debug)]
pub struct Plan {
    text: String,
}

impl Plan {
    /// Plans a schema.
    ///
    /// # Errors
    /// When the schema has no form in JSON Schema.
    pub fn new(schema: &Schema) -> Result<Self, Unsayable> {
        let mut out = Vec::new();
        any(schema, None, &mut out)?;
        let text = String::from_utf8(out).map_err(|_| Unsayable::TooLarge)?;
        Ok(Self { text })
    }

    /// The schema's text, as it is registered.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Appends one record in the frame of its schema's number. After an error `out` is as it was.
    ///
    /// # Errors
    /// What `tell` says.
    pub fn write<E>(
        &self,
        schema: u32,
        out: &mut Vec<u8>,
        tell: impl FnOnce(&mut JsonWriter<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = out.len();
        frame(schema, out);
        let told = tell(&mut JsonWriter::new(out, true));
        if told.is_err() {
            out.truncate(start);
        }
        told
    }
}

fn any(schema: &Schema, index: Option<usize>, out: &mut Vec<u8>) -> Result<(), Unsayable> {
    if !schema.optional {
        return required(schema, index, out);
    }
    out.extend_from_slice(b"{\"oneOf\":[{\"type\":\"null\"},");
    required(schema, None, out)?;
    out.push(b']');
    print_index(index, out);
    out.push(b'}');
    Ok(())
}

fn required(schema: &Schema, index: Option<usize>, out: &mut Vec<u8>) -> Result<(), Unsayable> {
    let (type_name, connect_type) = type_names(schema);
    out.extend_from_slice(b"{\"type\":");
    json::string(out, type_name);
    let texts = [("title", &schema.name), ("description", &schema.doc)];
    for (property, value) in texts {
        if let Some(value) = value {
            name(property, out);
            json::string(out, value);
        }
    }
    if let Some(default) = &schema.default {
        name("default", out);
        literal(default, out);
    }
    match &schema.kind {
        Kind::Array(items) => {
            name("items", out);
            any(items, None, out)?;
        }
        Kind::Map(keys, values) => {
            if keys.kind != Kind::String || keys.optional {
                return Err(Unsayable::Keys(FORMAT));
            }
            name("additionalProperties", out);
            any(values, None, out)?;
        }
        Kind::Struct(fields) => {
            distinct(fields)?;
            name("properties", out);
            out.push(b'{');
            for (index, field) in fields.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                json::string(out, &field.name);
                out.push(b':');
                any(&field.schema, Some(index), out)?;
            }
            out.push(b'}');
        }
        _ => {}
    }
    print_index(index, out);
    if let Some(connect_type) = connect_type {
        name("connect.type", out);
        json::string(out, connect_type);
    }
    if let Some(version) = schema.version {
        name("connect.version", out);
        json::integer(out, version.into());
    }
    parameters(schema, out);
    out.push(b'}');
    Ok(())
}

fn parameters(schema: &Schema, out: &mut Vec<u8>) {
    if schema.parameters.is_empty() {
        return;
    }
    name("connect.parameters", out);
    let mut separator = b'{';
    for (name, value) in &schema.parameters {
        out.push(separator);
        separator = b',';
        json::string(out, name);
        out.push(b':');
        json::string(out, value);
    }
    out.push(b'}');
}

fn print_index(index: Option<usize>, out: &mut Vec<u8>) {
    if let Some(index) = index {
        name("connect.index", out);
        json::token(out, index);
    }
}

/// `,"name":`
fn name(name: &str, out: &mut Vec<u8>) {
    out.push(b',');
    json::string(out, name);
    out.push(b':');
}

fn literal(literal: &Literal, out: &mut Vec<u8>) {
    match literal {
        Literal::Boolean(value) => json::boolean(out, *value),
        Literal::Integer(value) => json::integer(out, *value),
        Literal::Float(value) => json::float64(out, *value),
        Literal::Text(value) => json::string(out, value),
        Literal::Bytes(value) => json::base64(out, value),
        Literal::EmptyArray => out.extend_from_slice(b"[]"),
    }
}

/// The type, and what Connect calls it where that says more.
fn type_names(schema: &Schema) -> (&'static str, Option<&'static str>) {
    match schema.kind {
        Kind::Boolean => ("boolean", None),
        Kind::Int8 => ("integer", Some("int8")),
        Kind::Int16 => ("integer", Some("int16")),
        Kind::Int32 => ("integer", Some("int32")),
        Kind::Int64 => ("integer", Some("int64")),
        Kind::Float32 => ("number", Some("float32")),
        Kind::Float64 => ("number", Some("float64")),
        Kind::String => ("string", None),
        Kind::Bytes if schema.is_named("org.apache.kafka.connect.data.Decimal") => {
            ("number", Some("bytes"))
        }
        Kind::Bytes => ("string", Some("bytes")),
        Kind::Array(_) => ("array", None),
        Kind::Map(..) => ("object", Some("map")),
        Kind::Struct(_) => ("object", None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Told, any_pair};
    use super::super::{Field, unframe};
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    #[test]
    fn a_schema_has_the_words_of_the_converter() {
        let decimal = Schema::new(Kind::Bytes)
            .named("org.apache.kafka.connect.data.Decimal")
            .version(1)
            .parameter("scale", "2");
        let text = || Box::new(Schema::new(Kind::String));
        let schema = Schema::of_fields(vec![
            Field::new("id", Schema::new(Kind::Int32)),
            Field::new("price", decimal.optional()),
            Field::new("tags", Schema::new(Kind::Map(text(), text())).doc("all")),
            Field::new("bits", Schema::array_of(Schema::new(Kind::Bytes).optional())),
            Field::new("flag", Schema::new(Kind::Boolean).default_value(Literal::Boolean(true))),
        ])
        .named("a.b.Value")
        .optional();
        let expected = json!({"oneOf": [{"type": "null"}, {
            "type": "object",
            "title": "a.b.Value",
            "properties": {
                "id": {"type": "integer", "connect.index": 0, "connect.type": "int32"},
                "price": {"oneOf": [{"type": "null"}, {
                    "type": "number",
                    "title": "org.apache.kafka.connect.data.Decimal",
                    "connect.type": "bytes",
                    "connect.version": 1,
                    "connect.parameters": {"scale": "2"}
                }], "connect.index": 1},
                "tags": {
                    "type": "object",
                    "description": "all",
                    "additionalProperties": {"type": "string"},
                    "connect.index": 2,
                    "connect.type": "map"
                },
                "bits": {
                    "type": "array",
                    "items": {"oneOf": [{"type": "null"}, {"type": "string", "connect.type": "bytes"}]},
                    "connect.index": 3
                },
                "flag": {"type": "boolean", "default": true, "connect.index": 4}
            }
        }]});
        let plan = Plan::new(&schema).unwrap();
        assert_eq!(serde_json::from_str::<Json>(plan.text()).unwrap(), expected);
    }

    /// Does the value fit the schema, as far as a validator would look?
    fn fits(schema: &Json, value: &Json) -> bool {
        if let Some(choices) = schema.get("oneOf").and_then(Json::as_array) {
            return choices.iter().filter(|choice| fits(choice, value)).count() == 1;
        }
        match (schema["type"].as_str().unwrap(), value) {
            ("null", value) => value.is_null(),
            ("boolean", value) => value.is_boolean(),
            ("integer", value) => value.is_i64(),
            // What is no number, and base64 of decimals, is text, as the converter has it.
            ("number", value) => value.is_number() || value.is_string(),
            ("string", value) => value.is_string(),
            ("array", Json::Array(all)) => all.iter().all(|item| fits(&schema["items"], item)),
            ("object", Json::Object(all)) => all.iter().all(|(name, value)| {
                let values = schema.get("additionalProperties");
                fits(values.unwrap_or(&schema["properties"][name]), value)
            }),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn a_framed_value_fits_its_schema((schema, value) in any_pair()) {
            let plan = Plan::new(&schema).unwrap();
            let mut out = Vec::new();
            plan.write(3, &mut out, |writer| {
                value.tell(writer);
                Ok::<_, Unsayable>(())
            })
            .unwrap();
            let framed = unframe(&out).unwrap();
            prop_assert_eq!(framed.schema, 3);
            let payload = serde_json::from_slice(framed.record).unwrap();
            let text: Json = serde_json::from_str(plan.text()).unwrap();
            prop_assert!(fits(&text, &payload), "{} {}", text, payload);
            prop_assert!(Told::of_json(&schema, &payload).is_close(&value));
        }
    }
}
