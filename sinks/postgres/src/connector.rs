//! Opens and checks sinks of one configuration.

use crate::{Config, Mode, check, error, events::Events, replica::Replica, verify::TableRows};
use async_trait::async_trait;
use cdc_core::{
    Finding, Result, Sink,
    catalog::{CapturedTable, SinkConnector, SinkContext},
    verify::{ReadLimits, ReplicaRows},
};
use std::sync::Arc;

/// Opens and checks PostgreSQL sinks of one configuration.
#[derive(Debug)]
pub struct Connector {
    config: Arc<Config>,
}

impl Connector {
    /// Refuses a configuration that cannot work; connects to nothing.
    pub fn new(config: Config) -> Result<Self> {
        config.validate()?;
        config.tls.client_config().map_err(cdc_core::Error::from)?;
        Ok(Self { config: Arc::new(config) })
    }
}

#[async_trait]
impl SinkConnector for Connector {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    async fn check(&self, context: &SinkContext, tables: &[CapturedTable]) -> Vec<Finding> {
        check::run(&self.config, context, tables).await
    }

    async fn open(&self, context: &SinkContext) -> Result<Box<dyn Sink>> {
        if context.memory_bytes == 0 {
            return Err(error::contract("a sink was opened without any memory"));
        }
        let config = Arc::clone(&self.config);
        Ok(match config.mode() {
            Mode::Replica => Box::new(Replica::open(config, context).await?),
            Mode::Events => Box::new(Events::open(config, context).await?),
        })
    }

    fn compares(&self) -> bool {
        self.config.mode() == Mode::Replica
    }

    async fn rows(
        &self,
        context: &SinkContext,
        limits: ReadLimits,
    ) -> Result<Option<Box<dyn ReplicaRows>>> {
        Ok(match self.config.mode() {
            Mode::Replica => {
                Some(Box::new(TableRows::open(Arc::clone(&self.config), context, limits).await?))
            }
            Mode::Events => None,
        })
    }
}
