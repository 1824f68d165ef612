use crate::{number_of, open, read_all, records, scope, send};
use base64::Engine as _;
use cdc_core::{Retry, Secret, TopicPartition, Transport as _};
use cdc_testkit::services::{Kafka, kafka::Listener};
use cdc_transport_kafka::{Auth, Config, KafkaTransport, Protocol};
use std::path::Path;

fn kafka() -> Option<&'static Kafka> {
    Kafka::shared_or_skip("transport-kafka").unwrap()
}

/// Logs in by password, where the listener has SASL.
fn login(kafka: &Kafka, listener: Listener, auth: Auth) -> Config {
    let security_protocol = match listener {
        Listener::Plain => Protocol::Plaintext,
        Listener::Sasl => Protocol::SaslPlaintext,
        Listener::SaslTls => Protocol::SaslSsl,
        Listener::MutualTls => Protocol::Ssl,
    };
    Config {
        bootstrap_servers: kafka.listener(listener),
        security_protocol,
        auth_mechanism: auth,
        sasl_username: Some(kafka.user().to_owned()),
        sasl_password: Some(Secret::new(kafka.password())),
        ssl_ca_location: Some(kafka.certificates().ca()),
        request_timeout_ms: 10_000,
        ..Config::default()
    }
}

fn token_file(directory: &Path, subject: &str) -> std::path::PathBuf {
    let part = |json: String| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let header = part(r#"{"alg":"none"}"#.to_owned());
    let claims = part(format!(r#"{{"sub":"{subject}","iat":{now},"exp":{}}}"#, now + 600));
    let file = directory.join("token");
    std::fs::write(&file, format!("{header}.{claims}.")).unwrap();
    file
}

/// Writes, reads, and joins a group.
async fn works(kafka: &Kafka, config: Config) {
    let prefix = kafka.name("login");
    let at = TopicPartition::new(format!("{prefix}.t"), 0);
    if config.auth_mechanism.takes_tokens() {
        let clear = open(crate::config(kafka), &prefix).await;
        clear.provision(&[clear.plan(&at.topic)]).await.unwrap();
    }
    let log = open(config, &prefix).await;
    send(&log, &at, records(0..20)).await;
    let read: Vec<u64> = read_all(&log, &at).await.iter().map(number_of).collect();
    assert_eq!(read, (0..20).collect::<Vec<_>>());
    assert_eq!(log.newest(&at).await.unwrap(), Some(crate::record(19).position));
    let mut member = log.join("sink").await.unwrap();
    assert!(crate::soon(member.events.recv()).await.is_some());
    let place = cdc_core::Place { offset: cdc_core::Offset(3), position: Default::default() };
    let places = std::collections::BTreeMap::from([(at.clone(), place)]);
    log.commit("sink", &places).await.unwrap();
    assert_eq!(log.committed("sink", &[at]).await.unwrap(), places);
}

async fn fails(config: Config, code: &str, retry: Retry) {
    let secret = config.sasl_password.clone();
    let begun = std::time::Instant::now();
    let error = KafkaTransport::open(config.clone(), scope("x")).await.unwrap_err();
    assert_eq!((error.code, error.retry), (code, retry), "{}", error.chain());
    assert!(error.remedy.is_some());
    let port = config.bootstrap_servers.rsplit(':').next().unwrap();
    assert!(error.context.contains(port), "names the broker: {}", error.context);
    if let Some(secret) = secret {
        assert!(!format!("{error:?}").contains(secret.expose()), "{error:?}");
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(30));
    // The preflight says the same.
    let findings = cdc_transport_kafka::check(&config, &scope("x"), &[]).await;
    assert!(findings[0].what.starts_with(code), "{findings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_log_in_with_and_without_tls() {
    let Some(kafka) = kafka() else { return };
    for listener in [Listener::Sasl, Listener::SaslTls] {
        for auth in [Auth::SaslPlain, Auth::SaslScram256, Auth::SaslScram512] {
            works(kafka, login(kafka, listener, auth)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_logs_in() {
    let Some(kafka) = kafka() else { return };
    let config = Config {
        ssl_certificate_location: Some(kafka.certificates().client_cert()),
        ssl_key_location: Some(kafka.certificates().client_key()),
        ..login(kafka, Listener::MutualTls, Auth::None)
    };
    works(kafka, config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_logs_in_every_client() {
    let Some(kafka) = kafka() else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = token_file(directory.path(), "pipeline");
    for listener in [Listener::Sasl, Listener::SaslTls] {
        let config = Config {
            oauth_token_file: Some(file.clone()),
            ..login(kafka, listener, Auth::SaslOauthBearer)
        };
        works(kafka, config).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_by_token_that_lacks_a_topic_shows_the_command() {
    let Some(kafka) = kafka() else { return };
    let directory = tempfile::tempdir().unwrap();
    let config = Config {
        oauth_token_file: Some(token_file(directory.path(), "pipeline")),
        ..login(kafka, Listener::Sasl, Auth::SaslOauthBearer)
    };
    let prefix = kafka.name("token");
    let topic = format!("{prefix}.t");
    let log = open(config.clone(), &prefix).await;
    let error = log.provision(&[log.plan(&topic)]).await.unwrap_err();
    assert_eq!(error.code, "CDC-2106");
    let command = error.remedy.unwrap();
    assert!(command.contains(&format!("--create --topic {topic}")), "{command}");
    let findings = cdc_transport_kafka::check(&config, &scope(&prefix), &[topic]).await;
    assert!(findings.iter().any(|one| one.level == cdc_core::finding::Level::Error));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_are_told_apart_from_everything_else() {
    let Some(kafka) = kafka() else { return };
    for auth in [Auth::SaslPlain, Auth::SaslScram256, Auth::SaslScram512] {
        let config = Config {
            sasl_password: Some(Secret::new("not-the-password")),
            request_timeout_ms: 3_000,
            ..login(kafka, Listener::SaslTls, auth)
        };
        fails(config, "CDC-2103", Retry::AfterOperator).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_that_is_not_trusted_is_told_apart() {
    let Some(kafka) = kafka() else { return };
    let directory = tempfile::tempdir().unwrap();
    let foreign = cdc_testkit::services::Certificates::create(directory.path(), "x").unwrap();
    let quick = |config: Config| Config { request_timeout_ms: 3_000, ..config };
    // An authority that signed nothing here.
    let config = Config {
        ssl_ca_location: Some(foreign.ca()),
        ..login(kafka, Listener::SaslTls, Auth::SaslPlain)
    };
    fails(quick(config), "CDC-2104", Retry::AfterOperator).await;
    // No certificate where the broker asks for one.
    fails(quick(login(kafka, Listener::MutualTls, Auth::None)), "CDC-2104", Retry::AfterOperator)
        .await;
    // A file that is no certificate: nothing is even tried.
    let garbage = directory.path().join("garbage.pem");
    std::fs::write(&garbage, "not a certificate").unwrap();
    let config = Config {
        ssl_ca_location: Some(garbage),
        ..login(kafka, Listener::SaslTls, Auth::SaslPlain)
    };
    let error = KafkaTransport::open(config, scope("x")).await.unwrap_err();
    assert_eq!(error.code, "CDC-2101", "{}", error.chain());
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_cannot_be_had_or_are_refused_are_told_apart() {
    let Some(kafka) = kafka() else { return };
    let directory = tempfile::tempdir().unwrap();
    let base = Config {
        request_timeout_ms: 3_000,
        sasl_password: None,
        ..login(kafka, Listener::Sasl, Auth::SaslOauthBearer)
    };
    let absent = Config { oauth_token_file: Some(directory.path().join("absent")), ..base.clone() };
    let error = KafkaTransport::open(absent, scope("x")).await.unwrap_err();
    assert_eq!(error.code, "CDC-2118", "{}", error.chain());
    assert!(error.context.contains("absent"), "names the file: {}", error.context);
    let garbage = directory.path().join("garbage");
    std::fs::write(&garbage, "garbage").unwrap();
    fails(Config { oauth_token_file: Some(garbage), ..base }, "CDC-2103", Retry::AfterOperator)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_not_there_is_a_reason_to_wait() {
    let Some(kafka) = kafka() else { return };
    let port = cdc_testkit::services::Port::reserve().unwrap();
    let config = Config {
        bootstrap_servers: format!("127.0.0.1:{}", port.number()),
        request_timeout_ms: 2_000,
        ..crate::config(kafka)
    };
    fails(config, "CDC-2102", Retry::Backoff).await;
}
