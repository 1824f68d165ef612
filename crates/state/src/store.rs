//! The file: opening, checking, and running calls on it away from the async threads.

use crate::{
    checkpoints, dead_letters,
    error::{self, Failure},
    schemas,
};
use cdc_core::Result;
use redb::{Database, Durability, ReadableDatabase, TableDefinition, WriteTransaction};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

/// Numbers about the whole file: its format, the epoch, counters.
pub(crate) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

const FORMAT_KEY: &str = "format";
/// Grows when older programs could not read what newer ones write.
const FORMAT: u64 = 1;

/// Memory for pages of the file. The state is small; the rest belongs to changes in flight.
const CACHE_BYTES: usize = 8 << 20;

/// Up to this size, all checksums are verified on opening; a larger file would delay the start.
const VERIFIED_BYTES_MAX: u64 = 64 << 20;

/// Limits of a [`Store`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Dead letters of all sinks together may take so many bytes.
    pub dead_letter_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { dead_letter_bytes_max: 1 << 30 }
    }
}

/// The state of one pipeline. Clones share the file; the last one closes it.
#[derive(Clone, Debug)]
pub struct Store {
    file: Arc<File>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    options: Options,
    /// `None` after a failed read or write, until the next call opens the file again.
    database: RwLock<Option<Database>>,
}

impl Store {
    /// Opens the state file with the default limits, and creates it and its folder when missing.
    /// Blocks briefly.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, Options::default())
    }

    /// Opens the state file with limits of the caller's choice.
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let database = open_checked(&path)?;
        Ok(Self { file: Arc::new(File { path, options, database: RwLock::new(Some(database)) }) })
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    pub(crate) fn options(&self) -> Options {
        self.file.options
    }

    /// Runs a call on a thread that may block. A call that was started is finished, even if the
    /// caller stops waiting.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Database) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let file = Arc::clone(&self.file);
        match tokio::task::spawn_blocking(move || file.run(call)).await {
            Ok(result) => result,
            Err(stopped) if stopped.is_panic() => {
                Err(error::damaged(self.path(), "the storage engine gave up on it"))
            }
            Err(_) => Err(error::interrupted(self.path())),
        }
    }
}

impl File {
    fn run<T>(&self, call: impl FnOnce(&Database) -> Result<T, Failure>) -> Result<T> {
        self.reopen_if_closed()?;
        let result = {
            let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
            match &*database {
                Some(database) => call(database),
                None => Err(redb::Error::PreviousIo.into()),
            }
        };
        result.map_err(|failure| {
            if failure.needs_reopening() {
                *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
            }
            failure.into_error(&self.path)
        })
    }

    /// The storage engine refuses everything after one failed write, as on a full disk; opening
    /// the file anew is its way back, and costs nothing that was saved.
    fn reopen_if_closed(&self) -> Result<()> {
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.is_none() {
            *database = Some(open_checked(&self.path)?);
            tracing::info!(path = %self.path.display(), "state file opened again");
        }
        Ok(())
    }
}

/// Damage shows itself in the storage engine as an error or as a panic; both become an error.
fn open_checked(path: &Path) -> Result<Database> {
    match catch_unwind(AssertUnwindSafe(|| open(path))) {
        Ok(opened) => opened.map_err(|failure| failure.into_error(path)),
        Err(_) => Err(error::damaged(path, "the storage engine gave up on it")),
    }
}

fn open(path: &Path) -> Result<Database, Failure> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(redb::Error::Io)?;
    }
    let mut database = Database::builder().set_cache_size(CACHE_BYTES).create(path)?;
    let bytes = std::fs::metadata(path).map_err(redb::Error::Io)?.len();
    if bytes <= VERIFIED_BYTES_MAX && !database.check_integrity()? {
        tracing::warn!(path = %path.display(), "state file was repaired");
    }
    match stored_format(&database)? {
        Some(FORMAT) => {}
        Some(found) => return Err(Failure::told(error::unsupported(path, found))),
        None => create_tables(&database)?,
    }
    Ok(database)
}

fn stored_format(database: &Database) -> Result<Option<u64>, Failure> {
    let transaction = database.begin_read()?;
    match transaction.open_table(META) {
        Ok(meta) => Ok(redb::ReadableTable::get(&meta, FORMAT_KEY)?.map(|value| value.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(other) => Err(other.into()),
    }
}

fn create_tables(database: &Database) -> Result<(), Failure> {
    write(database, |transaction| {
        checkpoints::create_tables(transaction)?;
        schemas::create_tables(transaction)?;
        dead_letters::create_tables(transaction)?;
        transaction.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
        Ok(())
    })
}

/// Runs one transaction: everything in it is on disk on return, or nothing of it.
pub(crate) fn write<T>(
    database: &Database,
    call: impl FnOnce(&WriteTransaction) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    // Keeps opening after a crash quick, however many dead letters there are.
    transaction.set_quick_repair(true);
    let result = call(&transaction)?;
    transaction.commit()?;
    Ok(result)
}
