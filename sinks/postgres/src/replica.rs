//! Mode `replica`: each source table has a copy that is equal to it, row by row.
//!
//! ```text
//! write ─▶ changes by table ─▶ coalesce::plan ─▶ apply (in the open transaction) ─▶ …
//! commit ─▶ checkpoint in the same transaction ─▶ COMMIT
//! ```
//! Messages of the source's log are no rows, and are passed by.
//! A refused batch is taken back to its savepoint, and halved until the change is found that the
//! target refuses.

use crate::{
    Config,
    apply::{Failure, InFlight, Table},
    coalesce::{self, Plan, Unapplicable},
    columns, error,
    layout::Labels,
    session::Session,
    sql::text,
    table::Preparer,
};
use async_trait::async_trait;
use cdc_core::{
    Change, Checkpoint, Error, LogId, Result, Sink, SinkBatch, TableId, TableSchema,
    TopicPartition, Value, WriteError,
    catalog::SinkContext,
    checkpoint::Places,
    sink::{CommitBoundary, Delivery, ParkScope},
};
use indexmap::IndexMap;
use std::{collections::BTreeMap, sync::Arc};

/// A session of mode `replica`.
#[derive(Debug)]
pub(crate) struct Replica {
    session: Session,
    config: Arc<Config>,
    memory_bytes: usize,
    tables: BTreeMap<TableId, Table>,
}

/// The changes of a batch that belong to one table, with their index in the batch.
type Grouped<'a> = IndexMap<&'a TableId, Vec<(usize, &'a Change)>>;

/// A change that can be blamed, or an error that ends the session.
enum Refusal {
    Change { index: usize, error: Error },
    Session(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Session(error)
    }
}

impl Replica {
    pub(crate) async fn open(config: Arc<Config>, context: &SinkContext) -> Result<Self> {
        Ok(Self {
            session: Session::open(&config, context).await?,
            config,
            memory_bytes: context.memory_bytes,
            tables: BTreeMap::new(),
        })
    }

    fn preparer(&self) -> Preparer<'_> {
        Preparer {
            connection: &self.session.connection,
            config: &self.config,
            state: &self.session.state,
            application_name: &self.session.application_name,
        }
    }

    async fn prepare_table(&mut self, new: &Arc<TableSchema>) -> Result<()> {
        if let Some(table) = self.tables.get(&new.table)
            && *table.layout.schema == **new
        {
            return Ok(());
        }
        let target = self.config.replica_of(&new.table);
        let mut others = self.tables.values().map(|table| &table.layout);
        if let Some(other) = others.find(|o| o.target == target && o.source != new.table) {
            return Err(error::target_taken(&new.table, &other.source, &target));
        }
        self.session.begin().await?;
        let ready = self.preparer().prepare(new).await?;
        let fresh = ready.empty || self.tables.get(&new.table).is_some_and(|table| table.fresh);
        // A table that was renamed is no longer written under its old name.
        let number = |table: &Table| table.layout.schema.number;
        self.tables.retain(|_, table| number(table).is_none() || number(table) != new.number);
        self.tables.insert(new.table.clone(), Table::new(ready.layout, fresh));
        Ok(())
    }

    async fn write_batch(&mut self, batch: &SinkBatch) -> Result<(), Refusal> {
        let mut grouped: Grouped<'_> = IndexMap::new();
        for (index, delivered) in batch.changes.iter().enumerate() {
            let change = &delivered.change;
            if change.schema.table.is_messages() {
                continue;
            }
            grouped.entry(&change.schema.table).or_default().push((index, change));
        }
        if grouped.is_empty() {
            return Ok(());
        }
        for changes in grouped.values() {
            self.check_prepared(changes)?;
            self.provide_labels(changes).await?;
        }
        let mut outcome = self.plan_and_apply(&grouped).await?;
        if let Err(failure) = &outcome
            && failure.is_refusal()
            && let Some(table) = failure.table.as_ref().and_then(|id| self.tables.get_mut(id))
            && std::mem::take(&mut table.fresh)
        {
            // Somebody else may have put rows into a table that was empty: write over them.
            self.session.undo_batch().await?;
            outcome = self.plan_and_apply(&grouped).await?;
        }
        match outcome {
            Ok(()) => Ok(()),
            Err(failure) if failure.is_refusal() => {
                self.session.undo_batch().await?;
                let changes = failure.table.and_then(|table| grouped.shift_remove(&table));
                match changes {
                    Some(changes) => self.blame(&changes, *failure.error).await,
                    None => Err(Refusal::Session(*failure.error)),
                }
            }
            Err(failure) => Err(Refusal::Session(*failure.error)),
        }
    }

    fn check_prepared(&self, changes: &[(usize, &Change)]) -> Result<()> {
        for (_, change) in changes {
            let prepared = self.tables.get(&change.schema.table).map(|table| &table.layout.schema);
            let fits = prepared.is_some_and(|prepared| {
                Arc::ptr_eq(prepared, &change.schema) || **prepared == *change.schema
            });
            if !fits {
                return Err(error::contract(format!(
                    "a change of {} came under a schema that was not prepared",
                    change.schema.table
                )));
            }
        }
        Ok(())
    }

    /// Labels can be added to a type without a word to subscribers, so they are looked for in rows.
    async fn provide_labels(&mut self, changes: &[(usize, &Change)]) -> Result<()> {
        let Some((_, first)) = changes.first() else { return Ok(()) };
        let source = &first.schema.table;
        let Some(layout) = self.tables.get(source).map(|table| Arc::clone(&table.layout)) else {
            return Ok(());
        };
        for (at, column) in layout.columns.iter().enumerate() {
            let declared = layout.schema.columns.get(at);
            let is_enum = declared.is_some_and(|c| columns::enum_labels(&c.data_type).is_some());
            let Some(labels) = column.labels.as_ref().filter(|_| is_enum) else { continue };
            let missing = missing_labels(labels, at, changes);
            let name = columns::split_name(&labels.type_name);
            let Some(name) = name.filter(|_| !missing.is_empty()) else { continue };
            let add = |label: &String| {
                format!("ALTER TYPE {} ADD VALUE IF NOT EXISTS {}", labels.type_name, text(label))
            };
            let statements: Vec<_> = missing.iter().map(add).collect();
            self.session.begin().await?;
            self.preparer().add_labels(&name, &statements).await?;
            let Some(table) = self.tables.get_mut(source) else { continue };
            let layout = Arc::make_mut(&mut table.layout);
            if let Some(labels) = layout.columns.get_mut(at).and_then(|c| c.labels.as_mut()) {
                labels.known.extend(missing);
            }
        }
        Ok(())
    }

    fn plan<'a>(&self, grouped: &Grouped<'a>) -> Result<Vec<(&'a TableId, Plan<'a>)>, Refusal> {
        let plan = |(table, changes): (&&'a TableId, &Vec<(usize, &'a Change)>)| {
            let plan = self.plan_table(table, changes).map_err(|(place, why)| Refusal::Change {
                index: changes.get(place).map_or(0, |(index, _)| *index),
                error: unapplicable(table, why),
            })?;
            Ok((*table, plan))
        };
        grouped.iter().map(plan).collect()
    }

    fn plan_table<'a>(
        &self,
        table: &TableId,
        changes: &[(usize, &'a Change)],
    ) -> Result<Plan<'a>, (usize, Unapplicable)> {
        let found = self.tables.get(table).ok_or((0, Unapplicable::Malformed))?;
        coalesce::plan(&found.layout.schema, found.fresh, changes.iter().map(|(_, change)| *change))
    }

    async fn plan_and_apply(
        &mut self,
        grouped: &Grouped<'_>,
    ) -> Result<Result<(), Failure>, Refusal> {
        let plans = self.plan(grouped)?;
        Ok(self.apply(plans).await)
    }

    /// Applies plans after a mark, to which the caller can go back.
    async fn apply(&mut self, plans: Vec<(&TableId, Plan<'_>)>) -> Result<(), Failure> {
        let begin = self.session.begin_batch();
        let mut in_flight = InFlight::new(&self.session.connection, self.memory_bytes);
        in_flight.simple(begin).await?;
        let mut fresh = Vec::with_capacity(plans.len());
        for (id, plan) in plans {
            let Some(table) = self.tables.get_mut(id) else { continue };
            in_flight.apply(table, plan.segments).await?;
            fresh.push((id, plan.fresh));
        }
        in_flight.finish().await?;
        for (id, fresh) in fresh {
            if let Some(table) = self.tables.get_mut(id) {
                table.fresh = fresh;
            }
        }
        Ok(())
    }

    /// Finds the first change that the target refuses: all changes before it pass, and with it they
    /// do not.
    async fn blame(&mut self, changes: &[(usize, &Change)], first: Error) -> Result<(), Refusal> {
        let (mut passing, mut failing) = (0, changes.len());
        let mut error = None;
        let mut tried = changes.len();
        loop {
            match self.try_out(changes.get(..tried).unwrap_or(changes)).await? {
                None if tried == changes.len() => {
                    // Together with its neighbours it failed, alone it does not: worth another try.
                    let retry = cdc_core::Retry::Backoff;
                    return Err(Refusal::Session(Error { retry, ..first }));
                }
                None => passing = tried,
                Some(refused) => {
                    failing = tried;
                    error = Some(refused);
                }
            }
            if failing - passing <= 1 {
                break;
            }
            tried = passing + (failing - passing) / 2;
        }
        let index = changes.get(failing - 1).map_or(0, |(index, _)| *index);
        Err(Refusal::Change { index, error: error.unwrap_or(first) })
    }

    /// Applies changes of one table and takes them back; says what the target refused.
    async fn try_out(&mut self, changes: &[(usize, &Change)]) -> Result<Option<Error>> {
        let Some((_, first)) = changes.first() else { return Ok(None) };
        let id = &first.schema.table;
        let fresh = self.tables.get(id).is_some_and(|table| table.fresh);
        let Ok(plan) = self.plan_table(id, changes) else { return Ok(None) };
        let begin = self.session.begin_batch();
        let mut in_flight = InFlight::new(&self.session.connection, self.memory_bytes);
        let mut outcome = in_flight.simple(begin).await;
        if let (Ok(()), Some(table)) = (&outcome, self.tables.get_mut(id)) {
            outcome = in_flight.apply(table, plan.segments).await;
            if outcome.is_ok() {
                outcome = in_flight.finish().await;
            }
            table.fresh = fresh;
        }
        drop(in_flight);
        match outcome {
            Ok(()) => {
                self.session.undo_batch().await?;
                Ok(None)
            }
            Err(failure) if failure.is_refusal() => {
                self.session.undo_batch().await?;
                Ok(Some(*failure.error))
            }
            Err(failure) => Err(*failure.error),
        }
    }
}

fn unapplicable(table: &TableId, why: Unapplicable) -> Error {
    match why {
        Unapplicable::Keyless => error::keyless(table),
        Unapplicable::RowMissing => error::row_missing(table),
        Unapplicable::Malformed => {
            error::refused(format!("a change of {table} does not have the shape of its schema"))
        }
    }
}

/// Labels in the rows that the target's type does not know, in the order of their appearance.
fn missing_labels(labels: &Labels, at: usize, changes: &[(usize, &Change)]) -> Vec<String> {
    fn look(labels: &Labels, value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Text(label) => {
                let Ok(label) = std::str::from_utf8(label) else { return };
                if !labels.known.contains(label) && !out.iter().any(|known| known == label) {
                    out.push(label.to_owned());
                }
            }
            Value::Array(array) => array.elements.iter().for_each(|value| look(labels, value, out)),
            _ => {}
        }
    }
    let mut out = Vec::new();
    for (_, change) in changes {
        let value = change.after.as_ref().and_then(|row| row.get(at));
        value.into_iter().for_each(|value| look(labels, value, &mut out));
    }
    out
}

#[async_trait]
impl Sink for Replica {
    fn delivery(&self) -> Delivery {
        Delivery::ExactlyOnce
    }

    fn commit_boundary(&self) -> CommitBoundary {
        CommitBoundary::Transaction
    }

    fn keeps_rows(&self) -> bool {
        true
    }

    fn park_scope(&self) -> ParkScope {
        ParkScope::Table
    }

    async fn claim(&mut self, epoch: u64) -> Result<Option<Checkpoint>> {
        self.session.claim(epoch).await.map(Some)
    }

    async fn claim_partitions(
        &mut self,
        log: LogId,
        partitions: &[TopicPartition],
    ) -> Result<Option<Places>> {
        self.session.claim_partitions(log, partitions).await.map(Some)
    }

    async fn prepare(&mut self, _: Option<&TableSchema>, new: &Arc<TableSchema>) -> Result<()> {
        if new.table.is_messages() {
            return Ok(());
        }
        self.session.enter()?;
        self.prepare_table(new).await?;
        self.session.leave();
        Ok(())
    }

    async fn write(&mut self, batch: &SinkBatch) -> Result<(), WriteError> {
        self.session.enter()?;
        match self.write_batch(batch).await {
            Ok(()) => {
                self.session.leave();
                Ok(())
            }
            Err(Refusal::Change { index, error }) => {
                self.session.leave();
                Err(WriteError { error, accepted: 0, rejected: Some(index) })
            }
            Err(Refusal::Session(error)) => Err(error.into()),
        }
    }

    async fn commit(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.session.commit(checkpoint).await?;
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<()> {
        self.session.connection.close().await;
        Ok(())
    }
}
