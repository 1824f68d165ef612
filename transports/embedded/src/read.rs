//! Readers: from memory at the tail, from the segment files behind it.

use crate::{
    error, follow,
    frame::{self, Header, Invalid, Records},
    open_log::{OpenLog, Progress},
    scan::{self, Broken},
    view::Place,
};
use async_trait::async_trait;
use bytes::Bytes;
use cdc_core::{Error, Offset, PartitionReader, RecordBatch, Result, StoredRecord};
use std::{collections::VecDeque, fs::File, io, path::Path, sync::Arc};
use tokio::sync::watch;

/// One read from a file takes at least this much, and at most [`READ_BYTES_MAX`] unless a single
/// frame is larger.
const READ_BYTES_MIN: usize = 64 << 10;
const READ_BYTES_MAX: usize = 1 << 20;

/// A place in a segment file.
#[derive(Clone, Debug)]
struct Cursor {
    file: Arc<File>,
    path: Arc<Path>,
    /// First offset of the segment.
    segment: u64,
    /// First offset and byte of the next frame.
    frame: (u64, u64),
}

/// Reads the log in order.
pub(crate) struct Reader {
    log: Arc<OpenLog>,
    progress: watch::Receiver<Progress>,
    /// The next record to return.
    next: u64,
    /// The next record to fetch: everything between waits in `frames`.
    fetched: u64,
    frames: VecDeque<Records>,
    /// The first record that did not fit into the last batch.
    held: Option<StoredRecord>,
    cursor: Option<Cursor>,
}

impl Reader {
    pub(crate) fn new(log: Arc<OpenLog>, from: u64) -> Self {
        let progress = log.progress.subscribe();
        Self {
            log,
            progress,
            next: from,
            fetched: from,
            frames: VecDeque::new(),
            held: None,
            cursor: None,
        }
    }

    /// Up to about `bytes_max` bytes of what was fetched.
    fn take(&mut self, bytes_max: usize) -> Result<Vec<StoredRecord>> {
        let capacity = self.frames.front().map_or(0, Records::left).min(bytes_max / 16 + 1);
        let mut records = Vec::with_capacity(capacity);
        let mut bytes = 0_usize;
        while let Some(stored) = self.next_fetched()? {
            let size = stored.record.key.len() + stored.record.payload.len();
            if !records.is_empty() && bytes.saturating_add(size) > bytes_max {
                self.held = Some(stored);
                break;
            }
            bytes = bytes.saturating_add(size);
            self.next = stored.offset.0.saturating_add(1);
            records.push(stored);
        }
        Ok(records)
    }

    fn next_fetched(&mut self) -> Result<Option<StoredRecord>> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        while let Some(frame) = self.frames.front_mut() {
            match frame.next() {
                // A reader may start in the middle of a frame.
                Some(Ok(stored)) if stored.offset.0 < self.next => {}
                Some(Ok(stored)) => return Ok(Some(stored)),
                Some(Err(invalid)) => {
                    let (path, byte) = self.cursor.as_ref().map_or_else(
                        || (self.log.dir.as_path(), 0),
                        |cursor| (cursor.path.as_ref(), cursor.frame.1),
                    );
                    return Err(error::corrupt(path, byte, invalid));
                }
                None => {
                    self.frames.pop_front();
                }
            }
        }
        Ok(None)
    }

    /// Waits until there is more than what was fetched and says where the log ends.
    async fn wait(&mut self) -> Result<u64> {
        loop {
            let Progress { end, closed } = *self.progress.borrow_and_update();
            if end > self.fetched {
                return Ok(end);
            }
            if closed {
                return Err(error::closed(&self.log.dir));
            }
            if self.log.read_only {
                follow::poll(&self.log).await?;
            } else if self.progress.changed().await.is_err() {
                return Err(error::closed(&self.log.dir));
            }
        }
    }

    /// Fetches frames from memory, else from disk. Changes nothing before it has them.
    async fn fetch(&mut self, end: u64, bytes_max: usize) -> Result<()> {
        let held = self.log.view().read_tail(self.fetched, bytes_max);
        if let Some(last) = held.last() {
            self.fetched = last.end();
            self.frames.extend(held);
            self.cursor = None;
            return Ok(());
        }
        let (log, cursor, from) = (Arc::clone(&self.log), self.cursor.clone(), self.fetched);
        let fetch = move || fetch_from_disk(&log, cursor, from, end, bytes_max);
        let read = tokio::task::spawn_blocking(fetch).await;
        let (frames, cursor) =
            read.map_err(|join| error::file("read", &self.log.dir, io::Error::other(join)))??;
        self.fetched = cursor.frame.0;
        self.frames.extend(frames);
        self.cursor = Some(cursor);
        Ok(())
    }
}

#[async_trait]
impl PartitionReader for Reader {
    async fn next(&mut self, bytes_max: usize) -> Result<RecordBatch> {
        loop {
            let records = self.take(bytes_max)?;
            if !records.is_empty() {
                let end = Offset(self.progress.borrow().end);
                return Ok(RecordBatch { records, next: Offset(self.next), end });
            }
            let end = self.wait().await?;
            self.fetch(end, bytes_max).await?;
        }
    }
}

/// Reads and verifies whole frames from the one that holds `from`.
fn fetch_from_disk(
    log: &OpenLog,
    cursor: Option<Cursor>,
    from: u64,
    end: u64,
    bytes_max: usize,
) -> Result<(Vec<Records>, Cursor)> {
    let place = log.place_of(from)?;
    let mut cursor = match cursor {
        Some(cursor) if cursor.segment == place.base => cursor,
        _ => open(log, place.clone(), from)?,
    };
    let limit = place.limit.unwrap_or(end).min(end);
    let bytes = bytes_max.clamp(READ_BYTES_MIN, READ_BYTES_MAX);
    let mut buffer = read(&cursor, bytes)?;
    let mut frames = Vec::new();
    while cursor.frame.0 < limit {
        let (base, byte) = cursor.frame;
        let damaged = |what: Broken| error::corrupt(&cursor.path, byte, what);
        let header = match Header::decode(&buffer, log.seal) {
            Err(Invalid::Incomplete) if !frames.is_empty() => break,
            Err(invalid) => return Err(damaged(Broken::Invalid(invalid))),
            Ok(header) if header.base != base => return Err(damaged(Broken::Gap(header.base))),
            Ok(header) => header,
        };
        let frame_bytes = frame::HEADER_BYTES + header.body_len();
        if buffer.len() < frame_bytes {
            if !frames.is_empty() {
                break;
            }
            buffer = read(&cursor, frame_bytes)?;
        }
        let mut frame = buffer.split_to(frame_bytes.min(buffer.len()));
        let body = frame.split_off(frame::HEADER_BYTES);
        if body.len() < header.body_len() {
            return Err(damaged(Broken::Invalid(Invalid::Incomplete)));
        }
        if crc32c::crc32c(&body) != header.body_checksum {
            return Err(damaged(Broken::Invalid(Invalid::BodyChecksum)));
        }
        if header.end() > limit {
            return Err(damaged(Broken::Invalid(Invalid::Content("it reaches too far"))));
        }
        frames.push(Records::new(&header, body));
        cursor.frame = (header.end(), byte.saturating_add(header.frame_bytes()));
    }
    Ok((frames, cursor))
}

fn read(cursor: &Cursor, bytes: usize) -> Result<Bytes> {
    let read = scan::read_at(&cursor.file, cursor.frame.1, bytes);
    Ok(Bytes::from(read.map_err(|source| error::file("read", &cursor.path, source))?))
}

/// Opens the segment of a place and finds the frame that holds an offset.
fn open(log: &OpenLog, place: Place, offset: u64) -> Result<Cursor> {
    let Place { path, base, known, .. } = place;
    let failed = |source: io::Error| -> Error { error::file("read", &path, source) };
    let file = match File::open(&path) {
        // Retention was faster.
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            follow::refresh_if_read_only(log)?;
            log.place_of(offset)?;
            return Err(error::missing(&path, "the log still lists it"));
        }
        opened => opened.map_err(failed)?,
    };
    let frame = if known.0 == offset {
        known
    } else {
        let located = scan::locate(&file, known, offset, log.seal).map_err(failed)?;
        located.map_err(|(byte, broken)| error::corrupt(&path, byte, broken))?
    };
    let path = Arc::clone(&path);
    Ok(Cursor { file: Arc::new(file), path, segment: base, frame })
}
