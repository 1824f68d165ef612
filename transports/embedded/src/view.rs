//! What is durable: the segments, the newest frames in memory, and how far readers have released.

use crate::{
    frame::{Header, Records},
    marker::Marker,
    scan::SparseIndex,
};
use bytes::Bytes;
use cdc_core::{LogId, Position};
use std::{collections::VecDeque, path::Path, sync::Arc, time::SystemTime};

/// The newest frames stay in memory up to this size, so that readers at the tail need no disk.
pub(crate) const TAIL_BYTES_MAX: usize = 8 << 20;

/// One segment file.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Offset of its first record.
    pub(crate) base: u64,
    pub(crate) path: Arc<Path>,
    /// Durable bytes, its header included.
    pub(crate) bytes: u64,
    /// When its newest record was written.
    pub(crate) written_at: SystemTime,
    pub(crate) index: SparseIndex,
}

/// The newest durable frames.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    frames: VecDeque<(Header, Bytes)>,
    bytes: usize,
}

impl Tail {
    /// Adds the next frame; without its body the tail starts anew after it.
    fn push(&mut self, header: Header, body: Option<Bytes>) {
        let Some(body) = body.filter(|body| body.len() <= TAIL_BYTES_MAX) else {
            *self = Self::default();
            return;
        };
        self.bytes += body.len();
        self.frames.push_back((header, body));
        while self.bytes > TAIL_BYTES_MAX {
            let Some((_, body)) = self.frames.pop_front() else { break };
            self.bytes -= body.len();
        }
    }

    /// Frames from the one that holds `offset`, up to about `bytes_max`; none when it is not held.
    fn read(&self, offset: u64, bytes_max: usize) -> Vec<Records> {
        let first = self.frames.partition_point(|(header, _)| header.end() <= offset);
        let mut bytes = 0;
        let mut out = Vec::new();
        if self.frames.get(first).is_none_or(|(header, _)| header.base > offset) {
            return out;
        }
        for (header, body) in self.frames.range(first..) {
            if bytes >= bytes_max {
                break;
            }
            bytes += body.len();
            out.push(Records::new(header, body.clone()));
        }
        out
    }
}

/// Where a reader finds an offset on disk.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) path: Arc<Path>,
    /// First offset of the segment.
    pub(crate) base: u64,
    /// First offset of the following segment.
    pub(crate) limit: Option<u64>,
    /// The nearest known frame at or before the offset: first offset and byte.
    pub(crate) known: (u64, u64),
}

/// What is durable.
#[derive(Debug)]
pub(crate) struct View {
    /// Never empty; the last one is being written.
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) tail: Tail,
    /// Every consumer is past the records below, as was said since the log was opened.
    pub(crate) released: Option<u64>,
    /// The same, as it was said before.
    pub(crate) passed: u64,
    pub(crate) newest: Option<Position>,
    pub(crate) end: u64,
}

impl View {
    /// Offset of the oldest record that is still there.
    pub(crate) fn start(&self) -> u64 {
        self.segments.front().map_or(self.end, |segment| segment.base)
    }

    pub(crate) fn place_of(&self, offset: u64) -> Option<Place> {
        let after = self.segments.partition_point(|segment| segment.base <= offset);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        Some(Place {
            path: Arc::clone(&segment.path),
            base: segment.base,
            limit: self.segments.get(after).map(|next| next.base),
            known: segment.index.find(offset)?,
        })
    }

    /// The marker that says how things are.
    pub(crate) fn marker(&self, log: LogId) -> Marker {
        Marker { log, durable_end: self.end, passed: self.slowest(), newest: self.newest }
    }

    pub(crate) fn read_tail(&self, offset: u64, bytes_max: usize) -> Vec<Records> {
        self.tail.read(offset, bytes_max)
    }

    pub(crate) fn total_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// The slowest consumer, as far as it is known. After a restart the old answer counts until there
    /// is a new one, so that a log full of read records does not wait for a reader without work.
    pub(crate) fn slowest(&self) -> u64 {
        self.released.unwrap_or(self.passed).max(self.start())
    }

    /// Bytes of records that some consumer has not passed; a little more where the index is coarse.
    pub(crate) fn unread_bytes(&self) -> u64 {
        let slowest = self.slowest();
        if slowest >= self.end {
            return 0;
        }
        let after = self.segments.partition_point(|segment| segment.base <= slowest);
        let holding = after.saturating_sub(1);
        let passed = self.segments.get(holding).and_then(|segment| {
            segment.index.find(slowest).map(|(_, byte)| byte.min(segment.bytes))
        });
        let bytes: u64 = self.segments.range(holding..).map(|segment| segment.bytes).sum();
        bytes.saturating_sub(passed.unwrap_or(0))
    }

    /// Adds a durable frame at the end of the last segment.
    pub(crate) fn push(&mut self, header: Header, body: Option<Bytes>, now: SystemTime) {
        if let Some(segment) = self.segments.back_mut() {
            segment.index.note(header.base, segment.bytes);
            segment.bytes += header.frame_bytes();
            segment.written_at = now;
        }
        self.end = header.end();
        self.newest = Some(header.last);
        self.tail.push(header, body);
    }
}
