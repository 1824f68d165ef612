//! Records as trees of JSON, whatever they are written in: `{"schema":…,"payload":…}` for key and value.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use cdc_registry::client::{Client, Config};
use serde_json::{Map, Value, json};

use super::topics::Stored;

/// In what the records of a topic are written.
pub(super) enum Form {
    /// JSON, with or without schemas.
    Json,
    /// Avro, with the registry that has the schemas.
    Avro(Registered),
}

/// The schemas of a registry, read by another implementation of Avro.
pub(super) struct Registered {
    client: Client,
    schemas: BTreeMap<u32, (Value, Schema)>,
}

impl Registered {
    pub(super) fn at(url: &str) -> anyhow::Result<Self> {
        Ok(Self { client: Client::new(&Config::at(url))?, schemas: BTreeMap::new() })
    }

    /// How many versions each subject has.
    pub(super) async fn versions(&self) -> anyhow::Result<BTreeMap<String, usize>> {
        let mut counts = BTreeMap::new();
        for subject in self.client.subjects().await? {
            let count = self.client.versions(&subject).await?.len();
            counts.insert(subject, count);
        }
        Ok(counts)
    }

    /// The text of one of its schemas.
    pub(super) async fn text(&self, id: u32) -> anyhow::Result<String> {
        Ok(self.client.schema(i32::try_from(id)?).await?.schema.clone())
    }

    async fn tree(&mut self, bytes: &[u8]) -> anyhow::Result<Value> {
        let [0, a, b, c, d, datum @ ..] = bytes else { bail!("a record that is not framed") };
        let id = u32::from_be_bytes([*a, *b, *c, *d]);
        if !self.schemas.contains_key(&id) {
            let named = self.client.schema(i32::try_from(id)?).await?;
            let text: Value = serde_json::from_str(&named.schema)?;
            let schema = Schema::parse(&text)
                .with_context(|| format!("a schema that Avro does not know: {text}"))?;
            self.schemas.insert(id, (text, schema));
        }
        let (text, schema) = self.schemas.get(&id).context("put there just now")?;
        let mut rest = datum;
        let value = GenericDatumReader::builder(schema)
            .build()?
            .read_value(&mut rest)
            .context("decode a record")?;
        anyhow::ensure!(rest.is_empty(), "{} bytes are left of a record", rest.len());
        Ok(json!({ "schema": text, "payload": plain(value) }))
    }
}

impl Form {
    /// One record, with its headers in their order but for those that are only ours.
    pub(super) async fn tree(&mut self, record: &Stored) -> anyhow::Result<Value> {
        let key = self.part(record.key.as_deref()).await.context("a key")?;
        let value = self.part(record.value.as_deref()).await.context("a value")?;
        let text = |bytes: &[u8]| Value::String(String::from_utf8_lossy(bytes).into_owned());
        let shared = || record.headers.iter().filter(|(name, _)| !name.starts_with("cdc."));
        let headers = shared().map(|(name, value)| (name.clone(), text(value)));
        let headers: Map<String, Value> = headers.collect();
        let names: Vec<&String> = shared().map(|(name, _)| name).collect();
        Ok(json!({ "partition": record.partition, "key": key, "value": value,
                   "headers": headers, "header_names": names }))
    }

    async fn part(&mut self, bytes: Option<&[u8]>) -> anyhow::Result<Value> {
        match (self, bytes) {
            (_, None) => Ok(Value::Null),
            (Self::Json, Some(bytes)) => serde_json::from_slice(bytes)
                .with_context(|| String::from_utf8_lossy(bytes).into_owned()),
            (Self::Avro(registered), Some(bytes)) => registered.tree(bytes).await,
        }
    }
}

fn hex(bytes: &[u8]) -> Value {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

fn plain(value: Avro) -> Value {
    match value {
        Avro::Null => Value::Null,
        Avro::Boolean(value) => value.into(),
        Avro::Int(value) | Avro::Date(value) | Avro::TimeMillis(value) => value.into(),
        Avro::Long(value)
        | Avro::TimeMicros(value)
        | Avro::TimestampMillis(value)
        | Avro::TimestampMicros(value) => value.into(),
        Avro::Float(value) if value.is_finite() => value.into(),
        Avro::Float(value) => value.to_string().into(),
        Avro::Double(value) if value.is_finite() => value.into(),
        Avro::Double(value) => value.to_string().into(),
        Avro::Bytes(bytes) | Avro::Fixed(_, bytes) => hex(&bytes),
        Avro::Decimal(decimal) => {
            Vec::<u8>::try_from(decimal).map_or(Value::Null, |bytes| hex(&bytes))
        }
        Avro::String(text) | Avro::Enum(_, text) => text.into(),
        Avro::Union(_, value) => plain(*value),
        Avro::Array(values) => values.into_iter().map(plain).collect(),
        Avro::Map(values) => {
            let sorted: BTreeMap<String, Avro> = values.into_iter().collect();
            sorted.into_iter().map(|(name, value)| (name, plain(value))).collect()
        }
        Avro::Record(fields) => {
            fields.into_iter().map(|(name, value)| (name, plain(value))).collect()
        }
        other => format!("{other:?}").into(),
    }
}

/// The same tree with `prefix` called `PREFIX` wherever a name begins with it.
pub(super) fn neutral(tree: Value, prefix: &str) -> Value {
    match tree {
        Value::String(text) => {
            let rest =
                text.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('.'));
            rest.map_or_else(|| text.clone(), |rest| format!("PREFIX{rest}")).into()
        }
        Value::Array(values) => values.into_iter().map(|value| neutral(value, prefix)).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name, neutral(value, prefix))).collect()
        }
        other => other,
    }
}
