//! A new data directory with its configuration, accounts and certificates.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, ensure};

use super::{CERTIFICATE_USER, Options, PASSWORD, SUPERUSER};
use crate::services::account::Account;
use crate::services::certificates::Certificates;
use crate::services::installed::Binaries;

/// Creates the cluster below `root`; nothing runs yet.
pub(super) fn create(
    root: &Path,
    binaries: &Binaries,
    account: Account,
    port: u16,
    options: &Options,
) -> anyhow::Result<Option<Certificates>> {
    let data = root.join("data");
    std::fs::create_dir(&data).context("create the data directory")?;
    account.own(&data)?;
    account.own(root)?;
    initdb(root, &data, binaries, account)?;
    let certificates = options.tls.then(|| certificates(root, &data, account)).transpose()?;
    let conf = configuration(port, options);
    append(&data.join("postgresql.conf"), &conf)?;
    let hba = format!(
        "local all all trust\n\
         local replication all trust\n\
         {}host all all 127.0.0.1/32 scram-sha-256\n\
         host replication all 127.0.0.1/32 scram-sha-256\n",
        certificate_rules(options.tls)
    );
    std::fs::write(data.join("pg_hba.conf"), hba).context("write pg_hba.conf")?;
    add_certificate_user(&data, binaries, account)?;
    Ok(certificates)
}

/// Copies a running server into a cluster below `root` that will follow it as a standby.
pub(super) fn copy(
    root: &Path,
    (binaries, account): (&Binaries, Account),
    (host, from): (&str, u16),
    port: u16,
    settings: &[(&str, &str)],
) -> anyhow::Result<()> {
    let data = root.join("data");
    account.own(root)?;
    let mut command = binaries.command("pg_basebackup");
    command
        .arg("-D")
        .arg(&data)
        .args(["-h", host, "-p", &from.to_string(), "-U", SUPERUSER])
        .args(["-X", "stream", "-c", "fast", "--no-sync"])
        .env("PGPASSWORD", PASSWORD)
        .env("HOME", root);
    account.apply(&mut command);
    let output = command.output().context("run pg_basebackup")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "pg_basebackup: {}", said.trim());
    let signal = data.join("standby.signal");
    std::fs::write(&signal, "").context("write standby.signal")?;
    account.own(&signal)?;
    let primary = format!(
        "host={host} port={from} user={SUPERUSER} password={PASSWORD} dbname=postgres application_name=standby"
    );
    let port = port.to_string();
    let follows = [("port", port.as_str()), ("primary_conninfo", primary.as_str())];
    let lines = follows.iter().chain(settings);
    let text: String = lines.map(|(name, value)| setting(name, value)).collect();
    append(&data.join("postgresql.conf"), &text)
}

/// Appends one setting to the configuration of the cluster in `data`.
pub(super) fn append_setting(data: &Path, name: &str, value: &str) -> anyhow::Result<()> {
    append(&data.join("postgresql.conf"), &setting(name, value))
}

fn initdb(root: &Path, data: &Path, binaries: &Binaries, account: Account) -> anyhow::Result<()> {
    let password = root.join("password");
    std::fs::write(&password, PASSWORD).context("write the password file")?;
    account.own(&password)?;
    let mut command = binaries.command("initdb");
    command
        .arg("-D")
        .arg(data)
        .arg("--pwfile")
        .arg(&password)
        .args(["-U", SUPERUSER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8"])
        .args(["--no-sync", "--no-instructions"])
        .env("HOME", root);
    account.apply(&mut command);
    let output = command.output().context("run initdb")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "initdb: {}", said.trim());
    Ok(())
}

fn certificates(root: &Path, data: &Path, account: Account) -> anyhow::Result<Certificates> {
    let directory = root.join("tls");
    std::fs::create_dir(&directory).context("create the directory of certificates")?;
    let made = Certificates::create(&directory, CERTIFICATE_USER)?;
    for file in [made.ca(), made.server_cert(), made.server_key()] {
        let name = file.file_name().context("a certificate has a file name")?;
        let copy = data.join(name);
        std::fs::copy(&file, &copy).context("copy a certificate")?;
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o600))?;
        account.own(&copy)?;
    }
    Ok(made)
}

fn certificate_rules(tls: bool) -> String {
    if !tls {
        return String::new();
    }
    ["all", "replication"]
        .iter()
        .map(|what| format!("hostssl {what} {CERTIFICATE_USER} 127.0.0.1/32 cert\n"))
        .collect()
}

fn configuration(port: u16, options: &Options) -> String {
    let durable = if options.fsync { "on" } else { "off" };
    let port = port.to_string();
    let mut lines = vec![
        ("listen_addresses", "127.0.0.1"),
        ("port", port.as_str()),
        ("unix_socket_directories", "."),
        ("wal_level", "logical"),
        ("max_wal_senders", "200"),
        ("max_replication_slots", "200"),
        ("max_connections", "400"),
        ("shared_buffers", "64MB"),
        ("fsync", durable),
        ("full_page_writes", durable),
        ("wal_sender_timeout", "10s"),
        ("log_min_messages", "warning"),
        ("password_encryption", "scram-sha-256"),
    ];
    if options.tls {
        lines.extend([
            ("ssl", "on"),
            ("ssl_cert_file", "server.crt"),
            ("ssl_key_file", "server.key"),
            ("ssl_ca_file", "ca.crt"),
        ]);
    }
    lines.extend(options.settings.iter().copied());
    lines.iter().fold(String::new(), |mut text, (name, value)| {
        text.push_str(&setting(name, value));
        text
    })
}

fn setting(name: &str, value: &str) -> String {
    let mut line = String::new();
    writeln!(line, "{name} = '{}'", value.replace('\'', "''")).expect("a string takes every write");
    line
}

// The server does not run yet, so the account is added in single-user mode.
fn add_certificate_user(data: &Path, binaries: &Binaries, account: Account) -> anyhow::Result<()> {
    let mut command = binaries.command("postgres");
    command.args(["--single", "-j", "-D"]).arg(data).arg("postgres");
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped());
    account.apply(&mut command);
    let mut child = command.spawn().context("run postgres --single")?;
    let mut input = child.stdin.take().context("the single-user server has an input")?;
    let sql = format!("CREATE ROLE {CERTIFICATE_USER} LOGIN SUPERUSER REPLICATION;\n\n");
    input.write_all(sql.as_bytes()).context("write to postgres --single")?;
    drop(input);
    let output = child.wait_with_output().context("wait for postgres --single")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "postgres --single: {}", said.trim());
    Ok(())
}

fn append(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(path)
        .with_context(|| format!("open {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("write {}", path.display()))
}
