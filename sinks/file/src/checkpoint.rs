//! The checkpoint file: where the data is committed up to, and what that means.

use crate::{error, names::Names};
use cdc_core::{Checkpoint, Result};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

const VERSION: u32 = 1;

/// A checkpoint file is some hundred bytes a partition; a larger one is none.
const BYTES_MAX: u64 = 16 << 20;

/// What a checkpoint file holds: JSON, for readers of the data too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    version: u32,
    pub(crate) pipeline_id: String,
    pub(crate) sink_id: String,
    /// Name of the newest data file, in the directory of the checkpoint file.
    pub(crate) file: String,
    /// So many bytes of it are committed, and all of every older file.
    pub(crate) length: u64,
    /// When the newest data file was begun, in milliseconds since 1970; for rotation by age.
    pub(crate) begun_at_ms: u64,
    pub(crate) checkpoint: Checkpoint,
}

impl Stored {
    pub(crate) fn new(pipeline_id: &str, sink_id: &str, file: String) -> Self {
        Self {
            version: VERSION,
            pipeline_id: pipeline_id.to_owned(),
            sink_id: sink_id.to_owned(),
            file,
            length: 0,
            begun_at_ms: 0,
            checkpoint: Checkpoint::default(),
        }
    }

    /// Reads the checkpoint file; `None` where there is none.
    pub(crate) fn load(names: &Names) -> Result<Option<Self>> {
        let path = names.checkpoint();
        let size = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error::file("read", &path, error)),
        };
        if size > BYTES_MAX {
            return Err(damaged(&path, "it is too large for a checkpoint"));
        }
        let bytes = fs::read(&path).map_err(|error| error::file("read", &path, error))?;
        let stored: Self = serde_json::from_slice(&bytes)
            .map_err(|_| damaged(&path, "it is not the JSON of a checkpoint"))?;
        if stored.version != VERSION {
            return Err(damaged(&path, "another version of `cdc` wrote it"));
        }
        Ok(Some(stored))
    }

    /// Takes the place of the checkpoint file in one step. Durable on return.
    pub(crate) fn save(&self, names: &Names, directory: &File) -> Result<()> {
        let (next, path) = (names.next_checkpoint(), names.checkpoint());
        let mut bytes = serde_json::to_vec(self)
            .map_err(|error| error::file("encode", &path, io::Error::other(error)))?;
        bytes.push(b'\n');
        let written = File::create(&next).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()
        });
        written.map_err(|error| error::file("write", &next, error))?;
        fs::rename(&next, &path).map_err(|error| error::file("replace", &path, error))?;
        directory.sync_all().map_err(|error| error::file("sync", &names.directory, error))
    }

    /// Refuses the checkpoint of another pipeline or sink.
    pub(crate) fn verify_owner(
        &self,
        names: &Names,
        pipeline_id: &str,
        sink_id: &str,
    ) -> Result<()> {
        if self.pipeline_id == pipeline_id && self.sink_id == sink_id {
            return Ok(());
        }
        let owner =
            format!("it belongs to sink `{}` of pipeline `{}`", self.sink_id, self.pipeline_id);
        Err(error::foreign(&names.path, owner, "give this sink another `file.path`"))
    }
}

fn damaged(path: &Path, what: &str) -> cdc_core::Error {
    error::foreign(
        path,
        what,
        "restore the file from a copy; or move it and the data files away: delivery then starts over",
    )
}
