//! The epoch, capture's progress, and the checkpoints of consumers that keep none themselves.

use crate::{
    error::{self, Failure},
    store::{META, Store, write},
};
use async_trait::async_trait;
use bytes::Bytes;
use cdc_core::{
    Checkpoint, Position, Result,
    store::{CaptureProgress, CheckpointStore},
};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

const EPOCH_KEY: &str = "epoch";
/// The position's sortable bytes, and the source's resume bytes.
const CAPTURE: TableDefinition<'_, &str, (&[u8; 24], &[u8])> = TableDefinition::new("capture");
const CAPTURE_KEY: &str = "progress";
/// Checkpoints in their JSON form, by consumer.
const CHECKPOINTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("checkpoints");

pub(crate) fn create_tables(transaction: &WriteTransaction) -> Result<(), Failure> {
    transaction.open_table(CAPTURE)?;
    transaction.open_table(CHECKPOINTS)?;
    Ok(())
}

#[async_trait]
impl CheckpointStore for Store {
    async fn begin_epoch(&self, at_least: u64) -> Result<u64> {
        self.run(move |database| write(database, |transaction| begin(transaction, at_least))).await
    }

    async fn load_capture(&self) -> Result<Option<CaptureProgress>> {
        self.run(load_capture).await
    }

    async fn save_capture(&self, epoch: u64, progress: &CaptureProgress) -> Result<()> {
        let progress = progress.clone();
        self.run(move |database| {
            write(database, |transaction| {
                refuse_unless_newest(transaction, epoch)?;
                let position = progress.position.to_sortable_bytes();
                let mut capture = transaction.open_table(CAPTURE)?;
                capture.insert(CAPTURE_KEY, (&position, progress.resume.as_ref()))?;
                Ok(())
            })
        })
        .await
    }

    async fn load(&self, consumer: &str) -> Result<Checkpoint> {
        let consumer = consumer.to_owned();
        self.run(move |database| {
            let checkpoints = database.begin_read()?.open_table(CHECKPOINTS)?;
            Ok(stored(&checkpoints, &consumer)?.unwrap_or_default())
        })
        .await
    }

    async fn save(&self, consumer: &str, checkpoint: &Checkpoint) -> Result<()> {
        let (consumer, checkpoint) = (consumer.to_owned(), checkpoint.clone());
        self.run(move |database| {
            write(database, |transaction| {
                refuse_unless_newest(transaction, checkpoint.epoch)?;
                let mut checkpoints = transaction.open_table(CHECKPOINTS)?;
                let merged = match stored(&checkpoints, &consumer)? {
                    Some(old) => checkpoint.not_behind(&old),
                    None => checkpoint,
                };
                let json =
                    serde_json::to_vec(&merged).map_err(|source| unreadable(&consumer, source))?;
                checkpoints.insert(consumer.as_str(), json.as_slice())?;
                Ok(())
            })
        })
        .await
    }
}

fn begin(transaction: &WriteTransaction, at_least: u64) -> Result<u64, Failure> {
    let mut meta = transaction.open_table(META)?;
    let newest = meta.get(EPOCH_KEY)?.map_or(0, |epoch| epoch.value());
    let next =
        newest.checked_add(1).ok_or_else(|| Failure::told(error::used_up("epochs")))?.max(at_least);
    meta.insert(EPOCH_KEY, next)?;
    Ok(next)
}

fn refuse_unless_newest(transaction: &WriteTransaction, epoch: u64) -> Result<(), Failure> {
    let meta = transaction.open_table(META)?;
    let newest = meta.get(EPOCH_KEY)?.map_or(0, |epoch| epoch.value());
    if epoch == newest { Ok(()) } else { Err(Failure::told(error::fenced(epoch, newest))) }
}

fn load_capture(database: &Database) -> Result<Option<CaptureProgress>, Failure> {
    let capture = database.begin_read()?.open_table(CAPTURE)?;
    Ok(capture.get(CAPTURE_KEY)?.map(|stored| {
        let (position, resume) = stored.value();
        CaptureProgress {
            position: Position::from_sortable_bytes(*position),
            resume: Bytes::copy_from_slice(resume),
        }
    }))
}

fn stored(
    checkpoints: &impl ReadableTable<&'static str, &'static [u8]>,
    consumer: &str,
) -> Result<Option<Checkpoint>, Failure> {
    match checkpoints.get(consumer)? {
        Some(json) => serde_json::from_slice(json.value())
            .map(Some)
            .map_err(|source| unreadable(consumer, source)),
        None => Ok(None),
    }
}

fn unreadable(consumer: &str, source: serde_json::Error) -> Failure {
    Failure::Unreadable(format!("the checkpoint of {consumer}"), Some(source))
}
