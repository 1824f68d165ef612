//! Another library reads what we wrote.

use super::super::sample::{Told, any_pair};
use super::super::{Field, JsonWriter, Kind, Literal, Misfit, Schema, Unsayable, Writer as _};
use super::{AvroWriter, Malformed, Plan, Reader, Unreadable};
use apache_avro::types::Value as Avro;
use proptest::prelude::*;

/// The value as Avro's own library has it.
fn told(value: &Avro, schema: &Schema) -> Told {
    let value = match value {
        Avro::Union(_, inner) => inner,
        value => value,
    };
    match (value, &schema.kind) {
        (Avro::Null, _) => Told::Null,
        (Avro::Boolean(value), _) => Told::Boolean(*value),
        (Avro::Int(value) | Avro::Date(value) | Avro::TimeMillis(value), _) => {
            Told::Integer((*value).into())
        }
        (Avro::Long(value) | Avro::TimestampMillis(value), _) => Told::Integer(*value),
        (Avro::Float(value), _) => Told::Float(*value),
        (Avro::Double(value), _) => Told::Double(*value),
        (Avro::String(value), _) => Told::Text(value.clone()),
        (Avro::Bytes(value), _) => Told::Octets(value.clone()),
        // The library has no octets for a decimal of none.
        (Avro::Decimal(value), _) => Told::Octets(Vec::try_from(value).unwrap_or_default()),
        (Avro::Array(all), Kind::Array(items)) => {
            Told::Array(all.iter().map(|item| told(item, items)).collect())
        }
        (Avro::Map(all), Kind::Map(_, values)) => {
            let mut all: Vec<_> =
                all.iter().map(|(key, value)| (key.clone(), told(value, values))).collect();
            all.sort_by(|a, b| a.0.cmp(&b.0));
            Told::Map(all)
        }
        (Avro::Record(all), Kind::Struct(fields)) => {
            let fields = all.iter().zip(fields);
            Told::Struct(fields.map(|((n, v), f)| (n.clone(), told(v, &f.schema))).collect())
        }
        other => panic!("{other:?}"),
    }
}

/// Reads one value with Avro's own library, all of the bytes.
pub(crate) fn oracle(plan: &Plan, schema: &Schema, mut bytes: &[u8]) -> Told {
    let parsed = apache_avro::Schema::parse_str(plan.text()).unwrap();
    let reader = apache_avro::reader::datum::GenericDatumReader::builder(&parsed).build().unwrap();
    let value = reader.read_value(&mut bytes).unwrap();
    assert!(bytes.is_empty());
    told(&value, schema)
}

#[test]
fn what_avro_cannot_say_is_refused() {
    let number = || Schema::new(Kind::Int32);
    let of = |names: &[&str]| {
        Schema::of_fields(names.iter().map(|name| Field::new(*name, number())).collect())
    };
    let redefined = Schema::of_fields(vec![
        Field::new("a", of(&["x"]).named("n.R")),
        Field::new("b", of(&["y"]).named("n.R")),
    ]);
    let name = |name: &str| Unsayable::Name { format: "Avro", name: name.to_owned() };
    let keys = Schema::new(Kind::Map(Box::new(number()), Box::new(number())));
    for (schema, expected) in [
        (of(&["a-b"]), name("a-b")),
        (of(&["a"]).named("n-m.R"), name("n-m.R")),
        (of(&["a", "a"]), Unsayable::Redefined("a".to_owned())),
        (redefined, Unsayable::Redefined("n.R".to_owned())),
        (keys, Unsayable::Keys("Avro")),
    ] {
        assert_eq!(Plan::new(&schema).unwrap_err(), expected);
    }
}

#[test]
fn a_default_stands_for_no_null() {
    let of = |schema: Schema| {
        let plan = Plan::new(&schema.default_value(Literal::Integer(3))).unwrap();
        let mut out = Vec::new();
        let mut writer = AvroWriter::new(&plan, &mut out);
        writer.null();
        (writer.finish(), out)
    };
    assert_eq!(of(Schema::new(Kind::Int8).optional()), (Ok(()), vec![2]));
    assert_eq!(of(Schema::new(Kind::Int8)).0, Err(Misfit::Null));
}

#[test]
fn foreign_schemas_are_read_or_refused() {
    let record = |fields: &str| format!(r#"{{"type":"record","name":"a.R","fields":[{fields}]}}"#);
    let field = |of: &str| record(&format!(r#"{{"name":"f","type":{of}}}"#));
    for (text, expected) in [
        ("{".to_owned(), Unreadable::Json),
        ("\"date\"".to_owned(), Unreadable::UnknownType),
        (field("\"R\""), Unreadable::Recursive),
        (field(r#"["int","string"]"#), Unreadable::Union),
        (field(r#"["null",{"type":["null","int"]}]"#), Unreadable::Union),
        (field(r#"{"type":"array"}"#), Unreadable::Incomplete),
        (field(r#"{"type":"fixed","name":"F","size":0}"#), Unreadable::Sizeless),
        (
            field(r#"{"type":"array","items":{"type":"record","name":"E","fields":[]}}"#),
            Unreadable::Sizeless,
        ),
    ] {
        assert_eq!(Reader::new(&text).unwrap_err(), expected, "{text}");
    }
    let mut wide = String::from(r#"{"type":"record","name":"A0","fields":[]}"#);
    for level in 1..20 {
        wide = format!(
            r#"{{"type":"record","name":"A{level}","fields":[{{"name":"x","type":{wide}}},{{"name":"y","type":"A{}"}}]}}"#,
            level - 1
        );
    }
    assert_eq!(Reader::new(&wide).unwrap_err(), Unreadable::TooLarge);
}

#[test]
fn several_blocks_are_one_array() {
    let reader = Reader::new(r#"{"type":"array","items":"int"}"#).unwrap();
    let read = |bytes: &[u8]| {
        let mut out = Vec::new();
        reader.read(bytes, &mut JsonWriter::new(&mut out, true)).map(|()| out)
    };
    assert_eq!(read(&[4, 2, 4, 1, 2, 6, 0]).unwrap(), b"[1,2,3]");
    assert_eq!(read(&[4, 2, 4]), Err(Malformed::Short));
    assert_eq!(read(&[200, 1, 2, 0]), Err(Malformed::Short));
    assert_eq!(read(&[0, 0]), Err(Malformed::Long));
    let plan = Plan::new(reader.schema()).unwrap();
    let mut again = Vec::new();
    reader.read(&[4, 2, 4, 1, 2, 6, 0], &mut AvroWriter::new(&plan, &mut again)).unwrap();
    assert_eq!(again, [6, 2, 4, 6, 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn another_library_reads_the_same((schema, value) in any_pair()) {
        let plan = Plan::new(&schema).unwrap();
        let mut out = Vec::new();
        let mut writer = AvroWriter::new(&plan, &mut out);
        value.tell(&mut writer);
        prop_assert_eq!(writer.finish(), Ok(()));
        prop_assert_eq!(oracle(&plan, &schema, &out), value);
    }

    #[test]
    fn what_was_written_reads_back_as_schema_and_value((schema, value) in any_pair()) {
        let plan = Plan::new(&schema).unwrap();
        let mut out = Vec::new();
        value.tell(&mut AvroWriter::new(&plan, &mut out));
        let reader = Reader::new(plan.text()).unwrap();
        prop_assert_eq!(reader.schema(), &schema);
        let mut json = Vec::new();
        reader.read(&out, &mut JsonWriter::new(&mut json, true)).unwrap();
        let json = serde_json::from_slice(&json).unwrap();
        let told = Told::of_json(&schema, &json);
        prop_assert!(told.is_close(&value));
        let mut again = Vec::new();
        let mut writer = AvroWriter::new(&plan, &mut again);
        reader.read(&out, &mut writer).unwrap();
        prop_assert_eq!((writer.finish(), again), (Ok(()), out));
    }

    #[test]
    fn any_bytes_are_read_or_refused((schema, value) in any_pair(), cut in any::<(prop::sample::Index, u8)>()) {
        let plan = Plan::new(&schema).unwrap();
        let mut out = Vec::new();
        value.tell(&mut AvroWriter::new(&plan, &mut out));
        let reader = Reader::new(plan.text()).unwrap();
        let mut json = Vec::new();
        if !out.is_empty() {
            let at = cut.0.index(out.len());
            out[at] ^= cut.1;
            reader.read(&out, &mut JsonWriter::new(&mut json, true)).ok();
            let short = reader.read(&out[..at], &mut JsonWriter::new(&mut json, true));
            prop_assert!(short.is_err() || at > 0);
        }
        out.push(0);
        prop_assert!(reader.read(&out, &mut JsonWriter::new(&mut json, true)).is_err() || cut.1 != 0);
    }

    #[test]
    fn a_value_of_another_schema_is_refused_or_fits(
        (schema, _) in any_pair(),
        (_, value) in any_pair(),
    ) {
        let plan = Plan::new(&schema).unwrap();
        let mut out = b"kept".to_vec();
        let written = plan.write(1, &mut out, |writer| {
            value.tell(writer);
            Ok::<_, Misfit>(())
        });
        match written {
            Ok(()) => drop(oracle(&plan, &schema, &out[9..])),
            Err(_) => prop_assert_eq!(out, b"kept"),
        }
    }
}
