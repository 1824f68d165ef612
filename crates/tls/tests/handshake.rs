//! Which servers each mode accepts.

use crate::{fixture, trusting};
use cdc_core::Origin;
use cdc_tls::{Mode, TlsConfig, end_point_binding, explain};
use rustls::{
    ClientConnection, RootCertStore, ServerConfig, ServerConnection, server::WebPkiClientVerifier,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use std::{io, sync::Arc};

fn server(identity: &str, asks_for_client: bool) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = CertificateDer::from_pem_file(fixture(&format!("{identity}.crt"))).unwrap();
    let key = PrivateKeyDer::from_pem_file(fixture(&format!("{identity}.key"))).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if asks_for_client {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(fixture("ca.crt")).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    builder.with_single_cert(vec![certificate], key).unwrap()
}

/// Runs a handshake in memory; an error is what the client's side would read from its socket.
fn connect(
    config: &TlsConfig,
    host: &str,
    server: ServerConfig,
) -> Result<ClientConnection, cdc_core::Error> {
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let config = config.client_config().unwrap().expect("encryption is on");
    let mut client = ClientConnection::new(config, name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let failed = |error: rustls::Error| {
        let failure = io::Error::new(io::ErrorKind::InvalidData, error);
        explain(&failure, host, Origin::Source).expect("a failure of TLS")
    };
    for _ in 0..16 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut wire.as_slice()).unwrap();
        let refusal = server.process_new_packets().err();
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().map_err(failed)?;
        assert!(refusal.is_none(), "the client missed the refusal: {refusal:?}");
        if !client.is_handshaking() && !server.is_handshaking() && !client.wants_write() {
            return Ok(client);
        }
    }
    panic!("the handshake did not end");
}

fn code(outcome: Result<ClientConnection, cdc_core::Error>) -> &'static str {
    match outcome {
        Ok(_) => "ok",
        Err(error) => {
            assert!(error.remedy.is_some(), "{error}");
            error.code
        }
    }
}

#[test]
fn each_mode_verifies_what_it_names() {
    let cases = [
        (Mode::Prefer, None, "elsewhere", "ok"),
        (Mode::Require, None, "elsewhere", "ok"),
        (Mode::Require, Some("other-ca.crt"), "localhost", "CDC-1106"),
        (Mode::Require, Some("ca.crt"), "elsewhere", "ok"),
        (Mode::VerifyCa, Some("ca.crt"), "elsewhere", "ok"),
        (Mode::VerifyCa, Some("other-ca.crt"), "localhost", "CDC-1106"),
        (Mode::VerifyFull, Some("ca.crt"), "localhost", "ok"),
        (Mode::VerifyFull, Some("ca.crt"), "127.0.0.1", "ok"),
        (Mode::VerifyFull, Some("ca.crt"), "elsewhere", "CDC-1107"),
        (Mode::VerifyFull, Some("other-ca.crt"), "localhost", "CDC-1106"),
    ];
    for (mode, ca, host, expected) in cases {
        let outcome = connect(&trusting(mode, ca), host, server("server", false));
        assert_eq!(code(outcome), expected, "{mode:?} {ca:?} {host}");
    }
}

#[test]
fn a_self_signed_server_is_trusted_when_it_is_named_itself() {
    let cases = [
        (Mode::VerifyCa, "self-signed.crt", "elsewhere", "ok"),
        (Mode::VerifyFull, "self-signed.crt", "localhost", "ok"),
        (Mode::VerifyFull, "self-signed.crt", "elsewhere", "CDC-1107"),
        (Mode::VerifyCa, "ca.crt", "localhost", "CDC-1106"),
    ];
    for (mode, ca, host, expected) in cases {
        let outcome = connect(&trusting(mode, Some(ca)), host, server("self-signed", false));
        assert_eq!(code(outcome), expected, "{mode:?} {ca} {host}");
    }
}

#[test]
fn a_server_that_asks_for_a_certificate_gets_it() {
    let mut config = trusting(Mode::VerifyFull, Some("ca.crt"));
    assert_eq!(code(connect(&config, "localhost", server("server", true))), "CDC-1109");
    config.certificate_file = Some(fixture("client.crt"));
    config.key_file = Some(fixture("client.key"));
    assert_eq!(code(connect(&config, "localhost", server("server", true))), "ok");
}

#[test]
fn a_real_certificate_has_a_channel_binding() {
    let client =
        connect(&trusting(Mode::Require, None), "localhost", server("server", false)).unwrap();
    let certificate = client.peer_certificates().unwrap().first().unwrap();
    assert_eq!(end_point_binding(certificate).unwrap().len(), 32);
}

#[test]
fn a_failure_of_the_network_is_left_to_the_connector() {
    let reset = io::Error::from(io::ErrorKind::ConnectionReset);
    assert!(explain(&reset, "localhost", Origin::Source).is_none());
}
