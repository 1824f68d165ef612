//! What can go wrong with the state file, and what helps.

use cdc_core::{Error, Origin, Retry};
use std::path::Path;

/// A failure inside one call, before it is told to anyone.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The storage engine's.
    Engine(Box<redb::Error>),
    /// A stored value that cannot be read back; names what it is.
    Unreadable(String, Option<serde_json::Error>),
    /// Already in its final form.
    Told(Box<Error>),
}

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Engine(Box::new(error.into()))
    }
}

impl Failure {
    pub(crate) fn told(error: Error) -> Self {
        Self::Told(Box::new(error))
    }

    /// Must the file be closed and opened again before it can be used?
    pub(crate) fn needs_reopening(&self) -> bool {
        matches!(self, Self::Engine(error) if matches!(
            **error,
            redb::Error::Io(_)
                | redb::Error::PreviousIo
                | redb::Error::DatabaseClosed
                | redb::Error::LockPoisoned(_)
        ))
    }

    pub(crate) fn into_error(self, path: &Path) -> Error {
        match self {
            Self::Told(error) => *error,
            Self::Unreadable(what, source) => {
                let error = damaged(path, &format!("{what} cannot be read back"));
                match source {
                    Some(source) => error.with_source(source),
                    None => error,
                }
            }
            Self::Engine(error) => engine(*error, path),
        }
    }
}

fn engine(error: redb::Error, path: &Path) -> Error {
    let file = path.display();
    match error {
        redb::Error::DatabaseAlreadyOpen => Error::new(
            "CDC-4101",
            Origin::Internal,
            Retry::AfterOperator,
            format!("state file {file} is in use by another process"),
        )
        .with_remedy(
            "stop the `cdc run` that uses this data directory (the file `lock` beside the state \
             file names its process), or give this pipeline another `embedded.data_dir`",
        ),
        redb::Error::UpgradeRequired(found) => unsupported(path, u64::from(found)),
        redb::Error::Io(error) if not_a_state_file(&error) => {
            damaged(path, "its contents are not those of a state file").with_source(error)
        }
        redb::Error::Io(error) => io(path, &error).with_source(error),
        error @ (redb::Error::PreviousIo | redb::Error::DatabaseClosed) => Error::new(
            "CDC-4104",
            Origin::Internal,
            Retry::Backoff,
            format!("state file {file} was closed after a failed read or write"),
        )
        .with_source(error),
        error => damaged(path, "its structure is broken").with_source(error),
    }
}

fn not_a_state_file(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof)
}

fn io(path: &Path, error: &std::io::Error) -> Error {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, StorageFull};
    let file = path.display();
    let (retry, remedy) = match error.kind() {
        PermissionDenied | ReadOnlyFilesystem => (
            Retry::AfterOperator,
            format!("let the user that runs `cdc` write: ls -ld {file} {}", folder(path)),
        ),
        StorageFull => (Retry::Backoff, format!("free room on the disk: df -h {}", folder(path))),
        _ => (Retry::Backoff, format!("look at the disk that holds it: df -h {}", folder(path))),
    };
    Error::new(
        "CDC-4104",
        Origin::Internal,
        retry,
        format!("state file {file} cannot be read or written"),
    )
    .with_remedy(remedy)
}

fn folder(path: &Path) -> String {
    path.parent().map_or_else(|| ".".to_owned(), |folder| folder.display().to_string())
}

pub(crate) fn damaged(path: &Path, how: &str) -> Error {
    let file = path.display();
    Error::new(
        "CDC-4102",
        Origin::Internal,
        Retry::AfterOperator,
        format!("state file {file} is damaged: {how}"),
    )
    .with_remedy(
        "restore the pipeline's whole folder from a backup, or move it away and run \
         `cdc run` again, which starts with a new snapshot; see docs/errors/CDC-4102.md",
    )
}

pub(crate) fn unsupported(path: &Path, found: u64) -> Error {
    Error::new(
        "CDC-4103",
        Origin::Internal,
        Retry::AfterOperator,
        format!("state file {} has format {found}, which this version cannot read", path.display()),
    )
    .with_remedy("run the version of `cdc` that wrote it, or a newer one")
}

pub(crate) fn fenced(given: u64, newest: u64) -> Error {
    Error::new(
        "CDC-4105",
        Origin::Internal,
        Retry::Never,
        format!("epoch {given} may not save any more: epoch {newest} has begun"),
    )
    .with_remedy("another start of this pipeline took over; stop this process")
}

pub(crate) fn full(sink: &str, bytes: u64, bytes_max: u64) -> Error {
    Error::new(
        "CDC-4106",
        Origin::Internal,
        Retry::AfterOperator,
        format!(
            "the dead letters hold {bytes} of at most {bytes_max} bytes: no room for the refused \
             changes of sink {sink}"
        ),
    )
    .with_remedy(
        "deliver or give up what is parked: `cdc dead-letters list`, then `retry` or `discard`",
    )
}

pub(crate) fn used_up(counter: &str) -> Error {
    Error::new(
        "CDC-4107",
        Origin::Internal,
        Retry::AfterOperator,
        format!("the counter of {counter} has reached its end"),
    )
    .with_remedy("move the pipeline's folder away and start it again with a new snapshot")
}

pub(crate) fn interrupted(path: &Path) -> Error {
    Error::new(
        "CDC-4104",
        Origin::Internal,
        Retry::Backoff,
        format!("a call to state file {} was cut short by the end of the process", path.display()),
    )
}
