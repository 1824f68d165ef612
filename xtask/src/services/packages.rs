//! The distribution's packages and Python's, by their ordinary clients.
#![expect(clippy::print_stdout, reason = "the output of a command")]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

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
