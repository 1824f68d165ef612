//! A schema as Kafka's JSON converter prints it.

use super::{Kind, Literal, Schema};
use crate::json;

/// Appends the schema as JSON.
pub fn print(schema: &Schema, out: &mut Vec<u8>) {
    print_at(schema, None, out);
}

fn print_at(schema: &Schema, field: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(type_name(&schema.kind).as_bytes());
    out.push(b'"');
    match &schema.kind {
        Kind::Array(items) => {
            out.extend_from_slice(b",\"items\":");
            print_at(items, None, out);
        }
        Kind::Map(keys, values) => {
            out.extend_from_slice(b",\"keys\":");
            print_at(keys, None, out);
            out.extend_from_slice(b",\"values\":");
            print_at(values, None, out);
        }
        Kind::Struct(fields) => {
            out.extend_from_slice(b",\"fields\":[");
            for (index, field) in fields.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                print_at(&field.schema, Some(&field.name), out);
            }
            out.push(b']');
        }
        _ => {}
    }
    out.extend_from_slice(b",\"optional\":");
    json::boolean(out, schema.optional);
    print_semantics(schema, out);
    if let Some(field) = field {
        out.extend_from_slice(b",\"field\":");
        json::string(out, field);
    }
    out.push(b'}');
}

fn print_semantics(schema: &Schema, out: &mut Vec<u8>) {
    if let Some(name) = &schema.name {
        out.extend_from_slice(b",\"name\":");
        json::string(out, name);
    }
    if let Some(version) = schema.version {
        out.extend_from_slice(b",\"version\":");
        json::integer(out, i64::from(version));
    }
    if let Some(doc) = &schema.doc {
        out.extend_from_slice(b",\"doc\":");
        json::string(out, doc);
    }
    if !schema.parameters.is_empty() {
        out.extend_from_slice(b",\"parameters\":");
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
    if let Some(default) = &schema.default {
        out.extend_from_slice(b",\"default\":");
        match default {
            Literal::Boolean(value) => json::boolean(out, *value),
            Literal::Integer(value) => json::integer(out, *value),
            Literal::Float(value) => json::float64(out, *value),
            Literal::Text(value) => json::string(out, value),
            Literal::Bytes(value) => json::base64(out, value),
            Literal::EmptyArray => out.extend_from_slice(b"[]"),
        }
    }
}

/// The name of a type in the JSON of a schema.
pub(super) fn type_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Boolean => "boolean",
        Kind::Int8 => "int8",
        Kind::Int16 => "int16",
        Kind::Int32 => "int32",
        Kind::Int64 => "int64",
        Kind::Float32 => "float",
        Kind::Float64 => "double",
        Kind::String => "string",
        Kind::Bytes => "bytes",
        Kind::Array(_) => "array",
        Kind::Map(..) => "map",
        Kind::Struct(_) => "struct",
    }
}
