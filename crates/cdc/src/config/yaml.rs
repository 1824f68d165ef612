//! YAML text as a tree whose every node knows its place.

use super::{
    diagnostic::{Diagnostic, Span},
    interpolate::{self, Environment, Problem},
};
use granit_parser::{Event, Parser, ScalarStyle, Span as Range};
use std::collections::BTreeMap;

/// One value of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Where it begins.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// What a [`Node`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A text, number, truth value or nothing: which one depends on what is expected.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in the order of the file, each key once.
    Mapping(Vec<Entry>),
}

/// A single value, its variables already resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scalar {
    /// The value's text.
    pub text: String,
    /// Was it written without quotes, so that it may be a number or nothing?
    pub plain: bool,
    /// The text before variables were put in, where there were any. Errors show this one.
    pub written: Option<String>,
    /// Could a variable not be resolved? That has been reported, so the value is not looked at.
    pub unresolved: bool,
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

/// No configuration file is larger.
pub(crate) const FILE_BYTES_MAX: usize = 1 << 20;
const NODE_COUNT_MAX: usize = 20_000;
const DEPTH_MAX: usize = 64;

impl Node {
    /// An empty mapping, for an empty file.
    fn empty() -> Self {
        Self { span: Span { line: 1, column: 1, length: 1 }, kind: Kind::Mapping(Vec::new()) }
    }

    /// The entries of a mapping; none for anything else.
    #[must_use]
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Mapping(entries) => entries,
            Kind::Scalar(_) | Kind::Sequence(_) => &[],
        }
    }

    /// The entry of a key.
    #[must_use]
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// Is it nothing: an empty value, `null` or `~`?
    #[must_use]
    pub(crate) fn is_null(&self) -> bool {
        match &self.kind {
            Kind::Scalar(scalar) => scalar.is_null(),
            Kind::Sequence(_) | Kind::Mapping(_) => false,
        }
    }

    fn count(&self) -> usize {
        match &self.kind {
            Kind::Scalar(_) => 1,
            Kind::Sequence(items) => 1 + items.iter().map(Self::count).sum::<usize>(),
            Kind::Mapping(entries) => 1 + entries.iter().map(|e| e.value.count()).sum::<usize>(),
        }
    }
}

impl Scalar {
    /// Is it nothing? What a variable brings in is nothing only when it is empty: a password may
    /// well be `null`.
    #[must_use]
    pub(crate) fn is_null(&self) -> bool {
        let word = matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL");
        self.plain && word && (self.written.is_none() || self.text.is_empty())
    }
}

/// Parses a file and puts variables in. Problems that leave a tree are added to `problems`.
pub(crate) fn parse(
    text: &str,
    env: &Environment<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Result<Node, Diagnostic> {
    if text.len() > FILE_BYTES_MAX {
        return Err(invalid(format!("the file is larger than {FILE_BYTES_MAX} bytes")));
    }
    let options = granit_parser::options! {
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let shielded = interpolate::shield(text);
    let events = Parser::new_from_str_with_options(&shielded, options);
    let mut builder = Builder { events, env, problems, anchors: BTreeMap::new(), count: 0 };
    builder.document()
}

fn invalid(message: impl Into<String>) -> Diagnostic {
    Diagnostic::new("CDC-0102", message)
}

struct Builder<'a, I> {
    events: I,
    env: &'a Environment<'a>,
    problems: &'a mut Vec<Diagnostic>,
    anchors: BTreeMap<usize, Node>,
    count: usize,
}

type Spanned<'t> = (Event<'t>, Range);

impl<'t, I> Builder<'_, I>
where
    I: Iterator<Item = Result<Spanned<'t>, granit_parser::ScanError>>,
{
    fn next(&mut self) -> Result<Spanned<'t>, Diagnostic> {
        match self.events.next() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let marker = error.marker();
                let at = Span { line: marker.line(), column: marker.col() + 1, length: 1 };
                Err(invalid(format!("not valid YAML: {}", interpolate::unshield(&error.info())))
                    .at(at)
                    .with_remedy("check the indentation, the colons and the quotes around here"))
            }
            None => Err(invalid("not valid YAML: the file ends too early")),
        }
    }

    fn document(&mut self) -> Result<Node, Diagnostic> {
        let mut root = None;
        loop {
            let (event, range) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root.unwrap_or_else(Node::empty)),
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(invalid("the file holds a second document")
                        .at(span(&range))
                        .with_remedy(
                            "keep one document a file: remove the `---` and what follows",
                        ));
                }
                Event::DocumentStart(..) => {
                    let (event, range) = self.next()?;
                    let node = self.node(event, &range, 0)?;
                    root = Some(top(node)?);
                }
                _ => return Err(invalid("not valid YAML").at(span(&range))),
            }
        }
    }

    fn node(&mut self, event: Event<'t>, range: &Range, depth: usize) -> Result<Node, Diagnostic> {
        let at = span(range);
        self.grow(1, at)?;
        if depth > DEPTH_MAX {
            return Err(invalid(format!("nested deeper than {DEPTH_MAX} levels")).at(at));
        }
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag.as_ref().and_then(|tag| tag.core_suffix()) == Some("str");
                if tag.is_some() && !is_text {
                    return Err(tagged(at));
                }
                let plain = style == ScalarStyle::Plain && !is_text;
                (self.scalar(&text, plain, at), anchor)
            }
            Event::SequenceStart(_, anchor, tag) if tag.is_none() => {
                (self.sequence(at, depth)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) if tag.is_none() => {
                (self.mapping(at, depth)?, anchor)
            }
            Event::Alias(id) => {
                let node = self.anchors.get(&id).cloned();
                let node = node.ok_or_else(|| invalid("an alias refers to itself").at(at))?;
                self.grow(node.count(), at)?;
                (Node { span: at, ..node }, 0)
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => return Err(tagged(at)),
            _ => return Err(invalid("not valid YAML").at(at)),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// Aliases can make a small file huge; the count of nodes is limited after their expansion.
    fn grow(&mut self, by: usize, at: Span) -> Result<(), Diagnostic> {
        self.count = self.count.saturating_add(by);
        if self.count > NODE_COUNT_MAX {
            return Err(invalid(format!("the file holds more than {NODE_COUNT_MAX} values")).at(at));
        }
        Ok(())
    }

    fn sequence(&mut self, at: Span, depth: usize) -> Result<Node, Diagnostic> {
        let mut items = Vec::new();
        loop {
            let (event, range) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Node { span: at, kind: Kind::Sequence(items) });
            }
            items.push(self.node(event, &range, depth + 1)?);
        }
    }

    fn mapping(&mut self, at: Span, depth: usize) -> Result<Node, Diagnostic> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, range) = self.next()?;
            let key_span = span(&range);
            let key = match event {
                Event::MappingEnd => return Ok(Node { span: at, kind: Kind::Mapping(entries) }),
                Event::Scalar(text, ..) => interpolate::unshield(&text).into_owned(),
                _ => return Err(invalid("a key must be a plain word").at(key_span)),
            };
            if let Some(first) = entries.iter().find(|entry| entry.key == key) {
                let line = first.key_span.line;
                return Err(invalid(format!("`{key}` is given twice, first on line {line}"))
                    .at(key_span)
                    .with_remedy("keep one of them"));
            }
            let (event, range) = self.next()?;
            let value = self.node(event, &range, depth + 1)?;
            entries.push(Entry { key, key_span, value });
        }
    }

    fn scalar(&mut self, text: &str, plain: bool, at: Span) -> Node {
        let text = &*interpolate::unshield(text);
        let mut scalar = Scalar { plain, ..Scalar::default() };
        match interpolate::interpolate(text, self.env) {
            Ok(resolved) => {
                scalar.text = resolved.into_owned();
                if scalar.text != text || text.contains("${") {
                    scalar.written = Some(text.to_owned());
                }
            }
            Err(problem) => {
                scalar.unresolved = true;
                scalar.written = Some(text.to_owned());
                self.problems.push(unresolved(&problem).at(at));
            }
        }
        Node { span: at, kind: Kind::Scalar(scalar) }
    }
}

fn top(node: Node) -> Result<Node, Diagnostic> {
    let found = match &node.kind {
        Kind::Mapping(_) => return Ok(node),
        Kind::Scalar(_) if node.is_null() => return Ok(Node::empty()),
        Kind::Scalar(_) => "a single value",
        Kind::Sequence(_) => "a list",
    };
    let message = format!("the file must be a block of keys, but it is {found}");
    Err(Diagnostic::new("CDC-0104", message).at(node.span))
}

fn tagged(at: Span) -> Diagnostic {
    invalid("YAML tags are not used here")
        .at(at)
        .with_remedy("remove the word that begins with `!`")
}

fn unresolved(problem: &Problem) -> Diagnostic {
    const CODE: &str = "CDC-0106";
    match problem {
        Problem::Missing(name) => {
            Diagnostic::new(CODE, format!("the environment variable `{name}` is not set"))
                .with_remedy(format!(
                    "set it (export {name}=…) or give a default: ${{{name}:-default}}"
                ))
        }
        Problem::Unterminated => Diagnostic::new(CODE, "`${` has no closing `}`")
            .with_remedy("close it, or write `$${` for a literal `${`"),
        Problem::Malformed(name) => {
            Diagnostic::new(CODE, format!("`{name}` is not the name of a variable"))
                .with_remedy("write ${VAR} or ${VAR:-default}, or `$${` for a literal `${`")
        }
        Problem::TooDeep => Diagnostic::new(CODE, "defaults are nested too deeply")
            .with_remedy("write the innermost default instead"),
        Problem::TooLarge => Diagnostic::new(CODE, "the value is too large")
            .with_remedy("check the variables that it is made of"),
    }
}

/// The first line of a range.
fn span(range: &Range) -> Span {
    let (start, end) = (&range.start, &range.end);
    let length = if end.line() == start.line() {
        end.col().saturating_sub(start.col())
    } else if end.line() > start.line() {
        usize::MAX
    } else {
        0
    };
    Span { line: start.line(), column: start.col() + 1, length: length.max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        (name == "PW").then(|| "a: b\n- c".to_owned())
    }

    fn parsed(text: &str) -> Result<Node, Diagnostic> {
        parse(text, &env, &mut Vec::new())
    }

    #[test]
    fn knows_where_everything_is() {
        let root = parsed("a: 1\nb:\n  - x: \"ü\"\n    yy: z\n").expect("valid");
        let b = root.get("b").expect("b");
        assert_eq!(b.key_span, Span { line: 2, column: 1, length: 1 });
        let Kind::Sequence(items) = &b.value.kind else { panic!("not a sequence") };
        let yy = items[0].get("yy").expect("yy");
        assert_eq!(yy.key_span, Span { line: 4, column: 5, length: 2 });
        assert_eq!(yy.value.span, Span { line: 4, column: 9, length: 1 });
    }

    #[test]
    fn a_variable_cannot_change_the_structure() {
        let root = parsed("p: ${PW}\nq: \"${PW}\"\n").expect("valid");
        for entry in root.entries() {
            let Kind::Scalar(scalar) = &entry.value.kind else { panic!("not a scalar") };
            assert_eq!(scalar.text, "a: b\n- c");
            assert_eq!(scalar.written.as_deref(), Some("${PW}"));
        }
    }

    #[test]
    fn refuses_what_would_surprise() {
        for (text, message) in [
            ("a: 1\na: 2\n", "`a` is given twice, first on line 1"),
            ("a: 1\n---\nb: 2\n", "the file holds a second document"),
            ("a: !x 1\n", "YAML tags are not used here"),
            ("? [a]\n: b\n", "a key must be a plain word"),
            ("a: &x [*x]\n", "an alias refers to itself"),
        ] {
            assert_eq!(parsed(text).expect_err(text).message, message);
        }
    }

    #[test]
    fn aliases_cannot_blow_up() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            let refs = vec![format!("*a{}", n - 1); 9].join(", ");
            text.push_str(&format!("a{n}: &a{n} [{refs}]\n"));
        }
        let error = parsed(&text).expect_err("too many");
        assert!(error.message.contains("more than 20000 values"), "{}", error.message);
    }

    #[test]
    fn nesting_has_a_limit() {
        assert!(parsed(&"[".repeat(10_000)).is_err());
        assert!(parsed(&"- ".repeat(10_000)).is_err());
        assert!(parsed("").expect("empty is fine").entries().is_empty());
    }
}
