//! Whether data written with one Avro schema can be read with another, by the rules of schema
//! resolution of the Avro specification.

use super::model::{Field, Kind, Named, Names, Node, Primitive, Schema, Shape};
use crate::compatibility::{Finding, Findings};
use std::collections::BTreeSet;

/// Everything that keeps `reader` from reading what `writer` wrote; empty when it can.
pub(crate) fn reads(reader: &Schema, writer: &Schema) -> Findings {
    let mut check = Check {
        left: COMPARISONS_MAX,
        readers: reader.names(),
        writers: writer.names(),
        assumed: BTreeSet::new(),
        path: Vec::new(),
        place: Vec::new(),
    };
    check.reads(&reader.root, &writer.root)
}

/// Branches of branches would be tried in more ways than there is time for.
const COMPARISONS_MAX: u32 = 100_000;

struct Check<'a> {
    /// How many more pairs may be compared.
    left: u32,
    readers: Names<'a>,
    writers: Names<'a>,
    /// Pairs of named types that are being compared or were found to fit: types may hold themselves.
    assumed: BTreeSet<(String, String)>,
    /// Steps of a JSON pointer into the reader's schema.
    path: Vec<String>,
    /// Names for people.
    place: Vec<String>,
}

/// A node with its name followed to the definition.
enum Resolved<'a> {
    Primitive(Primitive),
    Array(&'a Node),
    Map(&'a Node),
    Union(&'a [Node]),
    Named(&'a Named),
}

fn resolve<'a>(node: &'a Node, names: &Names<'a>) -> Option<Resolved<'a>> {
    Some(match &node.shape {
        Shape::Primitive(primitive) => Resolved::Primitive(*primitive),
        Shape::Array(items) => Resolved::Array(items),
        Shape::Map(values) => Resolved::Map(values),
        Shape::Union(branches) => Resolved::Union(branches),
        Shape::Definition(named) => Resolved::Named(named),
        Shape::Use(name) => Resolved::Named(names.get(&name.full())?),
    })
}

impl Resolved<'_> {
    fn describe(&self) -> String {
        match self {
            Self::Primitive(primitive) => primitive.name().to_owned(),
            Self::Array(_) => "array".to_owned(),
            Self::Map(_) => "map".to_owned(),
            Self::Union(_) => "union".to_owned(),
            Self::Named(named) => format!("{} {}", named.kind.name(), named.name.full()),
        }
    }
}

impl<'a> Check<'a> {
    fn reads(&mut self, reader: &'a Node, writer: &'a Node) -> Findings {
        let (Some(reader), Some(writer)) =
            (resolve(reader, &self.readers), resolve(writer, &self.writers))
        else {
            return self.found("TYPE_MISMATCH", "a type has no definition".to_owned());
        };
        match (&reader, &writer) {
            (Resolved::Union(_), Resolved::Union(branches)) => {
                let branches: &'a [Node] = branches;
                let mut findings = Findings::new();
                for (index, branch) in branches.iter().enumerate() {
                    if !self.reads_branch(&reader, branch) {
                        findings.extend(
                            self.within(index.to_string(), None, |check| {
                                check.lacks_branch(branch)
                            }),
                        );
                    }
                }
                findings
            }
            // Whatever the writer's union held must be read.
            (_, Resolved::Union(branches)) => {
                let branches: &'a [Node] = branches;
                let mut findings = Findings::new();
                for branch in branches {
                    if let Some(branch) = resolve(branch, &self.writers) {
                        findings.extend(self.reads_resolved(&reader, &branch));
                    }
                }
                findings
            }
            _ => self.reads_resolved(&reader, &writer),
        }
    }

    fn reads_resolved(&mut self, reader: &Resolved<'a>, writer: &Resolved<'a>) -> Findings {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            let message = "the schemas have too many alternatives".to_owned();
            return self.found("SCHEMA_TOO_COMPLEX", message);
        }
        match (reader, writer) {
            (Resolved::Union(branches), _) => {
                let branches: &'a [Node] = branches;
                if self.some_branch_reads(branches, writer) {
                    return Findings::new();
                }
                let message = format!("the reader's union has no {}", writer.describe());
                self.found("MISSING_UNION_BRANCH", message)
            }
            (Resolved::Primitive(reader), Resolved::Primitive(writer))
                if promotes(*writer, *reader) =>
            {
                Findings::new()
            }
            (Resolved::Array(reader), Resolved::Array(writer)) => {
                let (reader, writer): (&'a Node, &'a Node) = (reader, writer);
                self.within("items".to_owned(), Some("[]"), |check| check.reads(reader, writer))
            }
            (Resolved::Map(reader), Resolved::Map(writer)) => {
                let (reader, writer): (&'a Node, &'a Node) = (reader, writer);
                self.within("values".to_owned(), Some("{}"), |check| check.reads(reader, writer))
            }
            (Resolved::Named(reader), Resolved::Named(writer)) => self.reads_named(reader, writer),
            _ => self.mismatch(reader, writer),
        }
    }

    fn mismatch(&self, reader: &Resolved<'_>, writer: &Resolved<'_>) -> Findings {
        let message = format!("{} cannot be read as {}", writer.describe(), reader.describe());
        self.found("TYPE_MISMATCH", message)
    }

    fn reads_branch(&mut self, reader: &Resolved<'a>, branch: &'a Node) -> bool {
        let Some(branch) = resolve(branch, &self.writers) else { return false };
        match reader {
            Resolved::Union(branches) => {
                let branches: &'a [Node] = branches;
                self.some_branch_reads(branches, &branch)
            }
            reader => self.reads_resolved(reader, &branch).is_empty(),
        }
    }

    fn lacks_branch(&self, branch: &Node) -> Findings {
        let what = resolve(branch, &self.writers).map(|branch| branch.describe());
        let message = format!("the reader's union has no {}", what.unwrap_or_default());
        self.found("MISSING_UNION_BRANCH", message)
    }

    fn some_branch_reads(&mut self, branches: &'a [Node], writer: &Resolved<'a>) -> bool {
        branches.iter().any(|branch| {
            let Some(branch) = resolve(branch, &self.readers) else { return false };
            // What a failed attempt assumed must not be believed by the next one.
            let assumed = self.assumed.clone();
            let fits = self.reads_resolved(&branch, writer).is_empty();
            if !fits {
                self.assumed = assumed;
            }
            fits
        })
    }

    fn reads_named(&mut self, reader: &'a Named, writer: &'a Named) -> Findings {
        if reader.kind.name() != writer.kind.name() {
            return self.mismatch(&Resolved::Named(reader), &Resolved::Named(writer));
        }
        if !self.assumed.insert((reader.name.full(), writer.name.full())) {
            return Findings::new();
        }
        // What is wrong inside a named type is named after it, wherever it is used.
        let outside = std::mem::replace(&mut self.place, vec![reader.name.full()]);
        let findings = self.reads_definitions(reader, writer);
        self.place = outside;
        findings
    }

    fn reads_definitions(&mut self, reader: &'a Named, writer: &'a Named) -> Findings {
        let mut findings = Findings::new();
        if reader.name.name != writer.name.name && !reader.aliases.contains(&writer.name) {
            let message = format!("{} is not {}", writer.name.full(), reader.name.full());
            findings.extend(
                self.within("name".to_owned(), None, |check| check.found("NAME_MISMATCH", message)),
            );
        }
        match (&reader.kind, &writer.kind) {
            (Kind::Record { fields, .. }, Kind::Record { fields: written, .. }) => {
                findings.extend(self.reads_fields(fields, written));
            }
            (Kind::Enum { symbols, default }, Kind::Enum { symbols: written, .. }) => {
                let missing: Vec<&str> =
                    written.iter().filter(|s| !symbols.contains(s)).map(String::as_str).collect();
                if !missing.is_empty() && default.is_none() {
                    let message = format!(
                        "the reader's enum {} has neither {} nor a default",
                        reader.name.full(),
                        missing.join(", ")
                    );
                    findings.extend(self.within("symbols".to_owned(), None, |check| {
                        check.found("MISSING_ENUM_SYMBOLS", message)
                    }));
                }
            }
            (Kind::Fixed { size }, Kind::Fixed { size: written }) if size != written => {
                let message = format!("{written} bytes are not {size} bytes");
                findings.extend(self.within("size".to_owned(), None, |check| {
                    check.found("FIXED_SIZE_MISMATCH", message)
                }));
            }
            _ => {}
        }
        findings
    }

    fn reads_fields(&mut self, fields: &'a [Field], written: &'a [Field]) -> Findings {
        let mut findings = Findings::new();
        for (index, field) in fields.iter().enumerate() {
            let by_name = |name: &String| written.iter().find(|other| other.name == *name);
            let source = by_name(&field.name).or_else(|| field.aliases.iter().find_map(by_name));
            self.path.extend(["fields".to_owned(), index.to_string()]);
            self.place.push(field.name.clone());
            findings.extend(match source {
                Some(source) => self.within("type".to_owned(), None, |check| {
                    check.reads(&field.node, &source.node)
                }),
                None if field.default.is_some() => Findings::new(),
                None => {
                    let message =
                        format!("the writer has no field {}, and it has no default", field.name);
                    self.found("READER_FIELD_MISSING_DEFAULT_VALUE", message)
                }
            });
            self.place.pop();
            self.path.truncate(self.path.len().saturating_sub(2));
        }
        findings
    }

    fn within(
        &mut self,
        step: String,
        place: Option<&str>,
        check: impl FnOnce(&mut Self) -> Findings,
    ) -> Findings {
        self.path.push(step);
        self.place.extend(place.map(str::to_owned));
        let findings = check(self);
        self.path.pop();
        if place.is_some() {
            self.place.pop();
        }
        findings
    }

    fn found(&self, kind: &'static str, message: String) -> Findings {
        let path = self.path.iter().map(|step| format!("/{step}")).collect::<String>();
        vec![Finding {
            kind,
            path: if path.is_empty() { "/".to_owned() } else { path },
            place: self.place.join("."),
            message,
        }]
    }
}

/// Whether a reader of one primitive takes another one, or the same.
fn promotes(writer: Primitive, reader: Primitive) -> bool {
    use Primitive::{Bytes, Double, Float, Int, Long, String};
    writer == reader
        || matches!(
            (writer, reader),
            (Int, Long | Float | Double)
                | (Long, Float | Double)
                | (Float, Double)
                | (String, Bytes)
                | (Bytes, String)
        )
}
