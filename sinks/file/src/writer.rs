//! The files themselves: append, rotate, commit, recover. Everything here blocks.

use crate::{checkpoint::Stored, config::Config, error, names::Names};
use cdc_core::{
    Checkpoint, LogId, Offset, Result, TopicPartition, catalog::SinkContext, checkpoint::Places,
};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Writes one sink's files; the only one to do so for as long as it lives.
#[derive(Debug)]
pub(crate) struct Writer {
    names: Names,
    rotate_bytes: u64,
    rotate_after: Option<Duration>,
    directory: File,
    /// As it is on disk.
    stored: Stored,
    /// The newest data file, once something was written to it.
    file: Option<File>,
    number: u64,
    length: u64,
    begun_at_ms: u64,
    unsynced: bool,
    /// Are places stored as they move, beside those that other sessions left?
    by_partition: bool,
    #[expect(dead_code, reason = "held until the session ends")]
    lock: File,
}

impl Writer {
    /// Takes the lock, and gives up what was written after the last commit.
    pub(crate) fn open(config: &Config, context: &SinkContext) -> Result<Self> {
        let names = Names::of(&config.path)?;
        let opened = File::open(&names.directory);
        let directory =
            opened.map_err(|error| error::file("open the directory", &names.directory, error))?;
        let lock = lock(&names)?;
        let first = u64::from(config.rotates());
        let (stored, number) = match Stored::load(&names)? {
            Some(stored) => {
                stored.verify_owner(&names, &context.pipeline_id, &context.sink_id)?;
                let number = recover(&names, &stored)?;
                (stored, number)
            }
            None => {
                refuse_files_without_checkpoint(&names)?;
                let file = names.data_name(first);
                (Stored::new(&context.pipeline_id, &context.sink_id, file), first)
            }
        };
        Ok(Self {
            rotate_bytes: if config.rotate_bytes == 0 { u64::MAX } else { config.rotate_bytes },
            rotate_after: Some(config.rotate_seconds)
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            directory,
            file: None,
            number,
            length: stored.length,
            begun_at_ms: stored.begun_at_ms,
            unsynced: false,
            by_partition: false,
            stored,
            names,
            lock,
        })
    }

    /// Stores the epoch where it is not older, and says what is stored.
    pub(crate) fn claim(&mut self, epoch: u64) -> Result<Checkpoint> {
        if self.stored.checkpoint.epoch <= epoch {
            // The checkpoint file comes before the first data file: data without one is not ours.
            self.stored.checkpoint.epoch = epoch;
            self.stored.save(&self.names, &self.directory)?;
        }
        Ok(self.stored.checkpoint.clone())
    }

    /// Says where these partitions were committed up to. The lock on the files makes this session the only
    /// writer.
    pub(crate) fn claim_partitions(
        &mut self,
        log: LogId,
        partitions: &[TopicPartition],
    ) -> Result<Places> {
        self.by_partition = true;
        let held = &mut self.stored.checkpoint;
        if held.log != Some(log) {
            held.partitions.values_mut().for_each(|place| place.offset = Offset(0));
            held.log = Some(log);
        }
        self.stored.save(&self.names, &self.directory)?;
        let held = &self.stored.checkpoint.partitions;
        Ok(partitions.iter().filter_map(|at| Some((at.clone(), *held.get(at)?))).collect())
    }

    /// Appends whole lines.
    pub(crate) fn append(&mut self, lines: &[u8], now: SystemTime) -> Result<()> {
        let size = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        if self.is_due(size, now) {
            self.rotate()?;
        }
        let path = self.names.data(self.number);
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.open_newest(now)?,
        };
        file.write_all(lines).map_err(|error| error::file("write", &path, error))?;
        self.file = Some(file);
        self.length = self.length.saturating_add(size);
        self.unsynced = true;
        Ok(())
    }

    /// Makes everything appended durable together with the checkpoint.
    pub(crate) fn commit(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let newest = self.stored.checkpoint.epoch;
        if !self.by_partition && checkpoint.epoch < newest {
            return Err(error::fenced(&self.names.path, checkpoint.epoch, newest));
        }
        self.sync()?;
        self.stored.file = self.names.data_name(self.number);
        self.stored.length = self.length;
        self.stored.begun_at_ms = self.begun_at_ms;
        if self.by_partition {
            let places = checkpoint.partitions.iter().map(|(at, place)| (at.clone(), *place));
            self.stored.checkpoint.partitions.extend(places);
        } else {
            self.stored.checkpoint = checkpoint.clone();
        }
        self.stored.save(&self.names, &self.directory)
    }

    fn is_due(&self, size: u64, now: SystemTime) -> bool {
        if self.length == 0 {
            return false;
        }
        let age = Duration::from_millis(millis(now).saturating_sub(self.begun_at_ms));
        self.length.saturating_add(size) > self.rotate_bytes
            || self.rotate_after.is_some_and(|limit| age >= limit)
    }

    fn rotate(&mut self) -> Result<()> {
        self.sync()?;
        self.file = None;
        self.number += 1;
        self.length = 0;
        Ok(())
    }

    fn open_newest(&mut self, now: SystemTime) -> Result<File> {
        let path = self.names.data(self.number);
        let opened = OpenOptions::new().append(true).create(true).open(&path);
        let file = opened.map_err(|error| error::file("open", &path, error))?;
        if self.length == 0 {
            self.begun_at_ms = millis(now);
            // A checkpoint must not name a file whose own name is not on disk.
            let synced = self.directory.sync_all();
            synced.map_err(|error| error::file("sync", &self.names.directory, error))?;
        }
        Ok(file)
    }

    fn sync(&mut self) -> Result<()> {
        if let (true, Some(file)) = (self.unsynced, &self.file) {
            let path = self.names.data(self.number);
            file.sync_data().map_err(|error| error::file("sync", &path, error))?;
        }
        self.unsynced = false;
        Ok(())
    }
}

fn millis(at: SystemTime) -> u64 {
    let elapsed = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

fn lock(names: &Names) -> Result<File> {
    let path = names.lock();
    let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = opened.map_err(|error| error::file("open", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(error::locked(&names.path)),
        Err(TryLockError::Error(error)) => Err(error::file("lock", &path, error)),
    }
}

/// Cuts the newest committed file back to its committed length and removes newer ones. Says the
/// file's number.
fn recover(names: &Names, stored: &Stored) -> Result<u64> {
    let number = names.number_of(&stored.file).ok_or_else(|| {
        let what = "the checkpoint names a file of another sink";
        error::foreign(&names.checkpoint(), what, "restore the checkpoint file from a copy")
    })?;
    for newer in data_files(names)?.into_iter().filter(|found| *found > number) {
        let path = names.data(newer);
        fs::remove_file(&path).map_err(|error| error::file("remove", &path, error))?;
        tracing::info!(file = %path.display(), "removed a file that was not committed");
    }
    let path = names.data(number);
    let opened = OpenOptions::new().write(true).open(&path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && stored.length == 0 => {
            return Ok(number);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(shortened(names, &path, "is gone"));
        }
        Err(error) => return Err(error::file("open", &path, error)),
    };
    let length = file.metadata().map_err(|error| error::file("read", &path, error))?.len();
    if length < stored.length {
        return Err(shortened(names, &path, "is shorter than what was committed"));
    }
    if length > stored.length {
        let cut = file.set_len(stored.length).and_then(|()| file.sync_data());
        cut.map_err(|error| error::file("truncate", &path, error))?;
        let bytes = length - stored.length;
        tracing::info!(file = %path.display(), bytes, "cut off what was not committed");
    }
    Ok(number)
}

fn shortened(names: &Names, path: &Path, what: &str) -> cdc_core::Error {
    let remedy = format!(
        "put the file back; or, to start over, move {} away too",
        names.checkpoint().display()
    );
    error::foreign(&names.path, format!("{} {what}", path.display()), &remedy)
}

/// Data without a checkpoint is somebody else's, and is left alone.
fn refuse_files_without_checkpoint(names: &Names) -> Result<()> {
    for number in data_files(names)? {
        let path = names.data(number);
        let found = fs::metadata(&path).map_err(|error| error::file("read", &path, error))?;
        if found.is_dir() {
            return Err(error::file("open", &path, io::ErrorKind::IsADirectory.into()));
        }
        if found.len() > 0 {
            let what = format!("{} holds data and there is no checkpoint for it", path.display());
            let remedy = "move the file away, or give this sink another `file.path`";
            return Err(error::foreign(&names.path, what, remedy));
        }
    }
    Ok(())
}

/// Numbers of the data files that there are.
fn data_files(names: &Names) -> Result<Vec<u64>> {
    let failed = |error| error::file("list", &names.directory, error);
    let mut out = Vec::new();
    for entry in fs::read_dir(&names.directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        out.extend(name.to_str().and_then(|name| names.number_of(name)));
    }
    Ok(out)
}
