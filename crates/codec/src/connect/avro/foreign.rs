//! A Connect schema from the text of any Avro schema that Connect could have registered.

use super::super::read::empty_array;
use super::super::{Field, Kind, Label, Literal, Schema};
use cdc_core::{Error, Origin, Retry};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// More places than any table's envelope has.
const PLACES_MAX: usize = 1 << 16;
/// Records, arrays, maps and unions within each other; Debezium's records need ten.
const DEPTH_MAX: usize = 64;
/// Arrays and maps within each other.
const NESTED_MAX: usize = 4;
/// The first record without a name of its own; the others have a number.
const NAMELESS: &str = "io.confluent.connect.avro.ConnectDefault";

/// The text is no schema, or one that Connect would not have made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is not JSON.
    #[error("the schema is not JSON")]
    Json,
    /// Something in it has no type, or one that was not defined before.
    #[error("the schema has a type that Avro does not know")]
    UnknownType,
    /// A record without fields, an array without items, something without its name.
    #[error("the schema lacks a part")]
    Incomplete,
    /// A union of anything but null and one type.
    #[error("the schema has a union of more than null and one type")]
    Union,
    /// A record that holds itself.
    #[error("the schema has a record that holds itself")]
    Recursive,
    /// Items that take no bytes, so that any number of them may be claimed.
    #[error("the schema has values without a size")]
    Sizeless,
    /// It is larger or nested deeper than any record's.
    #[error("the schema is too large")]
    TooLarge,
}

impl From<Unreadable> for Error {
    fn from(unreadable: Unreadable) -> Self {
        let context = format!("a topic's schema cannot be read as Avro of Connect's: {unreadable}");
        Self::new("CDC-4242", Origin::Transport, Retry::Never, context).with_remedy(
            "read topics that Debezium wrote with Confluent's or Apicurio's converter for Avro",
        )
    }
}

/// One place of the schema, in the order of the bytes.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) shape: Shape,
    pub(super) union: Branches,
    /// Where what follows it is found.
    pub(super) end: usize,
}

/// The branches of a union.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Branches {
    /// It is no union.
    None,
    /// One branch alone.
    One,
    /// Two, of which this one is null.
    Null(i64),
}

/// How the values of a place are read.
#[derive(Debug)]
pub(super) enum Shape {
    Boolean,
    /// Between these two.
    Integer(i64, i64),
    Float,
    Double,
    Text,
    Octets,
    /// So many octets.
    Fixed(usize),
    /// One of these texts.
    Enum(Vec<String>),
    Struct(Vec<Label>),
    Array,
    Map,
}

/// Reads a schema.
pub(super) fn read(text: &str) -> Result<(Schema, Vec<Place>), Unreadable> {
    let json = serde_json::from_str(text).map_err(|_| Unreadable::Json)?;
    let mut reading =
        Reading { places: Vec::new(), known: BTreeMap::new(), open: Vec::new(), nested: 0 };
    let schema = reading.any(&json, "", 0)?;
    Ok((schema, reading.places))
}

struct Reading<'a> {
    places: Vec<Place>,
    /// Definitions by full name, each with the namespace around it.
    known: BTreeMap<String, (&'a Json, String)>,
    /// The records around the place at hand.
    open: Vec<String>,
    /// So many arrays and maps are around it.
    nested: usize,
}

impl<'a> Reading<'a> {
    fn any(&mut self, json: &'a Json, space: &str, depth: usize) -> Result<Schema, Unreadable> {
        if depth > DEPTH_MAX {
            return Err(Unreadable::TooLarge);
        }
        match json {
            Json::Array(branches) => self.union(branches, space, depth),
            Json::String(name) => self.named(json, name, space, depth),
            Json::Object(_) => match json.get("type").ok_or(Unreadable::Incomplete)? {
                Json::String(name) => self.named(json, name, space, depth),
                inner => self.any(inner, space, depth + 1),
            },
            _ => Err(Unreadable::UnknownType),
        }
    }

    fn union(
        &mut self,
        branches: &'a [Json],
        space: &str,
        depth: usize,
    ) -> Result<Schema, Unreadable> {
        let is_null = |json: &Json| json == "null" || json["type"] == "null";
        let (value, union) = match branches {
            [value] => (value, Branches::One),
            [null, value] if is_null(null) => (value, Branches::Null(0)),
            [value, null] if is_null(null) => (value, Branches::Null(1)),
            _ => return Err(Unreadable::Union),
        };
        if value.is_array() || is_null(value) {
            return Err(Unreadable::Union);
        }
        let at = self.places.len();
        let schema = self.any(value, space, depth + 1)?;
        match self.places.get_mut(at) {
            Some(place) if place.union == Branches::None => place.union = union,
            _ => return Err(Unreadable::Union),
        }
        Ok(schema.with_optional(union != Branches::One))
    }

    /// A type by its name, with what `json` says beside it.
    fn named(
        &mut self,
        json: &'a Json,
        name: &str,
        space: &str,
        depth: usize,
    ) -> Result<Schema, Unreadable> {
        let at = self.places.len();
        if at >= PLACES_MAX {
            return Err(Unreadable::TooLarge);
        }
        let narrow = json.get("connect.type").and_then(Json::as_str);
        let (kind, shape) = match (name, narrow) {
            ("boolean", _) => (Kind::Boolean, Shape::Boolean),
            ("int", Some("int8")) => (Kind::Int8, integer(i8::MIN, i8::MAX)),
            ("int", Some("int16")) => (Kind::Int16, integer(i16::MIN, i16::MAX)),
            ("int", _) => (Kind::Int32, integer(i32::MIN, i32::MAX)),
            ("long", _) => (Kind::Int64, integer(i64::MIN, i64::MAX)),
            ("float", _) => (Kind::Float32, Shape::Float),
            ("double", _) => (Kind::Float64, Shape::Double),
            ("string", _) => (Kind::String, Shape::Text),
            ("bytes", _) => (Kind::Bytes, Shape::Octets),
            ("array" | "map", _) => return self.container(json, name, space, depth),
            ("record" | "error", _) => return self.record(json, space, depth),
            ("fixed", _) => {
                self.define(json, space)?;
                let size = json.get("size").and_then(Json::as_u64).and_then(|n| n.try_into().ok());
                match size.ok_or(Unreadable::Incomplete)? {
                    0 => return Err(Unreadable::Sizeless),
                    size => (Kind::Bytes, Shape::Fixed(size)),
                }
            }
            ("enum", _) => {
                self.define(json, space)?;
                let symbols = json.get("symbols").and_then(Json::as_array);
                let symbols = symbols.ok_or(Unreadable::Incomplete)?.iter();
                let symbols = symbols.map(|s| s.as_str().map(str::to_owned));
                let symbols = symbols.collect::<Option<_>>().ok_or(Unreadable::Incomplete)?;
                (Kind::String, Shape::Enum(symbols))
            }
            _ => return self.again(name, space, depth),
        };
        self.places.push(Place { shape, union: Branches::None, end: at + 1 });
        Ok(semantics(json, kind))
    }

    /// A type that was defined before.
    fn again(&mut self, name: &str, space: &str, depth: usize) -> Result<Schema, Unreadable> {
        let full = full_name(name, space);
        let known = self.known.get(&full).or_else(|| self.known.get(name));
        let (json, around) = known.cloned().ok_or(Unreadable::UnknownType)?;
        self.any(json, &around, depth + 1)
    }

    /// Remembers a definition, and says its full name and its namespace.
    fn define(&mut self, json: &'a Json, space: &str) -> Result<(String, String), Unreadable> {
        let name = json.get("name").and_then(Json::as_str).ok_or(Unreadable::Incomplete)?;
        let space_of_its_own = json.get("namespace").and_then(Json::as_str);
        let full = full_name(name, space_of_its_own.unwrap_or(space));
        self.known.insert(full.clone(), (json, space.to_owned()));
        let inner = full.rsplit_once('.').map_or("", |(space, _)| space).to_owned();
        Ok((full, inner))
    }

    fn container(
        &mut self,
        json: &'a Json,
        name: &str,
        space: &str,
        depth: usize,
    ) -> Result<Schema, Unreadable> {
        let (part, shape) = match name {
            "array" => ("items", Shape::Array),
            _ => ("values", Shape::Map),
        };
        if self.nested >= NESTED_MAX {
            return Err(Unreadable::TooLarge);
        }
        let at = self.places.len();
        self.places.push(Place { shape, union: Branches::None, end: 0 });
        self.nested += 1;
        let inner = json.get(part).ok_or(Unreadable::Incomplete)?;
        let inner = Box::new(self.any(inner, space, depth + 1)?);
        self.nested -= 1;
        self.close(at);
        let text = || Box::new(Schema::new(Kind::String));
        let kind = match name {
            "array" => Kind::Array(inner),
            _ => Kind::Map(text(), inner),
        };
        Ok(semantics(json, kind))
    }

    fn record(&mut self, json: &'a Json, space: &str, depth: usize) -> Result<Schema, Unreadable> {
        let (full, inner) = self.define(json, space)?;
        if self.open.contains(&full) {
            return Err(Unreadable::Recursive);
        }
        let all = json.get("fields").and_then(Json::as_array).ok_or(Unreadable::Incomplete)?;
        if all.is_empty() && self.nested > 0 {
            return Err(Unreadable::Sizeless);
        }
        let at = self.places.len();
        self.places.push(Place { shape: Shape::Struct(Vec::new()), union: Branches::None, end: 0 });
        self.open.push(full.clone());
        let mut fields = Vec::with_capacity(all.len());
        for field in all {
            let name = field.get("name").and_then(Json::as_str).ok_or(Unreadable::Incomplete)?;
            let of = field.get("type").ok_or(Unreadable::Incomplete)?;
            let mut schema = self.any(of, &inner, depth + 1)?;
            if let Some(default) = field.get("default").filter(|_| schema.default.is_none()) {
                schema.default = literal(&schema.kind, default);
            }
            fields.push(Field::new(name, schema));
        }
        self.open.pop();
        self.close(at);
        let labels = fields.iter().map(|field| Label::new(field.name.clone())).collect();
        if let Some(place) = self.places.get_mut(at) {
            place.shape = Shape::Struct(labels);
        }
        let schema = semantics(json, Kind::Struct(fields));
        let has_name = schema.name.is_some() || is_nameless(&full);
        Ok(if has_name { schema } else { schema.named(full) })
    }

    fn close(&mut self, at: usize) {
        let end = self.places.len();
        if let Some(place) = self.places.get_mut(at) {
            place.end = end;
        }
    }
}

fn integer(least: impl Into<i64>, most: impl Into<i64>) -> Shape {
    Shape::Integer(least.into(), most.into())
}

fn full_name(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() { name.to_owned() } else { format!("{space}.{name}") }
}

fn is_nameless(full: &str) -> bool {
    full.strip_prefix(NAMELESS).is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
}

/// A required schema with what Connect said beside the type, or else what the logical type says.
fn semantics(json: &Json, kind: Kind) -> Schema {
    let text = |name: &str| json.get(name).and_then(Json::as_str).map(str::to_owned);
    let version = json.get("connect.version").and_then(Json::as_i64);
    let parameters = json.get("connect.parameters").and_then(Json::as_object).into_iter().flatten();
    let mut schema = Schema {
        optional: false,
        name: text("connect.name"),
        version: version.and_then(|version| version.try_into().ok()),
        parameters: parameters
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect(),
        default: json.get("connect.default").and_then(|default| literal(&kind, default)),
        doc: text("connect.doc").or_else(|| text("doc")),
        kind,
    };
    if schema.name.is_none() {
        logical(json, &mut schema);
    }
    schema
}

/// Gives Connect's names to Avro's logical types that it has names for.
fn logical(json: &Json, schema: &mut Schema) {
    let logical = json.get("logicalType").and_then(Json::as_str).unwrap_or_default();
    let name = match (logical, &schema.kind) {
        ("decimal", Kind::Bytes) => "Decimal",
        ("date", Kind::Int32) => "Date",
        ("time-millis", Kind::Int32) => "Time",
        ("timestamp-millis", Kind::Int64) => "Timestamp",
        _ => return,
    };
    schema.name = Some(format!("org.apache.kafka.connect.data.{name}"));
    schema.version = schema.version.or(Some(1));
    if name == "Decimal" && schema.parameters.is_empty() {
        let number = |name: &str| json.get(name).and_then(Json::as_i64);
        let scale = number("scale").unwrap_or(0);
        schema.parameters.push(("scale".to_owned(), scale.to_string()));
        if let Some(digits) = number("precision") {
            let name = "connect.decimal.precision".to_owned();
            schema.parameters.push((name, digits.to_string()));
        }
    }
}

/// A default of another form than its type's is none.
fn literal(kind: &Kind, json: &Json) -> Option<Literal> {
    match kind {
        Kind::Boolean => json.as_bool().map(Literal::Boolean),
        Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64 => json.as_i64().map(Literal::Integer),
        Kind::Float32 | Kind::Float64 => json.as_f64().map(Literal::Float),
        Kind::String => json.as_str().map(|text| Literal::Text(text.to_owned())),
        // Each octet is the character of its number.
        Kind::Bytes => {
            let octets = json.as_str()?.chars().map(|c| u8::try_from(u32::from(c)).ok());
            octets.collect::<Option<_>>().map(Literal::Bytes)
        }
        Kind::Array(_) => empty_array(json),
        Kind::Map(..) | Kind::Struct(_) => None,
    }
}
