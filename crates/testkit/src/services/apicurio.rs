//! The registry Apicurio, a process with everything in its memory.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::installed::{cache_directory, java};
use super::port::Port;
use super::tied::Tied;

/// The newest release that runs on Java 17.
pub const VERSION: &str = "3.0.9";

const START_WAIT_MAX: Duration = Duration::from_secs(180);

/// Where it lies, or will.
#[must_use]
pub fn directory() -> PathBuf {
    cache_directory().join(format!("apicurio-{VERSION}"))
}

/// The program.
#[must_use]
pub fn program() -> PathBuf {
    directory().join(format!("apicurio-registry-app-{VERSION}-runner.jar"))
}

/// Why it cannot be used here.
pub(super) fn missing() -> Option<String> {
    if let Err(error) = java() {
        return Some(format!("{error:#}"));
    }
    let absent = !program().exists();
    absent.then(|| format!("Apicurio Registry {VERSION} is not installed: cargo xtask services"))
}

/// The running server; dropping it stops it.
#[derive(Debug)]
pub struct Apicurio {
    port: Port,
    _server: Tied,
}

impl Apicurio {
    /// Starts a server with nothing in it and waits until it answers.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn start() -> anyhow::Result<Self> {
        if let Some(reason) = missing() {
            bail!(reason);
        }
        let port = Port::reserve()?;
        let directory = tempfile::Builder::new()
            .prefix("cdc-test-apicurio-")
            .tempdir_in("/tmp")
            .context("create the registry's directory")?;
        let number = port.number();
        let options = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
        let mut command = vec!["java".to_owned()];
        command.extend(options.map(str::to_owned));
        command.push("-Dquarkus.http.host=127.0.0.1".to_owned());
        command.push(format!("-Dquarkus.http.port={number}"));
        command.extend(["-jar".to_owned(), program().display().to_string()]);
        let server = Tied::start(directory, command)?;
        server
            .wait_until(START_WAIT_MAX, "Error running Quarkus", || answers(number))
            .context("start Apicurio")?;
        Ok(Self { port, _server: server })
    }

    /// Where Confluent's API begins.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.port.number())
    }
}

fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let request = "GET /apis/ccompat/v7/subjects HTTP/1.1\r\nHost: localhost\r\n\
                       Connection: close\r\n\r\n";
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
