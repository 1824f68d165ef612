//! Free TCP ports, reserved against other test processes on the machine.

use std::fs::{File, OpenOptions, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

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
    _lock: File,
}

impl Port {
    /// Reserves a free port on the loopback interface.
    ///
    /// # Errors
    /// When the lock directory cannot be used or no port is free.
    pub fn reserve() -> anyhow::Result<Self> {
        let directory = std::path::Path::new("/tmp/cdc-test-ports");
        std::fs::create_dir_all(directory).context("create the directory of port locks")?;
        // Another user's directory has these permissions already, and refuses the change.
        drop(std::fs::set_permissions(directory, Permissions::from_mode(0o777)));
        let span = LAST - FIRST + 1;
        let start = rand::rng().random_range(0..span);
        for step in 0..span {
            let number = FIRST + (start + step) % span;
            let path = directory.join(number.to_string());
            let Ok(lock) = OpenOptions::new().create(true).append(true).open(&path) else {
                continue;
            };
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
                && TcpListener::bind(("127.0.0.1", number)).is_ok()
            {
                return Ok(Self { number, _lock: lock });
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
