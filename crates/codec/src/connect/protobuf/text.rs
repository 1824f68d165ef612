//! The text of a schema.

use super::super::distinct::distinct;
use super::super::{Field, Kind, Schema, Unsayable};
use super::Nullables;
use std::collections::BTreeMap;

pub(super) const FORMAT: &str = "Protobuf";
const NAMELESS: &str = "ConnectDefault";

/// The text that Confluent's converter registers for a schema.
pub(super) fn of(schema: &Schema, nullables: Nullables) -> Result<String, Unsayable> {
    let Kind::Struct(fields) = &schema.kind else {
        return Err(Unsayable::Shape { format: FORMAT, what: "a record that is no struct" });
    };
    let mut text = Text { imports: Vec::new(), nameless: 0, nullables };
    let (package, name) = match schema.name.as_deref() {
        Some(full) => full.rsplit_once('.').unwrap_or(("", full)),
        None => ("", ""),
    };
    if !package.is_empty() {
        checked_all(package)?;
    }
    let name = text.name(Some(name).filter(|name| !name.is_empty()))?;
    let message = text.message(&name, fields)?;
    let mut out = String::from("syntax = \"proto3\";\n");
    if !package.is_empty() {
        out += &format!("package {package};\n");
    }
    out.push('\n');
    for import in &text.imports {
        out += &format!("import \"{import}\";\n");
    }
    if !text.imports.is_empty() {
        out.push('\n');
    }
    Ok(out + &message)
}

struct Text {
    imports: Vec<&'static str>,
    /// Messages without a name so far.
    nameless: u32,
    nullables: Nullables,
}

/// The messages inside a message.
#[derive(Default)]
struct Scope<'a> {
    known: BTreeMap<String, &'a Schema>,
    texts: Vec<String>,
}

impl Text {
    /// The last part of a name, or the next one of those without.
    fn name(&mut self, name: Option<&str>) -> Result<String, Unsayable> {
        let Some(name) = name else {
            self.nameless += 1;
            return Ok(format!("{NAMELESS}{}", self.nameless));
        };
        let last = name.rsplit_once('.').map_or(name, |(_, last)| last);
        checked(last).map(str::to_owned)
    }

    fn message(&mut self, name: &str, fields: &[Field]) -> Result<String, Unsayable> {
        if fields.is_empty() {
            return Ok(format!("message {name} {{}}\n"));
        }
        distinct(fields)?;
        let mut scope = Scope::default();
        let mut lines = String::new();
        for (field, number) in fields.iter().zip(1_u32..) {
            lines += &self.field(&field.name, &field.schema, number, &mut scope)?;
            lines += &meta(&field.schema);
            lines += ";\n";
        }
        // Messages and fields share their names.
        match fields.iter().find(|field| scope.known.contains_key(&field.name)) {
            Some(field) => Err(Unsayable::Redefined(field.name.clone())),
            None => Ok(enclosed(name, &lines, &scope.texts)),
        }
    }

    fn field<'a>(
        &mut self,
        name: &str,
        schema: &'a Schema,
        number: u32,
        scope: &mut Scope<'a>,
    ) -> Result<String, Unsayable> {
        let name = checked(name)?;
        let label = match &schema.kind {
            Kind::Array(_) | Kind::Map(..) => "repeated ",
            _ if schema.optional && self.nullables == Nullables::Optional => "optional ",
            _ => "",
        };
        let of = match &schema.kind {
            Kind::Array(items) => items,
            _ => schema,
        };
        let type_name = self.type_name(of, scope)?;
        Ok(format!("  {label}{type_name} {name} = {number}"))
    }

    fn type_name<'a>(
        &mut self,
        schema: &'a Schema,
        scope: &mut Scope<'a>,
    ) -> Result<String, Unsayable> {
        let (name, import) = match (&schema.kind, semantic(schema)) {
            (Kind::Bytes, Some("Decimal")) => {
                ("confluent.type.Decimal", Some("confluent/type/decimal.proto"))
            }
            (Kind::Int32, Some("Date")) => ("google.type.Date", Some("google/type/date.proto")),
            (Kind::Int32, Some("Time")) => {
                ("google.type.TimeOfDay", Some("google/type/timeofday.proto"))
            }
            (Kind::Int64, Some("Timestamp")) => {
                ("google.protobuf.Timestamp", Some("google/protobuf/timestamp.proto"))
            }
            (Kind::Boolean, _) => ("bool", None),
            (Kind::Int8 | Kind::Int16 | Kind::Int32, _) => ("int32", None),
            (Kind::Int64, _) => ("int64", None),
            (Kind::Float32, _) => ("float", None),
            (Kind::Float64, _) => ("double", None),
            (Kind::String, _) => ("string", None),
            (Kind::Bytes, _) => ("bytes", None),
            (Kind::Array(_), _) => {
                return Err(Unsayable::Shape { format: FORMAT, what: "arrays of arrays" });
            }
            (Kind::Map(keys, values), _) => return self.entry(schema, keys, values, scope),
            (Kind::Struct(fields), _) => return self.nested(schema, fields, scope),
        };
        if let Some(import) = import
            && !self.imports.contains(&import)
        {
            self.imports.push(import);
        }
        Ok(name.to_owned())
    }

    fn nested<'a>(
        &mut self,
        schema: &'a Schema,
        fields: &'a [Field],
        scope: &mut Scope<'a>,
    ) -> Result<String, Unsayable> {
        let name = self.name(schema.name.as_deref())?;
        match scope.known.get(&name) {
            Some(known) if known.kind == schema.kind => return Ok(name),
            Some(_) => return Err(Unsayable::Redefined(name)),
            None => {}
        }
        let text = self.message(&name, fields)?;
        scope.known.insert(name.clone(), schema);
        scope.texts.push(text);
        Ok(name)
    }

    /// The message of a map's entries.
    fn entry<'a>(
        &mut self,
        schema: &'a Schema,
        keys: &Schema,
        values: &'a Schema,
        scope: &mut Scope<'a>,
    ) -> Result<String, Unsayable> {
        if keys.kind != Kind::String || keys.optional {
            return Err(Unsayable::Keys(FORMAT));
        }
        let name = self.name(schema.name.as_deref())? + "Entry";
        match scope.known.get(&name) {
            Some(known) if known.kind == schema.kind => return Ok(name),
            Some(_) => return Err(Unsayable::Redefined(name)),
            None => {}
        }
        let mut inner = Scope::default();
        let value = self.field("value", values, 2, &mut inner)?;
        let text = enclosed(&name, &format!("  string key = 1;\n{value};\n"), &inner.texts);
        scope.known.insert(name.clone(), schema);
        scope.texts.push(text);
        Ok(name)
    }
}

/// A message of these lines, with these messages inside.
fn enclosed(name: &str, lines: &str, inner: &[String]) -> String {
    let mut out = format!("message {name} {{\n{lines}");
    if !inner.is_empty() {
        out.push('\n');
    }
    for line in inner.iter().flat_map(|text| text.lines()) {
        out += &format!("  {line}\n");
    }
    out + "}\n"
}

/// What the converter notes of a field, or of its items.
fn meta(schema: &Schema) -> String {
    if let Kind::Array(items) = &schema.kind {
        return meta(items);
    }
    let type_note =
        |value: &str| note(&[format!("key: \"connect.type\",\n        value: \"{value}\"")]);
    match (&schema.kind, semantic(schema)) {
        (Kind::Int8, _) => type_note("int8"),
        (Kind::Int16, _) => type_note("int16"),
        (Kind::Bytes, Some("Decimal")) => {
            let about =
                |key: &str, value: i32| format!("value: \"{value}\",\n        key: \"{key}\"");
            let digits = parameter(schema, "connect.decimal.precision");
            let mut notes: Vec<String> =
                digits.map(|digits| about("precision", digits)).into_iter().collect();
            notes.push(about("scale", scale(schema)));
            note(&notes)
        }
        _ => String::new(),
    }
}

fn note(notes: &[String]) -> String {
    let notes: Vec<String> =
        notes.iter().map(|note| format!("      {{\n        {note}\n      }}")).collect();
    let notes = notes.join(",\n");
    format!(" [(confluent.field_meta) = {{\n    params: [\n{notes}\n    ]\n  }}]")
}

fn parameter(schema: &Schema, name: &str) -> Option<i32> {
    schema.parameters.iter().find(|(known, _)| known == name)?.1.parse().ok()
}

/// Digits behind the point of Connect's decimal.
pub(super) fn scale(schema: &Schema) -> i32 {
    parameter(schema, "scale").unwrap_or(0)
}

/// The name of one of Connect's own semantic types.
pub(super) fn semantic(schema: &Schema) -> Option<&str> {
    schema.name.as_deref()?.strip_prefix("org.apache.kafka.connect.data.")
}

fn checked_all(package: &str) -> Result<(), Unsayable> {
    package.split('.').try_for_each(|part| match checked(part) {
        Ok(_) => Ok(()),
        Err(_) => Err(Unsayable::Name { format: FORMAT, name: package.to_owned() }),
    })
}

/// A letter or `_`, then letters, digits and `_`.
fn checked(name: &str) -> Result<&str, Unsayable> {
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_name { Ok(name) } else { Err(Unsayable::Name { format: FORMAT, name: name.to_owned() }) }
}
