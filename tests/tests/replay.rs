//! The oracle of the file sink: what its lines say that the tables hold.
//!
//! A line may stand in the file again; its position tells. Apart from that positions only grow, and
//! every change fits the rows that the changes before it left. While tables are still being copied, a
//! change may come before the row that it is about.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value};

const UNCHANGED: &str = "__debezium_unavailable_value";

/// The rows of one table by their key.
pub(crate) type Rows = BTreeMap<String, Map<String, Value>>;

/// Tables as the changes left them.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    tables: BTreeMap<String, Rows>,
    /// How many changes were applied.
    pub(crate) changes: u64,
    /// How many lines stood in the file again.
    pub(crate) repeated: u64,
}

impl Replayed {
    /// Reads and replays a file.
    pub(crate) fn from_file(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        let mut replayed = Self::default();
        let mut positions = BTreeSet::new();
        let of_copy = |line: &str| {
            serde_json::from_str(line).is_ok_and(|line: Value| line["value"]["op"] == "r")
        };
        let copied = text.lines().filter(|line| of_copy(line)).count();
        let mut seen = 0;
        for (number, line) in text.lines().enumerate() {
            let at = |what: String| format!("line {}: {what}", number + 1);
            let line: Value = serde_json::from_str(line).map_err(|error| at(error.to_string()))?;
            let position = position(&line).ok_or_else(|| at("no position".to_owned()))?;
            if !positions.insert(position) {
                replayed.repeated += 1;
                continue;
            }
            if positions.last() != Some(&position) {
                return Err(at(format!("{position:x?} comes after a later position")));
            }
            seen += usize::from(line["value"]["op"] == "r");
            replayed.apply(&line, seen < copied).map_err(at)?;
        }
        Ok(replayed)
    }

    /// The rows of a table, `schema.table`.
    pub(crate) fn rows(&self, table: &str) -> Rows {
        self.tables.get(table).cloned().unwrap_or_default()
    }

    fn apply(&mut self, line: &Value, copying: bool) -> Result<(), String> {
        let (key, value) = (&line["key"], &line["value"]);
        let source = &value["source"];
        let (Some(schema), Some(table)) = (source["schema"].as_str(), source["table"].as_str())
        else {
            return Err("no table".to_owned());
        };
        let name = format!("{schema}.{table}");
        let rows = self.tables.entry(name).or_default();
        let operation = value["op"].as_str().unwrap_or_default();
        match operation {
            "r" => {
                rows.insert(key.to_string(), object(&value["after"])?);
            }
            "c" => {
                let row = object(&value["after"])?;
                if rows.insert(key.to_string(), row).is_some() {
                    return Err(format!("inserts {key}, which is there already"));
                }
            }
            "u" => {
                let old = old_key(key, &value["before"]);
                let before = rows.remove(&old);
                let mut after = object(&value["after"])?;
                if before.is_none() && (!copying || after.values().any(|value| value == UNCHANGED))
                {
                    return Err(format!("updates {old}: no such row"));
                }
                for (column, value) in &mut after {
                    if value == UNCHANGED {
                        *value = before
                            .as_ref()
                            .and_then(|row| row.get(column))
                            .cloned()
                            .unwrap_or_default();
                    }
                }
                rows.insert(key.to_string(), after);
            }
            "d" => {
                if rows.remove(&key.to_string()).is_none() && !copying {
                    return Err(format!("deletes {key}: no such row"));
                }
            }
            "t" => rows.clear(),
            other => return Err(format!("unknown operation `{other}`")),
        }
        self.changes += 1;
        Ok(())
    }
}

// Commit in hexadecimal, then the change's number in its transaction.
fn position(line: &Value) -> Option<(u128, u64)> {
    let (commit, ordinal) = line["position"].as_str()?.split_once(':')?;
    Some((u128::from_str_radix(commit, 16).ok()?, ordinal.parse().ok()?))
}

// The key before an update: the columns of the key as they are in `before`, where that is given.
fn old_key(key: &Value, before: &Value) -> String {
    let (Some(columns), Some(before)) = (key.as_object(), before.as_object()) else {
        return key.to_string();
    };
    let old = |(column, new): (&String, &Value)| {
        (column.clone(), before.get(column).unwrap_or(new).clone())
    };
    Value::Object(columns.iter().map(old).collect()).to_string()
}

fn object(row: &Value) -> Result<Map<String, Value>, String> {
    row.as_object().cloned().ok_or_else(|| "no row".to_owned())
}

/// The first difference between a table's rows and what the changes say.
pub(crate) fn difference(table: &str, rows: &[String], replayed: &Rows) -> Option<String> {
    let parsed = |row: &String| serde_json::from_str::<Value>(row).unwrap();
    let mut expected: Vec<Value> = rows.iter().map(parsed).map(same_numbers).collect();
    let replayed = replayed.values().cloned().map(Value::Object);
    let mut found: Vec<Value> = replayed.map(same_numbers).collect();
    let in_order = |row: &Value| canonical(row);
    expected.sort_by_key(in_order);
    found.sort_by_key(in_order);
    if expected == found {
        return None;
    }
    let odd = expected.iter().find(|row| !found.contains(row));
    let other = found.iter().find(|row| !expected.contains(row));
    Some(format!(
        "{table}: {} rows in the source, {} after replay; only in the source: {}; only in the \
         replay: {}",
        expected.len(),
        found.len(),
        odd.map(cut).unwrap_or_default(),
        other.map(cut).unwrap_or_default()
    ))
}

// PostgreSQL prints a whole float8 as 101, JSON encoders as 101.0.
fn same_numbers(mut row: Value) -> Value {
    for value in row.as_object_mut().into_iter().flat_map(Map::values_mut) {
        if let Some(float) = value.as_f64().filter(|float| float.fract() == 0.0) {
            *value = Value::from(float);
        }
    }
    row
}

// The same text for the same row, whatever order its columns come in.
fn canonical(row: &Value) -> String {
    let columns: BTreeMap<&String, &Value> = row.as_object().into_iter().flatten().collect();
    serde_json::to_string(&columns).unwrap()
}

fn cut(row: &Value) -> String {
    row.to_string().chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::Replayed;
    use serde_json::json;

    fn line(commit: u64, ordinal: u64, op: &str, id: u64) -> String {
        let source = json!({"schema": "s", "table": "t"});
        let after = if op == "d" { json!(null) } else { json!({"id": id, "v": commit}) };
        let value = json!({"before": null, "after": after, "source": source, "op": op});
        let position = format!("{commit:x}:{ordinal}");
        json!({"position": position, "key": {"id": id}, "value": value}).to_string()
    }

    fn replay(lines: &[String]) -> Result<Replayed, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines.join("\n")).unwrap();
        Replayed::from_file(file.path())
    }

    #[test]
    fn a_repeated_line_counts_once() {
        let lines = [line(10, 1, "c", 1), line(16, 1, "u", 1), line(10, 1, "c", 1)];
        let replayed = replay(&lines).unwrap();
        assert_eq!((replayed.changes, replayed.repeated), (2, 1));
        assert_eq!(replayed.rows("s.t")[r#"{"id":1}"#]["v"], 16);
    }

    #[test]
    fn positions_out_of_order_are_found() {
        assert!(replay(&[line(9, 1, "c", 1), line(5, 1, "c", 2)]).is_err());
        assert!(replay(&[line(9, 2, "c", 1), line(9, 1, "c", 2)]).is_err());
    }

    #[test]
    fn a_lost_or_doubled_change_is_found_by_the_rows() {
        assert!(replay(&[line(5, 1, "u", 1)]).is_err());
        assert!(replay(&[line(5, 1, "d", 1)]).is_err());
        assert!(replay(&[line(5, 1, "c", 1), line(6, 1, "c", 1)]).is_err());
    }
}
