//! Values as trees, and schemas with values of them, for the tests of the formats.

use super::{Field, Kind, Label, Literal, Schema, Writer};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use serde_json::Value as Json;

/// A value with all of its parts.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f32),
    Double(f64),
    Text(String),
    Octets(Vec<u8>),
    Struct(Vec<(String, Told)>),
    Array(Vec<Told>),
    Map(Vec<(String, Told)>),
}

impl PartialEq for Told {
    /// NaN equals NaN.
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

impl Told {
    /// Tells the value to a writer.
    pub(crate) fn tell<W: Writer>(&self, out: &mut W) {
        match self {
            Self::Null => out.null(),
            Self::Boolean(value) => out.boolean(*value),
            Self::Integer(value) => out.integer(*value),
            Self::Float(value) => out.float32(*value),
            Self::Double(value) => out.float64(*value),
            Self::Text(value) if value.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                out.plain(format_args!("{value}"));
            }
            Self::Text(value) => out.string(value),
            Self::Octets(value) => out.bytes(value),
            Self::Struct(fields) => {
                out.begin_struct();
                for (name, value) in fields {
                    out.field(&Label::new(name.clone()));
                    value.tell(out);
                }
                out.end_struct();
            }
            Self::Array(items) => {
                out.begin_array(items.len());
                for item in items {
                    out.item();
                    item.tell(out);
                }
                out.end_array();
            }
            Self::Map(entries) => {
                out.begin_map(entries.len());
                for (key, value) in entries {
                    out.key(key);
                    value.tell(out);
                }
                out.end_map();
            }
        }
    }

    /// The value that stands in JSON with schemas.
    pub(crate) fn of_json(schema: &Schema, json: &Json) -> Self {
        if json.is_null() {
            return Self::Null;
        }
        let float = || match json.as_str() {
            Some("NaN") => f64::NAN,
            Some(text) => text.parse().unwrap(),
            None => json.as_f64().unwrap(),
        };
        let text = || json.as_str().unwrap();
        match &schema.kind {
            Kind::Boolean => Self::Boolean(json.as_bool().unwrap()),
            Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64 => {
                Self::Integer(json.as_i64().unwrap())
            }
            #[expect(clippy::cast_possible_truncation, reason = "it was one")]
            Kind::Float32 => Self::Float(float() as f32),
            Kind::Float64 => Self::Double(float()),
            Kind::String => Self::Text(text().to_owned()),
            Kind::Bytes => Self::Octets(STANDARD.decode(text()).unwrap()),
            Kind::Array(items) => {
                let all = json.as_array().unwrap().iter();
                Self::Array(all.map(|json| Self::of_json(items, json)).collect())
            }
            Kind::Map(_, values) => {
                // Keys that are not text make it an array of pairs, which no writer takes.
                let Some(all) = json.as_object() else { return Self::Null };
                let all = all.iter();
                Self::Map(all.map(|(key, v)| (key.clone(), Self::of_json(values, v))).collect())
            }
            Kind::Struct(fields) => {
                let value = |field: &Field| Self::of_json(&field.schema, &json[&field.name]);
                Self::Struct(fields.iter().map(|f| (f.name.clone(), value(f))).collect())
            }
        }
    }

    /// Are they the same up to the last digits of numbers, which the JSON library may read wrong?
    pub(crate) fn is_close(&self, other: &Self) -> bool {
        let near = |one: f64, other: f64, most: f64| {
            one == other
                || one.is_nan() && other.is_nan()
                || (one - other).abs() <= one.abs() * most
        };
        let named = |one: &[(String, Self)], other: &[(String, Self)]| {
            let same =
                |((n, v), (m, w)): (&(String, Self), &(String, Self))| n == m && v.is_close(w);
            one.len() == other.len() && one.iter().zip(other).all(same)
        };
        match (self, other) {
            (Self::Float(one), Self::Float(other)) => near((*one).into(), (*other).into(), 1e-6),
            (Self::Double(one), Self::Double(other)) => near(*one, *other, 1e-14),
            (Self::Struct(one), Self::Struct(other)) | (Self::Map(one), Self::Map(other)) => {
                named(one, other)
            }
            (Self::Array(one), Self::Array(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(v, w)| v.is_close(w))
            }
            _ => self == other,
        }
    }

    /// The value with defaults where null stands for them.
    pub(crate) fn settled(&self, schema: &Schema) -> Self {
        match (self, &schema.kind, &schema.default) {
            (Self::Null, _, Some(Literal::Boolean(value))) => Self::Boolean(*value),
            (Self::Null, _, Some(Literal::Integer(value))) => Self::Integer(*value),
            #[expect(clippy::cast_possible_truncation, reason = "it is one")]
            (Self::Null, Kind::Float32, Some(Literal::Float(value))) => Self::Float(*value as f32),
            (Self::Null, _, Some(Literal::Float(value))) => Self::Double(*value),
            (Self::Null, _, Some(Literal::Text(value))) => Self::Text(value.clone()),
            (Self::Null, _, Some(Literal::Bytes(value))) => Self::Octets(value.clone()),
            (Self::Array(all), Kind::Array(items), _) => {
                Self::Array(all.iter().map(|item| item.settled(items)).collect())
            }
            (Self::Map(all), Kind::Map(_, values), _) => {
                let settled = |(key, value): &(String, Self)| (key.clone(), value.settled(values));
                Self::Map(all.iter().map(settled).collect())
            }
            (Self::Struct(all), Kind::Struct(fields), _) => Self::Struct(
                all.iter()
                    .zip(fields)
                    .map(|((n, v), f)| (n.clone(), v.settled(&f.schema)))
                    .collect(),
            ),
            _ => self.clone(),
        }
    }
}

/// A schema and a value of it.
pub(crate) fn any_pair() -> BoxedStrategy<(Schema, Told)> {
    any_schema()
        .prop_flat_map(|schema| {
            let value = value_of(&schema);
            (Just(schema), value)
        })
        .boxed()
}

/// A schema of structs, arrays and maps, each record with a name of its own.
pub(crate) fn any_schema() -> BoxedStrategy<Schema> {
    let leaf = prop_oneof![
        3 => (scalar(), any::<bool>()).prop_map(|(schema, optional)| schema.with_optional(optional)),
        1 => semantic(),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            (inner.clone(), any::<bool>())
                .prop_map(|(items, optional)| Schema::array_of(items).with_optional(optional)),
            (inner.clone(), any::<bool>()).prop_map(|(values, optional)| {
                let text = Box::new(Schema::new(Kind::String));
                Schema::new(Kind::Map(text, Box::new(values))).with_optional(optional)
            }),
            (prop::collection::vec(inner, 1..5), any::<bool>(), any::<bool>()).prop_map(
                |(fields, optional, named)| structure(fields, named).with_optional(optional)
            ),
        ]
    })
    .prop_flat_map(|schema| {
        (Just(schema), "[a-z_][A-Za-z0-9_]{0,5}(\\.[A-Z][a-z]{0,5}){0,2}")
            .prop_map(|(schema, prefix)| numbered(schema, &prefix, &mut 0))
    })
    .boxed()
}

fn structure(fields: Vec<Schema>, named: bool) -> Schema {
    let fields = fields.into_iter().enumerate();
    let schema = Schema::of_fields(
        fields.map(|(index, schema)| Field::new(format!("f{index}"), schema)).collect(),
    );
    if named { schema.named("r") } else { schema }
}

/// Gives each record that has a name its own.
fn numbered(mut schema: Schema, prefix: &str, next: &mut u32) -> Schema {
    match &mut schema.kind {
        Kind::Struct(fields) => {
            for field in fields {
                field.schema = numbered(field.schema.clone(), prefix, next);
            }
            if schema.name.is_some() {
                *next += 1;
                schema.name = Some(format!("{prefix}.R{next}"));
            }
        }
        Kind::Array(inner) | Kind::Map(_, inner) => {
            **inner = numbered((**inner).clone(), prefix, next);
        }
        _ => {}
    }
    schema
}

fn scalar() -> impl Strategy<Value = Schema> {
    prop::sample::select(vec![
        Kind::Boolean,
        Kind::Int8,
        Kind::Int16,
        Kind::Int32,
        Kind::Int64,
        Kind::Float32,
        Kind::Float64,
        Kind::String,
        Kind::Bytes,
    ])
    .prop_map(Schema::new)
}

fn semantic() -> impl Strategy<Value = Schema> {
    let connect = |kind, name: &str| {
        Schema::new(kind).named(format!("org.apache.kafka.connect.data.{name}")).version(1)
    };
    prop::sample::select(vec![
        connect(Kind::Bytes, "Decimal").parameter("scale", "2"),
        connect(Kind::Bytes, "Decimal")
            .parameter("scale", "3")
            .parameter("connect.decimal.precision", "9")
            .optional(),
        connect(Kind::Int32, "Date").optional(),
        connect(Kind::Int32, "Time"),
        connect(Kind::Int64, "Timestamp").optional(),
        Schema::new(Kind::Int16).default_value(Literal::Integer(-7)),
        Schema::new(Kind::String).default_value(Literal::Text("d\"é".to_owned())).optional(),
        Schema::new(Kind::Float32).default_value(Literal::Float(0.5)).optional(),
        Schema::new(Kind::Bytes).default_value(Literal::Bytes(vec![0, 200])).optional(),
        Schema::array_of(Schema::new(Kind::Int32)).default_value(Literal::EmptyArray),
        Schema::array_of(Schema::new(Kind::String).optional())
            .default_value(Literal::EmptyArray)
            .optional(),
        Schema::new(Kind::String)
            .named("io.debezium.data.Enum")
            .parameter("allowed", "a,b")
            .doc("é"),
    ])
}

/// A value of a schema.
pub(crate) fn value_of(schema: &Schema) -> BoxedStrategy<Told> {
    let value = required_value(schema);
    if schema.optional { prop_oneof![1 => Just(Told::Null), 3 => value].boxed() } else { value }
}

fn required_value(schema: &Schema) -> BoxedStrategy<Told> {
    let number = |least: i64, most: i64| (least..=most).prop_map(Told::Integer).boxed();
    match &schema.kind {
        Kind::Boolean => any::<bool>().prop_map(Told::Boolean).boxed(),
        Kind::Int8 => number(i8::MIN.into(), i8::MAX.into()),
        Kind::Int16 => number(i16::MIN.into(), i16::MAX.into()),
        // Of Connect's times of day, only those of one day have a form in each format.
        Kind::Int32 if schema.is_named("org.apache.kafka.connect.data.Time") => {
            number(0, 86_399_999)
        }
        Kind::Int32 if schema.is_named("org.apache.kafka.connect.data.Date") => {
            number(-700_000, 2_000_000)
        }
        Kind::Int32 => number(i32::MIN.into(), i32::MAX.into()),
        Kind::Int64 => any::<i64>().prop_map(Told::Integer).boxed(),
        Kind::Float32 => any::<f32>().prop_map(Told::Float).boxed(),
        Kind::Float64 => any::<f64>().prop_map(Told::Double).boxed(),
        Kind::String => prop_oneof![any::<String>(), "[a-z]{60,70}"].prop_map(Told::Text).boxed(),
        Kind::Bytes => {
            let least = usize::from(schema.is_named("org.apache.kafka.connect.data.Decimal"));
            prop::collection::vec(any::<u8>(), least..20).prop_map(Told::Octets).boxed()
        }
        Kind::Array(items) => {
            prop::collection::vec(value_of(items), 0..4).prop_map(Told::Array).boxed()
        }
        Kind::Map(_, values) => {
            prop::collection::btree_map(any::<String>(), value_of(values), 0..4)
                .prop_map(|map| Told::Map(map.into_iter().collect()))
                .boxed()
        }
        Kind::Struct(fields) => fields
            .iter()
            .fold(Just(Vec::new()).boxed(), |all, field| {
                let name = field.name.clone();
                (all, value_of(&field.schema))
                    .prop_map(move |(mut all, value)| {
                        all.push((name.clone(), value));
                        all
                    })
                    .boxed()
            })
            .prop_map(Told::Struct)
            .boxed(),
    }
}
