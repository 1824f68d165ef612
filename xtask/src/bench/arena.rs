//! Where a benchmark takes place: the binary, the server and a database of its own.

use std::path::Path;

use cdc_testkit::services::Postgres;
use tokio_postgres::Client;

/// What every contender is run on.
pub(super) struct Arena<'a> {
    pub(super) binary: &'a Path,
    pub(super) server: &'a Postgres,
    pub(super) database: String,
    pub(super) client: Client,
}

impl<'a> Arena<'a> {
    /// An empty database.
    pub(super) async fn new(binary: &'a Path, server: &'a Postgres) -> anyhow::Result<Self> {
        let database = server.create_database("bench").await?;
        let client = server.connect(&database).await?;
        Ok(Self { binary, server, database, client })
    }

    /// The server's full version.
    pub(super) async fn version(&self) -> anyhow::Result<String> {
        Ok(self.client.query_one("SHOW server_version", &[]).await?.try_get(0)?)
    }
}
