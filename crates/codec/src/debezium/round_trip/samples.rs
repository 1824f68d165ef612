//! Values of every type, and every mode.

use crate::debezium::options::{
    BinaryMode, DecimalMode, HstoreMode, IntervalMode, Options, TimeMode, Unlogged,
};
use cdc_core::{Array, DataType, Dimension, Timestamp, Value};
use proptest::prelude::*;

/// A column and values of it.
pub(super) type Typed = (DataType, &'static str, BoxedStrategy<Value>);

pub(super) fn any_options() -> impl Strategy<Value = Options> {
    let decimals =
        prop::sample::select(vec![DecimalMode::Precise, DecimalMode::Double, DecimalMode::String]);
    let times = prop::sample::select(vec![
        TimeMode::Adaptive,
        TimeMode::AdaptiveTimeMicroseconds,
        TimeMode::Connect,
        TimeMode::Isostring,
        TimeMode::Microseconds,
        TimeMode::Nanoseconds,
    ]);
    let binary = prop::sample::select(vec![
        BinaryMode::Bytes,
        BinaryMode::Base64,
        BinaryMode::Base64UrlSafe,
        BinaryMode::Hex,
    ]);
    let intervals = prop::sample::select(vec![IntervalMode::Numeric, IntervalMode::String]);
    let hstore = prop::sample::select(vec![HstoreMode::Json, HstoreMode::Map]);
    let unlogged = prop::sample::select(vec![Unlogged::Zero, Unlogged::Null]);
    (decimals, times, binary, intervals, hstore, unlogged, any::<bool>()).prop_map(
        |(decimals, times, binary, intervals, hstore, unlogged, cloud_events)| Options {
            decimals,
            times,
            binary,
            intervals,
            hstore,
            unlogged,
            cloud_events,
            truncates: true,
            ..Options::default()
        },
    )
}

fn text_of(strategy: impl Strategy<Value = String> + 'static) -> BoxedStrategy<Value> {
    strategy.prop_map(Value::text).boxed()
}

fn decimal(scale: u32) -> BoxedStrategy<Value> {
    let finite = (any::<i64>(), any::<bool>()).prop_map(move |(number, wide)| {
        let sign = if number < 0 { "-" } else { "" };
        let digits = format!("{}{}", number.unsigned_abs(), if wide { "777777777777" } else { "" });
        let width = usize::try_from(scale).unwrap() + 1;
        let digits = format!("{digits:0>width$}");
        let (whole, fraction) = digits.split_at(digits.len() + 1 - width);
        let text = if scale == 0 { digits.clone() } else { format!("{sign}{whole}.{fraction}") };
        Value::Decimal(text.into())
    });
    let special = prop::sample::select(vec!["NaN", "Infinity", "-Infinity"]);
    prop_oneof![9 => finite, 1 => special.prop_map(|text| Value::Decimal(text.into()))].boxed()
}

fn instant() -> BoxedStrategy<Timestamp> {
    // The years that PostgreSQL knows.
    let micros =
        (-211_813_488_000_000_000_i64..9_223_000_000_000_000_000).prop_map(Timestamp::from_micros);
    let near = (0_i64..4_000_000_000_000_000).prop_map(Timestamp::from_micros);
    let infinite = prop::sample::select(vec![Timestamp::INFINITY, Timestamp::NEG_INFINITY]);
    prop_oneof![4 => micros, 4 => near, 1 => infinite].boxed()
}

fn clock(per_unit: i64) -> BoxedStrategy<i64> {
    (0_i64..=86_400_000_000_000 / per_unit).prop_map(move |units| units * per_unit).boxed()
}

fn finite() -> BoxedStrategy<f64> {
    prop_oneof![any::<f64>(), (-1000_i32..1000).prop_map(f64::from)]
        .prop_filter("a coordinate", |number| number.is_finite())
        .boxed()
}

/// Every type, with values as PostgreSQL has them.
fn types() -> Vec<Typed> {
    [numbers(), texts(), times(), natives()].into_iter().flatten().collect()
}

fn numbers() -> Vec<Typed> {
    vec![
        (DataType::Bool, "boolean", any::<bool>().prop_map(Value::Bool).boxed()),
        (DataType::Int16, "smallint", any::<i16>().prop_map(|n| Value::Int(n.into())).boxed()),
        (DataType::Int32, "integer", any::<i32>().prop_map(|n| Value::Int(n.into())).boxed()),
        (DataType::Int64, "bigint", any::<i64>().prop_map(Value::Int).boxed()),
        (DataType::UInt64, "xid8", any::<u64>().prop_map(Value::UInt).boxed()),
        (DataType::Float32, "real", any::<f32>().prop_map(Value::Float32).boxed()),
        (DataType::Float64, "double precision", any::<f64>().prop_map(Value::Float64).boxed()),
        (DataType::Decimal { precision: Some(40), scale: Some(4) }, "numeric(40,4)", decimal(4)),
        (DataType::Decimal { precision: Some(40), scale: Some(0) }, "numeric(40)", decimal(0)),
        (DataType::Decimal { precision: None, scale: None }, "numeric", decimal(3)),
    ]
}

fn texts() -> Vec<Typed> {
    vec![
        (DataType::Text, "text", text_of(any::<String>())),
        (DataType::Enum { labels: vec!["a".into()] }, "mood", text_of(Just("a".to_owned()))),
        (DataType::Other, "inet", text_of(Just("10.0.0.0/8".to_owned()))),
        (DataType::Other, "xml", text_of(any::<String>())),
        (DataType::Bytes, "bytea", any::<Vec<u8>>().prop_map(|b| Value::Bytes(b.into())).boxed()),
        (
            DataType::Json,
            "jsonb",
            any::<i64>().prop_map(|n| Value::Json(format!("{{\"a\": {n}}}").into())).boxed(),
        ),
    ]
}

fn times() -> Vec<Typed> {
    let three = Some(3);
    let cut = |at: Timestamp| Timestamp { nanos: at.nanos / 1_000_000 * 1_000_000, ..at };
    let micros_of_time = || clock(1_000).prop_map(Value::Time).boxed();
    let span = (any::<i32>(), any::<i32>(), any::<i64>());
    vec![
        (
            DataType::Date,
            "date",
            prop_oneof![-2_440_000..2_145_000_000_i32, Just(i32::MAX), Just(i32::MIN)]
                .prop_map(Value::Date)
                .boxed(),
        ),
        (DataType::Time { precision: None }, "time without time zone", micros_of_time()),
        (
            DataType::Time { precision: three },
            "time(3) without time zone",
            clock(1_000_000).prop_map(Value::Time).boxed(),
        ),
        (
            DataType::TimeTz { precision: None },
            "time with time zone",
            (clock(1_000), -900_i32..900)
                .prop_map(|(nanos, minutes)| Value::TimeTz { nanos, offset_seconds: minutes * 60 })
                .boxed(),
        ),
        (
            DataType::Timestamp { precision: None },
            "timestamp without time zone",
            instant().prop_map(Value::Timestamp).boxed(),
        ),
        (
            DataType::Timestamp { precision: three },
            "timestamp(3) without time zone",
            instant().prop_map(move |at| Value::Timestamp(cut(at))).boxed(),
        ),
        (
            DataType::TimestampTz { precision: None },
            "timestamp with time zone",
            instant().prop_map(Value::TimestampTz).boxed(),
        ),
        (
            DataType::Interval,
            "interval",
            span.prop_map(|(months, days, micros)| Value::Interval { months, days, micros })
                .boxed(),
        ),
    ]
}

fn natives() -> Vec<Typed> {
    let pairs =
        prop::collection::btree_map("[a-z\"\\\\ é]{1,4}", prop::option::of(any::<String>()), 0..4);
    let hstore = pairs.prop_map(|pairs| {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let pairs = pairs.iter().map(|(key, value)| match value {
            Some(value) => format!("\"{}\"=>\"{}\"", escaped(key), escaped(value)),
            None => format!("\"{}\"=>NULL", escaped(key)),
        });
        pairs.collect::<Vec<_>>().join(", ")
    });
    vec![
        (DataType::Uuid, "uuid", any::<[u8; 16]>().prop_map(Value::Uuid).boxed()),
        (DataType::Other, "bit(1)", text_of("[01]")),
        (DataType::Other, "bit(11)", text_of("[01]{11}")),
        (DataType::Other, "bit varying(1)", text_of("[01]?")),
        (DataType::Other, "bit varying(40)", text_of("[01]{0,40}")),
        (DataType::Other, "bit varying", text_of("[01]{0,40}")),
        (
            DataType::Other,
            "money",
            text_of((0_u32.., 0_u8..100).prop_map(|(n, cents)| format!("${n}.{cents:02}"))),
        ),
        (DataType::Other, "oid", text_of(any::<u32>().prop_map(|n| n.to_string()))),
        (
            DataType::Other,
            "point",
            text_of((finite(), finite()).prop_map(|(x, y)| {
                format!(
                    "({},{})",
                    crate::debezium::foreign::double(x),
                    crate::debezium::foreign::double(y)
                )
            })),
        ),
        (DataType::Other, "public.hstore", text_of(hstore)),
        (DataType::Other, "public.geometry", text_of("01[0-9A-F]{8}([0-9A-F]{2}){16}")),
        (DataType::Other, "public.vector(3)", text_of("\\[[1-9]\\.[1-9],-[1-9],[1-9]e-0[5-9]\\]")),
        (DataType::Other, "public.halfvec", text_of("\\[[1-9],0\\.5\\]")),
    ]
}

/// Arrays of elements, of one dimension or of two.
fn arrays_of((element, native_type, values): Typed) -> Typed {
    let values = prop::option::weighted(0.9, values).prop_map(|value| value.unwrap_or(Value::Null));
    let arrays =
        (prop::collection::vec(values, 0..5), any::<bool>()).prop_map(|(elements, two)| {
            let length = u32::try_from(elements.len()).unwrap();
            let dimension = |length| Dimension { length, lower_bound: 1 };
            let dimensions = match length {
                0 => Vec::new(),
                4 if two => vec![dimension(2), dimension(2)],
                length => vec![dimension(length)],
            };
            Value::Array(Box::new(Array { dimensions, elements }))
        });
    let name: &'static str = Box::leak(format!("{native_type}[]").into_boxed_str());
    (DataType::Array(Box::new(element)), name, arrays.boxed())
}

/// Every type and arrays of it.
pub(super) fn all() -> Vec<Typed> {
    types().into_iter().chain(types().into_iter().map(arrays_of)).collect()
}
