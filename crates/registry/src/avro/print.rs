//! An Avro schema as text. Attributes come in the order in which Avro's own library writes them, so
//! that a schema that was registered by it is recognised by its text.

use super::model::{Field, Kind, Name, Named, Node, Properties, Schema, Shape};
use serde_json::{Map, Value, json};

impl Schema {
    /// The text without layout.
    #[must_use]
    pub fn canonical(&self) -> String {
        self.root.print("")
    }

    /// The text without layout, properties sorted, every name in full.
    #[must_use]
    pub fn normalized(&self) -> String {
        Printer { normal: true }.node(&self.root, "").to_string()
    }
}

impl Node {
    /// The text inside a namespace.
    pub(super) fn print(&self, namespace: &str) -> String {
        Printer { normal: false }.node(self, namespace).to_string()
    }
}

struct Printer {
    normal: bool,
}

impl Printer {
    fn node(&self, node: &Node, namespace: &str) -> Value {
        match &node.shape {
            Shape::Primitive(primitive) => self.short(primitive.name(), &node.properties),
            Shape::Use(name) => self.short(&self.name(name, namespace), &node.properties),
            Shape::Array(items) => self.nested("array", "items", items, node, namespace),
            Shape::Map(values) => self.nested("map", "values", values, node, namespace),
            Shape::Union(branches) => {
                branches.iter().map(|branch| self.node(branch, namespace)).collect()
            }
            Shape::Definition(named) => self.named(named, &node.properties, namespace),
        }
    }

    /// A name, in an object only where there are properties to carry.
    fn short(&self, name: &str, properties: &Properties) -> Value {
        if properties.is_empty() {
            return name.into();
        }
        let mut out = object("type", name);
        self.extend(&mut out, properties);
        out.into()
    }

    fn nested(&self, kind: &str, key: &str, inner: &Node, node: &Node, namespace: &str) -> Value {
        let mut out = object("type", kind);
        out.insert(key.to_owned(), self.node(inner, namespace));
        self.extend(&mut out, &node.properties);
        out.into()
    }

    fn named(&self, named: &Named, properties: &Properties, enclosing: &str) -> Value {
        let kind = match &named.kind {
            Kind::Record { error: true, .. } => "error",
            kind => kind.name(),
        };
        let mut out = object("type", kind);
        let Name { namespace, name } = &named.name;
        if self.normal {
            out.insert("name".to_owned(), named.name.full().into());
        } else {
            out.insert("name".to_owned(), name.as_str().into());
            if namespace != enclosing {
                out.insert("namespace".to_owned(), namespace.as_str().into());
            }
        }
        if let Some(doc) = &named.doc {
            out.insert("doc".to_owned(), doc.as_str().into());
        }
        match &named.kind {
            Kind::Record { fields, .. } => {
                let fields = fields.iter().map(|field| self.field(field, namespace));
                out.insert("fields".to_owned(), fields.collect());
            }
            Kind::Enum { symbols, default } => {
                out.insert("symbols".to_owned(), json!(symbols));
                if let Some(default) = default {
                    out.insert("default".to_owned(), default.as_str().into());
                }
            }
            Kind::Fixed { size } => {
                out.insert("size".to_owned(), (*size).into());
            }
        }
        self.extend(&mut out, properties);
        if !named.aliases.is_empty() {
            let mut aliases: Vec<String> =
                named.aliases.iter().map(|alias| self.name(alias, namespace)).collect();
            self.sort(&mut aliases);
            out.insert("aliases".to_owned(), json!(aliases));
        }
        out.into()
    }

    fn field(&self, field: &Field, namespace: &str) -> Value {
        let mut out = object("name", &field.name);
        out.insert("type".to_owned(), self.node(&field.node, namespace));
        if let Some(doc) = &field.doc {
            out.insert("doc".to_owned(), doc.as_str().into());
        }
        if let Some(default) = &field.default {
            out.insert("default".to_owned(), default.clone());
        }
        if let Some(order) = field.order.as_deref().filter(|order| *order != "ascending") {
            out.insert("order".to_owned(), order.into());
        }
        if !field.aliases.is_empty() {
            let mut aliases = field.aliases.clone();
            self.sort(&mut aliases);
            out.insert("aliases".to_owned(), json!(aliases));
        }
        self.extend(&mut out, &field.properties);
        out.into()
    }

    fn name(&self, name: &Name, enclosing: &str) -> String {
        if !self.normal && name.namespace == enclosing { name.name.clone() } else { name.full() }
    }

    fn sort(&self, names: &mut [String]) {
        if self.normal {
            names.sort();
        }
    }

    fn extend(&self, out: &mut Map<String, Value>, properties: &Properties) {
        let mut properties: Vec<_> = properties.iter().collect();
        if self.normal {
            properties.sort_by_key(|(key, _)| *key);
        }
        out.extend(properties.into_iter().map(|(key, value)| (key.clone(), value.clone())));
    }
}

fn object(key: &str, value: &str) -> Map<String, Value> {
    [(key.to_owned(), Value::from(value))].into_iter().collect()
}
