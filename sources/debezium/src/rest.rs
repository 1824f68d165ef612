//! The REST interface of Kafka Connect.

use crate::{config::Config, error};
use cdc_core::{Error, Result, Retry};
use reqwest::{Client, Method, StatusCode, Url};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Settings of a connector, as Kafka Connect has them.
pub(crate) type Properties = BTreeMap<String, String>;

/// No answer that is told is longer.
const SAID_CHARS_MAX: usize = 500;
const FAILED: &str = "FAILED";
const RESTART: &str = "restart";
const NOT_CONNECT: &str =
    "its answer is none of Kafka Connect's; does `connector.connect_url` lead to a worker?";

/// The way to a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Rest {
    client: Client,
    url: Url,
    tries: u32,
    wait: Duration,
}

#[derive(Deserialize)]
struct Plugin {
    class: String,
}

/// How a connector and its tasks fare.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Status {
    connector: Part,
    #[serde(default)]
    tasks: Vec<Part>,
}

#[derive(Clone, Debug, Deserialize)]
struct Part {
    state: String,
    #[serde(default)]
    worker_id: String,
    #[serde(default)]
    trace: String,
}

impl Status {
    fn parts(&self) -> impl Iterator<Item = &Part> {
        std::iter::once(&self.connector).chain(&self.tasks)
    }

    /// Why one of them has failed.
    pub(crate) fn failure(&self) -> Option<String> {
        let failed = self.parts().find(|part| part.state == FAILED)?;
        // What caused it in the end; above it stand the names of Java's classes.
        let mut causes = failed.trace.lines().filter_map(|line| line.strip_prefix("Caused by: "));
        let first = failed.trace.lines().next().unwrap_or("it does not say why");
        Some(causes.next_back().unwrap_or(first).to_owned())
    }

    /// Do the connector and a task of it run?
    pub(crate) fn runs(&self) -> bool {
        !self.tasks.is_empty() && self.parts().all(|part| part.state == "RUNNING")
    }

    /// Its state and its worker, for people.
    pub(crate) fn told(&self) -> (String, String) {
        let task = self.tasks.first().unwrap_or(&self.connector);
        (task.state.to_lowercase(), task.worker_id.clone())
    }
}

impl Rest {
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let url = config.url()?;
        let tls = match url.scheme() {
            "https" => {
                let tls = cdc_tls::TlsConfig {
                    mode: cdc_tls::Mode::VerifyFull,
                    ..cdc_tls::TlsConfig::default()
                };
                tls.client_config()?.map(Arc::unwrap_or_clone)
            }
            _ => None,
        };
        let tls = tls.map_or_else(cdc_tls::without_authorities, Ok)?;
        let client = Client::builder()
            .user_agent(concat!("cdc/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .timeout(config.timeout()?)
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(|error| error::config("HTTP cannot be set up").with_source(error))?;
        Ok(Self { client, url, tries: config.retry_max_attempts, wait: config.wait()? })
    }

    /// What messages call it: scheme, host and port.
    pub(crate) fn shown(&self) -> String {
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}", self.url.scheme(), self.url.host_str().unwrap_or_default())
    }

    /// The classes of connectors that the workers have.
    pub(crate) async fn plugins(&self) -> Result<Vec<String>> {
        let found = self.read(&["connector-plugins"], "list its plugins").await?;
        let all: Vec<Plugin> = found.unwrap_or_default();
        Ok(all.into_iter().map(|plugin| plugin.class).collect())
    }

    /// The settings of a connector; `None` when there is none.
    pub(crate) async fn settings(&self, name: &str) -> Result<Option<Properties>> {
        self.read(&["connectors", name, "config"], "show a connector").await
    }

    /// Makes a connector, or gives it these settings.
    pub(crate) async fn put(&self, name: &str, settings: &Properties) -> Result<()> {
        let body = serde_json::json!(settings);
        let path = ["connectors", name, "config"];
        self.ask(Method::PUT, &path, Some(&body), "make the connector").await.map(drop)
    }

    /// Starts what has failed of a connector.
    pub(crate) async fn restart(&self, name: &str) -> Result<()> {
        let path = ["connectors", name, RESTART];
        self.ask(Method::POST, &path, None, "restart the connector").await.map(drop)
    }

    /// Removes a connector. `false` when there was none.
    pub(crate) async fn delete(&self, name: &str) -> Result<bool> {
        let path = ["connectors", name];
        Ok(self.ask(Method::DELETE, &path, None, "remove the connector").await?.is_some())
    }

    /// How a connector fares; `None` when there is none.
    pub(crate) async fn status(&self, name: &str) -> Result<Option<Status>> {
        self.read(&["connectors", name, "status"], "tell a connector's state").await
    }

    /// What an answer says; `None` where there is nothing of that name. What cannot be read is an error:
    /// something that is there must not look as if it were not.
    async fn read<T: DeserializeOwned>(&self, path: &[&str], doing: &str) -> Result<Option<T>> {
        let Some(text) = self.ask(Method::GET, path, None, doing).await? else { return Ok(None) };
        let read = serde_json::from_str(&text);
        read.map(Some).map_err(|_| error::refused(&self.shown(), doing, 200, NOT_CONNECT))
    }

    /// Asks until there is an answer; `None` where there is nothing of that name. All requests may be
    /// repeated.
    async fn ask(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
        doing: &str,
    ) -> Result<Option<String>> {
        let mut tries = 1;
        loop {
            match self.once(method.clone(), path, body, doing).await {
                Err(error) if error.retry == Retry::Backoff && tries < self.tries => {
                    tracing::debug!(error = %error.chain(), tries, "Kafka Connect is asked again");
                    tries += 1;
                    tokio::time::sleep(self.wait).await;
                }
                answer => return answer,
            }
        }
    }

    async fn once(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
        doing: &str,
    ) -> Result<Option<String>> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if path.last() == Some(&RESTART) {
            url.set_query(Some("includeTasks=true&onlyFailed=true"));
        }
        let request = self.client.request(method, url);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let unreachable = |error| error::unreachable(&self.shown(), error);
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let text = answer.text().await.map_err(unreachable)?;
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(text)),
            status => Err(self.refusal(doing, status, &text)),
        }
    }

    fn refusal(&self, doing: &str, status: StatusCode, text: &str) -> Error {
        let json: Value = serde_json::from_str(text).unwrap_or_default();
        let said = json.get("message").and_then(Value::as_str).unwrap_or(text);
        let said: String = said.chars().take(SAID_CHARS_MAX).collect();
        let error = error::refused(&self.shown(), doing, status.as_u16(), said.trim());
        // The workers are sharing out their connectors.
        let passes = status == StatusCode::CONFLICT;
        if passes { Error { retry: Retry::Backoff, ..error } } else { error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_by_its_last_cause() {
        let trace = "org.apache.kafka.connect.errors.ConnectException: outer\n\tat a.b(C.java:1)\n\
                     Caused by: org.postgresql.util.PSQLException: FATAL: no such slot\n\t... 3 more";
        let json = serde_json::json!({"name": "n", "connector": {"state": "RUNNING"},
            "tasks": [{"id": 0, "state": "FAILED", "worker_id": "w:1", "trace": trace}]});
        let status: Status = serde_json::from_value(json).unwrap();
        let told = status.failure().unwrap();
        assert_eq!(told, "org.postgresql.util.PSQLException: FATAL: no such slot");
        assert!(!status.runs());
        let json = serde_json::json!({"connector": {"state": "RUNNING"}, "tasks": []});
        let status: Status = serde_json::from_value(json).unwrap();
        assert!(!status.runs() && status.failure().is_none());
    }
}
