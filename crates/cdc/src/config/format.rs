//! The `format` block of the platform file: what records look like for everybody else who reads them.

use cdc_codec::{
    connect::NameAdjustment,
    debezium::{
        Added, BinaryMode, DecimalMode, DeleteMode, Encoding, HeaderForm, HstoreMode, IntervalMode,
        Options, TimeMode, Unlogged, Unwrap,
    },
};
use schemars::JsonSchema;
use serde::Deserialize;

/// What records on Kafka look like: Debezium's, by the names of Debezium's own options with `_` for `.`.
/// Left out, they are what a Kafka Connect worker writes that nobody has configured: JSON with schemas.
/// In embedded mode it says what the schemas in the registry look like.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Format {
    /// How keys are written.
    pub key: Encoding,
    /// How values are written.
    pub value: Encoding,
    /// `decimal.handling.mode`: what `numeric` and `money` become.
    pub decimal_handling_mode: DecimalMode,
    /// `time.precision.mode`: what dates and times become.
    pub time_precision_mode: TimeMode,
    /// `binary.handling.mode`: what `bytea` becomes.
    pub binary_handling_mode: BinaryMode,
    /// `interval.handling.mode`: what `interval` becomes.
    pub interval_handling_mode: IntervalMode,
    /// `hstore.handling.mode`: what `hstore` becomes.
    pub hstore_handling_mode: HstoreMode,
    /// `unavailable.value.placeholder`: stands for a value that the database did not send because it
    /// had not changed. Octets in hexadecimal after `hex:`.
    pub unavailable_value_placeholder: String,
    /// `schema.name.adjustment.mode`: what becomes of names of schemas that Avro refuses.
    pub schema_name_adjustment_mode: NameAdjustment,
    /// `field.name.adjustment.mode`: what becomes of names of columns that Avro refuses.
    pub field_name_adjustment_mode: NameAdjustment,
    /// `tombstones.on.delete`: is each delete followed by a record without a value?
    pub tombstones_on_delete: bool,
    /// `skipped.operations`: `t` leaves truncates out, `none` tells them too.
    pub skipped_operations: Skipped,
    /// `provide.transaction.metadata`: do records say their place in their transaction, and do its
    /// begin and end have records in the topic `{topic_prefix}.transaction`?
    pub provide_transaction_metadata: bool,
    /// `extended.headers.enabled`: do records of tables have headers that name the connector?
    pub extended_headers_enabled: bool,
    /// `header.converter`: how headers are written.
    pub header_converter: HeaderForm,
    /// CloudEvents in place of envelopes, as Debezium's `CloudEventsConverter` makes them?
    pub cloud_events: bool,
    /// What stands in `before` for a column that may not be null and that the database did not log.
    /// Debezium writes the type's zero.
    pub unlogged_values: Unlogged,
    /// Rows alone in place of envelopes, as Debezium's `ExtractNewRecordState` makes them; without this
    /// block records are envelopes. `unwrap: {}` takes its defaults. A pipeline whose records are rows
    /// alone cannot feed its own sinks from them.
    pub unwrap: Option<Unwrapped>,
}

/// Which operations have no records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Skipped {
    /// Truncates.
    #[default]
    #[serde(rename = "t")]
    Truncates,
    /// None.
    #[serde(rename = "none")]
    None,
}

/// How rows are taken out of their envelopes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Unwrapped {
    /// `delete.tombstone.handling.mode`: what becomes of a delete and of the tombstone behind it.
    pub delete_tombstone_handling_mode: DeleteMode,
    /// `add.fields`: `op,source.ts_ms,lsn:position`.
    #[schemars(with = "String", default = "nothing")]
    pub add_fields: Added,
    /// `add.fields.prefix`.
    pub add_fields_prefix: String,
    /// `add.headers`, in the same words.
    #[schemars(with = "String", default = "nothing")]
    pub add_headers: Added,
    /// `add.headers.prefix`.
    pub add_headers_prefix: String,
}

fn nothing() -> String {
    String::new()
}

impl Default for Unwrapped {
    fn default() -> Self {
        let Unwrap { deletes, add_fields, add_fields_prefix, add_headers, add_headers_prefix } =
            Unwrap::default();
        Self {
            delete_tombstone_handling_mode: deletes,
            add_fields,
            add_fields_prefix,
            add_headers,
            add_headers_prefix,
        }
    }
}

impl Default for Format {
    fn default() -> Self {
        let options = Options::default();
        Self {
            key: Encoding::default(),
            value: Encoding::default(),
            decimal_handling_mode: options.decimals,
            time_precision_mode: options.times,
            binary_handling_mode: options.binary,
            interval_handling_mode: options.intervals,
            hstore_handling_mode: options.hstore,
            unavailable_value_placeholder: options.placeholder,
            schema_name_adjustment_mode: options.schema_names,
            field_name_adjustment_mode: options.field_names,
            tombstones_on_delete: options.tombstones,
            skipped_operations: Skipped::default(),
            provide_transaction_metadata: options.transaction_metadata,
            extended_headers_enabled: options.context_headers,
            header_converter: options.headers,
            cloud_events: options.cloud_events,
            unlogged_values: options.unlogged,
            unwrap: None,
        }
    }
}

impl Format {
    /// What Debezium's connector cannot write, or what its topics cannot be read back from, by key.
    #[must_use]
    pub fn not_from_debezium(&self) -> Vec<(&'static str, &'static str)> {
        let binary = |encoding| matches!(encoding, Encoding::Protobuf | Encoding::JsonSchema);
        let default = Self::default();
        [
            ("key", binary(self.key), "choose json, json_with_schemas or avro"),
            ("value", binary(self.value), "choose json, json_with_schemas or avro"),
            ("cloud_events", self.cloud_events, "sinks read envelopes"),
            ("unwrap", self.unwrap.is_some(), "sinks read envelopes"),
            (
                "unlogged_values",
                self.unlogged_values != default.unlogged_values,
                "it writes the type's zero",
            ),
        ]
        .into_iter()
        .filter_map(|(key, refused, why)| refused.then_some((key, why)))
        .collect()
    }

    /// The same in the words of the codec. `run_id` is the same for all records of one run.
    #[must_use]
    pub fn options(&self, run_id: &str) -> Options {
        let unwrap = self.unwrap.clone().map(|unwrap| Unwrap {
            deletes: unwrap.delete_tombstone_handling_mode,
            add_fields: unwrap.add_fields,
            add_fields_prefix: unwrap.add_fields_prefix,
            add_headers: unwrap.add_headers,
            add_headers_prefix: unwrap.add_headers_prefix,
        });
        Options {
            // The formats decide.
            schemas: true,
            decimals: self.decimal_handling_mode,
            times: self.time_precision_mode,
            binary: self.binary_handling_mode,
            intervals: self.interval_handling_mode,
            hstore: self.hstore_handling_mode,
            placeholder: self.unavailable_value_placeholder.clone(),
            schema_names: self.schema_name_adjustment_mode,
            field_names: self.field_name_adjustment_mode,
            tombstones: self.tombstones_on_delete,
            truncates: self.skipped_operations == Skipped::None,
            transaction_metadata: self.provide_transaction_metadata,
            context_headers: self.extended_headers_enabled,
            run_id: run_id.to_owned(),
            headers: self.header_converter,
            unwrap,
            cloud_events: self.cloud_events,
            unlogged: self.unlogged_values,
        }
    }

    /// Does a registry have to be there?
    #[must_use]
    pub fn needs_registry(&self) -> bool {
        [self.key, self.value].into_iter().any(|encoding| encoding.registered_as().is_some())
    }
}
