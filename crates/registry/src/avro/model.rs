//! What an Avro schema says, with everything that was written in it.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Properties that Avro itself gives no meaning: logical types, `connect.name` and the like.
pub(super) type Properties = Map<String, Value>;

/// An Avro schema and the named types that it uses from other schemas.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    pub(super) root: Node,
    pub(super) referenced: Vec<Node>,
}

/// A schema at one place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) shape: Shape,
    pub(super) properties: Properties,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    Primitive(Primitive),
    Array(Box<Node>),
    Map(Box<Node>),
    Union(Vec<Node>),
    /// Where a named type is defined.
    Definition(Box<Named>),
    /// A named type that is defined elsewhere.
    Use(Name),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Primitive {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
}

impl Primitive {
    pub(super) const ALL: [Self; 8] = [
        Self::Null,
        Self::Boolean,
        Self::Int,
        Self::Long,
        Self::Float,
        Self::Double,
        Self::Bytes,
        Self::String,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Bytes => "bytes",
            Self::String => "string",
        }
    }

    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|primitive| primitive.name() == name)
    }
}

/// A name with its namespace, which is empty where there is none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Name {
    pub(super) fn full(&self) -> String {
        if self.namespace.is_empty() {
            self.name.clone()
        } else {
            format!("{}.{}", self.namespace, self.name)
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Named {
    pub(super) name: Name,
    pub(super) aliases: Vec<Name>,
    pub(super) doc: Option<String>,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Record { fields: Vec<Field>, error: bool },
    Enum { symbols: Vec<String>, default: Option<String> },
    Fixed { size: u64 },
}

impl Kind {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Record { .. } => "record",
            Self::Enum { .. } => "enum",
            Self::Fixed { .. } => "fixed",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
    pub(super) doc: Option<String>,
    pub(super) node: Node,
    pub(super) default: Option<Value>,
    pub(super) order: Option<String>,
    pub(super) properties: Properties,
}

/// Named types by their full names.
pub(super) type Names<'a> = BTreeMap<String, &'a Named>;

impl Schema {
    /// Every named type, its own and those of other schemas.
    pub(super) fn names(&self) -> Names<'_> {
        let mut names = Names::new();
        for node in self.referenced.iter().chain([&self.root]) {
            collect(node, &mut names);
        }
        names
    }

    /// Every field of every record with its type.
    #[must_use]
    pub fn listing(&self) -> BTreeMap<String, String> {
        let mut listing = BTreeMap::new();
        for (full, named) in self.names() {
            match &named.kind {
                Kind::Record { fields, .. } => {
                    listing.insert(full.clone(), "record".to_owned());
                    for field in fields {
                        let mut text = field.node.print(&named.name.namespace);
                        if let Some(default) = &field.default {
                            text.push_str(&format!(", default {default}"));
                        }
                        listing.insert(format!("{full}.{}", field.name), text);
                    }
                }
                Kind::Enum { symbols, default } => {
                    let default = default.as_ref().map(|d| format!(", default {d}"));
                    let default = default.unwrap_or_default();
                    listing.insert(full, format!("enum {}{default}", symbols.join(" ")));
                }
                Kind::Fixed { size } => {
                    listing.insert(full, format!("fixed of {size} bytes"));
                }
            }
        }
        if listing.is_empty() {
            listing.insert("(schema)".to_owned(), self.root.print(""));
        }
        listing
    }
}

fn collect<'a>(node: &'a Node, names: &mut Names<'a>) {
    match &node.shape {
        Shape::Primitive(_) | Shape::Use(_) => {}
        Shape::Array(inner) | Shape::Map(inner) => collect(inner, names),
        Shape::Union(branches) => branches.iter().for_each(|branch| collect(branch, names)),
        Shape::Definition(named) => {
            names.insert(named.name.full(), named);
            if let Kind::Record { fields, .. } = &named.kind {
                fields.iter().for_each(|field| collect(&field.node, names));
            }
        }
    }
}
