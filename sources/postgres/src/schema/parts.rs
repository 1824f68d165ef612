//! Which parts of a table the configuration asks for: columns, and rows that meet a condition.

use super::selection::named_table;
use cdc_core::{Error, Origin, Result, Retry, TableId};
use std::collections::BTreeMap;

/// What is wanted of tables that are not captured whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    tables: BTreeMap<TableId, Part>,
}

/// What is wanted of one table; `None` is all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    /// Names of columns.
    pub(crate) columns: Option<Vec<String>>,
    /// The condition that rows have to meet, as SQL.
    pub(crate) rows: Option<String>,
}

impl Parts {
    /// Reads `source.columns` and `source.rows`.
    pub fn parse(
        columns: &BTreeMap<String, Vec<String>>,
        rows: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let mut tables: BTreeMap<TableId, Part> = BTreeMap::new();
        for (text, columns) in columns {
            let part = tables.entry(named_table("columns", text)?).or_default();
            if columns.is_empty() || columns.iter().any(String::is_empty) {
                return Err(invalid(
                    format!("source.columns: `{text}` has no names of columns"),
                    "list the columns to capture, or remove the table from source.columns",
                ));
            }
            let mut sorted = columns.clone();
            sorted.sort();
            if sorted.windows(2).any(|pair| matches!(pair, [one, other] if one == other)) {
                return Err(invalid(
                    format!("source.columns: `{text}` names a column twice"),
                    "name each column once",
                ));
            }
            if part.columns.replace(sorted).is_some() {
                return Err(twice("columns", text));
            }
        }
        for (text, condition) in rows {
            let part = tables.entry(named_table("rows", text)?).or_default();
            if condition.trim().is_empty() || condition.contains('\0') {
                return Err(invalid(
                    format!("source.rows: `{text}` has no condition"),
                    "write what the rows have to meet, as behind WHERE: country = 'de'",
                ));
            }
            if part.rows.replace(condition.trim().to_owned()).is_some() {
                return Err(twice("rows", text));
            }
        }
        Ok(Self { tables })
    }

    /// Are all tables captured whole?
    pub(crate) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// What is wanted of a table that is not captured whole.
    pub(crate) fn of(&self, table: &TableId) -> Option<&Part> {
        self.tables.get(table)
    }

    /// The tables that are not captured whole.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&TableId, &Part)> {
        self.tables.iter()
    }

    /// Replaces the conditions by how the server writes them; `None` leaves one out.
    pub(crate) fn set_conditions(&mut self, mut written: impl FnMut(&TableId) -> Option<String>) {
        for (table, part) in &mut self.tables {
            part.rows = written(table);
        }
    }
}

fn twice(key: &str, text: &str) -> Error {
    invalid(
        format!("source.{key}: `{text}` stands there twice, written in two ways"),
        "name each table once",
    )
}

fn invalid(context: String, remedy: &str) -> Error {
    Error::new("CDC-1024", Origin::Config, Retry::AfterOperator, context).with_remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(columns: &[(&str, &[&str])], rows: &[(&str, &str)]) -> Result<Parts> {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let columns = columns.iter().map(|(table, names)| ((*table).to_owned(), list(names)));
        let rows = rows.iter().map(|(table, text)| ((*table).to_owned(), (*text).to_owned()));
        Parts::parse(&columns.collect(), &rows.collect())
    }

    #[test]
    fn columns_and_rows_of_a_table_meet_however_its_name_is_written() {
        let parts =
            parse(&[("public.t", &["b", "a"])], &[("\"public\".\"t\"", " a > 1\n")]).unwrap();
        let part = parts.of(&TableId::new("public", "t")).unwrap();
        assert_eq!(part.columns.as_deref(), Some(&["a".to_owned(), "b".to_owned()][..]));
        assert_eq!(part.rows.as_deref(), Some("a > 1"));
        assert!(parts.of(&TableId::new("public", "u")).is_none());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_a_remedy() {
        let wrong = [
            parse(&[("public.*", &["a"])], &[]),
            parse(&[("public.t", &[])], &[]),
            parse(&[("public.t", &["a", "a"])], &[]),
            parse(&[("public.t", &["a"]), ("\"public\".t", &["b"])], &[]),
            parse(&[], &[("public.t", " ")]),
            parse(&[], &[("t", "true")]),
        ];
        for outcome in wrong {
            assert!(outcome.unwrap_err().remedy.is_some());
        }
    }
}
