//! Another library reads what we wrote.

use super::super::sample::{Told, any_pair};
use super::super::{JsonWriter, Kind, Schema};
use super::{AvroWriter, Plan, Reader};
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
        (Avro::Decimal(value), _) => Told::Octets(Vec::try_from(value).unwrap()),
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn another_library_reads_the_same((schema, value) in any_pair()) {
        let plan = Plan::new(&schema).unwrap();
        let mut out = Vec::new();
        let mut writer = AvroWriter::new(&plan, &mut out);
        value.tell(&mut writer);
        prop_assert_eq!(writer.finish(), Ok(()));
        prop_assert_eq!(oracle(&plan, &schema, &out), value.settled(&schema));
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
        prop_assert!(told.is_close(&value.settled(&schema)));
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
            Ok::<_, super::super::Misfit>(())
        });
        match written {
            Ok(()) => drop(oracle(&plan, &schema, &out[9..])),
            Err(_) => prop_assert_eq!(out, b"kept"),
        }
    }
}
