//! A schema of any of the three languages, from its text to what the checks compare.

use crate::{avro, json, protobuf};
use cdc_core::registry::SchemaKind;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// No schema is larger; a registry must not be a place to store files.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// The language of a schema.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum SchemaType {
    /// Avro, which requests mean when they name none.
    #[default]
    Avro,
    /// JSON Schema.
    Json,
    /// Protocol Buffers.
    Protobuf,
}

impl SchemaType {
    /// All of them, in the order in which a registry lists them.
    pub const ALL: [Self; 3] = [Self::Json, Self::Protobuf, Self::Avro];

    /// The name that requests and answers use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Json => "JSON",
            Self::Protobuf => "PROTOBUF",
        }
    }
}

impl From<SchemaKind> for SchemaType {
    fn from(kind: SchemaKind) -> Self {
        match kind {
            SchemaKind::Avro => Self::Avro,
            SchemaKind::Json => Self::Json,
            SchemaKind::Protobuf => Self::Protobuf,
        }
    }
}

impl From<SchemaType> for SchemaKind {
    fn from(kind: SchemaType) -> Self {
        match kind {
            SchemaType::Avro => Self::Avro,
            SchemaType::Json => Self::Json,
            SchemaType::Protobuf => Self::Protobuf,
        }
    }
}

impl fmt::Display for SchemaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SchemaType {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|known| known.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| Invalid::new(format!("{text:?} is none of AVRO, JSON and PROTOBUF")))
    }
}

/// A schema that another one uses by a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reference {
    /// The name in the text that uses it: a full name in Avro, a URI in JSON Schema, the path of an
    /// import in Protobuf.
    pub name: String,
    /// The subject that holds it.
    pub subject: String,
    /// Its version there.
    pub version: i32,
}

/// The text behind a reference, found by whoever parses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referenced {
    /// As [`Reference::name`].
    pub name: String,
    /// The schema.
    pub text: String,
}

/// Why a text is no schema. Holds names of the schema, never data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    message: String,
}

impl Invalid {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }

    /// The same at a place inside the schema.
    pub(crate) fn at(self, place: &str) -> Self {
        Self { message: format!("{place}: {}", self.message) }
    }
}

impl From<Invalid> for cdc_core::Error {
    fn from(why: Invalid) -> Self {
        use cdc_core::{Origin, Retry};
        let context = format!("not a schema: {why}");
        Self::new("CDC-6018", Origin::Config, Retry::AfterOperator, context)
            .with_remedy("correct the schema at the place that the message names")
    }
}

/// A valid schema.
#[derive(Clone, Debug)]
pub enum Schema {
    /// Avro.
    Avro(avro::Schema),
    /// JSON Schema.
    Json(json::Schema),
    /// Protocol Buffers.
    Protobuf(protobuf::Schema),
}

impl Schema {
    /// Reads a text. `referenced` holds every schema that it uses, directly or through another one,
    /// in an order in which each comes after those that it uses.
    pub fn parse(
        schema_type: SchemaType,
        text: &str,
        referenced: &[Referenced],
    ) -> Result<Self, Invalid> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Invalid::new(format!("a schema has at most {TEXT_BYTES_MAX} bytes")));
        }
        match schema_type {
            SchemaType::Avro => avro::Schema::parse(text, referenced).map(Self::Avro),
            SchemaType::Json => json::Schema::parse(text, referenced).map(Self::Json),
            SchemaType::Protobuf => protobuf::Schema::parse(text, referenced).map(Self::Protobuf),
        }
    }

    /// Its language.
    #[must_use]
    pub fn schema_type(&self) -> SchemaType {
        match self {
            Self::Avro(_) => SchemaType::Avro,
            Self::Json(_) => SchemaType::Json,
            Self::Protobuf(_) => SchemaType::Protobuf,
        }
    }

    /// The text by which equal schemas are recognised: layout is gone, everything written is kept.
    #[must_use]
    pub fn canonical(&self) -> String {
        match self {
            Self::Avro(schema) => schema.canonical(),
            Self::Json(schema) => schema.canonical(),
            Self::Protobuf(schema) => schema.canonical(),
        }
    }

    /// As [`Schema::canonical`], and what may be written in any order is in one order.
    #[must_use]
    pub fn normalized(&self) -> String {
        match self {
            Self::Avro(schema) => schema.normalized(),
            Self::Json(schema) => schema.normalized(),
            Self::Protobuf(schema) => schema.normalized(),
        }
    }

    /// Every place of the schema and what is there, for people who compare two schemas.
    #[must_use]
    pub fn listing(&self) -> std::collections::BTreeMap<String, String> {
        match self {
            Self::Avro(schema) => schema.listing(),
            Self::Json(schema) => schema.listing(),
            Self::Protobuf(schema) => schema.listing(),
        }
    }
}
