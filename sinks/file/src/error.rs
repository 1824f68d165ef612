//! What can go wrong, with what helps.

use cdc_core::{Error, Origin, Retry};
use std::{fmt, io, path::Path};

/// The configuration cannot work.
pub(crate) fn config(what: &str) -> Error {
    Error::new("CDC-3201", Origin::Config, Retry::AfterOperator, what)
        .with_remedy("correct the `file:` block of the sink in the pipeline file")
}

/// A file operation failed. `doing` completes "cannot …".
pub(crate) fn file(doing: &str, path: &Path, source: io::Error) -> Error {
    let context = format!("cannot {doing} {}", path.display());
    let (code, retry, remedy) = match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
            "CDC-3202",
            Retry::Backoff,
            "free space on the disk or raise the quota; delivery then goes on by itself",
        ),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => (
            "CDC-3203",
            Retry::AfterOperator,
            "create the directory with `mkdir -p`, or correct `file.path`",
        ),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => (
            "CDC-3203",
            Retry::AfterOperator,
            "give the user that runs `cdc` write access to the directory and the file",
        ),
        io::ErrorKind::IsADirectory => (
            "CDC-3203",
            Retry::AfterOperator,
            "let `file.path` name a file in the directory, and not the directory itself",
        ),
        _ => ("CDC-3204", Retry::Backoff, "check the disk: `dmesg`, free space, mount options"),
    };
    Error::new(code, Origin::Sink, retry, context).with_remedy(remedy).with_source(source)
}

/// Code of [`locked`].
pub(crate) const LOCKED: &str = "CDC-3205";

/// The file is open for writing elsewhere.
pub(crate) fn locked(path: &Path) -> Error {
    let context = format!("the file {} is written by another session", path.display());
    Error::new(LOCKED, Origin::Sink, Retry::AfterOperator, context)
        .with_remedy("stop the other `cdc`, or give this sink another `file.path`")
}

/// A newer epoch has claimed the file.
pub(crate) fn fenced(path: &Path, own: u64, newest: u64) -> Error {
    let context = format!("epoch {own} may not write {}: epoch {newest} does", path.display());
    Error::new("CDC-3206", Origin::Sink, Retry::AfterOperator, context)
        .with_remedy("leave the newer run of this pipeline to it, and stop this one")
}

/// The files are not those of this sink, or not as this sink left them.
pub(crate) fn foreign(path: &Path, what: impl fmt::Display, remedy: &str) -> Error {
    let context = format!("{} cannot be continued: {what}", path.display());
    Error::new("CDC-3207", Origin::Sink, Retry::AfterOperator, context).with_remedy(remedy)
}

/// Nobody reads standard output any more, or it cannot be written.
pub(crate) fn standard_output(source: io::Error) -> Error {
    let context = "cannot write to standard output";
    Error::new("CDC-3208", Origin::Sink, Retry::AfterOperator, context)
        .with_remedy("restart `cdc` with a reader at the other end of the pipe")
        .with_source(source)
}

/// The session has failed before and takes nothing more.
pub(crate) fn closed() -> Error {
    Error::new("CDC-3209", Origin::Internal, Retry::Backoff, "the file sink's session has ended")
}
