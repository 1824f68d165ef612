//! Walking through the frames of one segment file.

use crate::{
    frame::{self, Header, Invalid, Seal},
    segment,
};
use cdc_core::Position;
use rustix::buffer::spare_capacity;
use std::{fmt, fs::File, io};

/// Bytes read at once while walking.
const WINDOW_BYTES: usize = 1 << 20;

/// Reads `length` bytes at a place, fewer at the end of the file.
pub(crate) fn read_at(file: &File, at: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(length);
    while out.len() < length {
        let place = at.saturating_add(out.len() as u64);
        match rustix::io::pread(file, spare_capacity(&mut out), place) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    out.truncate(length);
    Ok(out)
}

/// A part of a file in memory that moves forward with what is asked for.
struct Window<'a> {
    file: &'a File,
    at: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(file: &'a File) -> Self {
        Self { file, at: 0, bytes: Vec::new() }
    }

    /// Bytes from `at`, as many as there are up to `length`.
    fn get(&mut self, at: u64, length: usize) -> io::Result<&[u8]> {
        let start = at.checked_sub(self.at).and_then(|start| usize::try_from(start).ok());
        let held = start.is_some_and(|start| {
            start.checked_add(length).is_some_and(|end| end <= self.bytes.len())
        });
        if !held {
            self.bytes = read_at(self.file, at, length.max(WINDOW_BYTES))?;
            self.at = at;
        }
        let start = usize::try_from(at - self.at).unwrap_or(usize::MAX);
        let rest = self.bytes.get(start..).unwrap_or_default();
        Ok(rest.get(..length).unwrap_or(rest))
    }
}

/// Offsets with their bytes, every so many bytes of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SparseIndex {
    entries: Vec<(u64, u64)>,
    spacing: u64,
}

impl SparseIndex {
    /// An index that knows the first frame only.
    pub(crate) fn new(base: u64, spacing: u64) -> Self {
        Self { entries: vec![(base, segment::HEADER_BYTES as u64)], spacing }
    }

    /// Notes that the frame with this first offset starts at this byte.
    pub(crate) fn note(&mut self, offset: u64, byte: u64) {
        let last = self.entries.last().map_or(0, |(_, byte)| *byte);
        if byte >= last.saturating_add(self.spacing) {
            self.entries.push((offset, byte));
        }
    }

    /// The nearest known frame at or before an offset: its first offset and byte.
    pub(crate) fn find(&self, offset: u64) -> Option<(u64, u64)> {
        let after = self.entries.partition_point(|(base, _)| *base <= offset);
        self.entries.get(after.checked_sub(1)?).copied()
    }
}

/// What a walk through one segment found.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) index: SparseIndex,
    /// Offset after the last good frame.
    pub(crate) end: u64,
    /// Byte after the last good frame.
    pub(crate) end_byte: u64,
    /// Position of the last record of the last good frame.
    pub(crate) newest: Option<Position>,
    /// The highest durable end that a frame knew of.
    pub(crate) durable_end: u64,
    /// Why the walk ended before the end of the file.
    pub(crate) broken: Option<Broken>,
    /// First offset and byte of each frame that may not have been durable when the last was written.
    pub(crate) unproven: Vec<(u64, u64)>,
}

/// What stands where a frame was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Bytes that are no frame.
    Invalid(Invalid),
    /// A good frame with another offset than the next one.
    Gap(u64),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(invalid) => invalid.fmt(f),
            Self::Gap(base) => write!(f, "the frame here starts at offset {base}, not at the next"),
        }
    }
}

/// Walks through a segment from its first frame, verifying everything.
pub(crate) fn scan(file: &File, base: u64, seal: Seal, spacing: u64) -> io::Result<Scan> {
    let file_bytes = file.metadata()?.len();
    let mut window = Window::new(file);
    let mut scan = Scan {
        index: SparseIndex::new(base, spacing),
        end: base,
        end_byte: segment::HEADER_BYTES as u64,
        newest: None,
        durable_end: 0,
        broken: None,
        unproven: Vec::new(),
    };
    while scan.end_byte < file_bytes {
        let header = match verified_header(&mut window, scan.end_byte, seal)? {
            Ok(header) if header.base == scan.end => header,
            Ok(header) => {
                scan.durable_end = scan.durable_end.max(header.durable_end);
                scan.broken = Some(Broken::Gap(header.base));
                break;
            }
            Err(invalid) => {
                scan.broken = Some(Broken::Invalid(invalid));
                break;
            }
        };
        if header.durable_end > scan.durable_end {
            scan.durable_end = header.durable_end;
            scan.unproven.clear();
        }
        scan.unproven.push((header.base, scan.end_byte));
        scan.index.note(header.base, scan.end_byte);
        scan.end = header.end();
        scan.end_byte = scan.end_byte.saturating_add(header.frame_bytes());
        scan.newest = Some(header.last);
    }
    Ok(scan)
}

fn verified_header(
    window: &mut Window<'_>,
    at: u64,
    seal: Seal,
) -> io::Result<Result<Header, Invalid>> {
    let header = match Header::decode(window.get(at, frame::HEADER_BYTES)?, seal) {
        Ok(header) => header,
        Err(invalid) => return Ok(Err(invalid)),
    };
    let mut checksum = 0;
    let mut done = 0;
    while done < header.body_len() {
        let length = (header.body_len() - done).min(WINDOW_BYTES);
        let place = at.saturating_add((frame::HEADER_BYTES + done) as u64);
        let bytes = window.get(place, length)?;
        if bytes.len() < length {
            return Ok(Err(Invalid::Incomplete));
        }
        checksum = crc32c::crc32c_append(checksum, bytes);
        done += length;
    }
    Ok(if checksum == header.body_checksum { Ok(header) } else { Err(Invalid::BodyChecksum) })
}

/// Looks behind a broken frame for a header that proves records at or above `expected` durable, and
/// returns its byte. A crash leaves only frames of its last write there, and these prove nothing.
pub(crate) fn find_proof(
    file: &File,
    broken_at: u64,
    expected: u64,
    seal: Seal,
) -> io::Result<Option<u64>> {
    let reach = file.metadata()?.len();
    let mut at = broken_at;
    loop {
        let bytes = read_at(file, at, WINDOW_BYTES)?;
        for (start, candidate) in bytes.windows(frame::HEADER_BYTES).enumerate() {
            if Header::may_start(candidate, expected, reach)
                && Header::decode(candidate, seal).is_ok_and(|header| header.durable_end > expected)
            {
                return Ok(Some(at.saturating_add(start as u64)));
            }
        }
        if bytes.len() < WINDOW_BYTES {
            return Ok(None);
        }
        at += (WINDOW_BYTES - frame::HEADER_BYTES + 1) as u64;
    }
}

/// The frame that holds an offset, as its first offset and byte, or the byte where the walk broke.
pub(crate) type Located = Result<(u64, u64), (u64, Broken)>;

/// Walks over frame headers from a known frame to the one that holds `offset`.
pub(crate) fn locate(
    file: &File,
    from: (u64, u64),
    offset: u64,
    seal: Seal,
) -> io::Result<Located> {
    let mut window = Window::new(file);
    let (mut base, mut byte) = from;
    loop {
        match Header::decode(window.get(byte, frame::HEADER_BYTES)?, seal) {
            Ok(header) if header.base != base => return Ok(Err((byte, Broken::Gap(header.base)))),
            Ok(header) if header.end() <= offset => {
                base = header.end();
                byte = byte.saturating_add(header.frame_bytes());
            }
            Ok(_) => return Ok(Ok((base, byte))),
            Err(invalid) => return Ok(Err((byte, Broken::Invalid(invalid)))),
        }
    }
}
