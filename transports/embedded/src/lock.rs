//! One writer a log: a lock that the kernel drops with the process.

use crate::error;
use cdc_core::Result;
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::Path,
};

const FILE_NAME: &str = "lock";

/// Held as long as the log is open for writing.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    /// Closing the file is not enough: a child process that is being started may hold it still.
    fn drop(&mut self) {
        if let Err(error) = flock(&self.0, FlockOperation::Unlock) {
            tracing::debug!(error = %error, "cannot unlock the log");
        }
    }
}

/// Takes the lock or says who has it.
pub(crate) fn acquire(dir: &Path) -> Result<Lock> {
    let path = dir.join(FILE_NAME);
    let failed = |error: io::Error| error::file("lock", &path, error);
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(&path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(error::locked(dir, &holder(&path))),
        Err(errno) => return Err(failed(errno.into())),
    }
    // Written for people only, so a full disk must not keep the log from opening.
    let text = format!("{}\n", std::process::id());
    if let Err(error) = file.set_len(0).and_then(|()| file.write_all_at(text.as_bytes(), 0)) {
        tracing::debug!(error = %error, "the lock file does not name its holder");
    }
    Ok(Lock(file))
}

fn holder(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    match text.trim().parse::<u32>() {
        Ok(pid) if pid == std::process::id() => "this process".to_owned(),
        Ok(pid) => format!("process {pid}"),
        Err(_) => "another process".to_owned(),
    }
}
