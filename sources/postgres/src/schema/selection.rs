//! Which tables a pipeline captures.

use super::{CatalogTable, LeftOut};
use cdc_core::{Error, Origin, Result, Retry, TableId};

/// The tables that a list of patterns selects: `public.*`, `shop."Order Items"`, `*.audit_?`, without
/// those that a second list leaves out.
///
/// In a bare part `*` stands for any text and `?` for one character. A part in double quotes is a
/// name as it stands, with `""` for a quote. Names are matched exactly, upper and lower case too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    patterns: Vec<Pattern>,
    excluded: Vec<Pattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    text: String,
    namespace: Part,
    name: Part,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Exactly(String),
    Glob(Vec<char>),
}

impl Selection {
    /// Reads patterns; none at all selects every table that the role may read.
    pub fn parse(patterns: &[String]) -> Result<Self> {
        Self::without(patterns, &[])
    }

    /// Reads patterns, and those of the tables that are left out although the first ones name them.
    pub fn without(patterns: &[String], excluded: &[String]) -> Result<Self> {
        let read = |key: &'static str, patterns: &[String]| -> Result<Vec<Pattern>> {
            patterns.iter().map(|text| Pattern::parse(key, text)).collect()
        };
        Ok(Self {
            patterns: read("tables", patterns)?,
            excluded: read("tables_excluded", excluded)?,
        })
    }

    /// Does it select every table but those that are left out?
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Its patterns as regular expressions over `schema.table`: those of tables to capture, and those of
    /// tables to leave out.
    #[must_use]
    pub fn expressions(&self) -> (Vec<String>, Vec<String>) {
        let of = |patterns: &[Pattern]| patterns.iter().map(Pattern::expression).collect();
        (of(&self.patterns), of(&self.excluded))
    }

    /// Does it select this table?
    #[must_use]
    pub fn matches(&self, table: &TableId) -> bool {
        self.names(table) && !self.excluded.iter().any(|pattern| pattern.matches(table))
    }

    /// Is this table left out although the patterns name it?
    #[must_use]
    pub fn leaves_out(&self, table: &TableId) -> bool {
        self.names(table) && !self.matches(table)
    }

    fn names(&self, table: &TableId) -> bool {
        self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.matches(table))
    }

    /// The patterns that select none of `tables`.
    #[must_use]
    pub fn unmatched(&self, tables: &[CatalogTable]) -> Vec<&str> {
        let missing =
            |pattern: &&Pattern| !tables.iter().any(|table| pattern.matches(&table.table));
        self.patterns.iter().filter(missing).map(|pattern| pattern.text.as_str()).collect()
    }

    /// The patterns of tables to leave out that none of `left_out` is left out by.
    pub fn idle_exclusions<'a>(&'a self, left_out: &'a [LeftOut]) -> impl Iterator<Item = &'a str> {
        let idle = |pattern: &&Pattern| !left_out.iter().any(|one| pattern.matches(&one.table));
        self.excluded.iter().filter(idle).map(|pattern| pattern.text.as_str())
    }
}

/// The table that a key of the configuration names: both parts of the name as in a pattern, without `*`
/// and `?` outside of quotes.
pub(super) fn named_table(key: &'static str, text: &str) -> Result<TableId> {
    let one = Pattern::parse(key, text)?;
    match (one.namespace, one.name) {
        (Part::Exactly(namespace), Part::Exactly(name)) => Ok(TableId::new(namespace, name)),
        _ => Err(invalid(key, text)),
    }
}

impl Pattern {
    fn parse(key: &'static str, text: &str) -> Result<Self> {
        let refused = || invalid(key, text);
        let (namespace, rest) = Part::parse(text).ok_or_else(refused)?;
        let rest = rest.strip_prefix('.').ok_or_else(refused)?;
        let (name, rest) = Part::parse(rest).ok_or_else(refused)?;
        if !rest.is_empty() {
            return Err(refused());
        }
        Ok(Self { text: text.to_owned(), namespace, name })
    }

    fn expression(&self) -> String {
        format!("{}[.]{}", self.namespace.expression(), self.name.expression())
    }

    fn matches(&self, table: &TableId) -> bool {
        self.namespace.matches(&table.namespace) && self.name.matches(&table.name)
    }
}

impl Part {
    /// A part and what follows it.
    fn parse(text: &str) -> Option<(Self, &str)> {
        let Some(quoted) = text.strip_prefix('"') else {
            let (bare, rest) = text.split_at_checked(text.find('.').unwrap_or(text.len()))?;
            let usable = !bare.is_empty() && !bare.contains(['"', ' ', '\t', '\n']);
            let part = if bare.contains(['*', '?']) {
                Self::Glob(bare.chars().collect())
            } else {
                Self::Exactly(bare.to_owned())
            };
            return usable.then_some((part, rest));
        };
        let mut name = String::new();
        let mut rest = quoted;
        loop {
            let (before, after) = rest.split_once('"')?;
            name.push_str(before);
            match after.strip_prefix('"') {
                Some(further) => {
                    name.push('"');
                    rest = further;
                }
                None => return (!name.is_empty()).then_some((Self::Exactly(name), after)),
            }
        }
    }

    fn expression(&self) -> String {
        let exactly = |c: char| match c {
            c if c.is_alphanumeric() || c == '_' => c.to_string(),
            c => format!("\\{c}"),
        };
        match self {
            Self::Exactly(name) => name.chars().map(exactly).collect(),
            Self::Glob(pattern) => pattern
                .iter()
                .map(|c| match c {
                    '*' => ".*".to_owned(),
                    '?' => ".".to_owned(),
                    c => exactly(*c),
                })
                .collect(),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exactly(exact) => exact == name,
            Self::Glob(pattern) => glob(pattern, &name.chars().collect::<Vec<_>>()),
        }
    }
}

/// Does the name match, with `*` for any text and `?` for one character?
///
/// Goes back to the last `*` only, so it never takes more than pattern times name steps.
pub(crate) fn glob(pattern: &[char], name: &[char]) -> bool {
    let (mut at_pattern, mut at_name) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(character) = name.get(at_name) {
        match pattern.get(at_pattern) {
            Some('*') => {
                star = Some((at_pattern, at_name));
                at_pattern += 1;
                continue;
            }
            Some(wanted) if *wanted == '?' || wanted == character => {
                at_pattern += 1;
                at_name += 1;
                continue;
            }
            _ => {}
        }
        let Some((star_pattern, star_name)) = star else { return false };
        at_pattern = star_pattern + 1;
        at_name = star_name + 1;
        star = Some((star_pattern, at_name));
    }
    pattern.iter().skip(at_pattern).all(|character| *character == '*')
}

fn invalid(key: &str, text: &str) -> Error {
    let lists_patterns = key.starts_with("tables");
    let (what, remedy) = match lists_patterns {
        true => (
            "tables",
            "write schema.table, as in public.users, public.* or shop.\"Order Items\" (quotes around names with dots, spaces or stars)",
        ),
        false => (
            "one table",
            "write schema.table, as in public.users or shop.\"Order Items\" (quotes around names with dots, spaces or stars)",
        ),
    };
    Error::new(
        "CDC-1057",
        Origin::Config,
        Retry::AfterOperator,
        format!("source.{key}: `{text}` does not name {what}"),
    )
    .with_remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn selects(pattern: &str, namespace: &str, name: &str) -> bool {
        let selection = Selection::parse(&[pattern.to_owned()]).unwrap();
        selection.matches(&TableId::new(namespace, name))
    }

    #[test]
    fn patterns_are_told_as_regular_expressions() {
        let read = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|one| (*one).to_owned()).collect();
            Selection::parse(&patterns).unwrap().expressions().0
        };
        assert_eq!(read(&["public.users"]), ["public[.]users"]);
        assert_eq!(read(&["*.audit_?"]), [".*[.]audit_."]);
        assert_eq!(read(&["shop.\"Order.(Items),\""]), ["shop[.]Order\\.\\(Items\\)\\,"]);
    }

    #[test]
    fn globs_select_in_bare_parts_only() {
        assert!(selects("public.*", "public", "users"));
        assert!(!selects("public.*", "shop", "users"));
        assert!(selects("*.audit_?", "shop", "audit_1"));
        assert!(!selects("*.audit_?", "shop", "audit_12"));
        assert!(selects("p*c.*s*s", "public", "addresses"));
        assert!(selects("public.\"*\"", "public", "*"));
        assert!(!selects("public.\"*\"", "public", "users"));
        assert!(!selects("public.users", "public", "Users"));
    }

    #[test]
    fn quoted_names_may_hold_anything() {
        assert!(selects("\"a.b\".\"Order \"\"x\"\"\"", "a.b", "Order \"x\""));
        assert!(selects("größe.naïve", "größe", "naïve"));
        assert!(selects("public.größ?", "public", "größe"));
    }

    #[test]
    fn what_names_no_table_is_refused_with_the_text() {
        for bad in ["", "users", "a.b.c", "a.", ".b", "a.\"b", "a.\"\"", "a b.c", "a\"b.c"] {
            let error = Selection::parse(&[bad.to_owned()]).unwrap_err();
            assert!(error.context.contains(&format!("`{bad}`")), "{bad}: {error}");
        }
    }

    #[test]
    fn no_pattern_selects_everything() {
        assert!(Selection::default().matches(&TableId::new("a", "b")));
    }

    #[test]
    fn what_is_left_out_is_left_out_of_patterns_and_of_everything() {
        let texts =
            |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let excluded = texts(&["public.audit_*", "other.\"*\""]);
        for patterns in [texts(&[]), texts(&["public.*"])] {
            let selection = Selection::without(&patterns, &excluded).unwrap();
            let table = |name| TableId::new("public", name);
            assert!(selection.matches(&table("users")));
            assert!(!selection.matches(&table("audit_1")));
            assert!(selection.leaves_out(&table("audit_1")));
            assert!(!selection.leaves_out(&table("users")));
            let left_out = [LeftOut { table: table("audit_1"), captured_as: None }];
            let idle: Vec<&str> = selection.idle_exclusions(&left_out).collect();
            assert_eq!(idle, ["other.\"*\""]);
        }
        let error = Selection::without(&[], &texts(&["users"])).unwrap_err();
        assert!(error.context.contains("source.tables_excluded: `users`"), "{error}");
    }

    #[test]
    fn one_table_is_named_without_stars() {
        let named = |text| named_table("columns", text);
        assert_eq!(named("public.t").unwrap(), TableId::new("public", "t"));
        assert_eq!(named("a.\"b*\"").unwrap(), TableId::new("a", "b*"));
        for bad in ["public.*", "t", "a.b?"] {
            let error = named(bad).unwrap_err();
            assert!(error.context.contains(&format!("source.columns: `{bad}`")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_name_can_be_written_in_quotes(namespace in ".{1,20}", name in ".{1,20}") {
            let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            let pattern = format!("{}.{}", quote(&namespace), quote(&name));
            prop_assert!(selects(&pattern, &namespace, &name));
        }

        #[test]
        fn any_pattern_is_read_or_refused(text: String, name: String) {
            if let Ok(selection) = Selection::parse(&[text]) {
                let first = selection.matches(&TableId::new("public", name.clone()));
                prop_assert_eq!(first, selection.matches(&TableId::new("public", name)));
            }
        }
    }
}
