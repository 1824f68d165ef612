//! What the schema registry is compared with: Confluent's client for Python and Apicurio.
#![expect(clippy::print_stdout, reason = "the output of a command")]

use std::process::Command;

use anyhow::{Context as _, ensure};
use cdc_testkit::services::{apicurio, confluent};

use super::packages::{apt_install, fetch_archive, fetched_into, has_pip, runs, succeed};

/// One installation: its name, and what does it where it is missing.
pub(super) type Installation = (&'static str, fn() -> anyhow::Result<()>);

/// What is installed.
pub(super) const ALL: [Installation; 2] =
    [("confluent-kafka for Python", confluent_kafka), ("Apicurio Registry", apicurio_registry)];

/// Of the archive below, as it was when it was chosen.
const APICURIO_SHA256: &str = "2b28181501a20cbf6efcd77f9b7153908fc01f3d3a7c32024c0bd9e1b04c8a43";

fn confluent_kafka() -> anyhow::Result<()> {
    let home = confluent::directory();
    if home.exists() {
        return Ok(());
    }
    ensure!(
        has_pip() || apt_install(&["python3-pip"]),
        "pip is missing: apt-get install python3-pip"
    );
    let version = confluent::VERSION;
    println!("confluent-kafka {version} for Python: installing");
    fetched_into(&home, |unpacked| {
        succeed(
            Command::new("python3")
                .args(["-m", "pip", "install", "--quiet", "--no-cache-dir", "--no-compile"])
                .args(["--disable-pip-version-check", "--only-binary=:all:", "--target"])
                .arg(unpacked)
                .arg(format!("confluent-kafka[avro,json,protobuf]=={version}")),
        )
    })
}

fn apicurio_registry() -> anyhow::Result<()> {
    if !runs(Command::new("java").arg("-version")) {
        ensure!(
            apt_install(&["default-jre-headless"]),
            "Apicurio needs Java from 17 on: apt-get install default-jre-headless"
        );
    }
    if apicurio::program().exists() {
        return Ok(());
    }
    let version = apicurio::VERSION;
    println!("Apicurio Registry {version}: installing (109 MB)");
    let url = format!(
        "https://repo1.maven.org/maven2/io/apicurio/apicurio-registry-app/{version}/\
         apicurio-registry-app-{version}-all.tar.gz"
    );
    fetched_into(&apicurio::directory(), |unpacked| {
        fetch_archive(&url, APICURIO_SHA256, unpacked).context("from Maven Central")
    })
}
