//! Handshakes in memory against a real TLS server side, with certificates from `fixtures/`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod handshake;
mod settings;

use cdc_tls::{Mode, TlsConfig};
use std::path::PathBuf;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn trusting(mode: Mode, ca: Option<&str>) -> TlsConfig {
    TlsConfig { mode, ca_file: ca.map(fixture), ..TlsConfig::default() }
}
