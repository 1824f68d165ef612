//! Opening a log, and the transport that an open log is.

use crate::{
    append,
    config::{Config, Fsync},
    disk::{Disk, RealDisk},
    error, follow, lock,
    marker::{Marker, MarkerFile},
    open_log::{OpenLog, Refusal},
    read::Reader,
    recovery::{self, Recovered},
    segment,
    writer::Writer,
};
use async_trait::async_trait;
use cdc_core::{
    LogId, Offset, PartitionReader, Position, Record, Result, TopicPartition, Transport,
    clock::{Clock, SystemClock},
    transport::{AppendReceipt, Condition, FixedMembership, Membership, Ordering},
};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};
use tokio::sync::watch;

/// Opens logs.
#[derive(Debug)]
pub enum Log {}

impl Log {
    /// Opens the log in a directory for writing, or creates it. `name` is its topic; its one
    /// partition is 0.
    pub async fn open(
        dir: impl Into<PathBuf>,
        name: &str,
        config: Config,
    ) -> Result<EmbeddedTransport> {
        Self::open_with_clock(dir, name, config, Arc::new(SystemClock)).await
    }

    /// [`open`](Self::open) with a clock that tells the age of segments.
    pub async fn open_with_clock(
        dir: impl Into<PathBuf>,
        name: &str,
        config: Config,
        clock: Arc<dyn Clock>,
    ) -> Result<EmbeddedTransport> {
        config.validate()?;
        let disk = RealDisk { sync: config.fsync == Fsync::Always };
        let (dir, name) = (dir.into(), name.to_owned());
        blocking(dir.clone(), move || open(dir, &name, config, Box::new(disk), clock)).await
    }

    /// Opens a log that another process may be writing. Nothing is changed or locked; readers look
    /// every 50 ms for what has become durable, and appends are refused.
    pub async fn open_read_only(dir: impl Into<PathBuf>, name: &str) -> Result<EmbeddedTransport> {
        let (dir, name) = (dir.into(), name.to_owned());
        blocking(dir.clone(), move || {
            let config = Config::default();
            let Some((id, view)) = follow::look(&dir, config.index_spacing())? else {
                return Err(error::missing(
                    &dir.join(segment::file_name(0)),
                    "there is no log yet",
                ));
            };
            let log = Arc::new(OpenLog::new(id, &name, dir, config, view, true));
            Ok(EmbeddedTransport::new(log, None))
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    dir: PathBuf,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|join| error::file("open", &dir, io::Error::other(join)))?
}

pub(crate) fn open(
    dir: PathBuf,
    name: &str,
    config: Config,
    disk: Box<dyn Disk>,
    clock: Arc<dyn Clock>,
) -> Result<EmbeddedTransport> {
    recovery::create_dir(&dir)?;
    let lock = lock::acquire(&dir)?;
    let Recovered { log: id, view, file } = recovery::recover(&dir, config.index_spacing())?;
    let marker = settle_marker(&dir, view.marker(id))
        .map_err(|source| error::file("write", &dir, source))?;
    let log = Arc::new(OpenLog::new(id, name, dir, config, view, false));
    let writer = Writer::new(Arc::clone(&log), disk, clock, marker, file);
    let thread = std::thread::Builder::new().name("cdc-log-writer".into()).spawn(move || {
        // Released only when nothing is written any more.
        let _lock = lock;
        writer.run();
    });
    let thread = thread.map_err(|source| error::file("start the writer of", &log.dir, source))?;
    Ok(EmbeddedTransport::new(log, Some(thread)))
}

fn settle_marker(dir: &Path, marker: Marker) -> io::Result<MarkerFile> {
    let file = MarkerFile::open(dir)?;
    file.write(&marker)?;
    file.sync()?;
    segment::sync_dir(dir)?;
    Ok(file)
}

/// A log on the local disk: one partition, total order, one writing process.
#[derive(Debug)]
pub struct EmbeddedTransport {
    log: Arc<OpenLog>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Shares that were given out: there is nobody to share with.
    members: Mutex<BTreeMap<String, FixedMembership>>,
}

impl EmbeddedTransport {
    fn new(log: Arc<OpenLog>, thread: Option<JoinHandle<()>>) -> Self {
        Self { log, thread: Mutex::new(thread), members: Mutex::default() }
    }

    /// The log's one partition.
    #[must_use]
    pub fn partition(&self) -> &TopicPartition {
        &self.log.partition
    }

    /// Offset of the oldest record that is still there.
    #[must_use]
    pub fn start(&self) -> Offset {
        Offset(self.log.view().start())
    }

    /// Bytes on disk.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.log.view().total_bytes()
    }

    /// Writes what was accepted, unless the disk is full or retention pauses the log, and gives the
    /// directory free. Appends are refused from the start of the call on.
    pub async fn close(&self) {
        let thread = self.begin_close();
        let joined = tokio::task::spawn_blocking(move || thread.map(JoinHandle::join)).await;
        if !matches!(joined, Ok(None | Some(Ok(())))) {
            tracing::error!(log = %self.log.partition, "the writer thread panicked");
        }
    }

    fn begin_close(&self) -> Option<JoinHandle<()>> {
        self.log.refuse(Refusal::Closed);
        self.log.inbox().closing = true;
        self.log.wake.notify_all();
        self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for EmbeddedTransport {
    /// Waits for the writer thread, which is at most one write and one sync away from its end.
    fn drop(&mut self) {
        if let Some(thread) = self.begin_close()
            && thread.join().is_err()
        {
            tracing::error!(log = %self.log.partition, "the writer thread panicked");
        }
    }
}

#[async_trait]
impl Transport for EmbeddedTransport {
    fn log(&self) -> LogId {
        self.log.id
    }

    fn ordering(&self) -> Ordering {
        Ordering::Total
    }

    fn partition_of(&self, _topic: &str, _key: &[u8]) -> TopicPartition {
        self.log.partition.clone()
    }

    async fn append(&self, to: &TopicPartition, records: Vec<Record>) -> Result<AppendReceipt> {
        self.log.verify_partition(to)?;
        append::append(&self.log, records).await
    }

    async fn newest(&self, of: &TopicPartition) -> Result<Option<Position>> {
        self.log.verify_partition(of)?;
        follow::refresh(&self.log).await?;
        Ok(self.log.view().newest)
    }

    async fn join(&self, group: &str) -> Result<Membership> {
        let (membership, held) = Membership::fixed(vec![self.log.partition.clone()]);
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.insert(group.to_owned(), held);
        Ok(membership)
    }

    async fn partitions(&self) -> Result<Vec<TopicPartition>> {
        Ok(vec![self.log.partition.clone()])
    }

    async fn read(&self, of: &TopicPartition, from: Offset) -> Result<Box<dyn PartitionReader>> {
        self.log.verify_partition(of)?;
        follow::refresh(&self.log).await?;
        // An empty log that starts later holds no place for its end.
        if from.0 != self.log.view().end {
            self.log.place_of(from.0)?;
        }
        Ok(Box::new(Reader::new(Arc::clone(&self.log), from.0)))
    }

    async fn release(&self, of: &TopicPartition, before: Offset) -> Result<()> {
        self.log.verify_partition(of)?;
        if self.log.read_only {
            return Err(error::read_only(&self.log.dir));
        }
        {
            let mut view = self.log.view();
            if before.0 > view.end {
                return Err(error::beyond_end(of, before.0, view.end));
            }
            if view.released.is_some_and(|released| before.0 <= released) {
                return Ok(());
            }
            view.released = Some(before.0);
        }
        self.log.inbox().released = true;
        self.log.wake.notify_all();
        Ok(())
    }

    async fn end(&self, of: &TopicPartition) -> Result<Offset> {
        self.log.verify_partition(of)?;
        follow::refresh(&self.log).await?;
        Ok(Offset(self.log.progress.borrow().end))
    }

    fn condition(&self) -> watch::Receiver<Condition> {
        self.log.condition.subscribe()
    }
}
