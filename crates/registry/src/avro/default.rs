//! Defaults of fields must be values of their types.

use super::model::{Kind, Names, Node, Primitive, Schema, Shape};
use crate::schema::Invalid;
use serde_json::Value;

/// Defaults hold records of records no deeper than JSON texts may be.
const DEPTH_MAX: usize = 128;

pub(super) fn check(schema: &Schema) -> Result<(), Invalid> {
    let names = schema.names();
    for (full, named) in &names {
        let Kind::Record { fields, .. } = &named.kind else { continue };
        for field in fields {
            let Some(default) = &field.default else { continue };
            if !is_value(default, &field.node, &names, 0) {
                let place = format!("{full}.{}", field.name);
                return Err(Invalid::new("the default is no value of the type").at(&place));
            }
        }
    }
    Ok(())
}

fn is_value(value: &Value, node: &Node, names: &Names<'_>, depth: usize) -> bool {
    if depth > DEPTH_MAX {
        return false;
    }
    match &node.shape {
        Shape::Primitive(primitive) => is_primitive(value, *primitive),
        Shape::Array(items) => value
            .as_array()
            .is_some_and(|list| list.iter().all(|item| is_value(item, items, names, depth + 1))),
        Shape::Map(values) => value
            .as_object()
            .is_some_and(|map| map.values().all(|value| is_value(value, values, names, depth + 1))),
        Shape::Union(branches) => {
            branches.iter().any(|branch| is_value(value, branch, names, depth + 1))
        }
        Shape::Definition(named) => is_named(value, &named.kind, names, depth),
        Shape::Use(name) => {
            names.get(&name.full()).is_some_and(|named| is_named(value, &named.kind, names, depth))
        }
    }
}

fn is_named(value: &Value, kind: &Kind, names: &Names<'_>, depth: usize) -> bool {
    match kind {
        Kind::Enum { symbols, .. } => {
            value.as_str().is_some_and(|text| symbols.iter().any(|symbol| symbol == text))
        }
        Kind::Fixed { .. } => value.is_string(),
        Kind::Record { fields, .. } => value.as_object().is_some_and(|object| {
            fields.iter().all(|field| match object.get(&field.name).or(field.default.as_ref()) {
                Some(value) => is_value(value, &field.node, names, depth + 1),
                None => false,
            })
        }),
    }
}

fn is_primitive(value: &Value, primitive: Primitive) -> bool {
    match primitive {
        Primitive::Null => value.is_null(),
        Primitive::Boolean => value.is_boolean(),
        Primitive::Int => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        Primitive::Long => value.is_i64(),
        // The numbers that JSON does not have are written as text.
        Primitive::Float | Primitive::Double => {
            value.is_number()
                || value
                    .as_str()
                    .is_some_and(|text| ["NaN", "Infinity", "-Infinity"].contains(&text))
        }
        Primitive::Bytes | Primitive::String => value.is_string(),
    }
}
