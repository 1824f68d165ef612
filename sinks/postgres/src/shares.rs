//! Checkpoints of a sink that several processes share: one row a partition, each with its own owner.

use crate::{
    connection::{Connection, Parameter},
    error,
    state::{Saved, State, saved},
};
use cdc_core::{
    Checkpoint, LogId, Offset, Place, Position, Result, TopicPartition, checkpoint::Places,
};
use std::collections::BTreeMap;
use tokio_postgres::{Row, types::Type};

/// Takes the rows over. A commit of the owner before that is in flight holds its rows until it is done.
const CLAIM: &str = "
    INSERT INTO cdc.partition_checkpoints AS held (pipeline_id, sink_id, topic, partition, claims)
    SELECT $1, $2, topic, partition, 1
      FROM unnest($3::text[], $4::int[]) AS wanted (topic, partition)
     ORDER BY topic, partition
    ON CONFLICT (pipeline_id, sink_id, topic, partition) DO UPDATE SET claims = held.claims + 1
    RETURNING topic, partition, claims, log::text, next_offset, position";

/// What was committed, without taking it over.
const STORED: &str = "
    SELECT topic, partition, claims, log::text, next_offset, position
      FROM cdc.partition_checkpoints
     WHERE pipeline_id = $1 AND sink_id = $2 AND log IS NOT NULL";

/// Divides by zero, and so fails its transaction, unless every row is still this session's.
const SAVE: &str = "
    WITH new AS (
        SELECT * FROM unnest($3::text[], $4::int[], $5::bigint[], $6::bigint[], $7::text[])
                   AS new (topic, partition, claims, next_offset, position)),
    saved AS (
        UPDATE cdc.partition_checkpoints AS held
           SET next_offset = new.next_offset, position = new.position, log = $8::text::uuid,
               committed_at = clock_timestamp()
          FROM new
         WHERE held.pipeline_id = $1 AND held.sink_id = $2
           AND held.topic = new.topic AND held.partition = new.partition
           AND held.claims = new.claims
        RETURNING 1)
    SELECT 1 / (count(*) = cardinality($3::text[]))::int FROM saved";

/// The partitions that a session has, each with the number of its claim.
#[derive(Debug, Default)]
pub(crate) struct Shares(BTreeMap<TopicPartition, i64>);

impl Shares {
    /// Makes this session the only writer of partitions, and returns their places.
    pub(crate) async fn claim(
        &mut self,
        state: &State,
        connection: &Connection,
        log: LogId,
        partitions: &[TopicPartition],
    ) -> Result<Places> {
        let doing = "claiming partitions in cdc.partition_checkpoints";
        let (topics, numbers) = names(partitions.iter());
        let parameters: [Parameter<'_>; 4] = [
            (&state.pipeline_id, Type::TEXT),
            (&state.sink_id, Type::TEXT),
            (&topics, Type::TEXT_ARRAY),
            (&numbers, Type::INT4_ARRAY),
        ];
        let rows: Vec<Claimed> = connection.all(doing, CLAIM, &parameters, Claimed::read).await?;
        let mut places = Places::new();
        for row in rows {
            self.0.insert(row.partition.clone(), row.claims);
            if let Some(place) = row.place(log, &state.sink_id)? {
                places.insert(row.partition, place);
            }
        }
        Ok(places)
    }

    /// Stores places in the open transaction and commits it, in one round trip.
    pub(crate) async fn save_and_commit(
        &self,
        state: &State,
        connection: &Connection,
        checkpoint: &Checkpoint,
    ) -> Result<()> {
        let places = &checkpoint.partitions;
        let (topics, numbers) = names(places.keys());
        // A partition that was never claimed matches no row.
        let claim = |at: &TopicPartition| self.0.get(at).copied().unwrap_or(0);
        let claims: Vec<i64> = places.keys().map(claim).collect();
        let offset = |place: &Place| i64::try_from(place.offset.0).unwrap_or(i64::MAX);
        let offsets: Vec<i64> = places.values().map(offset).collect();
        let positions: Vec<String> =
            places.values().map(|place| place.position.to_string()).collect();
        let log = checkpoint.log.map(|log| log.0.to_string());
        let parameters: [Parameter<'_>; 8] = [
            (&state.pipeline_id, Type::TEXT),
            (&state.sink_id, Type::TEXT),
            (&topics, Type::TEXT_ARRAY),
            (&numbers, Type::INT4_ARRAY),
            (&claims, Type::INT8_ARRAY),
            (&offsets, Type::INT8_ARRAY),
            (&positions, Type::TEXT_ARRAY),
            (&log, Type::TEXT),
        ];
        let client = connection.client();
        // Sent together: when saving fails, the server turns the COMMIT into a ROLLBACK.
        let both = async {
            let (saved, committed) = tokio::join!(
                biased;
                client.query_typed(SAVE, &parameters),
                client.batch_execute("COMMIT")
            );
            saved.map(|_| ()).and(committed)
        };
        match saved(connection, both).await? {
            Saved::Yes => Ok(()),
            Saved::Lost => Err(error::overtaken(&state.pipeline_id, &state.sink_id)),
        }
    }
}

/// The places that were committed last, whoever did.
pub(crate) async fn stored(
    connection: &Connection,
    pipeline_id: &str,
    sink_id: &str,
) -> Result<Places> {
    let doing = "reading cdc.partition_checkpoints";
    let parameters: [Parameter<'_>; 2] = [(&pipeline_id, Type::TEXT), (&sink_id, Type::TEXT)];
    let rows: Vec<Claimed> = connection.all(doing, STORED, &parameters, Claimed::read).await?;
    let mut places = Places::new();
    for row in rows {
        let place = row.committed(sink_id)?;
        places.insert(row.partition, place);
    }
    Ok(places)
}

fn names<'p>(partitions: impl Iterator<Item = &'p TopicPartition>) -> (Vec<String>, Vec<i32>) {
    let name = |at: &TopicPartition| (at.topic.to_string(), at.partition.cast_signed());
    partitions.map(name).unzip()
}

/// A row as it was claimed.
struct Claimed {
    partition: TopicPartition,
    claims: i64,
    log: Option<String>,
    next_offset: i64,
    position: String,
}

impl Claimed {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let number: i32 = row.try_get(1)?;
        Ok(Self {
            partition: TopicPartition::new(row.try_get::<_, String>(0)?, number.cast_unsigned()),
            claims: row.try_get(2)?,
            log: row.try_get(3)?,
            next_offset: row.try_get(4)?,
            position: row.try_get(5)?,
        })
    }

    /// Where reading goes on; `None` before the first commit.
    fn place(&self, log: LogId, sink_id: &str) -> Result<Option<Place>> {
        let Some(theirs) = &self.log else { return Ok(None) };
        let place = self.committed(sink_id)?;
        let same = *theirs == log.0.to_string();
        let offset = if same { place.offset } else { Offset(0) };
        Ok(Some(Place { offset, ..place }))
    }

    fn committed(&self, sink_id: &str) -> Result<Place> {
        let unreadable = |cause| error::place_unreadable(sink_id, &self.partition, cause);
        let position: Position = self.position.parse().map_err(unreadable)?;
        let offset = Offset(u64::try_from(self.next_offset).unwrap_or(0));
        Ok(Place { offset, position })
    }
}
