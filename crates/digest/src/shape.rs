//! The statements that read one table.

use cdc_core::verify::{Comparison, Method};

const KEY_NONE: &str = "'{}'::text[]";
/// Characters of a value that are shown.
const SHOWN_CHARACTERS: u32 = 200;

/// A table as the statements see it.
#[derive(Clone, Debug)]
pub struct Shape {
    /// What stands behind FROM: `ONLY "public"."orders"`.
    pub relation: String,
    /// The condition that rows must meet to be replicated, as SQL.
    pub filter: Option<String>,
    /// In the order of the schema's columns.
    pub cells: Vec<Cell>,
    /// Indexes into `cells`, in the key's order; empty without a key.
    pub key: Vec<usize>,
    /// May rows be looked up by the values of their keys? Else the hashes of all rows are computed.
    pub by_key: bool,
}

/// One column.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Its name in quotes.
    name: String,
    /// Its type here, ready to be used in a cast.
    declared: String,
    /// The type in which it is compared, where that is another.
    compared_as: Option<String>,
}

impl Cell {
    /// A column that is compared as it prints.
    #[must_use]
    pub fn new(name: &str, declared: &str) -> Self {
        let name = format!("\"{}\"", name.replace('"', "\"\""));
        Self { name, declared: declared.to_owned(), compared_as: None }
    }

    /// A column whose values are converted on the other side.
    #[must_use]
    pub fn converted(mut self, to: Option<&str>) -> Self {
        self.compared_as = to.map(str::to_owned);
        self
    }

    /// The text that both sides print.
    fn text(&self) -> String {
        let Self { name, declared, compared_as } = self;
        match compared_as {
            Some(other) => format!("t.{name}::text::{other}::text"),
            // It prints with the currency and the separators of each server's own locale.
            None if declared == "money" => format!("t.{name}::numeric::text"),
            None => format!("t.{name}::text"),
        }
    }
}

/// The hash of a text expression.
pub(crate) fn hash(method: Method, text: &str) -> String {
    match method {
        Method::Native => format!("hashtextextended({text} COLLATE \"C\", 0)"),
        Method::Portable => {
            format!("('x' || substr(md5(convert_to({text}, 'UTF8')), 1, 16))::bit(64)::bigint")
        }
    }
}

impl Shape {
    fn record(&self, columns: impl Iterator<Item = usize>) -> String {
        let texts: Vec<String> =
            columns.filter_map(|at| self.cells.get(at)).map(Cell::text).collect();
        format!("ROW({})::text", texts.join(", "))
    }

    fn row_hash(&self, method: Method) -> String {
        hash(method, &self.record(0..self.cells.len()))
    }

    fn key_hash(&self, method: Method) -> String {
        if self.key.is_empty() {
            return self.row_hash(method);
        }
        hash(method, &self.record(self.key.iter().copied()))
    }

    fn key_texts(&self) -> String {
        if self.key.is_empty() {
            return KEY_NONE.to_owned();
        }
        let texts = self.key.iter().filter_map(|at| self.cells.get(*at)).map(Cell::text);
        format!("ARRAY[{}]", texts.collect::<Vec<_>>().join(", "))
    }

    fn condition(&self) -> String {
        self.filter.as_ref().map(|filter| format!(" WHERE ({filter})")).unwrap_or_default()
    }

    /// Range, number of rows and sum of hashes of each range.
    pub(crate) fn digests(&self, of: &Comparison) -> String {
        let (relation, condition) = (self.aliased(), self.condition());
        let (key, row) = (self.key_hash(of.method), self.row_hash(of.method));
        let mask = of.ranges.saturating_sub(1);
        // Without a key both hashes are one, which is not to be computed twice.
        let (key, rows) = if self.key.is_empty() {
            ("h", format!("SELECT {row} AS h FROM {relation}{condition} OFFSET 0"))
        } else {
            ("k", format!("SELECT {key} AS k, {row} AS h FROM {relation}{condition}"))
        };
        format!(
            "SELECT (s.{key} & {mask})::int4, count(*), sum(s.h)::text FROM ({rows}) AS s GROUP BY 1"
        )
    }

    /// Key hash, key, hash and version of each row.
    fn seen(&self, of: &Comparison) -> String {
        let (key, texts, row) =
            (self.key_hash(of.method), self.key_texts(), self.row_hash(of.method));
        let version = "hashtextextended(ROW(t.tableoid, t.xmin, t.ctid)::text, 0)";
        format!("SELECT {key} AS k, {texts} AS key, {row} AS h, {version} AS v")
    }

    /// The rows of the ranges in `$ranges`, by the hashes of their keys.
    pub(crate) fn scan(&self, of: &Comparison, ranges: &[u32]) -> String {
        let mask = of.ranges.saturating_sub(1);
        let list: Vec<String> = ranges.iter().map(u32::to_string).collect();
        format!(
            "SELECT s.k, s.key, s.h, s.v FROM ({} FROM {}{} OFFSET 0) AS s \
             WHERE (s.k & {mask})::int4 = ANY ('{{{}}}'::int4[]) ORDER BY s.k",
            self.seen(of),
            self.aliased(),
            self.condition(),
            list.join(",")
        )
    }

    /// The rows whose keys are in the parameters: an array of texts for each column of the key.
    /// Without a key, or where it cannot be used, one array of key hashes.
    pub(crate) fn lookup(&self, of: &Comparison) -> String {
        self.wanted(&self.seen(of))
    }

    /// The same rows, column by column.
    pub(crate) fn columns(&self, of: &Comparison, values: bool) -> String {
        let hashes = self.cells.iter().map(|cell| hash(of.method, &cell.text()));
        let hashes = hashes.collect::<Vec<_>>().join(", ");
        let shown = if values {
            let shown =
                self.cells.iter().map(|cell| format!("left({}, {SHOWN_CHARACTERS})", cell.text()));
            format!("ARRAY[{}]::text[]", shown.collect::<Vec<_>>().join(", "))
        } else {
            "NULL::text[]".to_owned()
        };
        let select = format!(
            "SELECT {} AS k, {} AS key, ARRAY[{hashes}]::bigint[] AS h, {shown} AS v",
            self.key_hash(of.method),
            self.key_texts()
        );
        self.wanted(&select)
    }

    fn wanted(&self, select: &str) -> String {
        let (relation, condition) = (self.aliased(), self.condition());
        if !self.by_key {
            return format!(
                "SELECT s.k, s.key, s.h, s.v FROM ({select} FROM {relation}{condition} OFFSET 0) AS s \
                 WHERE s.k = ANY ($1)"
            );
        }
        let arrays: Vec<String> =
            (1..=self.key.len()).map(|number| format!("${number}::text[]")).collect();
        // A filter names columns as they are, and must not find two of one name.
        let wanted = |number: usize| format!("\"wanted {number}\"");
        let names: Vec<String> = (1..=self.key.len()).map(wanted).collect();
        let equal = self.key.iter().filter_map(|at| self.cells.get(*at)).zip(1_usize..).map(
            |(cell, number)| format!("t.{} = w.{}::{}", cell.name, wanted(number), cell.declared),
        );
        format!(
            "SELECT s.k, s.key, s.h, s.v FROM ({select} FROM unnest({}) AS w({}) JOIN {relation} ON {}{condition}) AS s",
            arrays.join(", "),
            names.join(", "),
            equal.collect::<Vec<_>>().join(" AND ")
        )
    }

    /// How many parameters `lookup` and `columns` take.
    pub(crate) fn parameters(&self) -> usize {
        if self.by_key { self.key.len() } else { 1 }
    }

    fn aliased(&self) -> String {
        format!("{} AS t", self.relation)
    }
}
