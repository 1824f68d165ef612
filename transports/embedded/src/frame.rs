//! A batch of records as it stands on disk. Pure functions; the README shows the bytes.

use crate::varint;
use bytes::{Buf, BufMut, Bytes};
use cdc_core::{LogId, Offset, Position, Record, StoredRecord};
use std::fmt;

/// Bytes before the records of a frame.
pub const HEADER_BYTES: usize = 56;
/// The header's checksum covers everything before it.
const HEADER_CHECKED_BYTES: usize = HEADER_BYTES - 4;
/// Records of a frame take at most this; one write call can carry it.
pub const BODY_BYTES_MAX: usize = 0x7fff_0000;
/// A record's lengths and position delta take at most this.
const RECORD_OVERHEAD_BYTES_MAX: usize = 64;
/// The least that a record takes: two bytes of position delta, two lengths.
const RECORD_BYTES_MIN: usize = 4;

/// Ties checksums to one log, so that bytes of another log or inside a payload never pass for a
/// frame of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal(u32);

impl Seal {
    /// The seal of a log.
    #[must_use]
    pub fn of(log: LogId) -> Self {
        Self(crc32c::crc32c(log.0.as_bytes()))
    }

    /// A checksum that is right in this log only.
    pub(crate) fn checksum(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.0, bytes)
    }
}

/// What stands before the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of records after the header.
    pub body_bytes: u32,
    /// Offset of the first record.
    pub base: u64,
    /// Everything below was durable when this frame was written.
    pub durable_end: u64,
    /// How many records.
    pub count: u32,
    /// Checksum of the records.
    pub body_checksum: u32,
    /// Position of the last record.
    pub last: Position,
}

impl Header {
    /// The header's bytes.
    #[must_use]
    pub fn encode(&self, seal: Seal) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        let mut rest = out.as_mut_slice();
        rest.put_u32_le(self.body_bytes);
        rest.put_u32_le(self.body_checksum);
        rest.put_u64_le(self.base);
        rest.put_u64_le(self.durable_end);
        rest.put_u32_le(self.count);
        rest.put_u128_le(self.last.commit);
        rest.put_u64_le(self.last.ordinal);
        let (checked, checksum) = out.split_at_mut(HEADER_CHECKED_BYTES);
        checksum.copy_from_slice(&seal.checksum(checked).to_le_bytes());
        out
    }

    /// Reads a header from the start of `bytes`.
    pub fn decode(bytes: &[u8], seal: Seal) -> Result<Self, Invalid> {
        let bytes = bytes.first_chunk::<HEADER_BYTES>().ok_or(Invalid::Incomplete)?;
        let (checked, mut checksum) = bytes.split_at(HEADER_CHECKED_BYTES);
        if seal.checksum(checked) != checksum.get_u32_le() {
            return Err(Invalid::HeaderChecksum);
        }
        let mut rest = checked;
        let header = Self {
            body_bytes: rest.get_u32_le(),
            body_checksum: rest.get_u32_le(),
            base: rest.get_u64_le(),
            durable_end: rest.get_u64_le(),
            count: rest.get_u32_le(),
            last: Position { commit: rest.get_u128_le(), ordinal: rest.get_u64_le() },
        };
        let plausible = header.count > 0
            && header.body_len() <= BODY_BYTES_MAX
            && header.durable_end <= header.base
            && header.base.checked_add(u64::from(header.count)).is_some();
        if plausible { Ok(header) } else { Err(Invalid::Content("header fields contradict")) }
    }

    /// Could a header with an offset near `expected` start here? A cheap test before checksums.
    pub(crate) fn may_start(bytes: &[u8], expected: u64, reach: u64) -> bool {
        let Some((_, mut rest)) = bytes.split_at_checked(8) else { return false };
        let (Ok(base), Ok(durable_end)) = (rest.try_get_u64_le(), rest.try_get_u64_le()) else {
            return false;
        };
        durable_end <= base && base.checked_sub(expected).is_some_and(|ahead| ahead <= reach)
    }

    /// Offset after the last record.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.base.saturating_add(self.count as u64)
    }

    /// Bytes of records, as a length.
    #[must_use]
    pub const fn body_len(&self) -> usize {
        self.body_bytes as usize
    }

    /// Bytes of the whole frame.
    #[must_use]
    pub const fn frame_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + self.body_bytes as u64
    }
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// They end too soon.
    Incomplete,
    /// The header's checksum is wrong.
    HeaderChecksum,
    /// The records' checksum is wrong.
    BodyChecksum,
    /// The checksums are right and the content is not.
    Content(&'static str),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Incomplete => "the frame is cut short",
            Self::HeaderChecksum => "the frame header's checksum is wrong",
            Self::BodyChecksum => "the records' checksum is wrong",
            Self::Content(what) => what,
        })
    }
}

impl std::error::Error for Invalid {}

/// A frame that knows everything but its place in the log.
#[derive(Debug)]
pub struct Frame {
    /// Room for the header, then records.
    head: Vec<u8>,
    /// The last record's payload where it is too large to be copied.
    tail: Option<Bytes>,
    header: Header,
}

impl Frame {
    /// Writes the header for a place in the log.
    pub fn place(&mut self, base: u64, durable_end: u64, seal: Seal) {
        self.header.base = base;
        self.header.durable_end = durable_end;
        if let Some(room) = self.head.first_chunk_mut() {
            *room = self.header.encode(seal);
        }
    }

    /// The header as it was last placed.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The frame's bytes, in one or two pieces.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        [Some(self.head.as_slice()), self.tail.as_deref()].into_iter().flatten()
    }

    /// The records' bytes where they are in one piece.
    pub(crate) fn into_body(self) -> Option<Bytes> {
        if self.tail.is_some() {
            return None;
        }
        let mut head = Bytes::from(self.head);
        head.advance(HEADER_BYTES.min(head.len()));
        Some(head)
    }
}

/// How records are cut into frames.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// A frame is complete from this size on.
    pub frame_bytes: usize,
    /// A payload from this size on is not copied and ends its frame.
    pub large_bytes: usize,
}

impl Default for Cut {
    fn default() -> Self {
        Self { frame_bytes: 256 << 10, large_bytes: 1 << 20 }
    }
}

/// Encodes records into frames without a place. The error is the index of a record too large.
pub fn encode(records: Vec<Record>, cut: Cut) -> Result<Vec<Frame>, usize> {
    let copied = |record: &Record| {
        let payload = record.payload.len();
        record.key.len() + if payload < cut.large_bytes { payload } else { 0 }
    };
    let mut left: usize = records.iter().map(|record| copied(record) + 12).sum();
    let mut frames = Vec::new();
    let mut open = None;
    for (index, record) in records.into_iter().enumerate() {
        let bytes = record.key.len().saturating_add(record.payload.len());
        if bytes > BODY_BYTES_MAX.saturating_sub(cut.frame_bytes + RECORD_OVERHEAD_BYTES_MAX) {
            return Err(index);
        }
        let frame = open.get_or_insert_with(|| OpenFrame::new(left.min(cut.frame_bytes + 4096)));
        left = left.saturating_sub(copied(&record) + 12);
        let large = record.payload.len() >= cut.large_bytes;
        frame.push(record, large);
        if large || frame.head.len() >= cut.frame_bytes {
            frames.extend(open.take().map(OpenFrame::close));
        }
    }
    frames.extend(open.map(OpenFrame::close));
    Ok(frames)
}

struct OpenFrame {
    head: Vec<u8>,
    tail: Option<Bytes>,
    count: u32,
    last: Position,
}

impl OpenFrame {
    fn new(capacity: usize) -> Self {
        let mut head = Vec::with_capacity(HEADER_BYTES + capacity);
        head.resize(HEADER_BYTES, 0);
        Self { head, tail: None, count: 0, last: Position::default() }
    }

    fn push(&mut self, record: Record, large: bool) {
        put_position(&mut self.head, self.last, record.position);
        varint::put_len(&mut self.head, record.key.len());
        self.head.extend_from_slice(&record.key);
        varint::put_len(&mut self.head, record.payload.len());
        if large {
            self.tail = Some(record.payload);
        } else {
            self.head.extend_from_slice(&record.payload);
        }
        self.count += 1;
        self.last = record.position;
    }

    fn close(self) -> Frame {
        let copied = self.head.get(HEADER_BYTES..).unwrap_or_default();
        let mut body_checksum = crc32c::crc32c(copied);
        let mut body_bytes = copied.len();
        if let Some(tail) = &self.tail {
            body_checksum = crc32c::crc32c_append(body_checksum, tail);
            body_bytes += tail.len();
        }
        let body_bytes = u32::try_from(body_bytes).expect("`encode` refuses larger records");
        let header = Header {
            body_bytes,
            body_checksum,
            base: 0,
            durable_end: 0,
            count: self.count,
            last: self.last,
        };
        Frame { head: self.head, tail: self.tail, header }
    }
}

fn put_position(out: &mut Vec<u8>, previous: Position, position: Position) {
    let commit = position.commit.wrapping_sub(previous.commit).cast_signed();
    varint::put(out, varint::zigzag(commit));
    if commit == 0 {
        let ordinal = position.ordinal.wrapping_sub(previous.ordinal).cast_signed();
        varint::put(out, varint::zigzag(i128::from(ordinal)));
    } else {
        varint::put(out, u128::from(position.ordinal));
    }
}

fn take_position(input: &mut &[u8], previous: Position) -> Option<Position> {
    let commit = varint::unzigzag(take_u128(input)?);
    if commit == 0 {
        let delta = varint::unzigzag(take_u128(input)?);
        let delta = i64::try_from(delta).ok()?.cast_unsigned();
        Some(Position { ordinal: previous.ordinal.wrapping_add(delta), ..previous })
    } else {
        let commit = previous.commit.wrapping_add(commit.cast_unsigned());
        Some(Position { commit, ordinal: varint::take_u64(input)? })
    }
}

fn take_u128(input: &mut &[u8]) -> Option<u128> {
    match input.split_first() {
        Some((&byte, rest)) if byte < 0x80 => {
            *input = rest;
            Some(u128::from(byte))
        }
        _ => varint::take(input),
    }
}

/// The records of one frame, decoded one by one; keys and payloads are slices of the frame.
#[derive(Clone, Debug)]
pub struct Records {
    body: Bytes,
    next: u64,
    left: u32,
    previous: Position,
    last: Position,
}

impl Records {
    /// Reads `body` as the records that `header` announces. The checksum is not looked at.
    #[must_use]
    pub fn new(header: &Header, body: Bytes) -> Self {
        Self {
            body,
            next: header.base,
            left: header.count,
            previous: Position::default(),
            last: header.last,
        }
    }

    /// How many records are left, as far as the body can hold them.
    #[must_use]
    pub fn left(&self) -> usize {
        usize::try_from(self.left).unwrap_or(usize::MAX).min(self.body.len() / RECORD_BYTES_MIN)
    }

    /// Offset after the last record.
    pub(crate) fn end(&self) -> u64 {
        self.next.saturating_add(u64::from(self.left))
    }

    fn take(&mut self) -> Result<StoredRecord, Invalid> {
        let mut rest = self.body.as_ref();
        let broken = Invalid::Content("a record is cut short");
        let position = take_position(&mut rest, self.previous).ok_or(broken)?;
        self.body.advance(self.body.len() - rest.len());
        let key = self.take_bytes().ok_or(broken)?;
        let payload = self.take_bytes().ok_or(broken)?;
        let offset = Offset(self.next);
        self.previous = position;
        self.next = self.next.saturating_add(1);
        self.left -= 1;
        if self.left == 0 && (!self.body.is_empty() || position != self.last) {
            return Err(Invalid::Content("records and header disagree"));
        }
        Ok(StoredRecord { offset, record: Record { key, payload, headers: Vec::new(), position } })
    }

    fn take_bytes(&mut self) -> Option<Bytes> {
        let mut rest = self.body.as_ref();
        let length = usize::try_from(varint::take_u64(&mut rest)?).ok()?;
        if length > rest.len() {
            return None;
        }
        self.body.advance(self.body.len() - rest.len());
        Some(if length == 0 { Bytes::new() } else { self.body.split_to(length) })
    }
}

impl Iterator for Records {
    type Item = Result<StoredRecord, Invalid>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let record = self.take();
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}

/// Decodes the frame at the start of `bytes` completely: header, checksums, every record.
pub fn decode(bytes: &[u8], seal: Seal) -> Result<(Header, Vec<StoredRecord>), Invalid> {
    let header = Header::decode(bytes, seal)?;
    let body = bytes.get(HEADER_BYTES..).and_then(|rest| rest.get(..header.body_len()));
    let body = body.ok_or(Invalid::Incomplete)?;
    if crc32c::crc32c(body) != header.body_checksum {
        return Err(Invalid::BodyChecksum);
    }
    let records = Records::new(&header, Bytes::copy_from_slice(body));
    Ok((header, records.collect::<Result<_, _>>()?))
}

/// [`decode`] without checksums and with a header made up from the bytes: what a fuzzer calls,
/// since it would hardly ever guess a checksum.
pub fn decode_unchecked(bytes: &[u8]) -> Result<Vec<StoredRecord>, Invalid> {
    let mut rest = bytes;
    let short = |_| Invalid::Incomplete;
    let header = Header {
        count: rest.try_get_u32_le().map_err(short)?,
        base: rest.try_get_u64_le().map_err(short)?,
        last: Position {
            commit: rest.try_get_u128_le().map_err(short)?,
            ordinal: rest.try_get_u64_le().map_err(short)?,
        },
        body_bytes: 0,
        durable_end: 0,
        body_checksum: 0,
    };
    Records::new(&header, Bytes::copy_from_slice(rest)).collect()
}
