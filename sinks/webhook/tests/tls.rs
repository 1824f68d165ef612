use crate::world::{Peer, Receiver, changes, config, deliver, fail, identities, open};
use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use cdc_core::Retry;
use cdc_testkit::services::Certificates;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

struct Encrypted {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.listener.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Encrypted>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Encrypted>) -> Self {
        Self(*stream.remote_addr())
    }
}

fn acceptor(certificates: &Certificates, wants_client: bool) -> TlsAcceptor {
    let read = |path: &Path| CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if wants_client {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(read(&certificates.ca()));
        let verifier =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_file(certificates.server_key()).unwrap();
    let chain = read(&certificates.server_cert()).collect();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn start(wants_client: bool) -> (TempDir, Certificates, Receiver) {
    let directory = TempDir::new().unwrap();
    let certificates = Certificates::create(directory.path(), "cdc").unwrap();
    let acceptor = acceptor(&certificates, wants_client);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let encrypted = Encrypted { listener, acceptor };
    let receiver = Receiver::serve(address, |service| async move {
        axum::serve(encrypted, service).await.unwrap();
    });
    (directory, certificates, receiver)
}

#[tokio::test]
async fn a_trusted_receiver_is_reached_by_name_and_by_address() {
    let (_directory, certificates, receiver) = start(false).await;
    let port = receiver.address.port();
    let changes = changes(4);
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{port}/");
        let keys = json!({"url": url, "tls": {"ca_file": certificates.ca()}});
        deliver(&mut *open(config(&keys)).await.unwrap(), &changes).await;
    }
    assert_eq!(receiver.identities(), [identities(&changes), identities(&changes)].concat());
}

#[tokio::test]
async fn an_unknown_authority_is_the_operators() {
    let (_directory, _, receiver) = start(false).await;
    let other = TempDir::new().unwrap();
    let certificates = Certificates::create(other.path(), "cdc").unwrap();
    let url = format!("https://localhost:{}/topsecret", receiver.address.port());
    let keys = json!({"url": url, "tls": {"ca_file": certificates.ca()}});
    let failed = fail(&mut *open(config(&keys)).await.unwrap(), &changes(1)).await;
    assert_eq!((failed.error.code, failed.error.retry), ("CDC-1106", Retry::AfterOperator));
    assert!(receiver.all().is_empty());
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_one_is_asked_for() {
    let (_directory, certificates, receiver) = start(true).await;
    let url = format!("https://localhost:{}/topsecret", receiver.address.port());
    let without = json!({"url": url, "tls": {"ca_file": certificates.ca()}});
    let failed = fail(&mut *open(config(&without)).await.unwrap(), &changes(1)).await;
    assert!(matches!(failed.error.code, "CDC-1109" | "CDC-3110"), "{}", failed.error.chain());
    let keys = json!({"url": url, "tls": {
        "ca_file": certificates.ca(),
        "certificate_file": certificates.client_cert(),
        "key_file": certificates.client_key(),
    }});
    deliver(&mut *open(config(&keys)).await.unwrap(), &changes(1)).await;
    assert_eq!(receiver.all().len(), 1);
}

#[tokio::test]
async fn a_missing_authority_file_is_told_at_once() {
    let keys = json!({"url": "https://localhost/", "tls": {"ca_file": "/no/such/file"}});
    let Err(error) = open(config(&keys)).await else { panic!("an error was expected") };
    assert_eq!((error.code, error.retry), ("CDC-1101", Retry::AfterOperator));
}
