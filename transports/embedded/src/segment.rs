//! Segment files: their names, their header, their creation.

use crate::frame::Seal;
use bytes::{Buf, BufMut};
use cdc_core::LogId;
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};
use uuid::Uuid;

/// Version of everything in a log's directory.
pub(crate) const VERSION: u32 = 1;
/// Bytes before the first frame.
pub(crate) const HEADER_BYTES: usize = 64;
const MAGIC: &[u8; 8] = b"CDCSEGM\n";
const CHECKED_BYTES: usize = HEADER_BYTES - 4;
const SUFFIX: &str = ".segment";
/// A segment that is being created has this name until its header is on disk.
pub(crate) const UNFINISHED: &str = "unfinished.segment.new";

/// The segment before another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Previous {
    pub(crate) base: u64,
    pub(crate) bytes: u64,
}

/// What stands before the first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) log: LogId,
    pub(crate) base: u64,
    pub(crate) previous: Option<Previous>,
}

/// Why bytes are not a segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidSegment {
    Foreign,
    Version(u32),
    Damaged,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        let mut rest = out.as_mut_slice();
        let none = Previous { base: u64::MAX, bytes: u64::MAX };
        let previous = self.previous.unwrap_or(none);
        rest.put_slice(MAGIC);
        rest.put_u32_le(VERSION);
        rest.put_slice(self.log.0.as_bytes());
        rest.put_u64_le(self.base);
        rest.put_u64_le(previous.base);
        rest.put_u64_le(previous.bytes);
        let (checked, checksum) = out.split_at_mut(CHECKED_BYTES);
        checksum.copy_from_slice(&crc32c::crc32c(checked).to_le_bytes());
        out
    }

    /// The version is looked at before the checksum, so that a newer format is called newer.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, InvalidSegment> {
        let bytes = bytes.first_chunk::<HEADER_BYTES>().ok_or(InvalidSegment::Damaged)?;
        let (checked, mut checksum) = bytes.split_at(CHECKED_BYTES);
        let mut rest = checked.strip_prefix(MAGIC).ok_or(InvalidSegment::Foreign)?;
        let version = rest.get_u32_le();
        if version != VERSION {
            return Err(InvalidSegment::Version(version));
        }
        if crc32c::crc32c(checked) != checksum.get_u32_le() {
            return Err(InvalidSegment::Damaged);
        }
        let log = LogId(Uuid::from_bytes(rest.get_u128().to_be_bytes()));
        let base = rest.get_u64_le();
        let previous = Previous { base: rest.get_u64_le(), bytes: rest.get_u64_le() };
        let previous = (previous.base != u64::MAX).then_some(previous);
        Ok(Self { log, base, previous })
    }

    pub(crate) fn seal(&self) -> Seal {
        Seal::of(self.log)
    }
}

/// The name of the segment that starts at an offset.
pub(crate) fn file_name(base: u64) -> String {
    format!("{base:020}{SUFFIX}")
}

/// The offset in a segment's name; `None` for any other file.
pub(crate) fn base_of(file_name: &str) -> Option<u64> {
    let digits = file_name.strip_suffix(SUFFIX)?;
    let exact = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if exact { digits.parse().ok() } else { None }
}

/// Offsets of all segments in a directory, in order.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<u64>> {
    let mut bases = Vec::new();
    for entry in fs::read_dir(dir)? {
        bases.extend(entry?.file_name().to_str().and_then(base_of));
    }
    bases.sort_unstable();
    Ok(bases)
}

/// Creates a segment that exists with a complete header or not at all, also after a crash.
pub(crate) fn create(dir: &Path, header: &SegmentHeader) -> io::Result<File> {
    let unfinished = dir.join(UNFINISHED);
    let path = dir.join(file_name(header.base));
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(true);
    let created = options.open(&unfinished).and_then(|mut file| {
        file.write_all(&header.encode())?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        sync_dir(dir)?;
        Ok(file)
    });
    if created.is_err() {
        // Neither may stay: a segment in the directory is one that the writer goes on with.
        remove_if_there(&unfinished)?;
        remove_if_there(&path)?;
    }
    created
}

/// Removes a file unless it is gone already.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes created, renamed and removed names survive a crash.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn headers_round_trip(log: u128, base: u64, previous: Option<(u64, u64)>) {
            let previous = previous.map(|(base, bytes)| Previous { base: base >> 1, bytes });
            let header = SegmentHeader { log: LogId(Uuid::from_u128(log)), base, previous };
            prop_assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
        }

        #[test]
        fn any_flipped_bit_is_noticed(bit in 0..HEADER_BYTES * 8) {
            let log = LogId(Uuid::from_u128(7));
            let mut bytes = SegmentHeader { log, base: 3, previous: None }.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(SegmentHeader::decode(&bytes).is_err());
        }

        #[test]
        fn names_round_trip_and_sort_like_offsets(a: u64, b: u64) {
            prop_assert_eq!(base_of(&file_name(a)), Some(a));
            prop_assert_eq!(file_name(a).cmp(&file_name(b)), a.cmp(&b));
        }

        #[test]
        fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(SegmentHeader::decode(&bytes).is_err());
        }
    }

    #[test]
    fn other_files_are_not_segments() {
        for name in ["lock", "0.segment", "+0000000000000000001.segment", UNFINISHED] {
            assert_eq!(base_of(name), None, "{name}");
        }
    }
}
