//! How far a consumer has got.

use crate::{LogId, Offset, Position, TopicPartition};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How far one consumer has got in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Where reading resumes. Valid only in the log that the checkpoint names.
    pub offset: Offset,
    /// The newest position delivered; what is not above it is a duplicate.
    pub position: Position,
}

/// How far a consumer has got, partition by partition.
pub type Places = BTreeMap<TopicPartition, Place>;

/// How far one consumer has got in each partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Grows each time a pipeline starts. A sink refuses a checkpoint older than the one it holds.
    pub epoch: u64,
    /// The log that the offsets belong to; `None` before the first commit.
    pub log: Option<LogId>,
    /// One place a partition.
    pub partitions: Places,
}

impl Checkpoint {
    /// This checkpoint, with no place of it behind the one that is stored: a place that it leaves out is
    /// done with. Offsets compare only within one log; positions always do.
    #[must_use]
    pub fn not_behind(mut self, stored: &Self) -> Self {
        for (partition, now) in &mut self.partitions {
            let Some(before) = stored.partitions.get(partition) else { continue };
            now.position = now.position.max(before.position);
            if self.log == stored.log {
                now.offset = now.offset.max(before.offset);
            }
        }
        self
    }
}

/// The form in which a checkpoint is stored: JSON, readable to a person who looks into a sink.
#[derive(Serialize, Deserialize)]
struct Stored {
    epoch: u64,
    log: Option<LogId>,
    partitions: Vec<StoredPlace>,
}

#[derive(Serialize, Deserialize)]
struct StoredPlace {
    topic: String,
    partition: u32,
    offset: Offset,
    position: String,
}

impl Serialize for Checkpoint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let partitions = self.partitions.iter().map(|(at, place)| StoredPlace {
            topic: at.topic.to_string(),
            partition: at.partition,
            offset: place.offset,
            position: place.position.to_string(),
        });
        Stored { epoch: self.epoch, log: self.log, partitions: partitions.collect() }
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Checkpoint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        let mut partitions = BTreeMap::new();
        for place in stored.partitions {
            let position = place.position.parse().map_err(serde::de::Error::custom)?;
            partitions.insert(
                TopicPartition::new(place.topic, place.partition),
                Place { offset: place.offset, position },
            );
        }
        Ok(Self { epoch: stored.epoch, log: stored.log, partitions })
    }
}
