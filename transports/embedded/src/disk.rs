//! The three file operations of the writer thread, so that tests can make them fail.

use std::{
    fs::File,
    io::{self, IoSlice},
};

/// What the writer thread does to a segment.
pub(crate) trait Disk: Send {
    /// Writes some of the bytes at a place and returns how many.
    fn write(&mut self, file: &File, at: u64, pieces: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Forces what was written to disk.
    fn sync(&mut self, file: &File) -> io::Result<()>;
    /// Cuts the file.
    fn cut(&mut self, file: &File, bytes: u64) -> io::Result<()>;
}

/// The real disk.
#[derive(Debug)]
pub(crate) struct RealDisk {
    pub(crate) sync: bool,
}

impl Disk for RealDisk {
    fn write(&mut self, file: &File, at: u64, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(rustix::io::pwritev(file, pieces, at)?)
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        if self.sync { file.sync_data() } else { Ok(()) }
    }

    fn cut(&mut self, file: &File, bytes: u64) -> io::Result<()> {
        file.set_len(bytes)
    }
}

/// Did the operation fail for want of space, which comes back by itself or by an operator?
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
