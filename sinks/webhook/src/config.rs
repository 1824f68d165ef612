//! The `webhook:` block of a sink.

use crate::error;
use cdc_core::{Result, Secret};
use cdc_tls::{Mode, TlsConfig};
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Most requests that may be under way at once.
const CONCURRENCY_MAX: u32 = 256;
/// Longest time that one request may take.
const TIMEOUT_SECONDS_MAX: u32 = 3_600;
/// Most records in one request.
const RECORDS_MAX: u32 = 10_000;

/// Headers that the sink itself sets.
const OWN_HEADERS: [&str; 6] = [
    "content-length",
    "transfer-encoding",
    "connection",
    "host",
    crate::encode::IDEMPOTENCY_KEY,
    crate::encode::SIGNATURE,
];

/// Sends changes to an HTTP endpoint, at least once, with a stable identity.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to send, `https://…` or `http://…`. Treated as a secret: messages name only its host.
    #[schemars(with = "String")]
    pub url: Secret,
    /// HTTP method.
    #[serde(default)]
    pub method: Method,
    /// Headers to add to each request. Their values are treated as secrets.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub headers: BTreeMap<String, Secret>,
    /// Longest time that one request may take, connecting and the answer included.
    #[serde(default = "default_timeout_seconds")]
    #[schemars(range(min = 1, max = 3_600))]
    pub timeout_seconds: u32,
    /// Sent as `Authorization: Bearer …`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub auth_token: Option<Secret>,
    /// Several changes in one request.
    #[serde(default)]
    pub batch: Batch,
    /// Requests under way at once. 1 keeps the order of all changes; more keep the order of changes
    /// with the same key.
    #[serde(default = "default_concurrency")]
    #[schemars(range(min = 1, max = 256))]
    pub concurrency: u32,
    /// Signs each request: `Cdc-Signature: t=SECONDS,v1=HEX`, the HMAC-SHA256 of `SECONDS.BODY`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub signing_secret: Option<Secret>,
    /// For `https`: whom to trust and what to prove.
    #[serde(default)]
    pub tls: Tls,
}

/// HTTP methods that carry a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// `POST`
    #[default]
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
}

/// Several changes in one request, as a JSON array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Batch {
    /// Most changes in one request; 1 sends each as an object of its own, without an array.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_records: u32,
    /// A request is sent before its body would get larger than this. One change may be.
    #[schemars(range(min = 1))]
    pub max_bytes: u64,
}

impl Default for Batch {
    fn default() -> Self {
        Self { max_records: 1, max_bytes: 1 << 20 }
    }
}

/// Whom to trust and what to prove. The server's certificate and name are always verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the authorities to trust; the system's own when absent.
    pub ca_file: Option<PathBuf>,
    /// PEM file with this client's certificate and the chain behind it.
    pub certificate_file: Option<PathBuf>,
    /// PEM file with the private key of `certificate_file`.
    pub key_file: Option<PathBuf>,
}

impl Tls {
    pub(crate) fn verified(&self) -> TlsConfig {
        TlsConfig {
            mode: Mode::VerifyFull,
            ca_file: self.ca_file.clone(),
            certificate_file: self.certificate_file.clone(),
            key_file: self.key_file.clone(),
        }
    }
}

fn default_timeout_seconds() -> u32 {
    30
}

fn default_concurrency() -> u32 {
    1
}

impl Config {
    /// Refuses what cannot work, before anything is connected to.
    pub(crate) fn validate(&self) -> Result<()> {
        self.parsed_url()?;
        let numbers = [
            ("timeout_seconds", self.timeout_seconds, TIMEOUT_SECONDS_MAX),
            ("concurrency", self.concurrency, CONCURRENCY_MAX),
            ("batch.max_records", self.batch.max_records, RECORDS_MAX),
        ];
        for (key, value, most) in numbers {
            if value == 0 || value > most {
                return Err(error::config(format!("`webhook.{key}` must be from 1 to {most}")));
            }
        }
        if self.batch.max_bytes == 0 {
            return Err(error::config("`webhook.batch.max_bytes` must be at least 1"));
        }
        if self.signing_secret.as_ref().is_some_and(|secret| secret.expose().is_empty()) {
            return Err(error::config("`webhook.signing_secret` is empty"));
        }
        self.parsed_headers().map(drop)
    }

    /// The URL, which is known to have a host.
    pub(crate) fn parsed_url(&self) -> Result<Url> {
        let url = Url::parse(self.url.expose())
            .map_err(|error| error::config(format!("`webhook.url` is not a URL: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(error::config("`webhook.url` must start with http:// or https://"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(error::config("`webhook.url` has no host"));
        }
        Ok(url)
    }

    /// The configured headers, the authorization included.
    pub(crate) fn parsed_headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>> {
        let mut out = Vec::with_capacity(self.headers.len() + 1);
        for (name, value) in &self.headers {
            let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
                error::config(format!("`webhook.headers`: {name:?} is no name of a header"))
            })?;
            if OWN_HEADERS.contains(&parsed.as_str()) {
                let what = format!("`webhook.headers.{name}`: the sink sets this header itself");
                return Err(error::config(what));
            }
            out.push((parsed, header_value(&format!("headers.{name}"), value.expose())?));
        }
        if let Some(token) = &self.auth_token {
            let name = reqwest::header::AUTHORIZATION;
            if out.iter().any(|(other, _)| *other == name) {
                return Err(error::config(
                    "`webhook.auth_token` and `webhook.headers.Authorization` exclude each other",
                ));
            }
            let value = format!("Bearer {}", token.expose());
            out.push((name, header_value("auth_token", &value)?));
        }
        Ok(out)
    }
}

fn header_value(key: &str, value: &str) -> Result<HeaderValue> {
    let mut parsed = HeaderValue::from_str(value).map_err(|_| {
        error::config(format!("`webhook.{key}` holds characters that a header cannot"))
    })?;
    parsed.set_sensitive(true);
    Ok(parsed)
}

/// What messages call the receiver: scheme, host and port. The rest of a URL may be a secret.
pub(crate) fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Config, String> {
        let config: Config = serde_json::from_str(json).map_err(|error| error.to_string())?;
        config.validate().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn only_the_url_is_needed() {
        let config = parse(r#"{"url":"https://example.com/hook"}"#).unwrap();
        assert_eq!(config.method, Method::Post);
        assert_eq!((config.timeout_seconds, config.concurrency), (30, 1));
        assert_eq!(config.batch, Batch { max_records: 1, max_bytes: 1_048_576 });
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let with = |rest: &str| format!(r#"{{"url":"http://h","{rest}}}"#);
        for (json, part) in [
            (r#"{"url":"hook"}"#.to_owned(), "not a URL"),
            (r#"{"url":"ftp://h/"}"#.to_owned(), "http://"),
            (with(r#"timeout_seconds":0"#), "timeout_seconds"),
            (with(r#"concurrency":1000"#), "concurrency"),
            (with(r#"batch":{"max_records":0}"#), "max_records"),
            (with(r#"headers":{"a b":"c"}"#), "no name of a header"),
            (with(r#"headers":{"Idempotency-Key":"c"}"#), "sets this header itself"),
            (with(r#"headers":{"X-A":"line\nbreak"}"#), "headers.X-A"),
            (with(r#"auth_token":"a","headers":{"authorization":"b"}"#), "exclude each other"),
            (with(r#"signing_secret":"""#), "signing_secret"),
            (with(r#"method":"GET""#), "GET"),
            (with(r#"uri":"x""#), "uri"),
        ] {
            let error = parse(&json).unwrap_err();
            assert!(error.contains(part), "{json}: {error}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let config = parse(
            r#"{"url":"https://user:hunter2@hooks.example.com:8443/T0/hunter2?k=hunter2",
                "auth_token":"hunter2","signing_secret":"hunter2","headers":{"X-Key":"hunter2"}}"#,
        )
        .unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(!format!("{:?}", config.parsed_headers()).contains("hunter2"));
        assert_eq!(shown(&config.parsed_url().unwrap()), "https://hooks.example.com:8443");
    }
}
