//! A throwaway PostgreSQL: starts in under a second, dies with the test process.

mod cluster;
mod process;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context as _, anyhow};

use self::process::Process;
use super::account::Account;
use super::certificates::Certificates;
use super::installed::{self, Binaries};
use super::port::Port;
use super::skip::{POSTGRES_MAJORS, skip};
use super::watchdog::{Leftovers, Watchdog};

const SUPERUSER: &str = "postgres";
const PASSWORD: &str = "correct-horse-battery";
const CERTIFICATE_USER: &str = "cdc_cert";
const LEFTOVERS: Leftovers<'_> = Leftovers { signal: "QUIT", pid_files: "data/postmaster.pid" };

/// What kind of server to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Major version.
    pub major: u16,
    /// Offer TLS, with certificates made for this server.
    pub tls: bool,
    /// Write through to the disk; needed only where the machine's crash is part of the test.
    pub fsync: bool,
    /// Lines of `postgresql.conf` that come last and so win.
    pub settings: Vec<(&'static str, &'static str)>,
}

impl Default for Options {
    fn default() -> Self {
        Self { major: 15, tls: true, fsync: false, settings: Vec::new() }
    }
}

/// A running PostgreSQL with `wal_level=logical`; dropping it stops it and deletes its data.
#[derive(Debug)]
pub struct Postgres {
    binaries: Binaries,
    account: Account,
    root: PathBuf,
    certificates: Option<Certificates>,
    port: Port,
    process: Mutex<Option<Process>>,
    watchdog: Mutex<Watchdog>,
    databases: AtomicU32,
}

impl Postgres {
    /// Starts a server and waits until it answers.
    ///
    /// # Errors
    /// When the version is not installed or the server does not start; holds the server's log.
    pub fn start(options: Options) -> anyhow::Result<Self> {
        let binaries = installed::postgres(options.major)?;
        let account = Account::for_servers()?;
        let port = Port::reserve()?;
        let root = tempfile::Builder::new()
            .prefix("cdc-test-postgres-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir_in("/tmp")
            .context("create the server's directory")?
            .keep();
        let watchdog = Mutex::new(Watchdog::over(&root, LEFTOVERS)?);
        let certificates = cluster::create(&root, &binaries, account, port.number(), &options)?;
        let server = Self {
            binaries,
            account,
            root,
            certificates,
            port,
            process: Mutex::new(None),
            watchdog,
            databases: AtomicU32::new(0),
        };
        server.start_again()?;
        Ok(server)
    }

    /// Starts a physical standby of a running server: a copy that follows it. `settings` are lines of
    /// `postgresql.conf` that come last; a `primary_slot_name` must exist on the primary.
    ///
    /// # Errors
    /// When the server cannot be copied or the copy does not start; holds the standby's log.
    pub fn standby_of(primary: &Self, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let (binaries, account) = (primary.binaries.clone(), primary.account);
        let port = Port::reserve()?;
        let root = tempfile::Builder::new()
            .prefix("cdc-test-postgres-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir_in("/tmp")
            .context("create the standby's directory")?
            .keep();
        let watchdog = Mutex::new(Watchdog::over(&root, LEFTOVERS)?);
        let from = (primary.host(), primary.port());
        cluster::copy(&root, (&binaries, account), from, port.number(), settings)?;
        let server = Self {
            binaries,
            account,
            root,
            certificates: None,
            port,
            process: Mutex::new(None),
            watchdog,
            databases: AtomicU32::new(0),
        };
        server.start_again()?;
        Ok(server)
    }

    /// The server of this major that the whole test process shares.
    ///
    /// # Errors
    /// When it could not be started, each time with the first reason.
    pub fn shared(major: u16) -> anyhow::Result<&'static Self> {
        static SERVERS: [OnceLock<Result<Postgres, String>>; 32] = [const { OnceLock::new() }; 32];
        SERVERS
            .get(usize::from(major))
            .context("no such PostgreSQL major")?
            .get_or_init(|| {
                Self::start(Options { major, ..Options::default() })
                    .map_err(|error| format!("{error:#}"))
            })
            .as_ref()
            .map_err(|reason| anyhow!("{reason}"))
    }

    /// The shared server, or `None` after saying that `suite` is skipped because it is missing.
    ///
    /// # Errors
    /// When the server is there but does not start, or is missing where it must not be.
    pub fn shared_or_skip(suite: &str, major: u16) -> anyhow::Result<Option<&'static Self>> {
        match Self::is_missing(major) {
            Some(reason) => skip(suite, &reason).map(|()| None),
            None => Self::shared(major).map(Some),
        }
    }

    /// Why a major cannot be started here.
    #[must_use]
    pub fn is_missing(major: u16) -> Option<String> {
        let server = installed::postgres(major).err().map(|error| format!("{error:#}"));
        server.or_else(super::certificates::missing)
    }

    /// The majors among those the suites ask for that can be started here.
    #[must_use]
    pub fn available() -> Vec<u16> {
        POSTGRES_MAJORS.into_iter().filter(|major| Self::is_missing(*major).is_none()).collect()
    }

    /// Where it listens.
    #[must_use]
    pub fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    /// The port on which it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Name of the superuser.
    #[must_use]
    pub fn superuser(&self) -> &'static str {
        SUPERUSER
    }

    /// Password of the superuser, asked for by SCRAM on every TCP connection.
    #[must_use]
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// The superuser that logs in over TLS by the client certificate and has no password.
    #[must_use]
    pub fn certificate_user(&self) -> &'static str {
        CERTIFICATE_USER
    }

    /// The authority that signed the server's certificate.
    ///
    /// # Panics
    /// When the server was started without TLS.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.certificates().ca()
    }

    /// Certificate of [`certificate_user`](Self::certificate_user).
    ///
    /// # Panics
    /// When the server was started without TLS.
    #[must_use]
    pub fn client_cert(&self) -> PathBuf {
        self.certificates().client_cert()
    }

    /// Key of [`certificate_user`](Self::certificate_user).
    ///
    /// # Panics
    /// When the server was started without TLS.
    #[must_use]
    pub fn client_key(&self) -> PathBuf {
        self.certificates().client_key()
    }

    /// The programs of this server's version.
    #[must_use]
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Directory of the server's data.
    #[must_use]
    pub fn data_directory(&self) -> PathBuf {
        self.root.join("data")
    }

    /// What the server wrote into its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Creates a database with a name that nobody else uses and returns the name.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn create_database(&self, prefix: &str) -> anyhow::Result<String> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}_{number}");
        let client = self.connect("postgres").await?;
        let quoted = name.replace('"', "\"\"");
        client.batch_execute(&format!("CREATE DATABASE \"{quoted}\"")).await?;
        Ok(name)
    }

    /// Connects as superuser, without TLS; the connection lives as long as the client.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn connect(&self, database: &str) -> anyhow::Result<tokio_postgres::Client> {
        let (client, connection) = tokio_postgres::Config::new()
            .host(self.host())
            .port(self.port())
            .user(SUPERUSER)
            .password(PASSWORD)
            .dbname(database)
            .connect(tokio_postgres::NoTls)
            .await
            .with_context(|| format!("connect to the test database {database}"))?;
        #[expect(clippy::disallowed_methods, reason = "ends by itself when the client is dropped")]
        tokio::spawn(async move {
            // The client of a server that was killed hears of it by its next query.
            drop(connection.await);
        });
        Ok(client)
    }

    /// Kills the server and all its children at once, as a crash would.
    ///
    /// # Errors
    /// When a process does not go away.
    pub fn kill9(&self) -> anyhow::Result<()> {
        self.process().take().map_or(Ok(()), Process::kill9)
    }

    /// Stops the server as an administrator would, without waiting for its clients.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.process().take().map_or(Ok(()), Process::stop)
    }

    /// Stops the server if it runs, starts it on its data and waits until it answers.
    ///
    /// # Errors
    /// When it does not stop or start.
    pub fn restart(&self) -> anyhow::Result<()> {
        self.stop()?;
        self.start_again()
    }

    /// Appends a setting to the configuration; [`restart`](Self::restart) makes it count.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set(&self, name: &str, value: &str) -> anyhow::Result<()> {
        cluster::append_setting(&self.data_directory(), name, value)
    }

    fn start_again(&self) -> anyhow::Result<()> {
        let mut process = self.process();
        let data = self.data_directory();
        *process = Some(Process::start(&self.binaries, self.account, &data, &self.log_file())?);
        Ok(())
    }

    fn log_file(&self) -> PathBuf {
        self.root.join("server.log")
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().expect("the test started this server with TLS")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Nobody can be told any more; the watchdog takes what is left.
        drop(self.kill9());
        self.watchdog.lock().unwrap_or_else(PoisonError::into_inner).clean_up();
    }
}

fn read_tail(log: &Path) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
    let skip = text.lines().count().saturating_sub(20);
    text.lines().skip(skip).collect::<Vec<_>>().join("\n")
}
