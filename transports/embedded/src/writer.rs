//! The one thread that writes: group commit, segments, retention, pauses.
//!
//! ```text
//! inbox ─▶ pending ─▶ [space and retention allow] ─▶ one write ─▶ one fdatasync ─▶ marker
//!                                                       view and readers ◀─ receipts ◀─┘
//! ```
//! While a sync runs the inbox fills, and the next write takes all of it: the longer a sync takes,
//! the more records share the next one.

use crate::{
    append::Queued,
    config::ByteSize,
    disk::{self, Disk},
    frame::Frame,
    marker::MarkerFile,
    open_log::{OpenLog, Progress, Refusal},
    retention::{self, Fullness},
    scan::SparseIndex,
    segment::{self, Previous, SegmentHeader},
    view::Segment,
};
use cdc_core::{Offset, clock::Clock, transport::Condition};
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, IoSlice},
    sync::Arc,
    time::Duration,
};

/// One write carries at most about this many bytes.
const WRITE_BYTES_MAX: u64 = 8 << 20;
/// One write carries at most this many pieces, which is the limit of Linux.
const WRITE_PIECES_MAX: usize = 1024;
/// How often a full disk is tried again.
const FULL_DISK_RETRY: Duration = Duration::from_secs(1);
/// How often an idle log looks for segments that have become too old.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60);

/// The state of the writer thread.
pub(crate) struct Writer {
    log: Arc<OpenLog>,
    disk: Box<dyn Disk>,
    clock: Arc<dyn Clock>,
    marker: MarkerFile,
    /// The last segment.
    file: File,
    pending: VecDeque<Queued>,
    /// Was it said that the log is getting full?
    fullness_told: bool,
    /// Was it said that an old segment cannot be removed?
    removal_told: bool,
}

/// Why a commit did not happen.
enum Failure {
    /// Nothing was lost; try again later.
    Full(io::Error),
    /// What is on disk is unknown until the log is opened anew.
    Fatal(String),
}

impl Failure {
    fn of(doing: &str, error: io::Error) -> Self {
        if disk::is_full(&error) {
            Self::Full(error)
        } else {
            Self::Fatal(format!("{doing} failed: {error}"))
        }
    }
}

/// Refuses appends and wakes readers also when the thread panics.
struct CloseOnDrop(Arc<OpenLog>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.refuse(Refusal::Closed);
        let left: Vec<_> = self.0.inbox().queued.drain(..).collect();
        let refusal = self.0.inbox().refusal.clone().unwrap_or(Refusal::Closed);
        for queued in left {
            queued.resolve(&self.0, Err(self.0.refused(&refusal)));
        }
        self.0.progress.send_modify(|progress| progress.closed = true);
    }
}

impl Writer {
    pub(crate) fn new(
        log: Arc<OpenLog>,
        disk: Box<dyn Disk>,
        clock: Arc<dyn Clock>,
        marker: MarkerFile,
        file: File,
    ) -> Self {
        let pending = VecDeque::new();
        Self { log, disk, clock, marker, file, pending, fullness_told: false, removal_told: false }
    }

    /// Writes what arrives until the log is closed or fails.
    pub(crate) fn run(mut self) {
        let _close = CloseOnDrop(Arc::clone(&self.log));
        let refusal = loop {
            self.remove_old_segments();
            let closing = self.collect();
            if self.pending.is_empty() {
                if closing {
                    break Refusal::Closed;
                }
                continue;
            }
            let wait = if self.is_too_full() {
                RETENTION_INTERVAL
            } else {
                match self.commit() {
                    Ok(()) => continue,
                    Err(Failure::Full(error)) => {
                        self.pause(format!(
                            "disk full: cannot write to {} ({error}); free space and it goes on",
                            self.log.dir.display()
                        ));
                        FULL_DISK_RETRY
                    }
                    Err(Failure::Fatal(what)) => break Refusal::Failed(what),
                }
            };
            if closing {
                break Refusal::Closed;
            }
            self.wait_for_release(wait);
        };
        if let Refusal::Failed(what) = &refusal {
            tracing::error!(log = %self.log.partition, error = what, "the log failed");
        }
        self.log.refuse(refusal.clone());
        for queued in self.pending.drain(..) {
            queued.resolve(&self.log, Err(self.log.refused(&refusal)));
        }
        self.write_marker();
        if let Err(error) = self.marker.sync() {
            tracing::debug!(error = %error, "cannot sync the durable marker");
        }
    }

    /// Takes everything queued, waiting for something unless there is work left. Says whether the
    /// log is being closed.
    fn collect(&mut self) -> bool {
        let mut released = false;
        let mut inbox = self.log.inbox();
        if self.pending.is_empty() {
            inbox = self.log.wait(inbox, RETENTION_INTERVAL, |inbox| {
                inbox.queued.is_empty() && !inbox.closing && !inbox.released
            });
            released = std::mem::take(&mut inbox.released);
        }
        self.pending.append(&mut inbox.queued);
        let closing = inbox.closing;
        drop(inbox);
        if released && self.pending.is_empty() {
            self.write_marker();
        }
        closing
    }

    fn wait_for_release(&self, limit: Duration) {
        let inbox = self.log.inbox();
        let mut inbox = self.log.wait(inbox, limit, |inbox| !inbox.closing && !inbox.released);
        inbox.released = false;
    }

    /// Says on disk how far the log is durable and read. A failure leaves an older state, which is
    /// as true.
    fn write_marker(&self) {
        let marker = self.log.view().marker(self.log.id);
        if let Err(error) = self.marker.write(&marker) {
            tracing::debug!(error = %error, "cannot write the durable marker");
        }
    }

    fn pause(&self, reason: String) {
        self.log.set_condition(Condition::Paused { reason });
    }

    /// Do unread records fill the log?
    fn is_too_full(&mut self) -> bool {
        let limit = self.log.config.retention_bytes;
        let (unread, slowest) = {
            let view = self.log.view();
            (view.unread_bytes(), view.slowest())
        };
        let fullness = retention::fullness(unread, limit.0);
        if fullness == Fullness::Fine {
            self.fullness_told = false;
        } else if !self.fullness_told {
            self.fullness_told = true;
            tracing::warn!(
                log = %self.log.partition, unread_bytes = unread, retention_bytes = limit.0,
                slowest_reader_offset = slowest,
                "unread records fill the log, capture pauses when they reach retention_bytes"
            );
        }
        if fullness != Fullness::Full {
            return false;
        }
        self.pause(format!(
            "retention: {} of unread records have reached retention_bytes ({limit}), slowest \
             reader at offset {slowest}; get that sink going or raise retention_bytes",
            ByteSize(unread)
        ));
        true
    }

    /// Makes as many pending frames durable as one write takes.
    fn commit(&mut self) -> Result<(), Failure> {
        let run = self.place_run()?;
        if run > 0 {
            let bytes = self.write_run(run)?;
            if let Err(error) = self.disk.sync(&self.file) {
                let what = format!("sync failed: {error}");
                self.cut_back(bytes)?;
                return Err(Failure::Fatal(what));
            }
        }
        self.publish(run);
        Ok(())
    }

    /// Gives the next frames their places, in a new segment if the last one is full. Says how many
    /// pending entries now belong to one write.
    fn place_run(&mut self) -> Result<usize, Failure> {
        let next = self.pending.iter().find_map(|queued| queued.frame.as_ref());
        let Some(next) = next else { return Ok(0) };
        let next_bytes = next.header().frame_bytes();
        let (end, mut bytes) = {
            let view = self.log.view();
            (view.end, view.segments.back().map_or(0, |segment| segment.bytes))
        };
        let header_bytes = segment::HEADER_BYTES as u64;
        let limit = self.log.config.segment_bytes.0;
        if bytes > header_bytes && bytes + next_bytes > limit {
            self.roll(end, bytes)?;
            bytes = header_bytes;
        }
        let mut written = 0;
        let mut base = end;
        let mut count = 0;
        for queued in &mut self.pending {
            if let Some(frame) = &mut queued.frame {
                let frame_bytes = frame.header().frame_bytes();
                let fits = bytes + frame_bytes <= limit && written + frame_bytes <= WRITE_BYTES_MAX;
                if written > 0 && !fits {
                    break;
                }
                frame.place(base, end, self.log.seal);
                base = frame.header().end();
                bytes += frame_bytes;
                written += frame_bytes;
            }
            count += 1;
        }
        Ok(count)
    }

    /// Goes on in a new segment.
    fn roll(&mut self, end: u64, bytes: u64) -> Result<(), Failure> {
        let log = &self.log;
        let before = log.view().segments.back().map(|segment| segment.base);
        let previous = before.map(|base| Previous { base, bytes });
        let header = SegmentHeader { log: log.id, base: end, previous };
        self.file = segment::create(&log.dir, &header)
            .map_err(|error| Failure::of("creating a segment", error))?;
        let segment = Segment {
            base: end,
            path: log.dir.join(segment::file_name(end)).into(),
            bytes: segment::HEADER_BYTES as u64,
            written_at: self.clock.now(),
            index: SparseIndex::new(end, log.config.index_spacing()),
        };
        log.view().segments.push_back(segment);
        Ok(())
    }

    /// Writes the first pending entries behind the last durable byte, which is returned. After a
    /// failure the file ends there again.
    fn write_run(&mut self, run: usize) -> Result<u64, Failure> {
        let start = self.log.view().segments.back().map_or(0, |segment| segment.bytes);
        let frames = self.pending.iter().take(run).filter_map(|queued| queued.frame.as_ref());
        let pieces: Vec<&[u8]> = frames.flat_map(Frame::pieces).collect();
        match write_all(self.disk.as_mut(), &self.file, start, &pieces) {
            Ok(()) => Ok(start),
            Err(error) => {
                self.cut_back(start)?;
                Err(Failure::of("write", error))
            }
        }
    }

    fn cut_back(&mut self, bytes: u64) -> Result<(), Failure> {
        self.disk
            .cut(&self.file, bytes)
            .map_err(|error| Failure::Fatal(format!("cutting back a failed write failed: {error}")))
    }

    /// Tells readers and appenders what is durable now.
    fn publish(&mut self, run: usize) {
        let now = self.clock.now();
        let without_frames = self.pending.iter().take_while(|queued| queued.frame.is_none());
        let done = run.max(without_frames.count());
        let mut resolved = Vec::with_capacity(done);
        let end = {
            let mut view = self.log.view();
            for mut queued in self.pending.drain(..done) {
                if let Some(frame) = queued.frame.take() {
                    let header = *frame.header();
                    view.push(header, frame.into_body(), now);
                }
                resolved.push((queued, Offset(view.end)));
            }
            view.end
        };
        if run > 0 {
            self.write_marker();
            self.log.progress.send_replace(Progress { end, closed: false });
            self.log.set_condition(Condition::Writable);
        }
        for (queued, end) in resolved {
            queued.resolve(&self.log, Ok(end));
        }
    }

    /// Removes segments that nobody needs, oldest first.
    fn remove_old_segments(&mut self) {
        let now = self.clock.now();
        let count = retention::removable(&self.log.view(), &self.log.config, now);
        for _ in 0..count {
            let Some(segment) = self.log.view().segments.pop_front() else { return };
            // Each removal is durable before the next, so that a crash leaves no hole.
            let removed = segment::remove_if_there(&segment.path)
                .and_then(|()| segment::sync_dir(&self.log.dir));
            let path = segment.path.display();
            match removed {
                Ok(()) => tracing::debug!(segment = %path, "removed an old segment"),
                Err(error) => {
                    if !self.removal_told {
                        tracing::warn!(segment = %path, %error, "cannot remove an old segment");
                    }
                    self.removal_told = true;
                    self.log.view().segments.push_front(segment);
                    return;
                }
            }
        }
    }
}

/// Writes all pieces, however many calls that takes.
fn write_all(disk: &mut dyn Disk, file: &File, mut at: u64, pieces: &[&[u8]]) -> io::Result<()> {
    for group in pieces.chunks(WRITE_PIECES_MAX) {
        let mut slices: Vec<_> = group.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut left = slices.as_mut_slice();
        while !left.is_empty() {
            match disk.write(file, at, left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    at += written as u64;
                    IoSlice::advance_slices(&mut left, written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
