//! Changes to records: which partition each belongs to, and what a partition has already.

use crate::unsayable::Unsayable;
use cdc_core::{
    Change, Position, Record, Result, Retry, SchemaId, TableSchema, TopicPartition, Transport,
    format::{Draft, Encoder},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Routes one source session's changes.
pub(crate) struct Router {
    transport: Arc<dyn Transport>,
    encoder: Box<dyn Encoder>,
    /// Schemas by the address of their `Arc`, which is kept so that the address stays taken.
    known: BTreeMap<usize, Arc<TableSchema>>,
    partitions: BTreeMap<TopicPartition, PartitionTail>,
    drafts: Vec<Draft>,
    /// How far the log has everything, where it tells.
    above: Option<Position>,
    /// Where changes go that have no form in the format; without it they are errors.
    unsayable: Option<Unsayable>,
}

/// What is at the end of one partition.
struct PartitionTail {
    newest: Option<Position>,
    announced: BTreeSet<SchemaId>,
}

/// More schema versions than this at once are forgotten and looked up again.
const SCHEMAS_MAX: usize = 20_000;

type Routed = BTreeMap<TopicPartition, Vec<Record>>;

impl Router {
    pub(crate) fn new(transport: Arc<dyn Transport>, encoder: Box<dyn Encoder>) -> Self {
        let (known, partitions) = (BTreeMap::new(), BTreeMap::new());
        let drafts = Vec::new();
        Self { transport, encoder, known, partitions, drafts, above: None, unsayable: None }
    }

    /// Leaves out what is at or below a place, in all partitions; without one, each of them is asked what
    /// it has.
    pub(crate) fn above(self, place: Option<Position>) -> Self {
        Self { above: place, ..self }
    }

    /// Sets changes aside that have no form in the format.
    pub(crate) fn setting_aside(self, unsayable: Unsayable) -> Self {
        Self { unsayable: Some(unsayable), ..self }
    }

    /// Encodes changes, leaving out what a partition has already. The records of each partition are
    /// in order; the partitions come in the order of their names.
    pub(crate) async fn route(&mut self, changes: &[Change]) -> Result<Routed> {
        let mut routed = Routed::new();
        self.learn(changes).await?;
        for change in changes {
            if let Err(error) = self.encoder.encode(change, &mut self.drafts) {
                match &self.unsayable {
                    Some(unsayable) if error.retry == Retry::Never => {
                        unsayable.set_aside(change, &error).await?;
                    }
                    _ => return Err(error),
                }
            }
            if self.above.is_some_and(|place| change.position <= place) {
                // Encoded all the same: what follows may depend on it.
                self.drafts.clear();
                continue;
            }
            let mut drafts = std::mem::take(&mut self.drafts);
            for draft in drafts.drain(..) {
                self.place(change, draft, &mut routed).await?;
            }
            self.drafts = drafts;
        }
        Ok(routed)
    }

    /// Puts one record of a change behind those that its partition has.
    async fn place(&mut self, change: &Change, draft: Draft, routed: &mut Routed) -> Result<()> {
        let Draft { topic, record } = draft;
        let to = self.transport.partition_of(&topic, &record.key);
        if !self.partitions.contains_key(&to) {
            let newest = match self.above {
                Some(place) => Some(place),
                None => self.transport.newest(&to).await?,
            };
            let announced = BTreeSet::new();
            self.partitions.insert(to.clone(), PartitionTail { newest, announced });
        }
        let Some(tail) = self.partitions.get_mut(&to) else { return Ok(()) };
        if tail.newest.is_some_and(|newest| record.position <= newest) {
            return Ok(());
        }
        let before = tail.newest.replace(record.position).unwrap_or_default();
        let records = routed.entry(to).or_default();
        if let Some(id) = self.encoder.announces(change)
            && tail.announced.insert(id)
        {
            let payload = self.encoder.announcement(change);
            let key = record.key.clone();
            // Not the change's own position: an append torn between the two would look complete.
            records.push(Record { key, payload, headers: Vec::new(), position: before });
        }
        records.push(record);
        Ok(())
    }

    /// Has the encoder learn every schema of the changes, all new ones at once.
    async fn learn(&mut self, changes: &[Change]) -> Result<()> {
        let mut new = self.unknown(changes);
        if new.is_empty() {
            return Ok(());
        }
        if self.known.len() + new.len() > SCHEMAS_MAX {
            self.known.clear();
            new = self.unknown(changes);
        }
        self.encoder.learn(&new).await?;
        for schema in new {
            self.known.insert(Arc::as_ptr(schema).addr(), Arc::clone(schema));
        }
        Ok(())
    }

    /// The schemas that are not known, each once, in the order in which they come.
    fn unknown<'c>(&self, changes: &'c [Change]) -> Vec<&'c Arc<TableSchema>> {
        let mut seen = BTreeSet::new();
        let mut last = None;
        let mut unknown = Vec::new();
        for change in changes {
            let address = Arc::as_ptr(&change.schema).addr();
            // Most changes are of the table of the one before.
            let again = last.replace(address) == Some(address);
            if !again && !self.known.contains_key(&address) && seen.insert(address) {
                unknown.push(&change.schema);
            }
        }
        unknown
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::RowFormat;
    use cdc_core::{Operation, TableId, Timestamp, Transaction};
    use cdc_core::{dead_letter::DeadLetterStore as _, format::Format as _};
    use cdc_testkit::memory::{MemoryLog, MemoryStores, MemoryTransport};

    fn change(ordinal: u64) -> Change {
        let table = TableId::new("public", "t");
        let columns = Vec::new();
        let schema =
            TableSchema { table, dialect: "test".into(), columns, key: Vec::new(), number: None };
        Change {
            schema: Arc::new(schema),
            operation: Operation::Truncate,
            before: None,
            after: None,
            position: Position::new(1, ordinal),
            log_address: 0,
            transaction: Arc::new(Transaction { id: 1, commit_time: Timestamp::from_micros(0) }),
            ends_transaction: true,
        }
    }

    #[tokio::test]
    async fn an_append_torn_after_the_schema_record_does_not_hide_the_change() {
        let log = MemoryLog::new(1, 1);
        let transport = Arc::new(MemoryTransport::open(&log));
        let router = || {
            let transport = Arc::clone(&transport) as Arc<dyn Transport>;
            let format = RowFormat::new(MemoryStores::new(), "p", transport.ordering());
            Router::new(transport, format.encoder())
        };
        let routed = router().route(&[change(1)]).await.unwrap();
        let (partition, records) = routed.first_key_value().unwrap();
        assert_eq!(records.len(), 2, "schema and change");
        transport.append(partition, records[..1].to_vec()).await.unwrap();
        let again = router().route(&[change(1)]).await.unwrap();
        assert_eq!(again[partition].len(), 2, "the change is still to be appended");
    }

    /// Gives records positions of their own, as formats with several records of a change do.
    struct Spreading(Box<dyn Encoder>);

    #[async_trait::async_trait]
    impl Encoder for Spreading {
        async fn learn(&mut self, schemas: &[&Arc<TableSchema>]) -> Result<()> {
            self.0.learn(schemas).await
        }

        fn encode(&mut self, change: &Change, out: &mut Vec<Draft>) -> Result<()> {
            self.0.encode(change, out)?;
            for draft in out {
                draft.record.position.ordinal *= 8;
            }
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_is_at_or_below_the_place_is_left_out_whatever_positions_records_have() {
        let transport = Arc::new(MemoryTransport::open(&MemoryLog::new(1, 1)));
        let format = RowFormat::new(MemoryStores::new(), "p", transport.ordering());
        let encoder = Box::new(Spreading(format.encoder()));
        let mut router = Router::new(transport, encoder).above(Some(Position::new(1, 3)));
        let routed = router.route(&[change(2), change(3), change(4), change(5)]).await.unwrap();
        let positions: Vec<u64> =
            routed.values().flatten().map(|record| record.position.ordinal).collect();
        assert_eq!(positions, [32, 40]);
    }

    /// Refuses the changes of one ordinal.
    struct Refusing {
        encoder: Box<dyn Encoder>,
        ordinal: u64,
        retry: Retry,
    }

    #[async_trait::async_trait]
    impl Encoder for Refusing {
        async fn learn(&mut self, schemas: &[&Arc<TableSchema>]) -> Result<()> {
            self.encoder.learn(schemas).await
        }

        fn encode(&mut self, change: &Change, out: &mut Vec<Draft>) -> Result<()> {
            if change.position.ordinal == self.ordinal {
                let origin = cdc_core::Origin::Source;
                return Err(cdc_core::Error::new("CDC-4221", origin, self.retry, "no form"));
            }
            self.encoder.encode(change, out)
        }
    }

    #[tokio::test]
    async fn a_change_without_a_form_is_set_aside_and_the_rest_goes_on() {
        let stores = MemoryStores::new();
        let router = |retry| {
            let transport = Arc::new(MemoryTransport::open(&MemoryLog::new(1, 1)));
            let format =
                RowFormat::new(Arc::<MemoryStores>::clone(&stores), "p", transport.ordering());
            let encoder = Refusing { encoder: format.encoder(), ordinal: 2, retry };
            let unsayable = Unsayable::of(
                Arc::<MemoryStores>::clone(&stores),
                Arc::new(cdc_core::clock::SystemClock),
                "p",
            );
            Router::new(transport, Box::new(encoder)).setting_aside(unsayable)
        };
        let changes = [change(1), change(2), change(3)];
        let routed = router(Retry::Never).route(&changes).await.unwrap();
        // Again after a crash: the same letter.
        router(Retry::Never).route(&changes).await.unwrap();
        let positions: Vec<u64> =
            routed.values().flatten().map(|record| record.position.ordinal).collect();
        assert_eq!(positions, [1, 3]);
        let letters = stores.list(None, 0, 10).await.unwrap();
        let [letter] = letters.as_slice() else { panic!("{letters:?}") };
        assert_eq!(letter.info.sink_id, crate::unsayable::CAPTURE);
        assert_eq!(
            (letter.info.position, &*letter.info.error_code),
            (Position::new(1, 2), "CDC-4221")
        );
        let read = cdc_codec::row::decode_letter(&letter.payload, letter.info.position).unwrap();
        assert_eq!(read.operation, Operation::Truncate);
        for retry in [Retry::Backoff, Retry::AfterOperator] {
            assert!(router(retry).route(&changes).await.is_err(), "it may pass another time");
        }
    }
}
