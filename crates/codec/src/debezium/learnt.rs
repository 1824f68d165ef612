//! What is registered for the records of a table, and what writes them afterwards.

use super::encoding::{Encoding, Side};
use super::envelope::Envelopes;
use super::{mark, schemas};
use crate::connect::{Schema, Unsayable};
use bytes::Bytes;
use cdc_core::registry::RegisteredSchema;
use cdc_core::{Error, Result, TableId, TableSchema, naming};
use std::sync::Arc;

/// Records that are about no table, each kind with a topic of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Notices {
    /// Begin and end of transactions.
    Transactions,
    /// Heartbeats.
    Heartbeats,
}

/// A schema that has to have a number in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// `{topic}-key` or `{topic}-value`.
    pub subject: String,
    /// The schema.
    pub schema: RegisteredSchema,
}

/// Records of one table schema, or of one kind of notices, planned.
#[derive(Debug)]
pub struct Planned {
    of: Of,
    sides: Result<Sides, Unsayable>,
    registrations: Vec<Registration>,
}

#[derive(Debug)]
enum Of {
    Table(Arc<TableSchema>),
    Notices(Notices),
}

/// What writes keys, where there are any, and values.
#[derive(Debug)]
struct Sides {
    key: Option<Side>,
    value: Side,
}

impl Sides {
    fn new(
        (key, key_schema): (Encoding, Option<Schema>),
        (value, value_schema): (Encoding, impl FnOnce() -> Schema),
    ) -> Result<Self, Unsayable> {
        let key = key_schema.map(|schema| Side::new(key, || schema)).transpose()?;
        Ok(Self { key, value: Side::new(value, value_schema)? })
    }
}

impl Planned {
    pub(super) fn table(
        schema: &Arc<TableSchema>,
        envelopes: &Envelopes,
        key: Encoding,
        value: Encoding,
    ) -> Self {
        let sides = Sides::new(
            (key, envelopes.key_schema(schema)),
            (value, || envelopes.value_schema(schema)),
        );
        let topic = naming::topic(&envelopes.topic_prefix, &schema.table);
        Self::new(Of::Table(Arc::clone(schema)), &topic, sides)
    }

    pub(super) fn notices(
        notices: Notices,
        topic_prefix: &str,
        key: Encoding,
        value: Encoding,
    ) -> Self {
        let (topic, key_schema, value_schema) = match notices {
            Notices::Transactions => (
                naming::transaction_topic(topic_prefix),
                schemas::transaction_key(),
                schemas::transaction(),
            ),
            Notices::Heartbeats => (
                naming::heartbeat_topic(topic_prefix),
                schemas::heartbeat_key(),
                schemas::heartbeat(),
            ),
        };
        let sides = Sides::new((key, Some(key_schema)), (value, || value_schema));
        Self::new(Of::Notices(notices), &topic, sides)
    }

    fn new(of: Of, topic: &str, sides: Result<Sides, Unsayable>) -> Self {
        let registrations = sides.iter().flat_map(|sides| {
            let both = [("key", sides.key.as_ref()), ("value", Some(&sides.value))];
            both.into_iter().filter_map(|(part, side)| {
                let schema = side?.registered()?;
                Some(Registration { subject: format!("{topic}-{part}"), schema })
            })
        });
        let registrations = registrations.collect();
        Self { of, sides, registrations }
    }

    /// What has to be registered; nothing where it is all JSON, or where the schema has no form in its
    /// format, as each record will say.
    #[must_use]
    pub fn registrations(&self) -> &[Registration] {
        &self.registrations
    }

    /// With the numbers of what was registered, in its order.
    pub(super) fn accepted(
        mut self,
        numbers: &[u32],
        mark: Option<Bytes>,
    ) -> (Option<Notices>, Learnt) {
        if let Ok(sides) = &mut self.sides {
            let mut numbers = numbers.iter();
            for side in sides.key.iter_mut().chain([&mut sides.value]) {
                if side.registered().is_some()
                    && let Some(number) = numbers.next()
                {
                    side.set_number(*number);
                }
            }
        }
        let (notices, schema) = match self.of {
            Of::Table(schema) => (None, Some(schema)),
            Of::Notices(notices) => (Some(notices), None),
        };
        let mark_name = mark::SCHEMA_HEADER.into();
        (notices, Learnt { schema, sides: self.sides, mark, mark_name })
    }
}

/// What writes the records of one table schema, or of one kind of notices.
#[derive(Debug)]
pub(super) struct Learnt {
    schema: Option<Arc<TableSchema>>,
    sides: Result<Sides, Unsayable>,
    /// The value of the header by which our readers find the table schema.
    pub(super) mark: Option<Bytes>,
    pub(super) mark_name: Arc<str>,
}

impl Learnt {
    pub(super) fn address(&self) -> usize {
        self.schema.as_ref().map_or(0, |schema| Arc::as_ptr(schema).addr())
    }

    pub(super) fn is_of(&self, schema: &Arc<TableSchema>) -> bool {
        self.schema.as_ref().is_some_and(|own| Arc::ptr_eq(own, schema))
    }

    /// What writes keys and values.
    pub(super) fn sides(&self, table: &TableId) -> Result<(Option<&Side>, &Side)> {
        match &self.sides {
            Ok(sides) => Ok((sides.key.as_ref(), &sides.value)),
            Err(unsayable) => Err(refused(unsayable, &table.to_string())),
        }
    }

    pub(super) fn notice_sides(&self, topic: &str) -> Result<(Option<&Side>, &Side)> {
        match &self.sides {
            Ok(sides) => Ok((sides.key.as_ref(), &sides.value)),
            Err(unsayable) => Err(refused(unsayable, topic)),
        }
    }
}

fn refused(unsayable: &Unsayable, of: &str) -> Error {
    let mut error = Error::from(unsayable.clone());
    error.context = format!("records of {of}: {}", error.context);
    error
}
