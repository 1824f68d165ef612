//! What the binary's list of connectors holds.

use crate::{
    check,
    config::Config,
    connection::connect_sql,
    provision,
    schema::Selection,
    server, snapshot,
    source::{Memory, PostgresSource},
    verify::TableRows,
};
use async_trait::async_trait;
use cdc_core::{
    Finding, Position, Result, Source, TableId,
    catalog::{CapturedTable, SourceConnector},
    snapshot::SnapshotOrder,
    verify::{ReadLimits, SourceRows},
};
use std::sync::Arc;

/// Opens and checks PostgreSQL sources of one configuration.
pub struct Connector {
    config: Arc<Config>,
    selection: Arc<Selection>,
    memory: Arc<Memory>,
}

impl Connector {
    /// Takes a configuration that makes sense.
    pub fn new(config: Config) -> Result<Self> {
        config.validate()?;
        let selection = config.selection()?;
        Ok(Self {
            config: Arc::new(config),
            selection: Arc::new(selection),
            memory: Arc::default(),
        })
    }
}

#[async_trait]
impl SourceConnector for Connector {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    async fn check(&self) -> (Vec<Finding>, Vec<CapturedTable>) {
        Box::pin(check::check(&self.config, &self.selection)).await
    }

    async fn provision(&self) -> Result<Vec<String>> {
        Box::pin(provision::provision(&self.config, &self.selection)).await
    }

    async fn retire(&self) -> Result<Vec<String>> {
        Box::pin(provision::retire(&self.config)).await
    }

    async fn open(&self) -> Result<Box<dyn Source>> {
        Ok(Box::new(PostgresSource::new(
            Arc::clone(&self.config),
            Arc::clone(&self.selection),
            Arc::clone(&self.memory),
        )))
    }

    fn begins_with_rows(&self) -> bool {
        self.config.snapshot_mode.reads_rows()
    }

    async fn current_position(&self) -> Result<Position> {
        let client = connect_sql(&self.config).await?;
        Ok(server::current_position(&self.config, &client).await?.heartbeat())
    }

    async fn order_snapshot(
        &self,
        order: &SnapshotOrder,
        resume: &[u8],
    ) -> Result<Option<Vec<TableId>>> {
        let taken = snapshot::take_order(&self.config, &self.selection, order, resume);
        Box::pin(taken).await.map(Some)
    }

    fn compares(&self) -> bool {
        true
    }

    async fn rows(&self, limits: ReadLimits) -> Result<Option<Box<dyn SourceRows>>> {
        let (config, selection) = (Arc::clone(&self.config), Arc::clone(&self.selection));
        Ok(Some(Box::new(TableRows::open(config, selection, limits).await?)))
    }
}
