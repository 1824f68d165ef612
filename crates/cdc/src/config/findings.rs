//! What goes wrong while a tree is turned into values, each with its place.

use super::{
    diagnostic::{Diagnostic, Span, is_secret_key},
    nearest::nearest,
    yaml::{Entry, Kind, Node, Scalar},
};
use serde::de::{self, Expected, Unexpected};
use std::{cell::RefCell, collections::BTreeSet, fmt};

/// Collects what is wrong while a file is turned into values.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    problems: RefCell<Vec<Diagnostic>>,
    /// Full paths of keys that an unknown key was probably meant to be: not reported as missing.
    meant: RefCell<BTreeSet<String>>,
}

impl Findings {
    /// Adds a problem.
    pub(crate) fn add(&self, problem: Diagnostic) {
        self.problems.borrow_mut().push(problem);
    }

    /// All problems.
    #[must_use]
    pub(crate) fn into_problems(self) -> Vec<Diagnostic> {
        self.problems.into_inner()
    }

    /// Reports a key that nobody knows, with the nearest of those that somebody does.
    pub(crate) fn unknown_key(&self, entry: &Entry, path: &str, known: &[&str]) {
        let place = if path.is_empty() { "the file".to_owned() } else { format!("`{path}`") };
        let message = format!("unknown key `{}` in {place}", entry.key);
        let remedy = match nearest(&entry.key, known.iter().copied()) {
            Some(meant) => {
                self.meant.borrow_mut().insert(join(path, meant));
                format!("did you mean `{meant}`?")
            }
            None => format!("known keys here: {}", known.join(", ")),
        };
        self.add(Diagnostic::new("CDC-0103", message).at(entry.key_span).with_remedy(remedy));
    }

    fn missing(&self, field: &str, place: &Place) {
        if self.meant.borrow().contains(&join(&place.path, field)) {
            return;
        }
        let message = if place.path.is_empty() {
            format!("the key `{field}` is missing")
        } else {
            format!("the key `{field}` is missing in `{}`", place.path)
        };
        let mut problem =
            Diagnostic::new("CDC-0105", message).with_remedy(format!("add `{field}: …`"));
        problem.span = place.span;
        self.add(problem);
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Where a value stands, for messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// Keys from the root: `sinks[0].webhook.url`.
    pub path: String,
    /// The last key.
    pub key: String,
    /// What to underline when the value itself is no good place.
    pub span: Option<Span>,
}

impl Place {
    /// The place of an entry's value.
    #[must_use]
    pub(crate) fn child(&self, entry: &Entry) -> Self {
        Self {
            path: join(&self.path, &entry.key),
            key: entry.key.clone(),
            span: Some(entry.key_span),
        }
    }

    /// The place of a list's item.
    #[must_use]
    pub(crate) fn item(&self, index: usize, node: &Node) -> Self {
        let path = format!("{}[{index}]", self.path);
        Self { path, key: self.key.clone(), span: Some(node.span) }
    }
}

/// Why decoding stopped.
#[derive(Debug)]
pub(super) struct Stop {
    reason: Reason,
    reported: bool,
}

#[derive(Debug)]
enum Reason {
    Message(String),
    Invalid { found: String, expected: String },
    OneOf { found: String, expected: &'static [&'static str] },
    Missing(&'static str),
}

impl Stop {
    fn new(reason: Reason) -> Self {
        Self { reason, reported: false }
    }

    pub(super) fn expected(what: impl Into<String>) -> Self {
        Self::new(Reason::Invalid { found: String::new(), expected: what.into() })
    }

    /// Reports the reason at the innermost value it belongs to; outer ones pass it on.
    pub(super) fn located(mut self, node: &Node, place: &Place, findings: &Findings) -> Self {
        if !self.reported {
            self.report(node, place, findings);
            self.reported = true;
        }
        self
    }

    fn report(&self, node: &Node, place: &Place, findings: &Findings) {
        let scalar = match &node.kind {
            Kind::Scalar(scalar) => Some(scalar),
            Kind::Sequence(_) | Kind::Mapping(_) => None,
        };
        if scalar.is_some_and(|scalar| scalar.unresolved) {
            return;
        }
        let path = &place.path;
        let found = shown(node, place);
        let message = match &self.reason {
            Reason::Missing(field) => return findings.missing(field, place),
            Reason::Message(text) => format!("`{path}`: {}", without_value(text, scalar, place)),
            Reason::Invalid { expected, .. } => {
                format!("`{path}` must be {}, but it is {found}", in_words(expected))
            }
            Reason::OneOf { expected, .. } => {
                format!("`{path}` must be one of {}, but it is {found}", expected.join(", "))
            }
        };
        let mut problem = Diagnostic::new("CDC-0104", message).at(node.span);
        if let Reason::OneOf { found, expected } = &self.reason
            && let Some(meant) = nearest(found, expected.iter().copied())
        {
            problem = problem.with_remedy(format!("did you mean `{meant}`?"));
        }
        findings.add(problem);
    }
}

/// The value as errors may show it: never what a variable held, never a secret.
fn shown(node: &Node, place: &Place) -> String {
    match &node.kind {
        Kind::Sequence(_) => "a list".to_owned(),
        Kind::Mapping(_) => "a block of keys".to_owned(),
        Kind::Scalar(_) if node.is_null() => "empty".to_owned(),
        Kind::Scalar(_) if is_secret_key(&place.key) => "something else".to_owned(),
        Kind::Scalar(Scalar { written: Some(written), .. }) => {
            format!("something else (from {})", variable_names(written))
        }
        Kind::Scalar(scalar) => format!("`{}`", scalar.text),
    }
}

/// The variables that a text names, without their defaults, which may be secret.
fn variable_names(written: &str) -> String {
    let names = written.split("${").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        format!("${{{}}}", rest.get(..end.unwrap_or(rest.len())).unwrap_or_default())
    });
    names.collect::<Vec<_>>().join(" ")
}

/// A connector's own message may repeat the value; it must not when the value may be secret.
fn without_value(text: &str, scalar: Option<&Scalar>, place: &Place) -> String {
    let secret = scalar.filter(|s| s.written.is_some() || is_secret_key(&place.key));
    match secret {
        Some(scalar) if scalar.text.len() >= 3 => text.replace(&scalar.text, "***"),
        Some(_) | None => text.to_owned(),
    }
}

/// What serde expects, in words that a user knows.
pub(super) fn in_words(expected: &str) -> String {
    match expected {
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" | "u64" | "usize" => "a whole number from 0 on".to_owned(),
        "i8" | "i16" | "i32" | "i64" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a block of keys".to_owned(),
        _ if expected.starts_with("struct ") => "a block of keys".to_owned(),
        _ => expected.to_owned(),
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Message(text) => f.write_str(text),
            Reason::Invalid { found, expected } => write!(f, "expected {expected}, found {found}"),
            Reason::OneOf { found, expected } => {
                write!(f, "expected one of {}, found {found}", expected.join(", "))
            }
            Reason::Missing(field) => write!(f, "missing key `{field}`"),
        }
    }
}

impl std::error::Error for Stop {}

impl de::Error for Stop {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Reason::Message(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let (found, expected) = (found.to_string(), expected.to_string());
        Self::new(Reason::Invalid { found, expected })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Reason::OneOf { found: variant.to_owned(), expected })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Reason::Missing(field))
    }
}
