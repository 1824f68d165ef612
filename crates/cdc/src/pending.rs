#![allow(missing_docs, reason = "stands in until the connectors are there")]
use async_trait::async_trait;
use cdc_core::{catalog::*, *};
use schemars::JsonSchema;
use serde::Deserialize;
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    pub url: String,
}
pub struct Connector;
impl Connector {
    pub fn new<T>(_: T) -> Result<Self> {
        Ok(Self)
    }
}
#[async_trait]
impl SourceConnector for Connector {
    fn kind(&self) -> &'static str {
        "postgres"
    }
    async fn check(&self) -> (Vec<Finding>, Vec<CapturedTable>) {
        (vec![], vec![])
    }
    async fn provision(&self) -> Result<Vec<String>> {
        Ok(vec![])
    }
    async fn retire(&self) -> Result<Vec<String>> {
        Ok(vec![])
    }
    async fn open(&self) -> Result<Box<dyn cdc_core::Source>> {
        Err(Error::new("CDC-1001", Origin::Source, Retry::Backoff, "not there yet"))
    }
    async fn current_position(&self) -> Result<Position> {
        Ok(Position::default())
    }
}
#[async_trait]
impl SinkConnector for Connector {
    fn kind(&self) -> &'static str {
        "webhook"
    }
    async fn check(&self, _: &SinkContext, _: &[CapturedTable]) -> Vec<Finding> {
        vec![]
    }
    async fn open(&self, _: &SinkContext) -> Result<Box<dyn Sink>> {
        Err(Error::new("CDC-1001", Origin::Source, Retry::Backoff, "not there yet"))
    }
}
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
    #[serde(default)]
    pub status_interval_seconds: u64,
}
