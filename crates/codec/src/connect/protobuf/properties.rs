//! Another library compiles our text and reads what we wrote.

use super::super::sample::{Told, any_pair};
use super::super::{Field, Kind, Label, Misfit, Schema, Unsayable, Writer as _};
use super::{Nullables, Plan, text};
use crate::debezium::temporal::civil;
use proptest::prelude::*;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _, Value as Read};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

/// What the text of a schema may import and no library brings.
const IMPORTS: [(&str, &str); 4] = [
    (
        "confluent/meta.proto",
        "syntax = \"proto3\"; package confluent; import \"google/protobuf/descriptor.proto\";
         message Meta { string doc = 1; map<string, string> params = 2; }
         extend google.protobuf.FieldOptions { Meta field_meta = 1088; }",
    ),
    (
        "confluent/type/decimal.proto",
        "syntax = \"proto3\"; package confluent.type;
         message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }",
    ),
    (
        "google/type/date.proto",
        "syntax = \"proto3\"; package google.type;
         message Date { int32 year = 1; int32 month = 2; int32 day = 3; }",
    ),
    (
        "google/type/timeofday.proto",
        "syntax = \"proto3\"; package google.type;
         message TimeOfDay { int32 hours = 1; int32 minutes = 2; int32 seconds = 3; int32 nanos = 4; }",
    ),
];

struct Sources(String);

impl FileResolver for Sources {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == "record.proto" {
            return File::from_source(name, &self.0);
        }
        match IMPORTS.iter().find(|(known, _)| *known == name) {
            Some((_, source)) => File::from_source(name, source),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

fn compiled(plan: &Plan) -> DescriptorPool {
    // Registries know this file without being told.
    let text = plan.text().replacen('\n', "\nimport \"confluent/meta.proto\";\n", 1);
    let mut resolver = ChainFileResolver::new();
    resolver.add(Sources(text));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.open_file("record.proto").unwrap();
    compiler.descriptor_pool()
}

/// Reads one record with the other library.
pub(crate) fn oracle(plan: &Plan, schema: &Schema, bytes: &[u8]) -> Told {
    let pool = compiled(plan);
    let file = pool.get_file_by_name("record.proto").unwrap();
    let descriptor = file.messages().next().unwrap();
    told(&Read::Message(DynamicMessage::decode(descriptor, bytes).unwrap()), schema)
}

fn told(value: &Read, schema: &Schema) -> Told {
    let number = |message: &DynamicMessage, number: u32| {
        let value = message.get_field_by_number(number).unwrap();
        i64::from(value.as_i32().unwrap())
    };
    match (value, &schema.kind, text::semantic(schema)) {
        (Read::Message(message), Kind::Bytes, _) => {
            assert_eq!(number(message, 3), i64::from(text::scale(schema)));
            Told::Octets(message.get_field_by_number(1).unwrap().as_bytes().unwrap().to_vec())
        }
        (Read::Message(message), _, Some("Date")) => {
            let part = |at| number(message, at);
            Told::Text(format!("{}-{}-{}", part(1), part(2), part(3)))
        }
        (Read::Message(message), _, Some("Time")) => {
            let part = |at| number(message, at);
            let seconds = (part(1) * 60 + part(2)) * 60 + part(3);
            Told::Integer(seconds * 1_000 + part(4) / 1_000_000)
        }
        (Read::Message(message), _, Some("Timestamp")) => {
            let seconds = message.get_field_by_number(1).unwrap().as_i64().unwrap();
            Told::Integer(seconds * 1_000 + number(message, 2) / 1_000_000)
        }
        (Read::Bool(value), ..) => Told::Boolean(*value),
        (Read::I32(value), ..) => Told::Integer((*value).into()),
        (Read::I64(value), ..) => Told::Integer(*value),
        (Read::F32(value), ..) => Told::Float(*value),
        (Read::F64(value), ..) => Told::Double(*value),
        (Read::String(value), ..) => Told::Text(value.clone()),
        (Read::Bytes(value), ..) => Told::Octets(value.to_vec()),
        (Read::List(all), Kind::Array(items), _) => {
            Told::Array(all.iter().map(|item| told(item, items)).collect())
        }
        (Read::List(all), Kind::Map(_, values), _) => Told::Map(
            all.iter()
                .map(|entry| {
                    let entry = entry.as_message().unwrap();
                    let key = entry.get_field_by_number(1).unwrap();
                    (key.as_str().unwrap().to_owned(), field(entry, 2, values))
                })
                .collect(),
        ),
        (Read::Message(message), Kind::Struct(fields), _) => {
            let told = |(at, of): (u32, &Field)| (of.name.clone(), field(message, at, &of.schema));
            Told::Struct((1..).zip(fields).map(told).collect())
        }
        other => panic!("{other:?}"),
    }
}

fn field(message: &DynamicMessage, number: u32, schema: &Schema) -> Told {
    let descriptor = message.descriptor().get_field(number).unwrap();
    if descriptor.supports_presence() && !message.has_field(&descriptor) {
        return Told::Null;
    }
    told(&message.get_field(&descriptor), schema)
}

/// The value as Protobuf can say it; `None` where it has a null among items, or a number of
/// milliseconds that a message of Google's has no place for.
fn sayable(value: &Told, schema: &Schema, nullables: Nullables) -> Option<Told> {
    let zero = schema.optional && nullables == Nullables::Plain;
    Some(match (value, &schema.kind, text::semantic(schema)) {
        (Told::Null, Kind::Array(_), _) => Told::Array(Vec::new()),
        (Told::Null, Kind::Map(..), _) => Told::Map(Vec::new()),
        (Told::Null, Kind::Struct(_), _) | (Told::Null, _, Some(_)) => Told::Null,
        (Told::Null, Kind::Boolean, _) if zero => Told::Boolean(false),
        (Told::Null, Kind::Float32, _) if zero => Told::Float(0.0),
        (Told::Null, Kind::Float64, _) if zero => Told::Double(0.0),
        (Told::Null, Kind::String, _) if zero => Told::Text(String::new()),
        (Told::Null, Kind::Bytes, _) if zero => Told::Octets(Vec::new()),
        (Told::Null, _, _) if zero => Told::Integer(0),
        (Told::Integer(days), _, Some("Date")) => {
            let (year, month, day) = civil(*days);
            Told::Text(format!("{year}-{month}-{day}"))
        }
        (Told::Array(all), Kind::Array(items), _) => {
            let item = |item: &Told| match item {
                Told::Null => None,
                item => sayable(item, items, nullables),
            };
            Told::Array(all.iter().map(item).collect::<Option<_>>()?)
        }
        (Told::Map(all), Kind::Map(_, values), _) => {
            let entry = |(key, value): &(String, Told)| {
                Some((key.clone(), sayable(value, values, nullables)?))
            };
            Told::Map(all.iter().map(entry).collect::<Option<_>>()?)
        }
        (Told::Struct(all), Kind::Struct(fields), _) => {
            let each = |((name, value), field): (&(String, Told), &Field)| {
                Some((name.clone(), sayable(value, &field.schema, nullables)?))
            };
            Told::Struct(all.iter().zip(fields).map(each).collect::<Option<_>>()?)
        }
        _ => value.clone(),
    })
}

#[test]
fn a_length_that_was_not_begun_is_never_written() {
    let numbers = Field::new("n", Schema::array_of(Schema::new(Kind::Int32)));
    let plan = Plan::new(&Schema::of_fields(vec![numbers]), Nullables::Plain).unwrap();
    let label = Label::new("n".to_owned());
    let mut out = b"kept".to_vec();
    let written = plan.write(1, &mut out, |writer| {
        writer.begin_struct();
        writer.field(&label);
        writer.begin_array(0);
        writer.item();
        writer.integer(1);
        writer.end_array();
        writer.end_struct();
        Ok(())
    });
    assert_eq!((written, out.as_slice()), (Err(Misfit::Order), &b"kept"[..]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn another_library_reads_the_same((schema, value) in any_pair(), optional in any::<bool>()) {
        let nullables = if optional { Nullables::Optional } else { Nullables::Plain };
        let schema = Schema::of_fields(vec![Field::new("value", schema)]).named("p.Root");
        let value = Told::Struct(vec![("value".to_owned(), value)]);
        let plan = match Plan::new(&schema, nullables) {
            Ok(plan) => plan,
            Err(refused) => {
                prop_assert!(matches!(refused, Unsayable::Shape { .. }), "{}", refused);
                return Ok(());
            }
        };
        let mut out = Vec::new();
        let written = plan.write(7, &mut out, |writer| {
            value.tell(writer);
            Ok::<_, Misfit>(())
        });
        match sayable(&value, &schema, nullables) {
            Some(expected) => {
                prop_assert_eq!(written, Ok(()));
                prop_assert_eq!(&out[..6], &[0, 0, 0, 0, 7, 0]);
                prop_assert_eq!(oracle(&plan, &schema, &out[6..]), expected);
            }
            None => prop_assert_eq!((written, out.len()), (Err(Misfit::Null), 0)),
        }
    }

    #[test]
    fn a_value_of_another_schema_is_refused_or_fits(
        (schema, _) in any_pair(),
        (_, value) in any_pair(),
    ) {
        let schema = Schema::of_fields(vec![Field::new("value", schema)]).named("p.Root");
        let value = Told::Struct(vec![("value".to_owned(), value)]);
        let Ok(plan) = Plan::new(&schema, Nullables::Plain) else { return Ok(()) };
        let mut out = b"kept".to_vec();
        let written = plan.write(1, &mut out, |writer| {
            value.tell(writer);
            Ok::<_, Misfit>(())
        });
        match written {
            Ok(()) => drop(oracle(&plan, &schema, &out[10..])),
            Err(_) => prop_assert_eq!(out, b"kept"),
        }
    }
}
