//! What a destination holds that has applied the changes of a source, in order.

use cdc_core::{Change, Operation, Row, Value};
use std::collections::BTreeMap;
use tokio_postgres::Client;

/// Tables by name; rows by the text of their key.
#[derive(Debug, Default)]
pub(crate) struct Model {
    tables: BTreeMap<String, BTreeMap<String, Row>>,
}

impl Model {
    /// Applies changes. A change that does not hold its whole row must find the row.
    pub(crate) fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            let schema = &change.schema;
            let key = |row: &Row| {
                let values =
                    schema.key.iter().map(|index| format!("{:?}", row[usize::from(*index)]));
                values.collect::<Vec<_>>().join(",")
            };
            let rows = self.tables.entry(schema.table.name.clone()).or_default();
            match change.operation {
                Operation::Truncate => rows.clear(),
                Operation::Delete => {
                    rows.remove(&key(change.before.as_ref().unwrap()));
                }
                _ => {
                    let after = change.after.clone().unwrap();
                    let new_key = key(&after);
                    let whole_key = |row: &&Row| {
                        let known = |index: &u16| row[usize::from(*index)] != Value::Unchanged;
                        schema.key.iter().all(known)
                    };
                    let old_key = change.before.as_ref().filter(whole_key).map(key);
                    let old_key = old_key.unwrap_or_else(|| new_key.clone());
                    let old = if change.operation == Operation::Update {
                        rows.remove(&old_key)
                    } else {
                        None
                    };
                    let fill = |(index, value): (usize, Value)| match value {
                        Value::Unchanged => {
                            let old =
                                old.as_ref().unwrap_or_else(|| panic!("no row for {change:?}"));
                            old[index].clone()
                        }
                        value => value,
                    };
                    let row = after.into_vec().into_iter().enumerate().map(fill).collect();
                    rows.insert(new_key, row);
                }
            }
        }
    }

    /// Compares a table whose columns are `id int8` and texts with its source.
    pub(crate) async fn assert_equals(&self, client: &Client, table: &str) {
        let query = format!("SELECT to_jsonb(t)::text, id FROM {table} AS t ORDER BY id");
        let source = client.query(&query, &[]).await.unwrap();
        let empty = BTreeMap::new();
        let held = self.tables.get(table).unwrap_or(&empty);
        let mut ids: BTreeMap<i64, &Row> = BTreeMap::new();
        for row in held.values() {
            let Value::Int(id) = row[0] else { panic!("{row:?}") };
            assert!(ids.insert(id, row).is_none(), "{table} {id} twice");
        }
        for row in &source {
            let id: i64 = row.get(1);
            let expected: serde_json::Value = serde_json::from_str(row.get(0)).unwrap();
            let found = ids.remove(&id).unwrap_or_else(|| panic!("{table} {id} is missing"));
            let expected: Vec<Option<String>> = expected
                .as_object()
                .unwrap()
                .values()
                .map(|value| match value {
                    serde_json::Value::String(text) => Some(text.clone()),
                    serde_json::Value::Null => None,
                    other => Some(other.to_string()),
                })
                .collect();
            let found: Vec<Option<String>> = found
                .iter()
                .map(|value| match value {
                    Value::Null => None,
                    Value::Int(number) => Some(number.to_string()),
                    Value::Text(text) => Some(String::from_utf8(text.to_vec()).unwrap()),
                    other => Some(format!("{other:?}")),
                })
                .collect();
            // `to_jsonb` sorts by the length of names, so the order of columns is not kept.
            let (mut expected, mut found) = (expected, found);
            expected.sort();
            found.sort();
            let short = |values: &[Option<String>]| -> Vec<String> {
                let cut = |text: &Option<String>| {
                    text.as_ref().map_or("NULL".to_owned(), |text| {
                        format!("{}…{}", text.chars().take(20).collect::<String>(), text.len())
                    })
                };
                values.iter().map(cut).collect()
            };
            assert!(
                expected == found,
                "{table} {id} differs: {:?} is held instead of {:?}",
                short(&found),
                short(&expected)
            );
        }
        assert!(ids.is_empty(), "{table} has {} rows too many: {:?}", ids.len(), ids.keys().next());
    }
}
