//! What can go wrong, with what helps.

use cdc_core::{Error, Origin, Retry, TopicPartition};
use std::{fmt, io, path::Path};

/// The directory is open for writing elsewhere.
pub(crate) fn locked(dir: &Path, holder: &str) -> Error {
    let context = format!("the log {} is in use by {holder}", dir.display());
    Error::new("CDC-2001", Origin::Transport, Retry::AfterOperator, context).with_remedy(
        "stop the other `cdc`, or give this pipeline another `pipeline_id` or `embedded.data_dir`",
    )
}

/// A file operation failed. `doing` completes "cannot …".
pub(crate) fn file(doing: &str, path: &Path, source: io::Error) -> Error {
    let context = format!("cannot {doing} {}", path.display());
    Error::new("CDC-2002", Origin::Transport, Retry::Backoff, context)
        .with_remedy("check that the disk is healthy and that this user may read and write there")
        .with_source(source)
}

/// A segment holds something else than what was written.
pub(crate) fn corrupt(path: &Path, byte: u64, what: impl fmt::Display) -> Error {
    let context = format!("the segment {} is damaged at byte {byte}: {what}", path.display());
    Error::new("CDC-2003", Origin::Transport, Retry::AfterOperator, context).with_remedy(
        "check the disk and restore the directory from a copy; without one, move the pipeline's \
         whole directory away, its state included, and run it again: it takes a new snapshot",
    )
}

/// A file is of another version, another log, or no part of a log at all.
pub(crate) fn foreign(path: &Path, what: impl fmt::Display) -> Error {
    let context = format!("{} cannot be used: {what}", path.display());
    Error::new("CDC-2004", Origin::Transport, Retry::AfterOperator, context).with_remedy(
        "run the `cdc` version that wrote the directory, or move files that do not belong there away",
    )
}

/// A write or sync failed; this instance takes nothing more.
pub(crate) fn failed(dir: &Path, what: &str) -> Error {
    let context = format!("the log {} stopped taking records: {what}", dir.display());
    Error::new("CDC-2005", Origin::Transport, Retry::Backoff, context).with_remedy(
        "check the disk (`dmesg`, free space, quota); the log is opened anew by itself",
    )
}

/// The log was closed.
pub(crate) fn closed(dir: &Path) -> Error {
    let context = format!("the log {} is closed", dir.display());
    Error::new("CDC-2006", Origin::Transport, Retry::Backoff, context)
}

/// Retention has passed the offset.
pub(crate) fn below_start(of: &TopicPartition, offset: u64, start: u64) -> Error {
    let context = format!(
        "offset {offset} of {of} is gone: retention has removed everything below offset {start}"
    );
    Error::new("CDC-2007", Origin::Transport, Retry::AfterOperator, context).with_remedy(
        "take a new snapshot for this sink, and raise `embedded.retention_bytes` or \
         `embedded.retention_hours` if that happens again",
    )
}

/// The offset is not in this log yet, so it came from another one.
pub(crate) fn beyond_end(of: &TopicPartition, offset: u64, end: u64) -> Error {
    let context = format!(
        "offset {offset} of {of} does not exist: the log ends at offset {end}, so the checkpoint \
         belongs to another log or the log was replaced by an older copy"
    );
    Error::new("CDC-2008", Origin::Transport, Retry::AfterOperator, context).with_remedy(
        "restore the newest copy of the log's directory, or take a new snapshot for this sink",
    )
}

/// The log has one partition, and this is another.
pub(crate) fn unknown_partition(asked: &TopicPartition, own: &TopicPartition) -> Error {
    let context = format!("there is no partition {asked} here: the embedded log is {own}");
    Error::new("CDC-2009", Origin::Internal, Retry::Never, context)
}

/// One record exceeds what a frame can hold.
pub(crate) fn record_too_large(index: usize, bytes_max: usize) -> Error {
    let context = format!("record {index} of the batch is larger than {bytes_max} bytes");
    Error::new("CDC-2010", Origin::Transport, Retry::Never, context)
        .with_remedy("leave the table with such rows out of `source.tables`")
}

/// The log was opened for reading.
pub(crate) fn read_only(dir: &Path) -> Error {
    let context = format!("the log {} was opened for reading only", dir.display());
    Error::new("CDC-2011", Origin::Internal, Retry::Never, context)
}

/// A segment file, or all of them, is not there.
pub(crate) fn missing(path: &Path, why: impl fmt::Display) -> Error {
    let context = format!("the segment {} is missing: {why}", path.display());
    Error::new("CDC-2012", Origin::Transport, Retry::AfterOperator, context).with_remedy(
        "put the file back from a copy; without one, move the pipeline's whole directory away, its \
         state included, and run it again: it takes a new snapshot",
    )
}

/// A configured value makes no sense.
pub(crate) fn invalid_config(key: &str, why: &str) -> Error {
    Error::new("CDC-2013", Origin::Config, Retry::AfterOperator, format!("`embedded.{key}` {why}"))
        .with_remedy(format!("change `embedded.{key}` in the platform file"))
}
