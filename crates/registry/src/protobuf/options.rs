//! Options as text, those of the language and those that other files add.

use prost_reflect::{DynamicMessage, MapKey, ReflectMessage as _, Value};
use std::fmt::Write as _;

/// Name and value of each option that is set, in one order.
pub(super) fn texts(options: &DynamicMessage) -> Vec<(String, String)> {
    let own = options.fields().map(|(field, value)| (field.name().to_owned(), field.kind(), value));
    let added = options
        .extensions()
        .map(|(field, value)| (format!("({})", field.full_name()), field.kind(), value));
    let mut texts = Vec::new();
    for (name, kind, value) in own.chain(added) {
        match value {
            Value::List(values) => {
                texts.extend(values.iter().map(|value| (name.clone(), text(value, &kind))));
            }
            value => texts.push((name, text(value, &kind))),
        }
    }
    // Options of the language come before those that other files add.
    texts.sort_by(|(one, a), (two, b)| {
        (one.starts_with('('), one, a).cmp(&(two.starts_with('('), two, b))
    });
    texts
}

/// A list of options in brackets, after a field or a value; empty when there are none.
pub(super) fn bracketed(texts: &[(String, String)]) -> String {
    if texts.is_empty() {
        return String::new();
    }
    let texts: Vec<String> = texts.iter().map(|(name, text)| format!("{name} = {text}")).collect();
    format!(" [{}]", texts.join(", "))
}

fn text(value: &Value, kind: &prost_reflect::Kind) -> String {
    match value {
        Value::Bool(flag) => flag.to_string(),
        Value::I32(number) => number.to_string(),
        Value::I64(number) => number.to_string(),
        Value::U32(number) => number.to_string(),
        Value::U64(number) => number.to_string(),
        Value::F32(number) => number.to_string(),
        Value::F64(number) => number.to_string(),
        Value::String(text) => quoted(text.as_bytes()),
        Value::Bytes(bytes) => quoted(bytes),
        Value::EnumNumber(number) => {
            let name = kind.as_enum().and_then(|names| names.get_value(*number));
            name.map_or_else(|| number.to_string(), |name| name.name().to_owned())
        }
        Value::Message(message) => message_text(message),
        Value::List(values) => {
            let values: Vec<String> = values.iter().map(|value| text(value, kind)).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Map(entries) => {
            let entry = kind.as_message();
            let value_kind = entry.map(|entry| entry.map_entry_value_field().kind());
            let mut entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| {
                    let value = text(value, value_kind.as_ref().unwrap_or(kind));
                    format!("{{ key: {} value: {value} }}", key_text(key))
                })
                .collect();
            entries.sort();
            format!("[{}]", entries.join(", "))
        }
    }
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(flag) => flag.to_string(),
        MapKey::I32(number) => number.to_string(),
        MapKey::I64(number) => number.to_string(),
        MapKey::U32(number) => number.to_string(),
        MapKey::U64(number) => number.to_string(),
        MapKey::String(text) => quoted(text.as_bytes()),
    }
}

fn message_text(message: &DynamicMessage) -> String {
    let mut parts: Vec<(u32, String)> = Vec::new();
    for field in message.descriptor().fields().filter(|field| message.has_field(field)) {
        let value = message.get_field(&field);
        parts.push((field.number(), format!("{}: {}", field.name(), text(&value, &field.kind()))));
    }
    parts.sort();
    let parts: Vec<String> = parts.into_iter().map(|(_, text)| text).collect();
    if parts.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", parts.join(", ")) }
}

/// A string of the language: everything that is not plain text is escaped.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    let mut rest = bytes;
    while !rest.is_empty() {
        let (text, broken) = match std::str::from_utf8(rest) {
            Ok(text) => (text, 0),
            Err(error) => {
                let (good, bad) = rest.split_at(error.valid_up_to());
                let length = error.error_len().unwrap_or(bad.len());
                (std::str::from_utf8(good).unwrap_or_default(), length)
            }
        };
        for letter in text.chars() {
            match letter {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                letter if letter.is_control() && letter.is_ascii() => {
                    octal(&mut out, letter.into());
                }
                letter => out.push(letter),
            }
        }
        let bad = rest.get(text.len()..text.len() + broken).unwrap_or_default();
        bad.iter().for_each(|byte| octal(&mut out, u32::from(*byte)));
        rest = rest.get(text.len() + broken..).unwrap_or_default();
    }
    out.push('"');
    out
}

fn octal(out: &mut String, code: u32) {
    let _written = write!(out, "\\{code:03o}");
}
