//! A worker of Kafka Connect with Debezium's connector for PostgreSQL and Confluent's converters.
#![expect(
    clippy::disallowed_methods,
    reason = "servers are started and stopped outside any runtime, in real time"
)]

mod rest;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::installed::{KAFKA_VERSION, cache_directory, java};
use super::port::Port;
use super::tied::{Tied, tail};

/// The release of Debezium, as its own libraries call it.
pub const DEBEZIUM_VERSION: &str = "3.6.3";
/// The release of Confluent's converters and serializers.
pub const CONFLUENT_VERSION: &str = "7.0.16";

/// What makes a worker's keys or values Avro, with a registry beside it.
pub const AVRO_CONVERTER: &str = "io.confluent.connect.avro.AvroConverter";
/// What makes them JSON.
pub const JSON_CONVERTER: &str = "org.apache.kafka.connect.json.JsonConverter";

const START_WAIT_MAX: Duration = Duration::from_secs(180);
const RUN_WAIT_MAX: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(100);
// A machine that runs a broker, a registry and the tests beside it.
const JAVA: [&str; 3] = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
const LOG4J: &str = "status = warn
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
";

/// Where it lies, or will: the worker's libraries in `worker`, each plugin in a folder of `plugins`.
#[must_use]
pub fn directory() -> PathBuf {
    cache_directory().join(format!("connect-{KAFKA_VERSION}-debezium-{DEBEZIUM_VERSION}"))
}

/// The class path of a Java program with Confluent's serializers, and Kafka's client beside them.
///
/// # Errors
/// When they are not installed, with what to do about it.
pub fn class_path() -> anyhow::Result<String> {
    if let Some(reason) = missing() {
        bail!(reason);
    }
    let home = directory();
    Ok(format!("{0}/worker/*:{0}/plugins/confluent/*", home.display()))
}

/// Why it cannot be used here.
#[must_use]
pub fn missing() -> Option<String> {
    if let Err(error) = java() {
        return Some(format!("{error:#}"));
    }
    let home = directory();
    let parts = [
        format!("worker/connect-runtime-{KAFKA_VERSION}.jar"),
        format!(
            "plugins/debezium-connector-postgres/\
             debezium-connector-postgres-{DEBEZIUM_VERSION}.Final.jar"
        ),
        format!("plugins/confluent/kafka-connect-avro-converter-{CONFLUENT_VERSION}.jar"),
    ];
    let absent = parts.iter().any(|part| !home.join(part).exists());
    absent.then(|| {
        format!(
            "Kafka Connect {KAFKA_VERSION} with Debezium {DEBEZIUM_VERSION} is not installed: \
             cargo xtask services"
        )
    })
}

/// The running worker; dropping it stops it. Its connectors forget where they were.
#[derive(Debug)]
pub struct Connect {
    port: Port,
    worker: Tied,
}

impl Connect {
    /// Starts a worker on a cluster and waits until it takes connectors.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn start(bootstrap: &str) -> anyhow::Result<Self> {
        Self::start_with(bootstrap, &JAVA)
    }

    /// The same with other options of Java, for measurements.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn start_with(bootstrap: &str, options: &[&str]) -> anyhow::Result<Self> {
        if let Some(reason) = missing() {
            bail!(reason);
        }
        let port = Port::reserve()?;
        let directory = tempfile::Builder::new()
            .prefix("cdc-test-connect-")
            .tempdir_in("/tmp")
            .context("create the worker's directory")?;
        let (log4j, settings) = (
            directory.path().join("log4j2.properties"),
            directory.path().join("worker.properties"),
        );
        let home = self::directory();
        let text = format!(
            "bootstrap.servers={bootstrap}\n\
             key.converter={JSON_CONVERTER}\nvalue.converter={JSON_CONVERTER}\n\
             offset.storage.file.filename={}\noffset.flush.interval.ms=1000\n\
             listeners=http://127.0.0.1:{}\nplugin.path={}\nplugin.discovery=hybrid_warn\n\
             topic.creation.enable=true\n",
            directory.path().join("offsets").display(),
            port.number(),
            home.join("plugins").display(),
        );
        std::fs::write(&settings, text).context("write worker.properties")?;
        std::fs::write(&log4j, LOG4J).context("configure the log")?;
        let mut command = vec!["java".to_owned()];
        command.extend(options.iter().map(|option| (*option).to_owned()));
        command.push(format!("-Dlog4j2.configurationFile={}", log4j.display()));
        command.extend(["-cp".to_owned(), format!("{}/worker/*", home.display())]);
        command.push("org.apache.kafka.connect.cli.ConnectStandalone".to_owned());
        command.push(settings.display().to_string());
        let worker = Self { port, worker: Tied::start(directory, command)? };
        let answers = || worker.ask("GET", "/connectors", None).is_ok();
        worker
            .worker
            .wait_until(START_WAIT_MAX, "Stopping due to error", answers)
            .context("start Kafka Connect")?;
        Ok(worker)
    }

    /// Starts a connector and waits until its task runs.
    ///
    /// # Errors
    /// When the worker refuses it or its task fails.
    pub fn create(&self, name: &str, settings: &Value) -> anyhow::Result<()> {
        let body = json!({ "name": name, "config": settings });
        self.ask("POST", "/connectors", Some(&body))?;
        let deadline = Instant::now() + RUN_WAIT_MAX;
        while !self.runs(name)? {
            ensure!(Instant::now() < deadline, "connector {name} does not start: {}", self.log());
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Whether the connector and its task run.
    ///
    /// # Errors
    /// When one of them has failed, with its reason.
    pub fn runs(&self, name: &str) -> anyhow::Result<bool> {
        let Ok(status) = self.ask("GET", &format!("/connectors/{name}/status"), None) else {
            return Ok(false);
        };
        let tasks = status.get("tasks").and_then(Value::as_array).cloned().unwrap_or_default();
        let states = tasks.iter().chain(status.get("connector"));
        let state = |part: &Value| part.get("state").and_then(Value::as_str).map(str::to_owned);
        let states: Vec<Option<String>> = states.map(state).collect();
        let failed = states.iter().flatten().any(|state| state == "FAILED");
        ensure!(!failed, "connector {name} has failed: {status}\n{}", tail(&self.log()));
        Ok(states.len() > 1 && states.iter().all(|state| state.as_deref() == Some("RUNNING")))
    }

    /// Stops and forgets a connector.
    ///
    /// # Errors
    /// When the worker does not know it.
    pub fn remove(&self, name: &str) -> anyhow::Result<()> {
        self.ask("DELETE", &format!("/connectors/{name}"), None).map(drop)
    }

    /// Its REST interface.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number())
    }

    /// Number of the worker's process.
    ///
    /// # Errors
    /// When it has none yet.
    pub fn process(&self) -> anyhow::Result<u32> {
        self.worker.process()
    }

    /// What the worker wrote into its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.worker.log()
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        rest::ask(self.port.number(), method, path, body)
    }
}
