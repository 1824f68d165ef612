//! Opening sessions, and the session of a file.

use crate::{check, config::Config, encode::Lines, error, names::Names, stream, writer::Writer};
use async_trait::async_trait;
use cdc_core::catalog::{CapturedTable, SinkConnector};
use cdc_core::clock::{Clock, SystemClock};
use cdc_core::sink::Delivery;
use cdc_core::{
    Checkpoint, Finding, LogId, Result, Sink, SinkBatch, TableSchema, TopicPartition, WriteError,
    catalog::SinkContext, checkpoint::Places,
};
use std::sync::Arc;
use std::time::Duration;

/// Lines are passed on to the file in pieces of about this size.
const PIECE_BYTES: usize = 256 << 10;

/// A session that was given up may hold the lock until its last write has returned.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(2);
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// Opens and checks file sinks.
#[derive(Clone)]
pub struct Connector {
    config: Config,
    clock: Arc<dyn Clock>,
}

impl Connector {
    /// Takes a configuration.
    ///
    /// # Errors
    /// When the configuration cannot work.
    pub fn new(config: Config) -> Result<Self> {
        config.validate()?;
        if !config.is_standard_output() {
            Names::of(&config.path)?;
        }
        Ok(Self { config, clock: Arc::new(SystemClock) })
    }

    /// Takes the time from another clock than the machine's.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

#[async_trait]
impl SinkConnector for Connector {
    fn kind(&self) -> &'static str {
        "file"
    }

    async fn check(&self, context: &SinkContext, _: &[CapturedTable]) -> Vec<Finding> {
        let (config, context) = (self.config.clone(), context.clone());
        let checked = tokio::task::spawn_blocking(move || check::findings(&config, &context));
        checked.await.unwrap_or_else(|_| vec![])
    }

    async fn open(&self, context: &SinkContext) -> Result<Box<dyn Sink>> {
        let lines = Lines::new(&context.topic_prefix, &context.database);
        let clock = Arc::clone(&self.clock);
        if self.config.is_standard_output() {
            return Ok(Box::new(stream::Session::new(std::io::stdout(), lines, clock)));
        }
        let writer = open_unlocked(&self.config, context).await?;
        let rotate = usize::try_from(self.config.rotate_bytes).unwrap_or(usize::MAX);
        let piece_bytes = if rotate == 0 { PIECE_BYTES } else { rotate.min(PIECE_BYTES) };
        let piece = Vec::with_capacity(piece_bytes);
        Ok(Box::new(Session { writer: Some(writer), lines, clock, piece, piece_bytes }))
    }
}

async fn open_unlocked(config: &Config, context: &SinkContext) -> Result<Writer> {
    let deadline = tokio::time::Instant::now() + LOCK_WAIT_MAX;
    loop {
        let (config, context) = (config.clone(), context.clone());
        let opened = blocking(move || Writer::open(&config, &context)).await?;
        match opened {
            Err(error) if error.code == error::LOCKED && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(LOCK_RETRY).await;
            }
            opened => return opened,
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| error::closed().with_source(error))
}

struct Session {
    /// Gone for good after the first error.
    writer: Option<Writer>,
    lines: Lines,
    clock: Arc<dyn Clock>,
    /// Lines that are not in the file yet.
    piece: Vec<u8>,
    piece_bytes: usize,
}

impl Session {
    async fn with_writer<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Writer) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut writer = self.writer.take().ok_or_else(error::closed)?;
        let (writer, result) = blocking(move || {
            let result = work(&mut writer);
            (writer, result)
        })
        .await?;
        if result.is_ok() {
            self.writer = Some(writer);
        }
        result
    }

    async fn flush(&mut self) -> Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let (piece, now) = (std::mem::take(&mut self.piece), self.clock.now());
        let mut piece =
            self.with_writer(move |writer| writer.append(&piece, now).map(|()| piece)).await?;
        piece.clear();
        piece.shrink_to(PIECE_BYTES);
        self.piece = piece;
        Ok(())
    }
}

#[async_trait]
impl Sink for Session {
    fn delivery(&self) -> Delivery {
        Delivery::ExactlyOnce
    }

    async fn claim_partitions(
        &mut self,
        log: LogId,
        partitions: &[TopicPartition],
    ) -> Result<Option<Places>> {
        let partitions = partitions.to_vec();
        self.with_writer(move |writer| writer.claim_partitions(log, &partitions)).await.map(Some)
    }

    async fn claim(&mut self, epoch: u64) -> Result<Option<Checkpoint>> {
        self.with_writer(move |writer| writer.claim(epoch)).await.map(Some)
    }

    async fn prepare(&mut self, _: Option<&TableSchema>, _: &Arc<TableSchema>) -> Result<()> {
        Ok(())
    }

    async fn write(&mut self, batch: &SinkBatch) -> Result<(), WriteError> {
        let now = self.clock.now();
        for (index, delivered) in batch.changes.iter().enumerate() {
            let before = self.piece.len();
            let partition = batch.partition.partition;
            let encoded = self.lines.append(delivered, partition, now, &mut self.piece);
            encoded.map_err(|error| WriteError {
                error,
                accepted: index,
                rejected: Some(index),
            })?;
            if before > 0 && self.piece.len() > self.piece_bytes {
                // What was there before fits into a piece; the new line starts the next one.
                let line = self.piece.split_off(before);
                self.flush().await?;
                self.piece.extend_from_slice(&line);
            }
            if self.piece.len() >= self.piece_bytes {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn commit(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.flush().await?;
        let checkpoint = checkpoint.clone();
        self.with_writer(move |writer| writer.commit(&checkpoint)).await
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
