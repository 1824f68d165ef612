//! In which format keys and values are written.

use super::options::Options;
use crate::connect::{JsonWriter, NameAdjustment, Schema, Unsayable, Writer};
use crate::connect::{avro, json_schema, protobuf};
use cdc_core::Result;
use cdc_core::registry::{RegisteredSchema, SchemaKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The format of keys or of values; each is chosen by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// JSON alone: `schemas.enable=false` of Kafka's JSON converter.
    Json,
    /// JSON as `{"schema":…,"payload":…}`: what Kafka Connect writes when nobody chooses.
    #[default]
    JsonWithSchemas,
    /// Avro in Confluent's wire format, by the number of its schema in the registry.
    Avro,
    /// Protobuf in Confluent's wire format, by the number of its schema in the registry.
    Protobuf,
    /// JSON in Confluent's wire format, by the number of its JSON Schema in the registry.
    JsonSchema,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Json, Self::JsonWithSchemas, Self::Avro, Self::Protobuf, Self::JsonSchema];

    /// The word for it in a configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::JsonWithSchemas => "json_with_schemas",
            Self::Avro => "avro",
            Self::Protobuf => "protobuf",
            Self::JsonSchema => "json_schema",
        }
    }

    /// The language of its schemas in a registry; `None` where it needs no registry.
    #[must_use]
    pub const fn registered_as(self) -> Option<SchemaKind> {
        match self {
            Self::Json | Self::JsonWithSchemas => None,
            Self::Avro => Some(SchemaKind::Avro),
            Self::Protobuf => Some(SchemaKind::Protobuf),
            Self::JsonSchema => Some(SchemaKind::Json),
        }
    }

    /// Does it refuse names with other characters than letters, digits and `_`?
    const fn has_narrow_names(self) -> bool {
        matches!(self, Self::Avro | Self::Protobuf)
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Options {
    /// The options with what these formats leave no choice in: whether JSON carries schemas, and names
    /// that Avro and Protobuf take.
    #[must_use]
    pub fn encoded_as(mut self, key: Encoding, value: Encoding) -> Self {
        let both = [key, value];
        self.schemas = both.contains(&Encoding::JsonWithSchemas);
        if both.into_iter().any(Encoding::has_narrow_names) {
            for names in [&mut self.schema_names, &mut self.field_names] {
                if *names == NameAdjustment::None {
                    *names = NameAdjustment::Avro;
                }
            }
        }
        self
    }
}

/// Something that can be told to the writer of any format.
pub(super) trait Tell {
    fn tell<W: Writer>(self, out: &mut W) -> Result<()>;
}

/// What writes keys or values of one schema.
#[derive(Debug)]
pub(super) enum Side {
    Json,
    JsonWithSchemas,
    Avro(avro::Plan, u32),
    Protobuf(protobuf::Plan, u32),
    JsonSchema(json_schema::Plan, u32),
}

impl Side {
    /// Prepares a schema. Those of a registry have no number yet.
    pub(super) fn new(
        encoding: Encoding,
        schema: impl FnOnce() -> Schema,
    ) -> Result<Self, Unsayable> {
        Ok(match encoding {
            Encoding::Json => Self::Json,
            Encoding::JsonWithSchemas => Self::JsonWithSchemas,
            Encoding::Avro => Self::Avro(avro::Plan::new(&schema())?, 0),
            Encoding::Protobuf => {
                let plan = protobuf::Plan::new(&schema(), protobuf::Nullables::Optional)?;
                Self::Protobuf(plan, 0)
            }
            Encoding::JsonSchema => Self::JsonSchema(json_schema::Plan::new(&schema())?, 0),
        })
    }

    /// What a registry has to know of it.
    pub(super) fn registered(&self) -> Option<RegisteredSchema> {
        let (kind, text) = match self {
            Self::Json | Self::JsonWithSchemas => return None,
            Self::Avro(plan, _) => (SchemaKind::Avro, plan.text()),
            Self::Protobuf(plan, _) => (SchemaKind::Protobuf, plan.text()),
            Self::JsonSchema(plan, _) => (SchemaKind::Json, plan.text()),
        };
        Some(RegisteredSchema { kind, text: text.into() })
    }

    /// Sets the number that the registry gave.
    pub(super) fn set_number(&mut self, given: u32) {
        match self {
            Self::Json | Self::JsonWithSchemas => {}
            Self::Avro(_, number) | Self::Protobuf(_, number) | Self::JsonSchema(_, number) => {
                *number = given;
            }
        }
    }

    /// Appends one key or value. `text` is its schema as JSON prints it, where that is at hand. After an
    /// error `out` is as it was.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        text: Option<&[u8]>,
        what: impl Tell,
    ) -> Result<()> {
        match self {
            Self::Json => json(out, None, what),
            Self::JsonWithSchemas => json(out, text, what),
            Self::Avro(plan, number) => plan.write(*number, out, |out| what.tell(out)),
            Self::Protobuf(plan, number) => plan.write(*number, out, |out| what.tell(out)),
            Self::JsonSchema(plan, number) => plan.write(*number, out, |out| what.tell(out)),
        }
    }
}

/// Appends JSON, inside `{"schema":…,"payload":…}` where there is a schema. After an error `out` is as
/// it was.
pub(super) fn json(out: &mut Vec<u8>, schema: Option<&[u8]>, what: impl Tell) -> Result<()> {
    let start = out.len();
    let told = match schema {
        None => what.tell(&mut JsonWriter::new(out, false)),
        Some(schema) => {
            out.extend_from_slice(WITH_SCHEMA);
            out.extend_from_slice(schema);
            out.extend_from_slice(b",\"payload\":");
            let told = what.tell(&mut JsonWriter::new(out, true));
            out.push(b'}');
            told
        }
    };
    if told.is_err() {
        out.truncate(start);
    }
    told
}

/// How JSON with a schema begins.
pub(super) const WITH_SCHEMA: &[u8] = b"{\"schema\":";
