//! The `connector` block of the platform file.

use crate::error;
use cdc_core::Result;
use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// Capture by Debezium on a Kafka Connect cluster: with this block `cdc` reads no changes from the
/// database itself. It makes a connector there and delivers what that one writes to the topics.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Its REST interface: `http://HOST:PORT` or `https://…`.
    pub connect_url: String,
    /// Name of the connector. Without it, it is called like the pipeline. One that somebody else has
    /// made is watched, and left as it is.
    pub name: Option<String>,
    /// Longest time in seconds that a request may take.
    pub timeout_seconds: f64,
    /// How often a request is tried.
    #[schemars(range(min = 1))]
    pub retry_max_attempts: u32,
    /// Seconds between two tries.
    pub retry_wait_seconds: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_url: "http://localhost:8083".to_owned(),
            name: None,
            timeout_seconds: 30.0,
            retry_max_attempts: 5,
            retry_wait_seconds: 2.0,
        }
    }
}

impl Config {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names the key.
    pub fn validate(&self) -> Result<()> {
        self.url()?;
        if self.retry_max_attempts == 0 {
            return Err(error::config("`retry_max_attempts` must be at least 1"));
        }
        self.timeout()?;
        self.wait().map(drop)
    }

    pub(crate) fn url(&self) -> Result<Url> {
        let refused =
            || error::config("`connect_url` must be like http://connect.example.com:8083");
        let url = Url::parse(&self.connect_url).map_err(|_| refused())?;
        let usable = matches!(url.scheme(), "http" | "https") && !url.cannot_be_a_base();
        if usable { Ok(url) } else { Err(refused()) }
    }

    pub(crate) fn timeout(&self) -> Result<Duration> {
        seconds("timeout_seconds", self.timeout_seconds)
    }

    pub(crate) fn wait(&self) -> Result<Duration> {
        seconds("retry_wait_seconds", self.retry_wait_seconds)
    }
}

fn seconds(key: &str, value: f64) -> Result<Duration> {
    const SECONDS_MAX: f64 = 3600.0;
    if (0.001..=SECONDS_MAX).contains(&value) {
        return Ok(Duration::from_secs_f64(value));
    }
    Err(error::config(&format!("`{key}` must be between 0.001 and {SECONDS_MAX}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_cannot_work() {
        assert!(Config::default().validate().is_ok());
        let refused = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.validate().unwrap_err().context
        };
        assert!(refused(|it| it.connect_url = "connect:8083".to_owned()).contains("connect_url"));
        assert!(refused(|it| it.timeout_seconds = f64::NAN).contains("timeout_seconds"));
        assert!(refused(|it| it.retry_wait_seconds = -1.0).contains("retry_wait_seconds"));
        assert!(refused(|it| it.retry_max_attempts = 0).contains("retry_max_attempts"));
    }
}
