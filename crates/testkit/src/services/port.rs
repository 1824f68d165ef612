//! Free TCP ports, reserved against other test processes on the machine.

use std::fs::{File, OpenOptions, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rand::Rng as _;
use rustix::fs::{FlockOperation, flock};

// Below the range from which the kernel hands out ports for outgoing connections.
const FIRST: u16 = 20_000;
const LAST: u16 = 31_999;

/// A port that no other test process takes while this value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    lock: File,
}

const DIRECTORY: &str = "/tmp/cdc-test-ports";

impl Port {
    /// Reserves a free port on the loopback interface.
    ///
    /// # Errors
    /// When the lock directory cannot be used or no port is free.
    pub fn reserve() -> anyhow::Result<Self> {
        let span = LAST - FIRST + 1;
        let start = rand::rng().random_range(0..span);
        for step in 0..span {
            let number = FIRST + (start + step) % span;
            if let Some(lock) = lock(number)?
                && TcpListener::bind(("127.0.0.1", number)).is_ok()
            {
                return Ok(Self { number, lock });
            }
        }
        anyhow::bail!("no port between {FIRST} and {LAST} is free")
    }

    /// The port number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // The file goes while it is locked; who opened it meanwhile notices below.
        std::fs::remove_file(path(self.number)).ok();
        flock(&self.lock, FlockOperation::Unlock).ok();
        // Fails while other ports are reserved, as it should.
        std::fs::remove_dir(DIRECTORY).ok();
    }
}

fn path(number: u16) -> PathBuf {
    Path::new(DIRECTORY).join(number.to_string())
}

/// The lock of a port, when nobody else has it.
fn lock(number: u16) -> anyhow::Result<Option<File>> {
    std::fs::create_dir_all(DIRECTORY).context("create the directory of port locks")?;
    // Another user's directory has these permissions already, and refuses the change.
    std::fs::set_permissions(DIRECTORY, Permissions::from_mode(0o777)).ok();
    let path = path(number);
    let Ok(file) = OpenOptions::new().create(true).append(true).open(&path) else {
        return Ok(None);
    };
    let locked = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
    let same = std::fs::metadata(&path)
        .is_ok_and(|at_path| file.metadata().is_ok_and(|opened| opened.ino() == at_path.ino()));
    Ok((locked && same).then_some(file))
}
