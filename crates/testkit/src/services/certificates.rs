//! A certificate authority with one server and one client certificate, made for one test.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Where the files of a freshly made authority lie.
#[derive(Clone, Debug)]
pub struct Certificates {
    directory: PathBuf,
}

impl Certificates {
    /// Makes an authority, a certificate for `localhost` and 127.0.0.1 and one for `client`.
    ///
    /// # Errors
    /// When `openssl` is missing or refuses.
    pub fn create(directory: &Path, client: &str) -> anyhow::Result<Self> {
        let directory = directory.to_path_buf();
        let made = Self { directory };
        made.authority()?;
        made.issue("server", "localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1")?;
        made.issue("client", client, "extendedKeyUsage=clientAuth")?;
        Ok(made)
    }

    /// Certificate of the authority.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    /// Certificate of the server.
    #[must_use]
    pub fn server_cert(&self) -> PathBuf {
        self.directory.join("server.crt")
    }

    /// Key of the server.
    #[must_use]
    pub fn server_key(&self) -> PathBuf {
        self.directory.join("server.key")
    }

    /// Certificate of the client.
    #[must_use]
    pub fn client_cert(&self) -> PathBuf {
        self.directory.join("client.crt")
    }

    /// Key of the client.
    #[must_use]
    pub fn client_key(&self) -> PathBuf {
        self.directory.join("client.key")
    }

    fn authority(&self) -> anyhow::Result<()> {
        self.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
             -subj /CN=cdc-test-authority -keyout ca.key -out ca.crt \
             -addext basicConstraints=critical,CA:TRUE \
             -addext keyUsage=critical,keyCertSign,cRLSign",
        )
    }

    fn issue(&self, file: &str, name: &str, extension: &str) -> anyhow::Result<()> {
        let extensions = self.directory.join(format!("{file}.ext"));
        std::fs::write(&extensions, format!("basicConstraints=CA:FALSE\n{extension}\n"))
            .context("write the certificate extensions")?;
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} \
             -keyout {file}.key -out {file}.csr"
        ))?;
        self.openssl(&format!(
            "x509 -req -in {file}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 \
             -out {file}.crt -extfile {file}.ext"
        ))
    }

    fn openssl(&self, arguments: &str) -> anyhow::Result<()> {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(&self.directory)
            .output()
            .context("run openssl")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "openssl {arguments}: {}", said.trim());
        Ok(())
    }
}

/// Why certificates cannot be made here.
pub(super) fn missing() -> Option<String> {
    let found = Command::new("openssl").arg("version").output();
    (!found.is_ok_and(|output| output.status.success()))
        .then(|| "openssl is not installed: apt-get install openssl".to_owned())
}
