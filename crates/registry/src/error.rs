//! What can go wrong with the registry's file, and what helps.

use cdc_core::{Error, Origin, Retry};
use std::{io::ErrorKind, path::Path};

/// A failure inside one call on the file, before it is told to anyone.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The storage engine's.
    Engine(Box<redb::Error>),
    /// A stored value that cannot be read back; names what it is.
    Unreadable(String, serde_json::Error),
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
                damaged(path, &format!("{what} cannot be read back")).with_source(source)
            }
            Self::Engine(error) => engine(*error, path),
        }
    }
}

fn engine(error: redb::Error, path: &Path) -> Error {
    let file = path.display();
    match error {
        redb::Error::DatabaseAlreadyOpen => Error::new(
            "CDC-6001",
            Origin::Internal,
            Retry::AfterOperator,
            format!("registry file {file} is in use by another process"),
        )
        .with_remedy(
            "stop the `cdc run` that uses this data directory, or give this pipeline another \
             `embedded.data_dir`",
        ),
        redb::Error::UpgradeRequired(found) => unsupported(path, u64::from(found)),
        redb::Error::Io(error)
            if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            damaged(path, "its contents are not those of a registry file").with_source(error)
        }
        error @ (redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::DatabaseClosed) => {
            let context = format!("registry file {file} cannot be read or written");
            let folder = path.parent().unwrap_or(path).display();
            Error::new("CDC-6004", Origin::Internal, Retry::Backoff, context)
                .with_remedy(format!(
                    "look at the disk and the rights of its folder: df -h {folder}; ls -ld {folder}"
                ))
                .with_source(error)
        }
        error => damaged(path, "its structure is broken").with_source(error),
    }
}

pub(crate) fn damaged(path: &Path, how: &str) -> Error {
    let context = format!("registry file {} is damaged: {how}", path.display());
    Error::new("CDC-6002", Origin::Internal, Retry::AfterOperator, context).with_remedy(
        "restore the file from a backup; without one, move it away and register the schemas again \
         in the order in which they had been registered, so that they get the same numbers",
    )
}

pub(crate) fn unsupported(path: &Path, found: u64) -> Error {
    let context = format!(
        "registry file {} has format {found}, which this version cannot read",
        path.display()
    );
    Error::new("CDC-6003", Origin::Internal, Retry::AfterOperator, context)
        .with_remedy("run the version of `cdc` that wrote it, or a newer one")
}
