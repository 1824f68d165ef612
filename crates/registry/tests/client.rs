use crate::world::{record, world};
use axum::{Router, extract::Request, http::StatusCode, response::IntoResponse};
use cdc_core::{Retry, Secret};
use cdc_registry::{
    Level, Reference, SchemaType,
    client::{Client, Config, Named},
};
use cdc_testkit::services::{self, Certificates};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

fn client(url: &str) -> Client {
    Client::new(&Config::at(url)).unwrap()
}

fn avro(fields: &[&str]) -> Named {
    Named::new(SchemaType::Avro, record(fields).to_string())
}

/// A port on which nobody listens.
async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn it_registers_finds_and_checks() {
    let world = world().await;
    let client = client(&world.url());
    let first = client.register("a/b c%", &avro(&["a"]), false).await.unwrap();
    assert_eq!(first, 1);
    assert_eq!(client.subjects().await.unwrap(), ["a/b c%"]);
    assert_eq!(client.versions("a/b c%").await.unwrap(), [1]);
    let found = client.lookup("a/b c%", &avro(&["a"])).await.unwrap();
    assert_eq!((found.version, found.id), (1, 1));
    assert_eq!(found, client.version("a/b c%", "latest").await.unwrap());
    assert_eq!(client.schema(1).await.unwrap().schema, record(&["a"]).to_string());
    let wider = client.compatibility("a/b c%", Some("latest"), &avro(&["a", "b"])).await.unwrap();
    assert!(!wider.is_compatible && wider.messages[0].contains("/fields/1"), "{wider:?}");
    assert_eq!(client.level(Some("a/b c%")).await.unwrap(), Level::Backward);
    client.set_level(Some("a/b c%"), Level::None).await.unwrap();
    assert_eq!(client.level(Some("a/b c%")).await.unwrap(), Level::None);
    assert_eq!(client.level(None).await.unwrap(), Level::Backward);
    assert_eq!(client.register("a/b c%", &avro(&["a", "b"]), true).await.unwrap(), 2);
}

#[tokio::test]
async fn it_parses_schemas_with_all_that_they_use() {
    let world = world().await;
    let client = client(&world.url());
    let named = |name: &str, inner: &str| {
        let text = format!(r#"{{"type":"record","name":"{name}","fields":[{inner}]}}"#);
        Named::new(SchemaType::Avro, text)
    };
    let uses = |mut named: Named, name: &str| {
        let (name, subject) = (name.to_owned(), name.to_lowercase());
        named.references.push(Reference { name, subject, version: 1 });
        named
    };
    client.register("street", &named("Street", ""), false).await.unwrap();
    let address = uses(named("Address", r#"{"name":"s","type":"Street"}"#), "Street");
    client.register("address", &address, false).await.unwrap();
    let user = uses(named("User", r#"{"name":"a","type":"Address"}"#), "Address");
    client.register("user", &user, false).await.unwrap();
    let found = client.version("user", "1").await.unwrap();
    assert_eq!(client.parse(&found.named).await.unwrap().schema_type(), SchemaType::Avro);
}

#[tokio::test]
async fn refusals_have_codes_of_their_own_and_remedies() {
    let world = world().await;
    let client = client(&world.url());
    client.register("s", &avro(&["a"]), false).await.unwrap();
    let incompatible = client.register("s", &avro(&["b"]), false).await.unwrap_err();
    let invalid =
        client.register("s", &Named::new(SchemaType::Avro, "{"), false).await.unwrap_err();
    let missing = client.version("none", "latest").await.unwrap_err();
    for (error, code) in [(incompatible, "CDC-6012"), (invalid, "CDC-6014"), (missing, "CDC-6013")]
    {
        assert_eq!((error.code, error.retry), (code, Retry::AfterOperator), "{error}");
        assert!(error.remedy.is_some());
        assert!(error.context.contains(&world.url()), "{error}");
    }
    let elsewhere = Client::new(&Config::at(format!("{}/not/here", world.url()))).unwrap();
    assert_eq!(elsewhere.subjects().await.unwrap_err().code, "CDC-6013");
}

/// Answers everything with one status and counts.
async fn answering(status: u16, body: &'static str) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let status = StatusCode::from_u16(status).unwrap();
    let router = Router::new().fallback(async move || {
        counted.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        (status, [("retry-after", "7")], body).into_response()
    });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, asked)
}

#[tokio::test]
async fn answers_of_others_are_told_apart() {
    let cases = [
        (200, "hello", "CDC-6016", Retry::AfterOperator),
        (200, r#"{"subjects":1}"#, "CDC-6016", Retry::AfterOperator),
        (404, "<html>", "CDC-6016", Retry::AfterOperator),
        (302, "", "CDC-6016", Retry::AfterOperator),
        (401, "{}", "CDC-6011", Retry::AfterOperator),
        (403, r#"{"error_code":40301,"message":"no"}"#, "CDC-6011", Retry::AfterOperator),
        (429, "", "CDC-6015", Retry::Backoff),
        (500, r#"{"error_code":50001,"message":"no"}"#, "CDC-6015", Retry::Backoff),
    ];
    for (status, body, code, retry) in cases {
        let (url, _) = answering(status, body).await;
        let error = client(&url).subjects().await.unwrap_err();
        assert_eq!((error.code, error.retry), (code, retry), "{status} {body}: {error}");
        let wait = error.retry_after.map(|wait| wait.as_secs());
        assert!(retry != Retry::Backoff || wait == Some(7), "{wait:?}");
    }
    let error = client(&nowhere().await).subjects().await.unwrap_err();
    assert_eq!((error.code, error.retry), ("CDC-6010", Retry::Backoff));
}

#[tokio::test]
async fn the_next_url_answers_when_one_does_not() {
    let world = world().await;
    let (broken, asked) = answering(503, "").await;
    let several = client(&format!("{},{broken},{}", nowhere().await, world.url()));
    assert_eq!(several.register("s", &avro(&["a"]), false).await.unwrap(), 1);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    several.subjects().await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1, "the one that answered is asked first");
    let error = several.version("none", "1").await.unwrap_err();
    assert_eq!(error.code, "CDC-6013", "a refusal is an answer");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn many_who_ask_at_once_make_one_request() {
    let (url, asked) = answering(200, r#"{"id": 5, "schema": "\"int\""}"#).await;
    let client = client(&url);
    let int = Named::new(SchemaType::Avro, "\"int\"");
    let registrations = (0..20).map(|_| client.register("s", &int, false));
    for id in futures_join(registrations).await {
        assert_eq!(id.unwrap(), 5);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    for schema in futures_join((0..20).map(|_| client.schema(5))).await {
        assert_eq!(*schema.unwrap(), int);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    client.register("s", &int, false).await.unwrap();
    client.schema(5).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

async fn futures_join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    futures::future::join_all(futures).await
}

/// Says who asked, as the header tells it.
async fn listening() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let keep = Arc::clone(&seen);
    let router = Router::new().fallback(async move |request: Request| {
        let header = request.headers().get("authorization").map(|value| value.to_str().unwrap());
        keep.lock().unwrap().push(header.unwrap_or("nobody").to_owned());
        "[]"
    });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (at, seen)
}

#[tokio::test]
async fn it_says_who_it_is() {
    let (at, seen) = listening().await;
    let basic = Config {
        username: Some("me".to_owned()),
        password: Some(Secret::new("secret")),
        ..Config::at(format!("http://{at}"))
    };
    let bearer = Config { token: Some(Secret::new("T")), ..Config::at(format!("http://{at}")) };
    let in_url = Config::at(format!("http://me:secret@{at}"));
    for config in [&basic, &bearer, &in_url, &Config::at(format!("http://{at}"))] {
        Client::new(config).unwrap().subjects().await.unwrap();
    }
    let basic = "Basic bWU6c2VjcmV0";
    assert_eq!(*seen.lock().unwrap(), [basic, "Bearer T", basic, "nobody"]);
}

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

fn acceptor(certificates: &Certificates) -> TlsAcceptor {
    let read = |path: &Path| CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(read(&certificates.ca()));
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::clone(&provider),
    );
    let key = PrivateKeyDer::from_pem_file(certificates.server_key()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(read(&certificates.server_cert()).collect(), key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// The registry's own routes behind TLS that asks for the client's certificate.
async fn encrypted(certificates: &Certificates) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let store = Arc::new(cdc_registry::embedded::MemoryStore::default());
    let registry = Arc::new(cdc_registry::embedded::Registry::open(store).unwrap());
    let listener = Encrypted { listener, acceptor: acceptor(certificates) };
    let router = cdc_registry::http::router(registry);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

#[tokio::test]
async fn both_sides_may_have_to_show_certificates() {
    if let Some(reason) = services::missing().into_iter().find(|reason| reason.contains("openssl"))
    {
        services::skip("mutual TLS with a registry", &reason).unwrap();
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::create(directory.path(), "cdc").unwrap();
    let url = encrypted(&certificates).await;
    let mut config = Config::at(&url);
    let untrusted = Client::new(&config).unwrap().subjects().await.unwrap_err();
    assert_eq!(untrusted.code, "CDC-1106", "{}", untrusted.chain());
    config.tls.ca_file = Some(certificates.ca());
    let nobody = Client::new(&config).unwrap().subjects().await.unwrap_err();
    assert_eq!(nobody.code, "CDC-1109", "{}", nobody.chain());
    config.tls.certificate_file = Some(certificates.client_cert());
    config.tls.key_file = Some(certificates.client_key());
    let client = Client::new(&config).unwrap();
    assert_eq!(client.register("s", &avro(&["a"]), false).await.unwrap(), 1);
}
