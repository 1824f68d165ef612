//! Puts the schemas of captured tables into the registry of an embedded pipeline, as Debezium would.

use super::{Guarded, Sentinel};
use async_trait::async_trait;
use cdc_codec::{
    connect::{Schema, avro::Plan},
    debezium::{Encoding, Options, schemas},
};
use cdc_core::{
    Result, SchemaId, TableSchema, naming,
    registry::{RegisteredSchema, SchemaKind, SchemaRegistry as _},
    store::SchemaStore,
};
use std::sync::Arc;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
};

/// So many lots of new schemas may wait; then capture does.
const WAITING_MAX: usize = 64;

/// What is announced, and how.
pub(crate) struct Announcements {
    registry: Guarded,
    topic_prefix: String,
    options: Options,
    /// Told after each lot.
    announced: Arc<Notify>,
}

impl Announcements {
    pub(crate) fn new(
        registry: Guarded,
        topic_prefix: &str,
        options: Options,
        announced: Arc<Notify>,
    ) -> Self {
        Self { registry, topic_prefix: topic_prefix.to_owned(), options, announced }
    }

    /// Registers key and value of each table. Only a schema that ends the run is an error: the log does
    /// not need the registry.
    async fn announce(&self, tables: &[TableSchema]) -> Result<()> {
        for table in tables {
            for (subject, text) in subjects(table, &self.topic_prefix, &self.options) {
                let schema = RegisteredSchema { kind: SchemaKind::Avro, text: text.into() };
                let Err(error) = self.registry.register(&subject, &schema).await else { continue };
                match error.code {
                    "CDC-0142" => return Err(error),
                    _ => tracing::debug!(%error, subject, "schema is not registered"),
                }
            }
        }
        self.announced.notify_one();
        Ok(())
    }
}

/// Subjects of a table with their schemas in Avro.
fn subjects(table: &TableSchema, prefix: &str, options: &Options) -> Vec<(String, String)> {
    let topic = naming::topic(prefix, &table.table);
    let options = options.clone().encoded_as(Encoding::Avro, Encoding::Avro);
    let text = |schema: &Schema| Plan::new(schema).ok().map(|plan| plan.text().to_owned());
    let key = schemas::key(table, prefix, &options).as_ref().and_then(text);
    let value = text(&schemas::value(table, prefix, &options));
    let named =
        |part: &str, text: Option<String>| text.map(|text| (format!("{topic}-{part}"), text));
    named("key", key).into_iter().chain(named("value", value)).collect()
}

/// A store of table schemas that announces what it is given.
pub(crate) struct Announcing {
    inner: Arc<dyn SchemaStore>,
    way: Way,
}

enum Way {
    /// Before the first change under a schema is in the log.
    Before(Box<Announcements>),
    /// Beside it: nothing waits.
    Beside(mpsc::Sender<Vec<TableSchema>>),
}

impl Announcing {
    /// Announces before anything else happens where an incompatible schema ends the run, and otherwise
    /// beside it, in a task that ends once the store is gone.
    pub(crate) fn new(
        inner: Arc<dyn SchemaStore>,
        announcements: Announcements,
        sentinel: &Sentinel,
    ) -> (Self, JoinSet<()>) {
        if sentinel.stops() {
            let way = Way::Before(Box::new(announcements));
            return (Self { inner, way }, JoinSet::new());
        }
        let (sender, mut waiting) = mpsc::channel::<Vec<TableSchema>>(WAITING_MAX);
        let mut announcing = JoinSet::new();
        announcing.spawn(async move {
            while let Some(tables) = waiting.recv().await {
                if let Err(error) = announcements.announce(&tables).await {
                    tracing::debug!(%error, "schemas are not registered");
                }
            }
        });
        (Self { inner, way: Way::Beside(sender) }, announcing)
    }
}

#[async_trait]
impl SchemaStore for Announcing {
    async fn register(&self, schemas: &[&TableSchema]) -> Result<Vec<SchemaId>> {
        let tables: Vec<TableSchema> = schemas.iter().map(|schema| (*schema).clone()).collect();
        match &self.way {
            Way::Before(announcements) => announcements.announce(&tables).await?,
            // A registry that is gone must not keep the log from going on.
            Way::Beside(sender) => drop(sender.send(tables).await),
        }
        self.inner.register(schemas).await
    }

    async fn get(&self, id: SchemaId) -> Result<Option<Arc<TableSchema>>> {
        self.inner.get(id).await
    }
}
