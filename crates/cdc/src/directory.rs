//! The folder in which a pipeline keeps its log and state, and who is at work there.

use crate::failure::{Failure, Outcome};
use rustix::{
    fs::{Access, FlockOperation, access, flock},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

/// The folder of one pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    root: PathBuf,
    /// May several processes run the pipeline at once? Log and state are elsewhere then.
    shared: bool,
}

/// Who is at work in a folder: what the file `lock` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// Its process.
    pub pid: u32,
    /// When it started, in milliseconds since 1970.
    pub started_at_ms: u64,
    /// Where it answers HTTP; `None` while it starts, or when it does not.
    pub http: Option<String>,
}

/// Held by the process that works in a folder; the operating system drops it with the process.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
    holder: Holder,
}

/// Whether somebody is at work in a folder.
#[derive(Debug)]
pub(crate) enum Use {
    /// Somebody else; what the file says may be missing for a moment.
    Taken(Option<Holder>),
    /// Now we are.
    Ours(Lock),
}

/// Whether a folder could be taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Nobody is at work there.
    Free,
    /// Somebody is.
    Taken(Option<Holder>),
}

impl Directory {
    /// The folder of a pipeline in the data directory.
    #[must_use]
    pub(crate) fn new(data_dir: &Path, pipeline_id: &str) -> Self {
        Self { root: data_dir.join(pipeline_id), shared: false }
    }

    /// The same for a pipeline whose log and state are elsewhere.
    #[must_use]
    pub(crate) fn shared(self) -> Self {
        Self { shared: true, ..self }
    }

    /// The folder itself.
    #[must_use]
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the log is.
    #[must_use]
    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Where the state is.
    #[must_use]
    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("state.redb")
    }

    /// Where the registry of an embedded pipeline is.
    #[must_use]
    pub(crate) fn registry(&self) -> PathBuf {
        self.root.join("registry.redb")
    }

    /// The folder of one of several processes that run a pipeline from here.
    fn of_process(&self, pid: u32) -> Self {
        Self { root: self.processes().join(pid.to_string()), shared: false }
    }

    /// May several processes run the pipeline at once?
    #[must_use]
    pub(crate) fn is_shared(&self) -> bool {
        self.shared
    }

    fn processes(&self) -> PathBuf {
        self.root.join("processes")
    }

    /// The first of several processes that run the pipeline from here, and one that answers HTTP before
    /// others. What is left of those that were killed is removed.
    fn running(&self) -> Option<Holder> {
        let mut running = Vec::new();
        for folder in fs::read_dir(self.processes()).ok()?.flatten() {
            let process = Self { root: folder.path(), shared: false };
            match process.probe() {
                Ok(Probe::Taken(holder)) => running.extend(holder),
                // Nobody is told: it is only litter.
                Ok(Probe::Free) => drop(fs::remove_dir_all(&process.root)),
                Err(_) => {}
            }
        }
        running.into_iter().min_by_key(|holder| (holder.http.is_none(), holder.started_at_ms))
    }

    fn lock_file(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Has a pipeline ever run here?
    pub(crate) fn exists(&self) -> bool {
        self.shared || self.state().exists()
    }

    /// Makes the folder ours, or says who has it. Where several may work, each has a folder in it.
    pub(crate) fn lock(&self, now_ms: u64) -> Outcome<Lock> {
        if self.shared {
            return self.of_process(std::process::id()).lock(now_ms);
        }
        match self.take(now_ms)? {
            Use::Ours(lock) => Ok(lock),
            Use::Taken(holder) => Err(taken(&self.root, holder.as_ref())),
        }
    }

    /// Would the folder be ours for the taking? Changes nothing.
    pub(crate) fn probe(&self) -> Outcome<Probe> {
        if self.shared {
            return Ok(match self.running() {
                Some(holder) => Probe::Taken(Some(holder)),
                None => Probe::Free,
            });
        }
        let path = self.lock_file();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let existing = self.root.ancestors().find(|folder| folder.exists());
                let folder = existing.unwrap_or(Path::new("."));
                return match access(folder, Access::WRITE_OK) {
                    Ok(()) => Ok(Probe::Free),
                    Err(errno) => Err(unusable(&self.root, errno.into())),
                };
            }
            Err(error) => return Err(unusable(&self.root, error)),
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(Probe::Free),
            Err(Errno::WOULDBLOCK) => Ok(Probe::Taken(read_holder(&path))),
            Err(errno) => Err(unusable(&self.root, errno.into())),
        }
    }

    /// Makes the folder ours unless somebody is at work there.
    pub(crate) fn take(&self, now_ms: u64) -> Outcome<Use> {
        let failed = |error| unusable(&self.root, error);
        fs::create_dir_all(&self.root).map_err(failed)?;
        let path = self.lock_file();
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(Use::Taken(read_holder(&path))),
            Err(errno) => return Err(failed(errno.into())),
        }
        let holder = Holder { pid: std::process::id(), started_at_ms: now_ms, http: None };
        let lock = Lock { file, path, holder };
        lock.write();
        Ok(Use::Ours(lock))
    }

    /// Deletes the log and the state. Only who holds the lock may.
    pub(crate) fn remove(&self, lock: Lock) -> Outcome {
        let removed = fs::remove_dir_all(&self.root);
        drop(lock);
        removed.map_err(|error| {
            let context = format!("{} cannot be deleted", self.root.display());
            Failure::file("CDC-0121", context, "delete it by hand", error)
        })
    }
}

impl Lock {
    /// Tells others where this process answers HTTP.
    pub(crate) fn announce(&mut self, http: String) {
        self.holder.http = Some(http);
        self.write();
    }

    /// Written for others to read, so a full disk must not keep a pipeline from running.
    fn write(&self) {
        let text = serde_json::to_string(&self.holder).unwrap_or_default();
        let written =
            self.file.set_len(0).and_then(|()| self.file.write_all_at(text.as_bytes(), 0));
        if let Err(error) = written {
            tracing::debug!(%error, path = %self.path.display(), "the lock file tells nothing");
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = self.file.set_len(0) {
            tracing::debug!(%error, path = %self.path.display(), "the lock file tells old news");
        }
    }
}

/// Reads who holds a lock. The file may be between two states for a moment.
fn read_holder(path: &Path) -> Option<Holder> {
    const TRIES: u32 = 5;
    (0..TRIES).find_map(|_| {
        let holder = serde_json::from_str(&fs::read_to_string(path).ok()?).ok();
        if holder.is_none() {
            std::thread::yield_now();
        }
        holder
    })
}

fn unusable(root: &Path, error: io::Error) -> Failure {
    let context = format!("the data directory {} cannot be used", root.display());
    let remedy = "give a directory that this user may write to: --data-dir DIR, or embedded.data_dir \
                  in the platform file";
    Failure::file("CDC-0121", context, remedy, error)
}

fn taken(root: &Path, holder: Option<&Holder>) -> Failure {
    let who = holder.map_or("another process".to_owned(), |holder| {
        format!("process {} (running since {})", holder.pid, crate::when::utc(holder.started_at_ms))
    });
    let context = format!("the pipeline in {} is in use by {who}", root.display());
    let remedy = match holder {
        Some(holder) => format!(
            "stop it first (kill {}), or give this pipeline another pipeline_id or --data-dir",
            holder.pid
        ),
        None => "stop it first, or give this pipeline another pipeline_id or --data-dir".to_owned(),
    };
    Failure::new("CDC-0120", context, &remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_learns_who_was_first() {
        let temp = tempfile::tempdir().expect("a folder");
        let directory = Directory::new(temp.path(), "shop");
        let mut lock = directory.lock(1_700_000_000_000).expect("free");
        lock.announce("127.0.0.1:8080".to_owned());
        let Use::Taken(Some(holder)) = directory.take(0).expect("readable") else {
            panic!("not taken")
        };
        assert_eq!(holder.pid, std::process::id());
        assert_eq!(holder.http.as_deref(), Some("127.0.0.1:8080"));
        let failure = directory.lock(0).expect_err("taken");
        assert_eq!(failure.exit_code(), 1);
        let text = failure.to_string();
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        assert!(text.contains("2023-11-14 22:13:20"), "{text}");
        drop(lock);
        assert!(directory.lock(0).is_ok());
    }

    #[test]
    fn several_processes_note_where_they_answer() {
        let temp = tempfile::tempdir().expect("a folder");
        let directory = Directory::new(temp.path(), "shop").shared();
        assert_eq!(directory.probe().expect("readable"), Probe::Free);
        let silent = directory.of_process(1).lock(1).expect("free");
        let mut two = directory.of_process(2).lock(10).expect("free");
        two.announce("127.0.0.1:2".to_owned());
        let mut three = directory.of_process(3).lock(5).expect("free");
        three.announce("127.0.0.1:3".to_owned());
        let at = || match directory.probe().expect("readable") {
            Probe::Taken(holder) => holder.expect("known").http.expect("answers"),
            Probe::Free => panic!("nobody"),
        };
        assert_eq!(at(), "127.0.0.1:3");
        drop(three);
        assert_eq!(at(), "127.0.0.1:2");
        assert!(!directory.of_process(3).root().exists(), "what is left of it is removed");
        drop((silent, two));
        assert_eq!(directory.probe().expect("readable"), Probe::Free);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let temp = tempfile::tempdir().expect("a folder");
        let file = temp.path().join("file");
        fs::write(&file, "").expect("written");
        let failure = Directory::new(&file, "shop").lock(0).expect_err("not a folder");
        assert!(failure.to_string().contains("CDC-0121"), "{failure}");
    }
}
