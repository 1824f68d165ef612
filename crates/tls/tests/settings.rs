//! What a wrong `tls:` block says.

use crate::{fixture, trusting};
use cdc_tls::{Mode, TlsConfig};

fn refused(config: &TlsConfig) -> cdc_core::Error {
    let error = config.client_config().expect_err("the block is wrong");
    let error = cdc_core::Error::from(error);
    assert!(error.remedy.is_some(), "{error}");
    error
}

#[test]
fn an_empty_block_prefers_encryption_and_unknown_keys_are_refused() {
    let config: TlsConfig = serde_json::from_str("{}").unwrap();
    assert_eq!(config.mode, Mode::Prefer);
    assert!(config.client_config().unwrap().is_some());
    let full: TlsConfig = serde_json::from_str(r#"{"mode":"verify-full"}"#).unwrap();
    assert_eq!(full.mode, Mode::VerifyFull);
    serde_json::from_str::<TlsConfig>(r#"{"ca":"x"}"#).unwrap_err();
}

#[test]
fn disabled_encryption_needs_no_files() {
    assert!(trusting(Mode::Disable, None).client_config().unwrap().is_none());
}

#[test]
fn a_missing_file_is_named() {
    let error = refused(&trusting(Mode::VerifyCa, Some("absent.crt")));
    assert_eq!(error.code, "CDC-1101");
    assert!(error.context.contains("absent.crt"), "{error}");
}

#[test]
fn a_file_of_the_wrong_kind_is_named() {
    let error = refused(&trusting(Mode::VerifyCa, Some("server.key")));
    assert_eq!(error.code, "CDC-1102");
    assert!(error.context.contains("holds no certificate"), "{error}");

    let broken = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(broken.path(), "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n")
        .unwrap();
    let config = TlsConfig {
        mode: Mode::VerifyCa,
        ca_file: Some(broken.path().to_owned()),
        ..TlsConfig::default()
    };
    assert_eq!(refused(&config).code, "CDC-1102");
}

#[test]
fn a_client_identity_must_be_whole_and_fit_together() {
    let identity = |certificate: Option<&str>, key: Option<&str>| TlsConfig {
        certificate_file: certificate.map(fixture),
        key_file: key.map(fixture),
        ..TlsConfig::default()
    };
    assert_eq!(refused(&identity(Some("client.crt"), None)).code, "CDC-1104");
    assert_eq!(refused(&identity(None, Some("client.key"))).code, "CDC-1104");
    assert_eq!(refused(&identity(Some("client.crt"), Some("server.key"))).code, "CDC-1104");
    let encrypted = refused(&identity(Some("client.crt"), Some("encrypted.key")));
    assert_eq!(encrypted.code, "CDC-1102");
    assert!(encrypted.context.contains("passphrase"), "{encrypted}");
    assert!(identity(Some("client.crt"), Some("client.key")).client_config().unwrap().is_some());
}
