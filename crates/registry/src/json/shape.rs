//! What a place of a JSON Schema allows, with references followed and shorthands written out.

use super::parse::Schema;
use serde_json::{Map, Value};

/// A schema, or one of the things that it says, together with the document that it is in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    schema: &'a Schema,
    document: &'a Value,
    value: &'a Value,
    aspect: Aspect<'a>,
}

/// What of a schema is meant. A schema says several things at once, and all of them hold.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Aspect<'a> {
    Whole,
    /// One of the types that `type` names.
    Type(&'a str),
    /// All types that `type` names.
    Types(&'a [Value]),
    /// Keywords that speak about one type, where `type` is missing.
    Implied(Kind),
    Reference(&'a str),
    Enum(&'a [Value]),
    Const(&'a Value),
    Combined(Criterion, &'a [Value]),
    Not(&'a Value),
}

/// How many of several schemas must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Criterion {
    All,
    Any,
    One,
}

/// A type of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    pub(super) const ALL: [Self; 7] = [
        Self::Null,
        Self::Boolean,
        Self::Integer,
        Self::Number,
        Self::String,
        Self::Array,
        Self::Object,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
        }
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The keywords that say something about values of this type.
    pub(super) fn keywords(self) -> &'static [&'static str] {
        match self {
            Self::Null | Self::Boolean => &[],
            Self::Integer | Self::Number => {
                &["maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum", "multipleOf"]
            }
            Self::String => &["maxLength", "minLength", "pattern"],
            Self::Array => &[
                "items",
                "prefixItems",
                "additionalItems",
                "maxItems",
                "minItems",
                "uniqueItems",
                "contains",
                "minContains",
                "maxContains",
                "unevaluatedItems",
            ],
            Self::Object => &[
                "properties",
                "required",
                "additionalProperties",
                "patternProperties",
                "maxProperties",
                "minProperties",
                "dependencies",
                "dependentRequired",
                "dependentSchemas",
                "propertyNames",
                "unevaluatedProperties",
            ],
        }
    }

    pub(super) fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(number) if number.is_f64() => Self::Number,
            Value::Number(_) => Self::Integer,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }
}

/// What a part allows.
#[derive(Clone, Debug)]
pub(super) enum Shape<'a> {
    /// Everything.
    Any,
    /// Nothing.
    Never,
    /// Values of a type; of any other type too, unless `strict`.
    Typed { kind: Kind, keywords: &'a Map<String, Value>, strict: bool },
    /// These values.
    Enum(Vec<&'a Value>),
    /// What so many of these allow.
    Combined(Criterion, Vec<Part<'a>>),
    /// What this does not allow.
    Not(Part<'a>),
    /// A reference that leads nowhere.
    Unknown,
}

impl<'a> Part<'a> {
    /// The whole of a schema.
    pub(super) fn root(schema: &'a Schema) -> Self {
        let root = &schema.root;
        Self { schema, document: root, value: root, aspect: Aspect::Whole }
    }

    /// A schema inside this one.
    pub(super) fn inner(self, value: &'a Value) -> Self {
        Self { value, aspect: Aspect::Whole, ..self }
    }

    /// The identity of the place: the same schema at the same place has the same.
    pub(super) fn identity(self) -> (usize, String) {
        (std::ptr::from_ref(self.value).addr(), format!("{:?}", self.aspect_name()))
    }

    fn aspect_name(self) -> (u8, &'a str) {
        match self.aspect {
            Aspect::Whole => (0, ""),
            Aspect::Type(name) => (1, name),
            Aspect::Types(_) => (2, ""),
            Aspect::Implied(kind) => (3, kind.name()),
            Aspect::Reference(reference) => (4, reference),
            Aspect::Enum(_) => (5, ""),
            Aspect::Const(_) => (6, ""),
            Aspect::Combined(Criterion::All, _) => (7, ""),
            Aspect::Combined(Criterion::Any, _) => (8, ""),
            Aspect::Combined(Criterion::One, _) => (9, ""),
            Aspect::Not(_) => (10, ""),
        }
    }

    /// Does it have a value for when there is none?
    pub(super) fn has_default(self) -> bool {
        self.value.get("default").is_some()
    }

    /// What it allows.
    pub(super) fn shape(self) -> Shape<'a> {
        self.shape_within(0)
    }

    fn shape_within(self, depth: usize) -> Shape<'a> {
        const REFERENCES_MAX: usize = 64;
        if depth > REFERENCES_MAX {
            return Shape::Unknown;
        }
        let object = match self.value {
            Value::Object(object) => object,
            Value::Bool(false) => return Shape::Never,
            _ => return Shape::Any,
        };
        let parts = |values: &'a [Value]| values.iter().map(|value| self.inner(value)).collect();
        match self.aspect {
            Aspect::Whole => {
                let aspects = aspects(object);
                let mut found = aspects.iter().map(|aspect| Self { aspect: *aspect, ..self });
                match (found.next(), aspects.len()) {
                    (None, _) => Shape::Any,
                    (Some(only), 1) => only.shape_within(depth + 1),
                    (Some(first), _) => Shape::Combined(
                        Criterion::All,
                        std::iter::once(first).chain(found).collect(),
                    ),
                }
            }
            Aspect::Type(name) => match Kind::of(name) {
                Some(kind) => Shape::Typed { kind, keywords: object, strict: true },
                None => Shape::Unknown,
            },
            Aspect::Types(names) => {
                let types = names.iter().filter_map(Value::as_str);
                let types = types.map(|name| Self { aspect: Aspect::Type(name), ..self });
                Shape::Combined(Criterion::Any, types.collect())
            }
            Aspect::Implied(kind) => Shape::Typed { kind, keywords: object, strict: false },
            Aspect::Reference(reference) => match self.schema.follow(self.document, reference) {
                Some((value, document)) => {
                    Self { document, value, aspect: Aspect::Whole, ..self }.shape_within(depth + 1)
                }
                None => Shape::Unknown,
            },
            Aspect::Enum(values) => Shape::Enum(values.iter().collect()),
            Aspect::Const(value) => Shape::Enum(vec![value]),
            Aspect::Combined(criterion, values) => Shape::Combined(criterion, parts(values)),
            Aspect::Not(value) => Shape::Not(self.inner(value)),
        }
    }

    /// The types of values that may be allowed; all of them when that is not known.
    pub(super) fn kinds(self) -> Vec<Kind> {
        self.kinds_within(0)
    }

    fn kinds_within(self, depth: usize) -> Vec<Kind> {
        /// Schemas may hold themselves.
        const DEPTH_MAX: usize = 16;
        if depth > DEPTH_MAX {
            return Kind::ALL.to_vec();
        }
        match self.shape() {
            Shape::Never => Vec::new(),
            Shape::Typed { kind: Kind::Number, strict: true, .. } => {
                vec![Kind::Integer, Kind::Number]
            }
            Shape::Typed { kind, strict: true, .. } => vec![kind],
            Shape::Enum(values) => values.into_iter().map(Kind::of_value).collect(),
            Shape::Combined(Criterion::All, parts) => {
                let mut kinds = Kind::ALL.to_vec();
                for part in parts {
                    let of_part = part.kinds_within(depth + 1);
                    kinds.retain(|kind| of_part.contains(kind));
                }
                kinds
            }
            Shape::Any
            | Shape::Not(_)
            | Shape::Unknown
            | Shape::Typed { .. }
            | Shape::Combined(..) => Kind::ALL.to_vec(),
        }
    }
}

/// What a schema says, one thing after the other.
fn aspects(object: &Map<String, Value>) -> Vec<Aspect<'_>> {
    let mut aspects = Vec::new();
    for key in ["$ref", "$dynamicRef"] {
        if let Some(Value::String(reference)) = object.get(key) {
            aspects.push(Aspect::Reference(reference));
        }
    }
    match object.get("type") {
        Some(Value::String(name)) => aspects.push(Aspect::Type(name)),
        Some(Value::Array(names)) => match names.as_slice() {
            [Value::String(only)] => aspects.push(Aspect::Type(only)),
            names => aspects.push(Aspect::Types(names)),
        },
        _ => {
            let kinds = [Kind::Number, Kind::String, Kind::Array, Kind::Object];
            let says = |kind: &Kind| kind.keywords().iter().any(|key| object.contains_key(*key));
            aspects.extend(kinds.into_iter().filter(says).map(Aspect::Implied));
        }
    }
    if let Some(Value::Array(values)) = object.get("enum") {
        aspects.push(Aspect::Enum(values));
    }
    if let Some(value) = object.get("const") {
        aspects.push(Aspect::Const(value));
    }
    for (key, criterion) in
        [("allOf", Criterion::All), ("anyOf", Criterion::Any), ("oneOf", Criterion::One)]
    {
        if let Some(Value::Array(values)) = object.get(key) {
            aspects.push(match values.as_slice() {
                [_] => Aspect::Combined(Criterion::All, values),
                values => Aspect::Combined(criterion, values),
            });
        }
    }
    if let Some(value) = object.get("not") {
        aspects.push(Aspect::Not(value));
    }
    aspects
}
