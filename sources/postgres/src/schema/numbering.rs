//! Which columns of the catalog the columns of an older message were.

use super::{CatalogColumn, CatalogTable, Generated};
use crate::protocol::Relation;
use cdc_core::{Column, TableSchema};
use std::collections::BTreeSet;

/// The catalog's column for each column of a message; `None` where that is not certain.
///
/// The catalog may be newer than the message. But a table's columns keep their order: what was dropped
/// since left a hole, what was renamed since stands between the same neighbours, and what was added
/// since comes last.
pub(super) fn columns_of<'a>(
    relation: &'a Relation,
    table: &'a CatalogTable,
) -> Vec<Option<&'a CatalogColumn>> {
    let mut found: Vec<Option<&CatalogColumn>> = Vec::with_capacity(relation.columns.len());
    let mut unnamed = 0;
    let mut last = 0;
    for sent in &relation.columns {
        let named = table.columns.iter().find(|known| known.name == sent.name);
        let Some(named) = named else {
            found.push(None);
            unnamed += 1;
            continue;
        };
        if named.attnum <= last {
            // Columns never change places, so names did.
            return vec![None; relation.columns.len()];
        }
        let between: Vec<&CatalogColumn> = strangers(relation, table)
            .filter(|known| known.attnum > last && known.attnum < named.attnum)
            .collect();
        let holes = usize::try_from(named.attnum - last - 1).unwrap_or(0);
        if between.len() > unnamed {
            // Another column may have got the name.
            found.push(None);
            unnamed += 1;
            continue;
        }
        if between.len() == unnamed && holes == unnamed {
            let start = found.len() - unnamed;
            for (place, renamed) in found.iter_mut().skip(start).zip(&between) {
                *place = Some(renamed);
            }
        }
        found.push(Some(named));
        (last, unnamed) = (named.attnum, 0);
    }
    found
}

/// Gives columns whose number is not known the one that they had before.
///
/// A row that was written just before columns were renamed is described after it: what the catalog says
/// by then does not fit, but what was known of the table does.
///
/// Only numbers that the table still has: one that is gone may belong to the column or to one that had
/// its name before, and a replica would drop what it holds for the wrong one.
pub(super) fn remember(schema: &mut TableSchema, before: &TableSchema, table: &CatalogTable) {
    if schema.number != before.number {
        return;
    }
    let lives =
        |number: u32| table.columns.iter().any(|known| u32::try_from(known.attnum) == Ok(number));
    let taken: BTreeSet<u32> = schema.columns.iter().filter_map(|column| column.number).collect();
    for column in schema.columns.iter_mut().filter(|column| column.number.is_none()) {
        let same =
            |known: &&Column| known.name == column.name && known.native_type == column.native_type;
        let known = before.columns.iter().find(same);
        if let Some(known) =
            known.filter(|known| known.number.is_some_and(|n| lives(n) && !taken.contains(&n)))
        {
            column.number = known.number;
            column.missing.clone_from(&known.missing);
            column.default.clone_from(&known.default);
        }
    }
}

/// Columns that the message does not name although the server would send them.
fn strangers<'a>(
    relation: &'a Relation,
    table: &'a CatalogTable,
) -> impl Iterator<Item = &'a CatalogColumn> {
    let sent = |name: &str| relation.columns.iter().any(|column| column.name == name);
    table.columns.iter().filter(move |known| known.generated == Generated::No && !sent(&known.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{protocol::RelationColumn, schema::ReplicaIdentity};
    use cdc_core::TableId;

    fn table(columns: &[(i16, &str)]) -> CatalogTable {
        let column = |(attnum, name): &(i16, &str)| CatalogColumn {
            attnum: *attnum,
            name: (*name).to_owned(),
            type_oid: 23,
            type_modifier: -1,
            declared: "integer".to_owned(),
            nullable: true,
            generated: if name.starts_with("gen") { Generated::Stored } else { Generated::No },
            missing: None,
            default: None,
            captured: true,
        };
        CatalogTable {
            oid: 1,
            table: TableId::new("public", "t"),
            partitioned: false,
            unlogged: false,
            readable: true,
            columns: columns.iter().map(column).collect(),
            primary_key: Vec::new(),
            replica_identity: ReplicaIdentity::Default,
            rows_estimated: None,
        }
    }

    fn check(sent: &[&str], catalog: &[(i16, &str)], expected: &[i16]) {
        let column = |name: &&str| RelationColumn {
            name: (*name).to_owned(),
            type_oid: 23,
            type_modifier: -1,
            key: false,
        };
        let relation = Relation {
            oid: 1,
            namespace: "public".to_owned(),
            name: "t".to_owned(),
            replica_identity: b'd',
            columns: sent.iter().map(column).collect(),
        };
        let catalog = table(catalog);
        let found = columns_of(&relation, &catalog);
        let found: Vec<i16> =
            found.into_iter().map(|column| column.map_or(0, |column| column.attnum)).collect();
        assert_eq!(found, expected, "{sent:?} in {catalog:?}");
    }

    fn schema(columns: &[(Option<u32>, &str)]) -> TableSchema {
        let column = |(number, name): &(Option<u32>, &str)| Column {
            name: (*name).to_owned(),
            data_type: cdc_core::DataType::Int32,
            native_type: "integer".to_owned(),
            nullable: true,
            number: *number,
            missing: None,
            default: None,
        };
        TableSchema {
            table: TableId::new("public", "t"),
            dialect: "postgres".to_owned(),
            columns: columns.iter().map(column).collect(),
            key: Vec::new(),
            number: Some(1),
        }
    }

    #[test]
    fn a_number_that_was_known_is_remembered_unless_another_column_has_it() {
        let before = schema(&[(Some(1), "a"), (Some(2), "b")]);
        let mut unsure = schema(&[(None, "a"), (None, "b")]);
        let swapped = table(&[(1, "b"), (2, "a")]);
        remember(&mut unsure, &before, &swapped);
        assert_eq!(unsure, before);
        let mut gone = schema(&[(Some(1), "a"), (None, "b")]);
        remember(&mut gone, &before, &table(&[(1, "a"), (3, "b")]));
        assert_eq!(gone, schema(&[(Some(1), "a"), (None, "b")]));
        let mut renamed = schema(&[(Some(2), "c"), (None, "b"), (None, "d")]);
        remember(&mut renamed, &before, &swapped);
        assert_eq!(renamed, schema(&[(Some(2), "c"), (None, "b"), (None, "d")]));
    }

    #[test]
    fn a_table_that_has_not_changed_is_numbered() {
        check(&["a", "b"], &[(1, "a"), (3, "b")], &[1, 3]);
        check(&["a", "b"], &[(1, "a"), (2, "gen"), (3, "b")], &[1, 3]);
    }

    #[test]
    fn what_was_added_or_dropped_since_leaves_the_others_numbered() {
        check(&["a", "b"], &[(1, "a"), (2, "b"), (3, "new")], &[1, 2]);
        check(&["a", "gone", "b"], &[(1, "a"), (3, "b")], &[1, 0, 3]);
        check(&["a", "gone"], &[(1, "a"), (3, "new")], &[1, 0]);
    }

    #[test]
    fn what_was_renamed_since_keeps_its_number() {
        check(&["a", "old", "b"], &[(1, "a"), (2, "new"), (3, "b")], &[1, 2, 3]);
        check(&["old", "b", "c"], &[(1, "new"), (2, "b"), (3, "c")], &[1, 2, 3]);
    }

    #[test]
    fn a_name_that_another_column_got_since_is_not_believed() {
        check(&["a"], &[(1, "before"), (2, "a")], &[0]);
        check(&["a", "b"], &[(1, "c"), (2, "b"), (3, "a")], &[1, 2]);
        // Two columns that exchanged their names.
        check(&["a", "b"], &[(1, "b"), (2, "a")], &[0, 0]);
    }
}
