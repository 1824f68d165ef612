//! The unprivileged system account that servers run as when the tests run as root.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

const NAME: &str = "cdc-test";

/// Who a server runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// The user who runs the tests.
    Ourselves,
    /// The system account made for tests, because servers refuse to run as root.
    System {
        /// User number.
        uid: u32,
        /// Group number.
        gid: u32,
    },
}

impl Account {
    /// The account for servers here; makes the system account when it is needed and absent.
    ///
    /// # Errors
    /// When the account cannot be created.
    pub fn for_servers() -> anyhow::Result<Self> {
        if !rustix::process::getuid().is_root() {
            return Ok(Self::Ourselves);
        }
        if let Some(found) = lookup()? {
            return Ok(found);
        }
        let output = Command::new("useradd")
            .args(["--system", "--user-group", "--no-create-home"])
            .args(["--shell", "/usr/sbin/nologin", NAME])
            .output()
            .context("run useradd")?;
        // Another test process may have made the account a moment ago.
        lookup()?.with_context(|| {
            format!("useradd {NAME}: {}", String::from_utf8_lossy(&output.stderr).trim())
        })
    }

    /// Makes `command` run as this account.
    pub fn apply(self, command: &mut Command) {
        if let Self::System { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
    }

    /// Gives a file or directory to this account.
    ///
    /// # Errors
    /// When the owner cannot be changed.
    pub fn own(self, path: &Path) -> anyhow::Result<()> {
        if let Self::System { uid, gid } = self {
            std::os::unix::fs::chown(path, Some(uid), Some(gid))
                .with_context(|| format!("give {} to {NAME}", path.display()))?;
        }
        Ok(())
    }
}

fn lookup() -> anyhow::Result<Option<Account>> {
    let passwd = std::fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
    let Some(line) = passwd.lines().find(|line| line.split(':').next() == Some(NAME)) else {
        return Ok(None);
    };
    let mut numbers = line.split(':').skip(2).map(str::parse::<u32>);
    let (Some(Ok(uid)), Some(Ok(gid))) = (numbers.next(), numbers.next()) else {
        anyhow::bail!("/etc/passwd has no numbers for {NAME}");
    };
    ensure!(uid != 0, "{NAME} must not be root");
    Ok(Some(Account::System { uid, gid }))
}
