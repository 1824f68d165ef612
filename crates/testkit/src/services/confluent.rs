//! Confluent's own client for Python, as `cargo xtask services` installs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;

use super::installed::cache_directory;

/// The release of `confluent-kafka`.
pub const VERSION: &str = "2.16.0";

/// Where its packages lie, or will.
#[must_use]
pub fn directory() -> PathBuf {
    cache_directory().join(format!("confluent-kafka-{VERSION}"))
}

/// A command that runs a Python script which may import the client.
///
/// # Errors
/// When it is not installed, with what to do about it.
pub fn python(script: &Path) -> anyhow::Result<Command> {
    let packages = directory();
    ensure!(
        packages.join("confluent_kafka/schema_registry").exists(),
        "confluent-kafka {VERSION} for Python is not installed: cargo xtask services"
    );
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1").arg(script);
    Ok(command)
}

/// Why it cannot be used here.
pub(super) fn missing() -> Option<String> {
    python(Path::new("")).err().map(|error| format!("{error:#}"))
}
