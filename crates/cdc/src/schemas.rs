//! Table schemas for somebody who reads a log from its middle.

use crate::{
    backbone::State,
    failure::{Failure, Outcome},
    remote::{Reach, reach},
    settings::Settings,
};
use cdc_codec::row;
use cdc_core::{Change, SchemaId, StoredRecord, TableSchema, Transaction};
use std::{collections::BTreeMap, sync::Arc};

/// Schemas by number: those that passed by, and the others from whoever has them.
pub(crate) struct Schemas<'a> {
    settings: &'a Settings,
    known: BTreeMap<SchemaId, Arc<TableSchema>>,
    transaction: Option<Arc<Transaction>>,
}

impl<'a> Schemas<'a> {
    pub(crate) fn new(settings: &'a Settings) -> Self {
        Self { settings, known: BTreeMap::new(), transaction: None }
    }

    /// The change of a record; `None` when the record is a schema, which is kept.
    pub(crate) async fn decode(&mut self, record: &StoredRecord) -> Outcome<Option<Change>> {
        let payload = &record.record.payload;
        let unreadable = |error| unreadable(record, error);
        match row::kind(payload).map_err(unreadable)? {
            row::Kind::Schema => {
                let (id, schema) = row::decode_schema(payload).map_err(unreadable)?;
                self.known.insert(id, Arc::new(schema));
                Ok(None)
            }
            row::Kind::Change(id) => {
                let schema = match self.known.get(&id) {
                    Some(schema) => Arc::clone(schema),
                    None => self.fetch(id).await?,
                };
                let position = record.record.position;
                row::decode_change(payload, position, &schema, &mut self.transaction)
                    .map(Some)
                    .map_err(unreadable)
            }
        }
    }

    /// The running pipeline has the schemas; when none runs, its state has them.
    async fn fetch(&mut self, id: SchemaId) -> Outcome<Arc<TableSchema>> {
        let schema = match reach(&self.settings.directory)? {
            Reach::Running(_, remote) => {
                let path = format!("/api/v1/pipelines/{}/schemas/{}", self.settings.id(), id.0);
                serde_json::from_value(remote.get(&path).await?).ok().map(Arc::new)
            }
            Reach::Stopped(_lock) => State::open(self.settings).await?.schemas.get(id).await?,
        };
        let Some(schema) = schema else {
            let context = format!("nobody knows table schema {}", id.0);
            let remedy = "read the log from its beginning: --from-beginning";
            return Err(Failure::new("CDC-0128", context, remedy));
        };
        self.known.insert(id, Arc::clone(&schema));
        Ok(schema)
    }
}

fn unreadable(record: &StoredRecord, error: cdc_codec::DecodeError) -> Failure {
    let context = format!("the record at offset {} of the log cannot be read", record.offset);
    cdc_core::Error::new(
        "CDC-0129",
        cdc_core::Origin::Transport,
        cdc_core::Retry::AfterOperator,
        context,
    )
    .with_remedy("run the version of cdc that the pipeline runs")
    .with_source(error)
    .into()
}
