//! Random histories of one table: the plan leaves the rows that the changes leave one by one.

use super::{Effect, Image, Match, Pair, Segment, Unapplicable, plan};
use cdc_core::{
    Change, Column, DataType, Operation, Position, Row, TableId, TableSchema, Timestamp,
    Transaction, Value,
};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};

/// `id`, `a`, `large`; the key is `id`, or there is none.
fn schema(keyed: bool) -> Arc<TableSchema> {
    let column = |name: &str| Column {
        name: name.into(),
        data_type: DataType::Int64,
        native_type: "bigint".into(),
        nullable: true,
        number: None,
        missing: None,
        default: None,
    };
    Arc::new(TableSchema {
        table: TableId::new("public", "t"),
        dialect: "postgres".into(),
        columns: ["id", "a", "large"].map(column).into(),
        key: if keyed { vec![0] } else { Vec::new() },
        number: None,
    })
}

type Rows = BTreeMap<i64, Vec<Value>>;

/// One step of a history, made into a change that fits the rows at that moment.
#[derive(Clone, Debug)]
enum Step {
    Snapshot(i64),
    Insert(i64),
    Update { id: i64, keeps_large: bool },
    Rekey { from: i64, to: i64, keeps_large: bool },
    Delete(i64),
    Truncate,
}

fn step() -> impl Strategy<Value = Step> {
    let id = || 0..6_i64;
    prop_oneof![
        2 => id().prop_map(Step::Snapshot),
        4 => id().prop_map(Step::Insert),
        6 => (id(), any::<bool>()).prop_map(|(id, keeps_large)| Step::Update { id, keeps_large }),
        4 => (id(), id(), any::<bool>())
            .prop_map(|(from, to, keeps_large)| Step::Rekey { from, to, keeps_large }),
        3 => id().prop_map(Step::Delete),
        1 => Just(Step::Truncate),
    ]
}

struct History {
    schema: Arc<TableSchema>,
    /// Do old images hold the whole row?
    logs_whole_rows: bool,
    rows: Rows,
    next: i64,
    changes: Vec<Change>,
}

impl History {
    fn fresh_row(&mut self, id: i64) -> Vec<Value> {
        self.next += 2;
        vec![Value::Int(id), Value::Int(self.next), Value::Int(self.next + 1)]
    }

    fn old(&self, row: &[Value]) -> Row {
        if self.logs_whole_rows {
            return row.into();
        }
        Box::new([row[0].clone(), Value::Unchanged, Value::Unchanged])
    }

    fn push(&mut self, operation: Operation, before: Option<Row>, after: Option<Row>) {
        let commit_time = Timestamp { seconds: 0, nanos: 0 };
        self.changes.push(Change {
            schema: Arc::clone(&self.schema),
            operation,
            before,
            after,
            position: Position::default(),
            log_address: 0,
            transaction: Arc::new(Transaction { id: 0, commit_time }),
            ends_transaction: true,
        });
    }

    fn update(&mut self, from: i64, to: i64, keeps_large: bool) {
        if from != to && self.rows.contains_key(&to) {
            return;
        }
        let Some(old) = self.rows.remove(&from) else { return };
        let mut new = self.fresh_row(to);
        let mut sent = new.clone();
        if keeps_large {
            new[2] = old[2].clone();
            sent[2] = Value::Unchanged;
        }
        self.rows.insert(to, new);
        let before = (from != to || self.logs_whole_rows).then(|| self.old(&old));
        self.push(Operation::Update, before, Some(sent.into()));
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Snapshot(id) | Step::Insert(id) if !self.rows.contains_key(&id) => {
                let row = self.fresh_row(id);
                self.rows.insert(id, row.clone());
                let snapshot = matches!(step, Step::Snapshot(_));
                let operation = if snapshot { Operation::Snapshot } else { Operation::Insert };
                self.push(operation, None, Some(row.into()));
            }
            Step::Snapshot(_) | Step::Insert(_) => {}
            Step::Update { id, keeps_large } => self.update(id, id, keeps_large),
            Step::Rekey { from, to, keeps_large } => self.update(from, to, keeps_large),
            Step::Delete(id) => {
                if let Some(row) = self.rows.remove(&id) {
                    let old = self.old(&row);
                    self.push(Operation::Delete, Some(old), None);
                }
            }
            Step::Truncate => {
                self.rows.clear();
                self.push(Operation::Truncate, None, None);
            }
        }
    }
}

fn id_of(row: &[Value]) -> i64 {
    match row[0] {
        Value::Int(id) => id,
        _ => panic!("no id"),
    }
}

/// What the server does with a segment, as strictly as it does it.
fn apply(rows: &mut Rows, segment: Segment<'_>) {
    let patch = |row: &mut Vec<Value>, new: &Image<'_>| {
        for (value, new) in row.iter_mut().zip(new.iter()) {
            if *new != Value::Unchanged {
                value.clone_from(new);
            }
        }
    };
    match segment {
        Segment::Truncate => rows.clear(),
        Segment::Append(new) => {
            for row in new {
                let taken = rows.insert(id_of(&row), row.into_owned());
                assert!(taken.is_none(), "an appended row collides");
            }
        }
        Segment::Net(net) => {
            let (deletes, others): (Vec<_>, Vec<_>) =
                net.into_values().partition(|effect| matches!(effect, Effect::Delete(_)));
            for effect in deletes.into_iter().chain(others) {
                match effect {
                    Effect::Delete(row) => drop(rows.remove(&id_of(&row))),
                    Effect::Upsert(row) => drop(rows.insert(id_of(&row), row.into_owned())),
                    Effect::Patch(row) => {
                        patch(rows.get_mut(&id_of(&row)).expect("a patch finds its row"), &row);
                    }
                }
            }
        }
        Segment::Moves(moves) => {
            for Pair { old, new } in moves {
                let mut row = rows.remove(&id_of(&old)).expect("a move finds its row");
                patch(&mut row, &new);
                assert!(rows.insert(id_of(&new), row).is_none(), "a moved row collides");
            }
        }
        Segment::Matches(matches) => {
            for change in matches {
                let (old, new) = match change {
                    Match::Delete(old) => (old, None),
                    Match::Update(Pair { old, new }) => (old, Some(new)),
                };
                let mut row = rows.remove(&id_of(&old)).expect("a match finds its row");
                assert_eq!(row, old.into_owned());
                if let Some(new) = new {
                    patch(&mut row, &new);
                    rows.insert(id_of(&new), row);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn a_plan_has_the_effect_of_its_changes(
        steps in prop::collection::vec(step(), 0..60),
        starts in prop::collection::vec(0..6_i64, 0..4),
        cuts in prop::collection::vec(1..20_usize, 1..6),
        keyed: bool,
        logs_whole_rows: bool,
    ) {
        let logs_whole_rows = logs_whole_rows || !keyed;
        let schema = schema(keyed);
        let rows = Rows::new();
        let mut history =
            History { schema: Arc::clone(&schema), logs_whole_rows, rows, next: 0, changes: vec![] };
        for id in &starts {
            let row = history.fresh_row(*id);
            history.rows.insert(*id, row);
        }
        let mut target = history.rows.clone();
        steps.iter().for_each(|step| history.take(step));

        let mut fresh = target.is_empty();
        let mut rest = &history.changes[..];
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(rest.len().min(*cuts.next().expect("a cycle")));
            let planned = plan(&schema, fresh, batch.iter()).expect("every change applies");
            fresh = planned.fresh;
            planned.segments.into_iter().for_each(|segment| apply(&mut target, segment));
            rest = after;
        }
        prop_assert_eq!(target, history.rows);
    }
}

#[test]
fn what_cannot_be_applied_is_named_by_its_index() {
    let mut history = History {
        schema: schema(true),
        logs_whole_rows: false,
        rows: Rows::new(),
        next: 0,
        changes: Vec::new(),
    };
    let row = |large: Value| -> Row { Box::new([Value::Int(1), Value::Int(2), large]) };
    history.push(Operation::Insert, None, Some(row(Value::Null)));
    history.push(Operation::Delete, Some(row(Value::Unchanged)), None);
    history.push(Operation::Update, None, Some(row(Value::Unchanged)));
    let refused = |schema: &TableSchema, changes: &[Change]| {
        plan(schema, false, changes.iter()).expect_err("refused")
    };
    let keyed = schema(true);
    assert_eq!(refused(&keyed, &history.changes), (2, Unapplicable::RowMissing));
    assert_eq!(refused(&schema(false), &history.changes), (1, Unapplicable::Keyless));
    history.push(Operation::Insert, None, Some(Box::new([Value::Int(1)])));
    assert_eq!(refused(&keyed, &history.changes[3..]), (0, Unapplicable::Malformed));
    history.push(Operation::Delete, None, None);
    assert_eq!(refused(&keyed, &history.changes[4..]), (0, Unapplicable::Malformed));
}
