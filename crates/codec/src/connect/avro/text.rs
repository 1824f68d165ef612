//! The text of a schema.

use super::super::distinct::distinct;
use super::super::{Field, Kind, Literal, Schema, Unsayable};
use crate::json;
use std::collections::BTreeMap;

const FORMAT: &str = "Avro";
/// Where records without a name live.
const DEFAULT_NAMESPACE: &str = "io.confluent.connect.avro";
const DEFAULT_NAME: &str = "ConnectDefault";
/// What Connect takes a decimal without a precision for.
const PRECISION_DEFAULT: &str = "64";

/// The text that Confluent's converter registers for a schema.
pub(super) fn of(schema: &Schema) -> Result<String, Unsayable> {
    let mut text = Text { out: Vec::new(), known: BTreeMap::new(), nameless: 0 };
    text.optional(schema, "")?;
    String::from_utf8(text.out).map_err(|_| Unsayable::TooLarge)
}

struct Text<'a> {
    out: Vec<u8>,
    /// The records that were written whole, by full name.
    known: BTreeMap<String, &'a Schema>,
    /// Records without a name so far.
    nameless: u32,
}

impl<'a> Text<'a> {
    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// `,"name":`
    fn property(&mut self, name: &str) {
        self.raw(",");
        json::string(&mut self.out, name);
        self.raw(":");
    }

    fn text_property(&mut self, name: &str, value: &str) {
        self.property(name);
        json::string(&mut self.out, value);
    }

    /// The schema, in a union with null where it is optional.
    fn optional(&mut self, schema: &'a Schema, namespace: &str) -> Result<(), Unsayable> {
        match (schema.optional, &schema.default) {
            (false, _) => self.required(schema, namespace),
            (true, None) => {
                self.raw("[\"null\",");
                self.required(schema, namespace)?;
                self.raw("]");
                Ok(())
            }
            (true, Some(_)) => {
                self.raw("[");
                self.required(schema, namespace)?;
                self.raw(",\"null\"]");
                Ok(())
            }
        }
    }

    fn required(&mut self, schema: &'a Schema, namespace: &str) -> Result<(), Unsayable> {
        match &schema.kind {
            Kind::Struct(fields) => return self.record(schema, fields, namespace),
            Kind::Array(items) => {
                self.raw("{\"type\":\"array\",\"items\":");
                self.optional(items, namespace)?;
            }
            Kind::Map(keys, values) => {
                if keys.kind != Kind::String || keys.optional {
                    return Err(Unsayable::Keys(FORMAT));
                }
                self.raw("{\"type\":\"map\",\"values\":");
                self.optional(values, namespace)?;
            }
            kind => {
                let name = type_name(kind);
                if !has_properties(schema) {
                    json::string(&mut self.out, name);
                    return Ok(());
                }
                self.raw("{\"type\":");
                json::string(&mut self.out, name);
                self.decimal(schema);
            }
        }
        self.properties(schema);
        self.raw("}");
        Ok(())
    }

    fn decimal(&mut self, schema: &Schema) {
        if logical_type(schema) != Some("decimal") {
            return;
        }
        let parameter = |name: &str, default| {
            let found = schema.parameters.iter().find(|(known, _)| known == name);
            let number = found.and_then(|(_, value)| value.parse::<i32>().ok());
            number.map_or_else(|| String::from(default), |number| number.to_string())
        };
        let scale = parameter("scale", "0");
        let precision = parameter("connect.decimal.precision", PRECISION_DEFAULT);
        self.property("scale");
        self.raw(&scale);
        self.property("precision");
        self.raw(&precision);
    }

    fn record(
        &mut self,
        schema: &'a Schema,
        fields: &'a [Field],
        around: &str,
    ) -> Result<(), Unsayable> {
        let (namespace, name) = self.name_of(schema)?;
        let full = if namespace.is_empty() { name.clone() } else { format!("{namespace}.{name}") };
        if let Some(known) = self.known.get(&full) {
            if !same_record(known, schema) {
                return Err(Unsayable::Redefined(full));
            }
            let shown = if namespace == around { &name } else { &full };
            json::string(&mut self.out, shown);
            return Ok(());
        }
        self.known.insert(full, schema);
        distinct(fields)?;
        self.raw("{\"type\":\"record\",\"name\":");
        json::string(&mut self.out, &name);
        if namespace != around {
            self.text_property("namespace", &namespace);
        }
        self.raw(",\"fields\":[");
        for (index, field) in fields.iter().enumerate() {
            if index > 0 {
                self.raw(",");
            }
            self.field(field, &namespace)?;
        }
        self.raw("]");
        self.properties(schema);
        self.raw("}");
        Ok(())
    }

    fn field(&mut self, field: &'a Field, namespace: &str) -> Result<(), Unsayable> {
        if !is_name(&field.name) {
            return Err(Unsayable::Name { format: FORMAT, name: field.name.clone() });
        }
        self.raw("{\"name\":");
        json::string(&mut self.out, &field.name);
        self.property("type");
        self.optional(&field.schema, namespace)?;
        if let Some(default) = &field.schema.default {
            self.property("default");
            self.literal(default);
        } else if field.schema.optional {
            self.raw(",\"default\":null");
        }
        self.raw("}");
        Ok(())
    }

    /// The namespace and name of a record.
    fn name_of(&mut self, schema: &Schema) -> Result<(String, String), Unsayable> {
        let Some(full) = &schema.name else {
            self.nameless += 1;
            let name = match self.nameless {
                1 => DEFAULT_NAME.to_owned(),
                number => format!("{DEFAULT_NAME}{number}"),
            };
            return Ok((DEFAULT_NAMESPACE.to_owned(), name));
        };
        if !full.split('.').all(is_name) {
            return Err(Unsayable::Name { format: FORMAT, name: full.clone() });
        }
        let (namespace, name) = full.rsplit_once('.').unwrap_or(("", full));
        Ok((namespace.to_owned(), name.to_owned()))
    }

    /// What Connect says beside the type.
    fn properties(&mut self, schema: &Schema) {
        if let Some(doc) = &schema.doc {
            self.text_property("connect.doc", doc);
        }
        if let Some(version) = schema.version {
            self.property("connect.version");
            json::integer(&mut self.out, i64::from(version));
        }
        if !schema.parameters.is_empty() {
            self.property("connect.parameters");
            let mut separator = "{";
            for (name, value) in &schema.parameters {
                self.raw(separator);
                separator = ",";
                json::string(&mut self.out, name);
                self.raw(":");
                json::string(&mut self.out, value);
            }
            self.raw("}");
        }
        if let Some(default) = &schema.default {
            self.property("connect.default");
            self.literal(default);
        }
        if let Some(name) = &schema.name {
            self.text_property("connect.name", name);
        }
        if let Some(narrow) = narrow_type(&schema.kind) {
            self.text_property("connect.type", narrow);
        }
        if let Some(logical) = logical_type(schema) {
            self.text_property("logicalType", logical);
        }
    }

    fn literal(&mut self, literal: &Literal) {
        match literal {
            Literal::Boolean(value) => json::boolean(&mut self.out, *value),
            Literal::Integer(value) => json::integer(&mut self.out, *value),
            Literal::Float(value) => json::float64(&mut self.out, *value),
            Literal::Text(value) => json::string(&mut self.out, value),
            // Each octet is the character of its number.
            Literal::Bytes(value) => {
                let text: String = value.iter().copied().map(char::from).collect();
                json::string(&mut self.out, &text);
            }
            Literal::EmptyArray => self.raw("[]"),
        }
    }
}

/// Would they be one record, whether they are optional or not?
fn same_record(one: &Schema, other: &Schema) -> bool {
    one.kind == other.kind
        && one.version == other.version
        && one.parameters == other.parameters
        && one.doc == other.doc
}

fn has_properties(schema: &Schema) -> bool {
    schema.name.is_some()
        || schema.version.is_some()
        || schema.doc.is_some()
        || schema.default.is_some()
        || !schema.parameters.is_empty()
        || narrow_type(&schema.kind).is_some()
}

fn narrow_type(kind: &Kind) -> Option<&'static str> {
    match kind {
        Kind::Int8 => Some("int8"),
        Kind::Int16 => Some("int16"),
        _ => None,
    }
}

/// The logical type of Connect's own semantic types.
fn logical_type(schema: &Schema) -> Option<&'static str> {
    let name = schema.name.as_deref()?.strip_prefix("org.apache.kafka.connect.data.")?;
    match (name, &schema.kind) {
        ("Decimal", Kind::Bytes) => Some("decimal"),
        ("Date", Kind::Int32) => Some("date"),
        ("Time", Kind::Int32) => Some("time-millis"),
        ("Timestamp", Kind::Int64) => Some("timestamp-millis"),
        _ => None,
    }
}

fn type_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Boolean => "boolean",
        Kind::Int8 | Kind::Int16 | Kind::Int32 => "int",
        Kind::Int64 => "long",
        Kind::Float32 => "float",
        Kind::Float64 => "double",
        Kind::String => "string",
        Kind::Bytes => "bytes",
        Kind::Array(_) => "array",
        Kind::Map(..) => "map",
        Kind::Struct(_) => "record",
    }
}

/// A letter or `_`, then letters, digits and `_`.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
