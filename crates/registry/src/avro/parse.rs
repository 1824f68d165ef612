//! The text of an Avro schema, read and checked.

use super::{
    default,
    model::{Field, Kind, Name, Named, Node, Primitive, Properties, Schema, Shape},
};
use crate::schema::{Invalid, Referenced};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

type Object = Map<String, Value>;

impl Schema {
    /// Reads a text; named types may come from the schemas that it refers to.
    pub fn parse(text: &str, referenced: &[Referenced]) -> Result<Self, Invalid> {
        let mut parser = Parser { defined: BTreeSet::new() };
        let mut nodes = Vec::with_capacity(referenced.len());
        for other in referenced {
            nodes.push(parser.text(&other.text).map_err(|problem| problem.at(&other.name))?);
        }
        let schema = Self { root: parser.text(text)?, referenced: nodes };
        default::check(&schema)?;
        Ok(schema)
    }
}

struct Parser {
    /// Full names of the types that have been defined so far.
    defined: BTreeSet<String>,
}

impl Parser {
    fn text(&mut self, text: &str) -> Result<Node, Invalid> {
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            // A bare name is how some tools write a schema that is only a primitive.
            Err(_) if Primitive::of(text.trim()).is_some() => Value::from(text.trim()),
            Err(error) => return Err(Invalid::new(format!("the text is not JSON: {error}"))),
        };
        self.node(&value, "")
    }

    fn node(&mut self, value: &Value, namespace: &str) -> Result<Node, Invalid> {
        match value {
            Value::String(name) => Ok(bare(self.by_name(name, namespace)?)),
            Value::Array(branches) => self.union(branches, namespace),
            Value::Object(object) => self.object(object, namespace),
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                Err(Invalid::new(format!("{value} is no schema: a name, a list or an object is")))
            }
        }
    }

    fn by_name(&self, name: &str, namespace: &str) -> Result<Shape, Invalid> {
        if let Some(primitive) = Primitive::of(name) {
            return Ok(Shape::Primitive(primitive));
        }
        let qualified = full_name(name, None, namespace)?;
        if self.defined.contains(&qualified.full()) {
            return Ok(Shape::Use(qualified));
        }
        let plain = full_name(name, Some(""), "")?;
        if self.defined.contains(&plain.full()) {
            return Ok(Shape::Use(plain));
        }
        Err(Invalid::new(format!("no type {:?} is defined before its use", qualified.full())))
    }

    fn union(&mut self, branches: &[Value], namespace: &str) -> Result<Node, Invalid> {
        let mut seen = BTreeSet::new();
        let mut nodes = Vec::with_capacity(branches.len());
        for branch in branches {
            let node = self.node(branch, namespace)?;
            let name = match &node.shape {
                Shape::Union(_) => {
                    return Err(Invalid::new("a union may not directly hold a union"));
                }
                Shape::Primitive(primitive) => primitive.name().to_owned(),
                Shape::Array(_) => "array".to_owned(),
                Shape::Map(_) => "map".to_owned(),
                Shape::Definition(named) => named.name.full(),
                Shape::Use(name) => name.full(),
            };
            if !seen.insert(name.clone()) {
                return Err(Invalid::new(format!("a union holds {name} twice")));
            }
            nodes.push(node);
        }
        Ok(bare(Shape::Union(nodes)))
    }

    fn object(&mut self, object: &Object, namespace: &str) -> Result<Node, Invalid> {
        let Some(kind) = object.get("type") else {
            return Err(Invalid::new("a schema has no `type`"));
        };
        let Value::String(kind) = kind else {
            // {"type": {…}} and {"type": […]} are what they hold.
            let mut node = self.node(kind, namespace)?;
            if !matches!(node.shape, Shape::Union(_)) {
                node.properties.extend(rest(object, &["type"]));
            }
            return Ok(node);
        };
        let inner = |key: &str| {
            object.get(key).ok_or_else(|| Invalid::new(format!("`{key}` of an {kind} is missing")))
        };
        let (shape, known): (Shape, &[&str]) = match kind.as_str() {
            "array" => {
                (Shape::Array(Box::new(self.node(inner("items")?, namespace)?)), &["type", "items"])
            }
            "map" => {
                (Shape::Map(Box::new(self.node(inner("values")?, namespace)?)), &["type", "values"])
            }
            "record" | "error" | "enum" | "fixed" => (
                Shape::Definition(Box::new(self.named(kind, object, namespace)?)),
                &[
                    "type",
                    "name",
                    "namespace",
                    "doc",
                    "aliases",
                    "fields",
                    "symbols",
                    "size",
                    "default",
                ],
            ),
            other => (self.by_name(other, namespace)?, &["type"]),
        };
        let mut properties = rest(object, known);
        // `default` belongs to enums only; elsewhere it is a property like any other.
        if let (Some(default), Shape::Definition(named)) = (object.get("default"), &shape)
            && !matches!(named.kind, Kind::Enum { .. })
        {
            properties.insert("default".to_owned(), default.clone());
        }
        Ok(Node { shape, properties })
    }

    fn named(&mut self, kind: &str, object: &Object, enclosing: &str) -> Result<Named, Invalid> {
        let given = text(object, "name")?
            .ok_or_else(|| Invalid::new(format!("`name` of an {kind} is missing")))?;
        let name = full_name(given, text(object, "namespace")?, enclosing)?;
        let full = name.full();
        if Primitive::of(&full).is_some() {
            return Err(Invalid::new(format!("{full} is the name of a primitive type")));
        }
        if !self.defined.insert(full.clone()) {
            return Err(Invalid::new(format!("{full} is defined twice")));
        }
        let aliases = names(object, "aliases")?
            .into_iter()
            .map(|alias| full_name(alias, None, &name.namespace))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|problem| problem.at(&full))?;
        let kind = match kind {
            "enum" => symbols(object),
            "fixed" => size(object),
            kind => self.fields(object, &name.namespace, kind == "error"),
        };
        let kind = kind.map_err(|problem| problem.at(&full))?;
        let doc = text(object, "doc").unwrap_or_default().map(str::to_owned);
        Ok(Named { name, aliases, doc, kind })
    }

    fn fields(&mut self, object: &Object, namespace: &str, error: bool) -> Result<Kind, Invalid> {
        let Some(Value::Array(list)) = object.get("fields") else {
            return Err(Invalid::new("`fields` must be a list"));
        };
        let mut seen = BTreeSet::new();
        let mut fields = Vec::with_capacity(list.len());
        for value in list {
            let Value::Object(value) = value else {
                return Err(Invalid::new("a field must be an object"));
            };
            let name = text(value, "name")?
                .ok_or_else(|| Invalid::new("`name` of a field is missing"))?
                .to_owned();
            if !is_name(&name) {
                return Err(not_a_name(&name));
            }
            let field = self.field(&name, value, namespace).map_err(|problem| problem.at(&name))?;
            if !seen.insert(name.clone()) {
                return Err(Invalid::new(format!("the field {name} is there twice")));
            }
            fields.push(field);
        }
        Ok(Kind::Record { fields, error })
    }

    fn field(&mut self, name: &str, object: &Object, namespace: &str) -> Result<Field, Invalid> {
        let kind = object.get("type").ok_or_else(|| Invalid::new("`type` is missing"))?;
        // {"name": …, "type": "array", "items": …} is read by Avro's own library as well.
        let node = match kind {
            Value::String(kind)
                if ["array", "map", "record", "enum", "fixed"].contains(&&**kind) =>
            {
                return Err(Invalid::new(format!(
                    "the type {kind} needs an object: {{\"type\": {{\"type\": {kind:?}, …}}}}"
                )));
            }
            kind => self.node(kind, namespace)?,
        };
        let order = text(object, "order")?.map(str::to_lowercase);
        if let Some(order) = &order
            && !["ascending", "descending", "ignore"].contains(&order.as_str())
        {
            return Err(Invalid::new("`order` is ascending, descending or ignore"));
        }
        Ok(Field {
            name: name.to_owned(),
            aliases: names(object, "aliases")?.into_iter().map(str::to_owned).collect(),
            doc: text(object, "doc").unwrap_or_default().map(str::to_owned),
            node,
            default: object.get("default").cloned(),
            order,
            properties: rest(object, &["name", "type", "doc", "default", "order", "aliases"]),
        })
    }
}

fn symbols(object: &Object) -> Result<Kind, Invalid> {
    if !object.contains_key("symbols") {
        return Err(Invalid::new("`symbols` of an enum is missing"));
    }
    let symbols: Vec<String> = names(object, "symbols")?.into_iter().map(str::to_owned).collect();
    let mut seen = BTreeSet::new();
    for symbol in &symbols {
        if !is_name(symbol) {
            return Err(not_a_name(symbol));
        }
        if !seen.insert(symbol) {
            return Err(Invalid::new(format!("the symbol {symbol} is there twice")));
        }
    }
    let default = text(object, "default")?.map(str::to_owned);
    if let Some(default) = &default
        && !seen.contains(default)
    {
        return Err(Invalid::new(format!("the default {default} is none of the symbols")));
    }
    Ok(Kind::Enum { symbols, default })
}

fn size(object: &Object) -> Result<Kind, Invalid> {
    let size = object.get("size").and_then(Value::as_u64);
    let size = size.ok_or_else(|| Invalid::new("`size` of a fixed must be a whole number"))?;
    Ok(Kind::Fixed { size })
}

fn bare(shape: Shape) -> Node {
    Node { shape, properties: Properties::new() }
}

/// The attributes that have no meaning here.
fn rest(object: &Object, known: &[&str]) -> Properties {
    let unknown = object.iter().filter(|(key, _)| !known.contains(&key.as_str()));
    unknown.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn text<'a>(object: &'a Object, key: &str) -> Result<Option<&'a str>, Invalid> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Invalid::new(format!("`{key}` must be a string"))),
    }
}

fn names<'a>(object: &'a Object, key: &str) -> Result<Vec<&'a str>, Invalid> {
    let wrong = || Invalid::new(format!("`{key}` must be a list of names"));
    match object.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => {
            list.iter().map(|name| name.as_str().ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}

/// A name that holds a dot is full already; another one belongs to the namespace that is given with
/// it or around it.
fn full_name(given: &str, namespace: Option<&str>, enclosing: &str) -> Result<Name, Invalid> {
    let (namespace, name) = match given.rsplit_once('.') {
        Some((namespace, name)) => (namespace, name),
        None => (namespace.unwrap_or(enclosing), given),
    };
    if !is_name(name) || !(namespace.is_empty() || namespace.split('.').all(is_name)) {
        return Err(not_a_name(given));
    }
    Ok(Name { namespace: namespace.to_owned(), name: name.to_owned() })
}

fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

fn not_a_name(text: &str) -> Invalid {
    Invalid::new(format!(
        "{text:?} is no name: letters, digits and underscores, no digit at its begin"
    ))
}
