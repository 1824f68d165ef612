//! What the schema registry is compared with: Confluent's client for Python and Apicurio.
#![expect(clippy::print_stdout, reason = "the output of a command")]

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use cdc_testkit::services::{apicurio, confluent, installed::cache_directory};

use super::packages::{apt_install, has_pip, runs, succeed};

/// One installation: its name, and what does it where it is missing.
type Installation = (&'static str, fn() -> anyhow::Result<()>);

/// What is installed.
pub(super) const ALL: [Installation; 2] =
    [("confluent-kafka for Python", confluent_kafka), ("Apicurio Registry", apicurio_registry)];

/// Of the archive below, as it was when it was chosen.
const APICURIO_SHA256: &str = "2b28181501a20cbf6efcd77f9b7153908fc01f3d3a7c32024c0bd9e1b04c8a43";

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
        succeed(Command::new("python3").args(["-c", FETCH, &url, APICURIO_SHA256]).arg(unpacked))
            .context("from Maven Central")
    })
}

/// Fills a folder elsewhere and renames it: a folder with this name is complete.
fn fetched_into(home: &Path, fill: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
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
