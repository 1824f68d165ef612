//! The broker of Apache Kafka and other parts of it, from Maven Central by Maven.
#![expect(clippy::print_stdout, reason = "the output of a command")]

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use cdc_testkit::services::installed::{KAFKA_VERSION, cache_directory, kafka, kafka_home};

use super::packages::{fetched_into, runs, succeed};

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
    fetched_into(&kafka_home(), |libraries| copy(&["kafka_2.13"], libraries))?;
    kafka().map(drop)
}

/// Copies parts of Apache Kafka with all that they need to a folder that is not there yet.
///
/// # Errors
/// When Maven or Maven Central cannot be had.
pub(super) fn copy(artifacts: &[&str], to: &Path) -> anyhow::Result<()> {
    let work = tempfile::tempdir_in(cache_directory()).context("create a directory to work in")?;
    std::fs::write(work.path().join("pom.xml"), project(artifacts)).context("write pom.xml")?;
    succeed(
        Command::new("mvn")
            .args(["--quiet", "--batch-mode", "dependency:copy-dependencies"])
            .arg("-DincludeScope=runtime")
            .arg(format!("-DoutputDirectory={}", to.display()))
            .arg(format!("-Dmaven.repo.local={}", work.path().join("repository").display()))
            .current_dir(work.path()),
    )
    .context("Maven is needed: apt-get install maven")
}

fn project(artifacts: &[&str]) -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>"
        )
    };
    let parts = artifacts.iter().map(|name| dependency("org.apache.kafka", name, KAFKA_VERSION));
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>cdc</groupId><artifactId>libraries</artifactId><version>1</version>\
         <packaging>pom</packaging><dependencies>{}{}</dependencies></project>",
        parts.collect::<String>(),
        dependency("org.apache.logging.log4j", "log4j-slf4j-impl", LOG4J_VERSION),
    )
}
