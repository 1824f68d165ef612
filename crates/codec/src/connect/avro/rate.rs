//! The rate of writing beside Avro's own library: run with `--ignored --nocapture` in a release build.

use super::super::{Field, Kind, Label, Schema, Writer};
use super::{AvroWriter, Plan};
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use std::hint::black_box;

const ROWS: u32 = 1_000_000;

fn schema() -> Schema {
    let semantic = |kind, name: &str| Schema::new(kind).named(name).version(1);
    let price = semantic(Kind::Bytes, "org.apache.kafka.connect.data.Decimal")
        .parameter("scale", "2")
        .parameter("connect.decimal.precision", "10");
    let columns = [
        Schema::new(Kind::Int64),
        Schema::new(Kind::Int32).optional(),
        Schema::new(Kind::Boolean).optional(),
        Schema::new(Kind::Float64).optional(),
        Schema::new(Kind::String).optional(),
        Schema::new(Kind::String),
        price.optional(),
        semantic(Kind::Int64, "io.debezium.time.MicroTimestamp").optional(),
        semantic(Kind::String, "io.debezium.time.ZonedTimestamp").optional(),
        semantic(Kind::String, "io.debezium.data.Uuid").optional(),
    ];
    let fields = columns.into_iter().enumerate();
    Schema::of_fields(fields.map(|(at, schema)| Field::new(format!("c{at}"), schema)).collect())
        .named("cdc.public.orders.Value")
}

fn tell<W: Writer>(out: &mut W, labels: &[Label; 10], id: i64) {
    out.begin_struct();
    for (at, label) in labels.iter().enumerate() {
        out.field(label);
        match at {
            0 => out.integer(id),
            1 => out.integer(42),
            2 => out.boolean(true),
            3 => out.float64(3.5),
            4 => out.string("a text of usual length"),
            5 => out.string("short"),
            6 => out.bytes(&[1, 2, 3, 4]),
            7 => out.integer(1_700_000_000_123_456),
            8 => out.string("2016-11-04T11:51:30.123456Z"),
            _ => out.null(),
        }
    }
    out.end_struct();
}

fn avro(id: i64) -> Avro {
    let some = |value| Avro::Union(1, Box::new(value));
    let text = |text: &str| Avro::String(text.to_owned());
    let values = [
        Avro::Long(id),
        some(Avro::Int(42)),
        some(Avro::Boolean(true)),
        some(Avro::Double(3.5)),
        some(text("a text of usual length")),
        text("short"),
        some(Avro::Decimal(vec![1, 2, 3, 4].into())),
        some(Avro::Long(1_700_000_000_123_456)),
        some(text("2016-11-04T11:51:30.123456Z")),
        Avro::Union(0, Box::new(Avro::Null)),
    ];
    let values = values.into_iter().enumerate();
    Avro::Record(values.map(|(at, value)| (format!("c{at}"), value)).collect())
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn nanoseconds_each(mut write: impl FnMut(i64)) -> u128 {
    let start = std::time::Instant::now();
    for id in 0..i64::from(ROWS) {
        write(id);
    }
    start.elapsed().as_nanos() / u128::from(ROWS)
}

#[test]
#[ignore = "heavy: run by make test-heavy"]
fn heavy_rate_beside_avros_own_library() {
    let plan = Plan::new(&schema()).unwrap();
    let labels = std::array::from_fn(|at| Label::new(format!("c{at}")));
    let mut out = Vec::new();
    let write = |id: i64, out: &mut Vec<u8>| {
        out.clear();
        let mut writer = AvroWriter::new(&plan, out);
        tell(&mut writer, &labels, id);
        writer.finish().unwrap();
    };
    let parsed = apache_avro::Schema::parse_str(plan.text()).unwrap();
    let library = GenericDatumWriter::builder(&parsed).build().unwrap();
    let mut theirs = Vec::new();
    write(7, &mut out);
    library.write_value_ref(&mut theirs, &avro(7)).unwrap();
    assert_eq!(out, theirs);
    for _ in 0..2 {
        let ours = nanoseconds_each(|id| write(id, black_box(&mut out)));
        let with_tree = nanoseconds_each(|id| {
            theirs.clear();
            library.write_value_ref(black_box(&mut theirs), &avro(id)).unwrap();
        });
        let value = avro(7);
        let without_tree = nanoseconds_each(|_| {
            theirs.clear();
            library.write_value_ref(black_box(&mut theirs), &value).unwrap();
        });
        println!(
            "{} bytes: {ours} ns; Avro's own library {with_tree} ns, {without_tree} ns of a tree that is there",
            out.len()
        );
    }
}
