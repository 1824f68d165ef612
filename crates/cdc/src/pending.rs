#![allow(missing_docs, reason = "stands in until the connectors are there")]
use cdc_core::Secret;
use schemars::JsonSchema;
use serde::Deserialize;
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    #[serde(default)]
    pub host: String,
    pub database: String,
    #[serde(default)]
    pub port: u16,
    #[serde(default)]
    #[schemars(with = "String")]
    pub password: Secret,
    #[serde(default)]
    pub slot_name: String,
    #[serde(default)]
    pub publication_name: String,
    #[serde(default)]
    pub tables: Vec<String>,
}
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sink {
    #[serde(default)]
    pub url: String,
    #[serde(default)]
    pub timeout_seconds: u64,
    #[serde(default)]
    pub path: String,
}
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    pub retention_hours: u32,
}
impl Log {
    pub fn validate(&self) -> cdc_core::Result<()> {
        Ok(())
    }
}
