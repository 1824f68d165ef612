//! Which server binaries this machine has, and where.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// The release of Apache Kafka that the suites run against.
pub const KAFKA_VERSION: &str = "4.3.1";
// The oldest Java that runs it.
const JAVA_MIN: u32 = 17;

/// One installed PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// Directory of the programs.
    pub bin: PathBuf,
    /// Directory of its own libraries, when it does not use the system's.
    pub lib: Option<PathBuf>,
}

impl Binaries {
    /// A command for one of the programs, in the environment that it needs.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.env("LC_ALL", "C.UTF-8").current_dir("/");
        if let Some(lib) = &self.lib {
            command.env("LD_LIBRARY_PATH", lib);
        }
        command
    }
}

/// The folder that `cargo xtask services` fills.
///
/// Servers run as an unprivileged account when we are root, which cannot read root's home.
#[must_use]
pub fn cache_directory() -> PathBuf {
    if let Some(named) = std::env::var_os("CDC_SERVICES_DIR") {
        return PathBuf::from(named);
    }
    if rustix::process::getuid().is_root() {
        return PathBuf::from("/var/cache/cdc/services");
    }
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    home.join(".cache/cdc/services")
}

/// The binaries of one PostgreSQL major.
///
/// # Errors
/// When this machine has none, with what to do about it.
pub fn postgres(major: u16) -> anyhow::Result<Binaries> {
    let packaged = PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"));
    if packaged.join("postgres").exists() {
        return Ok(Binaries { bin: packaged, lib: None });
    }
    fetched(&cache_directory(), major)
        .or_else(|| on_path(major))
        .with_context(|| format!("PostgreSQL {major} is not installed: cargo xtask services"))
}

fn fetched(cache: &Path, major: u16) -> Option<Binaries> {
    let prefix = format!("postgres-{major}.");
    let mut roots: Vec<PathBuf> = std::fs::read_dir(cache)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
                && path.join("bin/postgres").exists()
        })
        .collect();
    roots.sort();
    let root = roots.pop()?;
    Some(Binaries { bin: root.join("bin"), lib: Some(root.join("lib")) })
}

fn on_path(major: u16) -> Option<Binaries> {
    let said = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().ok()?;
        String::from_utf8(output.stdout).ok()
    };
    let version = said("pg_config", "--version")?;
    let number = version.split_whitespace().nth(1)?.split('.').next()?;
    let bin = PathBuf::from(said("pg_config", "--bindir")?.trim());
    (number == major.to_string() && bin.join("postgres").exists())
        .then_some(Binaries { bin, lib: None })
}

/// The folder that holds the broker of Apache Kafka, whether it is there or not.
#[must_use]
pub fn kafka_home() -> PathBuf {
    cache_directory().join(format!("kafka-{KAFKA_VERSION}"))
}

/// The class path of an Apache Kafka broker.
///
/// # Errors
/// When this machine lacks it or a Java that runs it, with what to do about it.
pub fn kafka() -> anyhow::Result<String> {
    let home = kafka_home();
    let broker = home.join(format!("kafka_2.13-{KAFKA_VERSION}.jar"));
    ensure!(broker.exists(), "Apache Kafka {KAFKA_VERSION} is not installed: cargo xtask services");
    java()?;
    Ok(format!("{}/*", home.display()))
}

/// A Java that runs it is here.
pub(super) fn java() -> anyhow::Result<()> {
    let major =
        java_major().context("Java is not installed: apt-get install default-jre-headless")?;
    ensure!(major >= JAVA_MIN, "Apache Kafka needs Java {JAVA_MIN}, and this is Java {major}");
    Ok(())
}

fn java_major() -> Option<u32> {
    let output = Command::new("java").arg("-version").output().ok()?;
    let said = String::from_utf8(output.stderr).ok()?;
    // openjdk version "17.0.15" 2025-04-15
    said.split('"').nth(1)?.split('.').next()?.parse().ok()
}
