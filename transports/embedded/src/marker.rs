//! The durable marker: a small file that says how far the log is durable.
//!
//! It is overwritten after every group commit and not synced on its own, so it may be behind the
//! truth after a power loss and never ahead of it. Recovery uses it to tell a torn tail from
//! acknowledged records that were damaged; readers in other processes follow it.

use bytes::{Buf, BufMut};
use cdc_core::{LogId, Position};
use std::{fs::File, io, os::unix::fs::FileExt as _, path::Path};
use uuid::Uuid;

pub(crate) const FILE_NAME: &str = "durable";
const MARKER_BYTES: usize = 72;
const MAGIC: &[u8; 8] = b"CDCMARK\n";

/// How far a log is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) log: LogId,
    pub(crate) durable_end: u64,
    /// Every consumer was past the records below.
    pub(crate) passed: u64,
    /// Position of the newest durable record.
    pub(crate) newest: Option<Position>,
}

impl Marker {
    fn encode(&self) -> [u8; MARKER_BYTES] {
        let mut out = [0; MARKER_BYTES];
        let mut rest = out.as_mut_slice();
        rest.put_slice(MAGIC);
        rest.put_slice(self.log.0.as_bytes());
        rest.put_u64_le(self.durable_end);
        rest.put_u64_le(self.passed);
        rest.put_u32_le(u32::from(self.newest.is_some()));
        rest.put_slice(&self.newest.unwrap_or_default().to_sortable_bytes());
        let (checked, checksum) = out.split_at_mut(MARKER_BYTES - 4);
        checksum.copy_from_slice(&crc32c::crc32c(checked).to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<MARKER_BYTES>()?;
        let (checked, mut checksum) = bytes.split_at(MARKER_BYTES - 4);
        if crc32c::crc32c(checked) != checksum.get_u32_le() {
            return None;
        }
        let mut rest = checked.strip_prefix(MAGIC)?;
        let log = LogId(Uuid::from_bytes(rest.get_u128().to_be_bytes()));
        let durable_end = rest.get_u64_le();
        let passed = rest.get_u64_le();
        let present = rest.get_u32_le() != 0;
        let position = Position::from_sortable_bytes(*rest.first_chunk()?);
        Some(Self { log, durable_end, passed, newest: present.then_some(position) })
    }
}

/// The marker's file, open for writing.
#[derive(Debug)]
pub(crate) struct MarkerFile(File);

impl MarkerFile {
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        Ok(Self(options.open(dir.join(FILE_NAME))?))
    }

    pub(crate) fn write(&self, marker: &Marker) -> io::Result<()> {
        self.0.write_all_at(&marker.encode(), 0)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// Reads the marker of a directory. `None` when there is none that is whole.
pub(crate) fn read(dir: &Path) -> io::Result<Option<Marker>> {
    let file = match File::open(dir.join(FILE_NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = [0; MARKER_BYTES];
    match file.read_exact_at(&mut bytes, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        read => read.map(|()| Marker::decode(&bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn markers_round_trip(log: u128, durable_end: u64, passed: u64, newest: Option<(u128, u64)>) {
            let newest = newest.map(|(commit, ordinal)| Position { commit, ordinal });
            let log = LogId(Uuid::from_u128(log));
            let marker = Marker { log, durable_end, passed, newest };
            prop_assert_eq!(Marker::decode(&marker.encode()), Some(marker));
        }

        #[test]
        fn any_flipped_bit_is_noticed(bit in 0..MARKER_BYTES * 8) {
            let marker = Marker { log: LogId(Uuid::nil()), durable_end: 9, passed: 0, newest: None };
            let mut bytes = marker.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Marker::decode(&bytes), None);
        }
    }
}
