//! The registry's file.

use super::{
    content::Content,
    settings::Settings,
    store::{Slot, Store, Write},
};
use crate::error::{self, Failure};
use cdc_core::Result;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

/// Numbers about the whole file.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const FORMAT_KEY: &str = "format";
/// Grows when older programs could not read what newer ones write.
const FORMAT: u64 = 1;
const LAST_ID_KEY: &str = "last_id";

/// Contents as JSON, by number.
const CONTENTS: TableDefinition<'_, i32, &[u8]> = TableDefinition::new("contents");
/// Numbers and whether they are deleted, by subject and version.
const SLOTS: TableDefinition<'_, (&str, i32), (i32, bool)> = TableDefinition::new("slots");
/// Settings as JSON, by subject; those of all have the empty name.
const SETTINGS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("settings");

/// Memory for pages of the file; what is in it is in memory already.
const CACHE_BYTES: usize = 1 << 20;

/// Keeps a registry in one file that survives a crash at any moment.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    /// `None` after a failed read or write, until the next call opens the file again.
    database: RwLock<Option<Database>>,
}

impl FileStore {
    /// Opens the file, and creates it and its folder when missing.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let database = open_checked(&path)?;
        Ok(Self { path, database: RwLock::new(Some(database)) })
    }

    fn run<T>(&self, call: impl FnOnce(&Database) -> Result<T, Failure>) -> Result<T> {
        let closed = self.database.read().unwrap_or_else(PoisonError::into_inner).is_none();
        if closed {
            let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
            if database.is_none() {
                *database = Some(open_checked(&self.path)?);
                tracing::info!(path = %self.path.display(), "registry file opened again");
            }
        }
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
}

impl Store for FileStore {
    fn load(&self) -> Result<Vec<Write>> {
        self.run(load)
    }

    fn save(&self, writes: &[Write]) -> Result<()> {
        self.run(|database| save(database, writes))
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
    if !database.check_integrity()? {
        tracing::warn!(path = %path.display(), "registry file was repaired");
    }
    let format = match database.begin_read()?.open_table(META) {
        Ok(meta) => meta.get(FORMAT_KEY)?.map(|format| format.value()),
        Err(redb::TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(error.into()),
    };
    match format {
        Some(FORMAT) => Ok(database),
        Some(found) => Err(Failure::told(error::unsupported(path, found))),
        None => {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            transaction.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
            transaction.open_table(CONTENTS)?;
            transaction.open_table(SLOTS)?;
            transaction.open_table(SETTINGS)?;
            transaction.commit()?;
            Ok(database)
        }
    }
}

fn load(database: &Database) -> Result<Vec<Write>, Failure> {
    let transaction = database.begin_read()?;
    let mut writes = Vec::new();
    for entry in transaction.open_table(CONTENTS)?.iter()? {
        let (id, json) = entry?;
        let content: Content = serde_json::from_slice(json.value()).map_err(|source| {
            Failure::Unreadable(format!("the schema number {}", id.value()), source)
        })?;
        writes.push(Write::Content(id.value(), Some(Arc::new(content))));
    }
    for entry in transaction.open_table(SLOTS)?.iter()? {
        let (key, slot) = entry?;
        let ((subject, version), (id, deleted)) = (key.value(), slot.value());
        writes.push(Write::Slot(subject.to_owned(), version, Some(Slot { id, deleted })));
    }
    for entry in transaction.open_table(SETTINGS)?.iter()? {
        let (subject, json) = entry?;
        let settings: Settings = serde_json::from_slice(json.value()).map_err(|source| {
            Failure::Unreadable(format!("the settings of {:?}", subject.value()), source)
        })?;
        writes.push(Write::Settings(subject.value().to_owned(), Some(settings)));
    }
    if let Some(last) = transaction.open_table(META)?.get(LAST_ID_KEY)? {
        writes.push(Write::LastId(i32::try_from(last.value()).unwrap_or(i32::MAX)));
    }
    Ok(writes)
}

fn save(database: &Database, writes: &[Write]) -> Result<(), Failure> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    {
        let mut contents = transaction.open_table(CONTENTS)?;
        let mut slots = transaction.open_table(SLOTS)?;
        let mut settings = transaction.open_table(SETTINGS)?;
        let mut meta = transaction.open_table(META)?;
        for write in writes {
            match write {
                Write::Content(id, Some(content)) => {
                    let json = json(&**content)?;
                    contents.insert(id, json.as_slice())?;
                }
                Write::Content(id, None) => drop(contents.remove(id)?),
                Write::Slot(subject, version, Some(slot)) => {
                    slots.insert((subject.as_str(), *version), (slot.id, slot.deleted))?;
                }
                Write::Slot(subject, version, None) => {
                    slots.remove((subject.as_str(), *version))?;
                }
                Write::Settings(subject, Some(value)) => {
                    let json = json(value)?;
                    settings.insert(subject.as_str(), json.as_slice())?;
                }
                Write::Settings(subject, None) => drop(settings.remove(subject.as_str())?),
                Write::LastId(id) => {
                    meta.insert(LAST_ID_KEY, u64::try_from(*id).unwrap_or_default())?;
                }
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value)
        .map_err(|source| Failure::Unreadable("what is to be saved".to_owned(), source))
}
