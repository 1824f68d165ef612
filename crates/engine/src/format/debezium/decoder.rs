//! Debezium's records to changes: our own by the table schema that their header names, those of other
//! producers by what they say of themselves.

use super::{DebeziumSpec, SCHEMAS_MAX};
use crate::error;
use async_trait::async_trait;
use bytes::Bytes;
use cdc_codec::{
    connect::{avro, json_schema, unframe},
    debezium::{self, Decoded as Foreign, Mark, Moved, Payload, SCHEMA_HEADER, TableReader},
};
use cdc_core::{
    Change, Record, Result, SchemaId, StoredRecord, TableSchema,
    format::{Decoded, Decoder},
    naming,
    registry::SchemaKind,
};
use std::{collections::BTreeMap, sync::Arc};

/// Numbers of schemas that were read from records of other producers begin here; the store's own never
/// come so far.
const FOREIGN: u32 = 1 << 31;
/// A framed record begins with it; JSON does not.
const FRAMED: u8 = 0;

/// Reads the records of one log.
pub(super) struct DebeziumDecoder {
    spec: Arc<DebeziumSpec>,
    /// Our own tables, by the value of the header that names them.
    own: BTreeMap<Bytes, Own>,
    /// Schemas of the registry by their number.
    registered: BTreeMap<u32, Registered>,
    foreign: debezium::Decoder,
    /// Schemas of other producers by their address.
    known: BTreeMap<usize, Known>,
    numbered: u32,
}

#[derive(Clone)]
struct Own {
    reader: Arc<TableReader>,
    id: SchemaId,
    topic: Arc<str>,
}

/// What reads the records of a number.
#[derive(Clone)]
enum Registered {
    Avro(Arc<avro::Reader>),
    Protobuf,
    /// Without a reader where the schema is none of Connect's.
    Json(Option<Arc<json_schema::Reader>>),
}

#[derive(Clone)]
struct Known {
    /// Kept so that its address stays taken.
    schema: Arc<TableSchema>,
    id: SchemaId,
    topic: Arc<str>,
}

impl DebeziumDecoder {
    pub(super) fn new(spec: &Arc<DebeziumSpec>) -> Self {
        Self {
            spec: Arc::clone(spec),
            own: BTreeMap::new(),
            registered: BTreeMap::new(),
            foreign: debezium::Decoder::new(&spec.options.placeholder),
            known: BTreeMap::new(),
            numbered: 0,
        }
    }

    /// What reads records of this mark.
    async fn own(&mut self, mark: &Bytes) -> Result<Own> {
        if let Some(own) = self.own.get(mark) {
            return Ok(own.clone());
        }
        let read = Mark::read(mark).map_err(debezium::ForeignError::from)?;
        let id = read.schema;
        let schema = self.spec.schemas.get(id).await?.ok_or_else(|| error::schema_missing(id))?;
        let topic = naming::topic(&self.spec.topic_prefix, &schema.table).into();
        let own = Own { reader: Arc::new(TableReader::new(schema, &read)), id, topic };
        if self.own.len() >= SCHEMAS_MAX {
            self.own.clear();
        }
        self.own.insert(Bytes::copy_from_slice(mark), own.clone());
        Ok(own)
    }

    /// What reads the bytes, and the bytes without their frame; `None` for JSON without one.
    async fn framed<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<(Registered, &'b [u8])>> {
        if bytes.first() != Some(&FRAMED) {
            return Ok(None);
        }
        let frame = unframe(bytes)?;
        if let Some(known) = self.registered.get(&frame.schema) {
            return Ok(Some((known.clone(), frame.record)));
        }
        let registry = self.spec.registry.as_ref().ok_or_else(error::no_registry)?;
        let schema = registry.schema(frame.schema).await?;
        let registered = match schema.kind {
            SchemaKind::Avro => Registered::Avro(Arc::new(avro::Reader::new(&schema.text)?)),
            SchemaKind::Protobuf => Registered::Protobuf,
            SchemaKind::Json => {
                Registered::Json(json_schema::Reader::new(&schema.text).ok().map(Arc::new))
            }
        };
        if self.registered.len() >= SCHEMAS_MAX {
            self.registered.clear();
        }
        self.registered.insert(frame.schema, registered.clone());
        Ok(Some((registered, frame.record)))
    }

    async fn read_own(&mut self, mark: &Bytes, record: &Record) -> Result<Option<Decoded>> {
        let Own { reader, id, topic } = self.own(mark).await?;
        match reader.moved(&record.headers, record.position)? {
            Moved::No => {}
            Moved::Leaves => return Ok(None),
            Moved::Arrives(change) => {
                return Ok(Some(Decoded { change: *change, topic, schema: id }));
            }
        }
        let framed = self.framed(&record.payload).await?;
        let payload = match &framed {
            None => Payload::Json(&record.payload),
            Some((Registered::Json(_), json)) => Payload::Json(json),
            Some((Registered::Avro(reader), avro)) => Payload::Avro(reader, avro),
            Some((Registered::Protobuf, protobuf)) => Payload::Protobuf(protobuf),
        };
        let change = reader.read(payload, &record.headers, record.position)?;
        Ok(Some(Decoded { change, topic, schema: id }))
    }

    /// A key or value of another producer as JSON; `None` where there is none.
    async fn as_json(&mut self, bytes: &Bytes) -> Result<Option<Bytes>> {
        if bytes.is_empty() {
            return Ok(None);
        }
        Ok(Some(match self.framed(bytes).await? {
            None => bytes.clone(),
            Some((Registered::Json(None), json)) => bytes.slice_ref(json),
            Some((Registered::Json(Some(reader)), record)) => {
                let mut json = Vec::new();
                reader.json(record, &mut json);
                json.into()
            }
            Some((Registered::Avro(reader), record)) => {
                let mut json = Vec::new();
                reader.json(record, &mut json)?;
                json.into()
            }
            Some((Registered::Protobuf, _)) => return Err(error::foreign_protobuf()),
        }))
    }

    async fn read_foreign(&mut self, record: &Record) -> Result<Option<Decoded>> {
        let (key, value) = (self.as_json(&record.key).await?, self.as_json(&record.payload).await?);
        let read = self.foreign.decode(key.as_deref(), value.as_deref(), record.position)?;
        let Foreign::Change(change) = read else { return Ok(None) };
        let change: Change = *change;
        let Known { id, topic, .. } = self.known(&change.schema);
        Ok(Some(Decoded { change, topic, schema: id }))
    }

    fn known(&mut self, schema: &Arc<TableSchema>) -> Known {
        let address = Arc::as_ptr(schema).addr();
        if let Some(known) = self.known.get(&address) {
            debug_assert!(Arc::ptr_eq(&known.schema, schema), "an address is one schema's");
            return known.clone();
        }
        if self.known.len() >= SCHEMAS_MAX {
            self.known.clear();
        }
        self.numbered = self.numbered.wrapping_add(1);
        let known = Known {
            schema: Arc::clone(schema),
            id: SchemaId(FOREIGN | self.numbered),
            topic: naming::topic(&self.spec.topic_prefix, &schema.table).into(),
        };
        self.known.insert(address, known.clone());
        known
    }
}

#[async_trait]
impl Decoder for DebeziumDecoder {
    async fn decode(&mut self, record: &StoredRecord) -> Result<Option<Decoded>> {
        let record = &record.record;
        if record.payload.is_empty() {
            return Ok(None);
        }
        match record.headers.iter().find(|header| &*header.name == SCHEMA_HEADER) {
            Some(mark) => self.read_own(&mark.value, record).await,
            None => self.read_foreign(record).await,
        }
    }
}
