//! Random tables and histories of changes, the same for the same seed.
//!
//! A history is one that a database could have had: an update finds its row, a key is used once at a
//! time, positions grow, and the images are those of the table's replica identity. All types and
//! values are such that PostgreSQL takes them.

mod value;

pub use value::random_value;

use cdc_core::{
    Change, Column, DataType, Delivered, Offset, Operation, Position, Row, SinkBatch, TableId,
    TableSchema, Timestamp, TopicPartition, Transaction, Value, naming,
};
use rand::{Rng as _, SeedableRng as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Topic prefix of everything that is generated.
pub const TOPIC_PREFIX: &str = "cdc";

/// Most columns that a random table has besides its key.
const COLUMNS_MAX: usize = 12;

/// Makes tables and changes from a seed.
#[derive(Debug)]
pub struct Generator {
    rng: ChaCha8Rng,
    tables: Vec<Table>,
    commit: u128,
    transaction: u64,
}

#[derive(Debug)]
struct Table {
    schema: Arc<TableSchema>,
    /// Do `before` images hold the whole row?
    logs_whole_rows: bool,
    /// By the first key column.
    rows: BTreeMap<i64, Row>,
    next_key: i64,
}

impl Generator {
    /// Starts a history without tables.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            tables: Vec::new(),
            commit: 0x0100_0000,
            transaction: 700,
        }
    }

    /// Adds a table of random columns with the key `id bigint`.
    pub fn add_table(&mut self, table: TableId) -> Arc<TableSchema> {
        let catalogue = value::catalogue();
        let mut columns = vec![id_column()];
        for number in 1..=self.rng.random_range(1..=COLUMNS_MAX) {
            if let Some((data_type, native_type)) = catalogue.choose(&mut self.rng) {
                columns.push(Column {
                    name: format!("column {number}"),
                    data_type: data_type.clone(),
                    native_type: (*native_type).to_owned(),
                    nullable: self.rng.random_bool(0.7),
                    number: None,
                    missing: None,
                    default: None,
                });
            }
        }
        let logs_whole_rows = self.rng.random_bool(0.5);
        self.keep(table, columns, logs_whole_rows)
    }

    /// Adds a table with one column of every type that there is.
    pub fn add_table_of_every_type(&mut self, table: TableId) -> Arc<TableSchema> {
        let mut columns = vec![id_column()];
        for (number, (data_type, native_type)) in value::catalogue().into_iter().enumerate() {
            let name = format!("c{number}");
            let native_type = native_type.to_owned();
            columns.push(Column {
                name,
                data_type,
                native_type,
                nullable: true,
                number: None,
                missing: None,
                default: None,
            });
        }
        self.keep(table, columns, true)
    }

    fn keep(
        &mut self,
        table: TableId,
        columns: Vec<Column>,
        logs_whole_rows: bool,
    ) -> Arc<TableSchema> {
        let dialect = "postgres".to_owned();
        let schema = Arc::new(TableSchema { table, dialect, columns, key: vec![0], number: None });
        self.tables.push(Table {
            schema: Arc::clone(&schema),
            logs_whole_rows,
            rows: BTreeMap::new(),
            next_key: 1,
        });
        schema
    }

    /// The rows that a table holds after everything generated so far, in the order of their keys.
    pub fn rows<'a>(&'a self, table: &'a TableId) -> impl Iterator<Item = &'a Row> {
        self.tables
            .iter()
            .filter(move |held| held.schema.table == *table)
            .flat_map(|held| held.rows.values())
    }

    /// One transaction of so many changes over all tables.
    pub fn transaction(&mut self, changes: usize) -> Vec<Change> {
        self.commit += u128::from(self.rng.random_range(8..5_000_u32));
        self.transaction += 1;
        let seconds = 1_700_000_000 + i64::try_from(self.transaction).unwrap_or(0);
        let transaction = Arc::new(Transaction {
            id: self.transaction,
            commit_time: Timestamp { seconds, nanos: 123_456_000 },
        });
        let mut out = Vec::with_capacity(changes);
        for ordinal in 1..=changes {
            if self.tables.is_empty() {
                break;
            }
            let chosen = self.rng.random_range(0..self.tables.len());
            let Some(table) = self.tables.get_mut(chosen) else { break };
            let (operation, before, after) = table.step(&mut self.rng);
            let ordinal = u64::try_from(ordinal).unwrap_or(u64::MAX);
            out.push(Change {
                schema: Arc::clone(&table.schema),
                operation,
                before,
                after,
                position: Position::new(self.commit, ordinal),
                log_address: u64::try_from(self.commit).unwrap_or(0),
                transaction: Arc::clone(&transaction),
                ends_transaction: false,
            });
        }
        if let Some(last) = out.last_mut() {
            last.ends_transaction = true;
        }
        out
    }

    /// So many transactions of 1 to `changes_max` changes, one after the other.
    pub fn transactions(&mut self, count: usize, changes_max: usize) -> Vec<Change> {
        let mut out = Vec::new();
        for _ in 0..count {
            let changes = self.rng.random_range(1..=changes_max.max(1));
            out.extend(self.transaction(changes));
        }
        out
    }
}

fn id_column() -> Column {
    Column {
        name: "id".to_owned(),
        data_type: DataType::Int64,
        native_type: "bigint".to_owned(),
        nullable: false,
        number: None,
        missing: None,
        default: None,
    }
}

impl Table {
    fn step(&mut self, rng: &mut ChaCha8Rng) -> (Operation, Option<Row>, Option<Row>) {
        let existing: Vec<i64> = self.rows.keys().copied().collect();
        let existing = existing.choose(rng).copied();
        match (rng.random_range(0..100_u32), existing) {
            (0, _) => {
                self.rows.clear();
                (Operation::Truncate, None, None)
            }
            (1..40, Some(key)) => self.update(rng, key),
            (40..55, Some(key)) => {
                let old = self.rows.remove(&key).unwrap_or_default();
                (Operation::Delete, Some(self.old_image(&old)), None)
            }
            _ => {
                let row = self.random_row(rng, self.next_key);
                self.rows.insert(self.next_key, row.clone());
                self.next_key += 1;
                (Operation::Insert, None, Some(row))
            }
        }
    }

    fn update(&mut self, rng: &mut ChaCha8Rng, key: i64) -> (Operation, Option<Row>, Option<Row>) {
        let old = self.rows.remove(&key).unwrap_or_default();
        let moves = rng.random_bool(0.1);
        let new_key = if moves { self.next_key } else { key };
        if moves {
            self.next_key += 1;
        }
        let mut full = self.random_row(rng, new_key);
        let mut sent = full.clone();
        let columns = self.schema.columns.iter();
        for (((new, sent), old), column) in full.iter_mut().zip(&mut sent).zip(&old).zip(columns) {
            let large = matches!(column.data_type, DataType::Text | DataType::Bytes);
            if large && rng.random_bool(0.3) {
                new.clone_from(old);
                *sent = Value::Unchanged;
            }
        }
        self.rows.insert(new_key, full);
        let before = (moves || self.logs_whole_rows).then(|| self.old_image(&old));
        (Operation::Update, before, Some(sent))
    }

    fn old_image(&self, old: &Row) -> Row {
        if self.logs_whole_rows {
            return old.clone();
        }
        let key = usize::from(self.schema.key.first().copied().unwrap_or(0));
        let image = old.iter().enumerate();
        image
            .map(|(index, value)| if index == key { value.clone() } else { Value::Unchanged })
            .collect()
    }

    fn random_row(&self, rng: &mut ChaCha8Rng, key: i64) -> Row {
        let columns = self.schema.columns.iter().skip(1);
        let values = columns.map(|column| {
            if column.nullable && rng.random_bool(0.15) {
                Value::Null
            } else {
                random_value(rng, &column.data_type, &column.native_type)
            }
        });
        std::iter::once(Value::Int(key)).chain(values).collect()
    }
}

/// Changes as a sink gets them: numbered from `first` on, each with its topic.
#[must_use]
pub fn delivered(changes: Vec<Change>, first: Offset) -> Vec<Delivered> {
    let numbers = first.0..;
    let pairs = changes.into_iter().zip(numbers);
    pairs
        .map(|(change, offset)| Delivered {
            topic: naming::topic(TOPIC_PREFIX, &change.schema.table).into(),
            change,
            offset: Offset(offset),
        })
        .collect()
}

/// The partition that generated changes are read from.
#[must_use]
pub fn partition() -> TopicPartition {
    TopicPartition::new("pipeline", 0)
}

/// A batch of that partition.
#[must_use]
pub fn batch(changes: Vec<Delivered>) -> SinkBatch {
    SinkBatch { partition: partition(), changes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(seed: u64) -> (Vec<Change>, usize) {
        let mut generator = Generator::new(seed);
        let table = TableId::new("public", "a");
        generator.add_table(table.clone());
        generator.add_table_of_every_type(TableId::new("public", "b"));
        let changes = generator.transactions(200, 5);
        let rows = generator.rows(&table).count();
        (changes, rows)
    }

    #[test]
    fn a_seed_replays_to_the_same_history() {
        assert_eq!(format!("{:?}", history(7)), format!("{:?}", history(7)));
        assert_ne!(format!("{:?}", history(7)), format!("{:?}", history(8)));
    }

    #[test]
    fn positions_grow_and_rows_fit_their_schema() {
        let (changes, _) = history(1);
        assert!(changes.windows(2).all(|pair| pair[0].position < pair[1].position));
        assert!(changes.iter().all(|change| {
            let fits = |row: &Option<Row>| {
                row.as_ref().is_none_or(|row| row.len() == change.schema.columns.len())
            };
            fits(&change.before) && fits(&change.after)
        }));
        for operation in
            [Operation::Insert, Operation::Update, Operation::Delete, Operation::Truncate]
        {
            assert!(changes.iter().any(|change| change.operation == operation), "{operation:?}");
        }
    }

    #[test]
    fn applying_a_history_gives_the_rows_that_the_generator_holds() {
        let mut generator = Generator::new(3);
        let table = TableId::new("public", "a");
        generator.add_table(table.clone());
        let mut rows: BTreeMap<i64, Row> = BTreeMap::new();
        let key = |row: &Row| match row[0] {
            Value::Int(key) => key,
            _ => panic!("no key"),
        };
        for change in generator.transactions(300, 4) {
            if change.operation == Operation::Truncate {
                rows.clear();
            }
            let old_key = change.before.as_ref().or(change.after.as_ref()).map(key);
            let old = old_key.and_then(|key| rows.remove(&key));
            if let Some(mut row) = change.after {
                for (value, old) in row.iter_mut().zip(old.iter().flatten()) {
                    if *value == Value::Unchanged {
                        value.clone_from(old);
                    }
                }
                rows.insert(key(&row), row);
            }
        }
        let held: Vec<&Row> = generator.rows(&table).collect();
        assert_eq!(format!("{:?}", rows.values().collect::<Vec<_>>()), format!("{held:?}"));
    }
}
