//! How a registry is reached.

use super::error;
use cdc_core::{Result, Secret};
use cdc_tls::{Mode, TlsConfig};
use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;

/// Longest time that one request may take.
const TIMEOUT_SECONDS_MAX: u32 = 600;

/// A schema registry that speaks Confluent's REST API.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where it is, `https://…` or `http://…`; several URLs of one registry, separated by commas, are
    /// tried one after the other. What stands before an `@` is user and password.
    #[schemars(with = "String")]
    pub url: Secret,
    /// User of HTTP basic authentication.
    #[serde(default)]
    pub username: Option<String>,
    /// Password of `username`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub password: Option<Secret>,
    /// Sent as `Authorization: Bearer …`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub token: Option<Secret>,
    /// Longest time that one request may take, connecting and the answer included.
    #[serde(default = "default_timeout_seconds")]
    #[schemars(range(min = 1, max = 600))]
    pub timeout_seconds: u32,
    /// For `https`: whom to trust and what to prove.
    #[serde(default)]
    pub tls: Tls,
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

fn default_timeout_seconds() -> u32 {
    30
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    None,
    Basic(String, Secret),
    Bearer(Secret),
}

/// One of the URLs.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// Without user and password.
    pub(super) url: Url,
    pub(super) credentials: Credentials,
}

impl Endpoint {
    /// What messages call it: scheme, host and port.
    pub(super) fn shown(&self) -> String {
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}", self.url.scheme(), self.url.host_str().unwrap_or_default())
    }
}

impl Config {
    /// A registry at a URL, with nothing else set.
    #[must_use]
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: Secret::new(url),
            username: None,
            password: None,
            token: None,
            timeout_seconds: default_timeout_seconds(),
            tls: Tls::default(),
        }
    }

    pub(super) fn tls(&self) -> TlsConfig {
        TlsConfig {
            mode: Mode::VerifyFull,
            ca_file: self.tls.ca_file.clone(),
            certificate_file: self.tls.certificate_file.clone(),
            key_file: self.tls.key_file.clone(),
        }
    }

    /// Refuses what cannot work, and splits the URLs.
    pub(super) fn endpoints(&self) -> Result<Vec<Endpoint>> {
        if self.timeout_seconds == 0 || self.timeout_seconds > TIMEOUT_SECONDS_MAX {
            let what = format!("`timeout_seconds` must be from 1 to {TIMEOUT_SECONDS_MAX}");
            return Err(error::config(what));
        }
        let credentials = match (&self.username, &self.password, &self.token) {
            (None, None, None) => Credentials::None,
            (Some(user), password, None) => {
                Credentials::Basic(user.clone(), password.clone().unwrap_or_default())
            }
            (None, None, Some(token)) => Credentials::Bearer(token.clone()),
            (None, Some(_), _) => {
                return Err(error::config("`password` is set without `username`"));
            }
            (Some(_), _, Some(_)) => {
                return Err(error::config("`username` and `token` exclude each other"));
            }
        };
        let texts = self.url.expose().split(',').map(str::trim).filter(|text| !text.is_empty());
        let endpoints: Vec<Endpoint> =
            texts.map(|text| endpoint(text, &credentials)).collect::<Result<_>>()?;
        if endpoints.is_empty() {
            return Err(error::config("the registry's URL is empty"));
        }
        Ok(endpoints)
    }
}

fn endpoint(text: &str, credentials: &Credentials) -> Result<Endpoint> {
    let mut url = Url::parse(text)
        .map_err(|error| error::config(format!("the registry's URL is not one: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(error::config("the registry's URL must be http://HOST or https://HOST"));
    }
    let mut credentials = credentials.clone();
    if !url.username().is_empty() {
        if credentials != Credentials::None {
            return Err(error::config("the registry's URL and the other keys both name a user"));
        }
        let password = Secret::new(decoded(url.password().unwrap_or_default()));
        credentials = Credentials::Basic(decoded(url.username()), password);
        // Both can only fail for URLs without a host.
        let _cleared = (url.set_username(""), url.set_password(None));
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(Endpoint { url, credentials })
}

/// Percent-encoded letters as they are meant.
fn decoded(text: &str) -> String {
    // The parser of query strings knows the encoding; only the sign for a blank is its own.
    let query = format!("http://x/?v={}", text.replace('+', "%2B"));
    let url = Url::parse(&query).ok();
    let value = url.and_then(|url| url.query_pairs().next().map(|(_, value)| value.into_owned()));
    value.unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_urls_with_users_of_their_own() {
        let config = Config::at("http://a:8081, https://me:p%40ss@b/registry?x=1");
        let endpoints = config.endpoints().unwrap();
        assert_eq!(endpoints[0].shown(), "http://a:8081");
        assert_eq!(endpoints[1].shown(), "https://b");
        assert_eq!(endpoints[1].url.as_str(), "https://b/registry");
        let password = Secret::new("p@ss");
        assert_eq!(endpoints[1].credentials, Credentials::Basic("me".to_owned(), password));
    }

    #[test]
    fn what_cannot_work_is_refused_without_telling_secrets() {
        for url in ["", "x", "ftp://a", "http://"] {
            assert_eq!(Config::at(url).endpoints().unwrap_err().code, "CDC-6017");
        }
        let mut config = Config::at("http://me:hunter2@a");
        config.token = Some(Secret::new("hunter3"));
        let text = format!("{:?} {config:?}", config.endpoints().unwrap_err());
        assert!(!text.contains("hunter"), "{text}");
    }
}
