//! Names and text as they stand in commands.

use cdc_core::TableId;

/// A name in double quotes.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table's full name, both parts quoted.
pub(crate) fn table(table: &TableId) -> String {
    format!("{}.{}", identifier(&table.namespace), identifier(&table.name))
}

/// Text in single quotes, in the form that both SQL and replication commands take.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_inside_are_doubled() {
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(table(&TableId::new("Odd.Name", "Tab le")), "\"Odd.Name\".\"Tab le\"");
        assert_eq!(literal("it's"), "'it''s'");
    }
}
