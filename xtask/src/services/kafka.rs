//! The broker of Apache Kafka, from Maven Central by Maven.
#![expect(clippy::print_stdout, reason = "the output of a command")]

use std::process::Command;

use anyhow::{Context as _, ensure};
use cdc_testkit::services::installed::{KAFKA_VERSION, cache_directory, kafka, kafka_home};

use super::packages::{runs, succeed};

// What the broker logs with; its own dependencies do not hold a back end.
const LOG4J_VERSION: &str = "2.25.3";

/// The packages of the distribution that are missing for it.
pub(super) fn packages() -> Vec<&'static str> {
    let wanted = [("java", "-version", "default-jre-headless"), ("mvn", "--version", "maven")];
    wanted
        .into_iter()
        .filter(|(program, argument, _)| !runs(Command::new(program).arg(argument)))
        .map(|(_, _, package)| package)
        .collect()
}

/// Downloads the broker if it is not there.
///
/// # Errors
/// When Maven or Maven Central cannot be had.
pub(super) fn install() -> anyhow::Result<()> {
    if kafka().is_ok() {
        return Ok(());
    }
    println!("Apache Kafka {KAFKA_VERSION}: installing (44 MB)");
    let cache = cache_directory();
    std::fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
    let work = tempfile::tempdir_in(&cache).context("create a directory to download to")?;
    std::fs::write(work.path().join("pom.xml"), project()).context("write pom.xml")?;
    let libraries = work.path().join("libraries");
    succeed(
        Command::new("mvn")
            .args(["--quiet", "--batch-mode", "dependency:copy-dependencies"])
            .arg("-DincludeScope=runtime")
            .arg(format!("-DoutputDirectory={}", libraries.display()))
            .arg(format!("-Dmaven.repo.local={}", work.path().join("repository").display()))
            .current_dir(work.path()),
    )
    .context("Maven is needed: apt-get install maven")?;
    // The rename is the stamp: a folder with this name is complete.
    let renamed = std::fs::rename(&libraries, kafka_home());
    ensure!(renamed.is_ok() || kafka().is_ok(), "{}: {renamed:?}", kafka_home().display());
    kafka().map(drop)
}

fn project() -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>"
        )
    };
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>cdc</groupId><artifactId>broker</artifactId><version>1</version>\
         <packaging>pom</packaging><dependencies>{}{}</dependencies></project>",
        dependency("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
        dependency("org.apache.logging.log4j", "log4j-slf4j-impl", LOG4J_VERSION),
    )
}
