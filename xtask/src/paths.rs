//! Where the workspace and its build results lie.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Directory of the workspace's `Cargo.toml`.
pub(crate) fn workspace() -> PathBuf {
    // Cargo tells where we run from; two checkouts may share one directory of build results.
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let xtask = xtask.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    xtask.parent().map_or_else(|| xtask.clone(), Path::to_path_buf)
}

/// A command of the cargo that runs us, in the workspace.
pub(crate) fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace());
    command
}

/// What `cargo metadata` says about the workspace's own packages.
pub(crate) fn metadata() -> anyhow::Result<serde_json::Value> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .context("run cargo metadata")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo metadata: {}", said.trim());
    serde_json::from_slice(&output.stdout).context("read what cargo metadata wrote")
}

/// The `cdc` binary of a profile, built now if it is not up to date; `CDC_BIN` names another.
pub(crate) fn build_cdc(profile: &str) -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("CDC_BIN") {
        return Ok(PathBuf::from(named));
    }
    let status = cargo()
        .args(["build", "--package", "cdc", "--bin", "cdc", "--profile", profile])
        .status()
        .context("run cargo build")?;
    ensure!(status.success(), "cdc does not build");
    let metadata = metadata()?;
    let target = metadata
        .get("target_directory")
        .and_then(serde_json::Value::as_str)
        .context("cargo metadata names the target directory")?;
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(Path::new(target).join(folder).join("cdc"))
}
