//! What one number of the registry stands for.

use crate::schema::{Reference, SchemaType};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// A schema as a request gives it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Definition {
    /// The text.
    #[serde(default)]
    pub schema: Option<String>,
    /// Its language; Avro when it is missing.
    #[serde(default)]
    pub schema_type: Option<String>,
    /// What it uses from other subjects.
    #[serde(default)]
    pub references: Option<Vec<Reference>>,
    /// Properties and tags for other tools, kept as they are.
    #[serde(default)]
    pub metadata: Option<Value>,
    /// Rules for serializers, kept as they are.
    #[serde(default)]
    pub rule_set: Option<Value>,
    /// A number of the sender's choice, for imports.
    #[serde(default)]
    pub id: Option<i32>,
    /// A version of the sender's choice, for imports.
    #[serde(default)]
    pub version: Option<i32>,
    /// Sent back by clients that registered it before.
    #[serde(default)]
    pub guid: Option<String>,
    /// The same.
    #[serde(default)]
    pub subject: Option<String>,
    /// Not kept here, so only nothing is taken.
    #[serde(default)]
    pub schema_tags_to_add: Option<Value>,
    /// The same.
    #[serde(default)]
    pub schema_tags_to_remove: Option<Value>,
    /// Means nothing where there are no tags.
    #[serde(default)]
    pub propagate_schema_tags: Option<bool>,
}

/// A schema with everything by which it differs from others: the same content has the same number in
/// every subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Content {
    /// Its language.
    pub schema_type: SchemaType,
    /// Its canonical text.
    pub schema: String,
    /// What it uses from other subjects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
    /// Properties and tags for other tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// Rules for serializers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_set: Option<Value>,
}

impl Content {
    /// An identity that is the same in every registry, made of the content alone.
    #[must_use]
    pub fn guid(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let digest = Sha256::digest(text);
        let mut out = String::with_capacity(36);
        for (index, byte) in digest.iter().take(16).enumerate() {
            if [4, 6, 8, 10].contains(&index) {
                out.push('-');
            }
            // A UUID whose version says that its maker decided what is in it.
            let byte = match index {
                6 => (byte & 0x0f) | 0x80,
                8 => (byte & 0x3f) | 0x80,
                _ => *byte,
            };
            let _written = write!(out, "{byte:02x}");
        }
        out
    }

    /// Memory that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        let extra = |value: &Option<Value>| value.as_ref().map_or(0, |v| v.to_string().len());
        self.schema.len() + extra(&self.metadata) + extra(&self.rule_set) + 256
    }
}
