//! What Debezium's connector lets its users choose, by its own words.

use super::unwrap::Unwrap;
use crate::connect::NameAdjustment;
use md5::{Digest as _, Md5};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How records look. The defaults are those of Debezium's connector for PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// `schemas.enable` of the JSON converter: does each key and value carry its schema?
    pub schemas: bool,
    /// `decimal.handling.mode`.
    pub decimals: DecimalMode,
    /// `time.precision.mode`.
    pub times: TimeMode,
    /// `binary.handling.mode`.
    pub binary: BinaryMode,
    /// `interval.handling.mode`.
    pub intervals: IntervalMode,
    /// `hstore.handling.mode`.
    pub hstore: HstoreMode,
    /// `unavailable.value.placeholder`: stands for a value that the database did not send because it
    /// had not changed. Octets in hexadecimal after `hex:`.
    pub placeholder: String,
    /// `schema.name.adjustment.mode`.
    pub schema_names: NameAdjustment,
    /// `field.name.adjustment.mode`.
    pub field_names: NameAdjustment,
    /// `tombstones.on.delete`: is each delete followed by a record without a value?
    pub tombstones: bool,
    /// Are truncates told? Not by default: `skipped.operations` is `t`.
    pub truncates: bool,
    /// `provide.transaction.metadata`: do records say their place in their transaction, and do its begin
    /// and end have records?
    pub transaction_metadata: bool,
    /// `extended.headers.enabled`: do records of tables have headers that name the connector?
    pub context_headers: bool,
    /// The header `__debezium.context.runId`: the same for all records of one run.
    pub run_id: String,
    /// How headers are written.
    pub headers: HeaderForm,
    /// Rows alone in place of envelopes.
    pub unwrap: Option<Unwrap>,
    /// CloudEvents in place of envelopes. Records that are about no table have no value then.
    pub cloud_events: bool,
    /// What stands in `before` for a column that may not be null and that the database did not log.
    pub unlogged: Unlogged,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            schemas: true,
            decimals: DecimalMode::default(),
            times: TimeMode::default(),
            binary: BinaryMode::default(),
            intervals: IntervalMode::default(),
            hstore: HstoreMode::default(),
            placeholder: "__debezium_unavailable_value".to_owned(),
            schema_names: NameAdjustment::default(),
            field_names: NameAdjustment::default(),
            tombstones: true,
            truncates: false,
            transaction_metadata: false,
            context_headers: true,
            run_id: String::new(),
            headers: HeaderForm::default(),
            unwrap: None,
            cloud_events: false,
            unlogged: Unlogged::default(),
        }
    }
}

/// What `numeric` and `money` become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecimalMode {
    /// The bytes of an unscaled integer; loses nothing.
    #[default]
    Precise,
    /// The nearest double-precision number.
    Double,
    /// Their text.
    String,
}

/// What `date`, `time` and `timestamp` become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeMode {
    /// Milliseconds where the column keeps no more than three digits of a second, else microseconds.
    #[default]
    Adaptive,
    /// As adaptive, but times of day always in microseconds.
    AdaptiveTimeMicroseconds,
    /// Kafka Connect's own types: milliseconds; finer digits are lost.
    Connect,
    /// ISO 8601 text.
    Isostring,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds; timestamps outside of 1677 to 2262 do not fit.
    Nanoseconds,
}

/// What `bytea` becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BinaryMode {
    /// Bytes.
    #[default]
    Bytes,
    /// Text in standard base64.
    Base64,
    /// Text in the base64 of URLs.
    Base64UrlSafe,
    /// Text in hexadecimal.
    Hex,
}

/// What `interval` becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntervalMode {
    /// Microseconds, a month counted as 30.4375 days.
    #[default]
    Numeric,
    /// ISO 8601 text that loses nothing: `P1Y2M3DT4H5M6.78S`.
    String,
}

/// What `hstore` becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HstoreMode {
    /// The text of a JSON object.
    #[default]
    Json,
    /// A map of texts.
    Map,
}

/// How headers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeaderForm {
    /// As Kafka Connect does when nobody chooses: text as it is, anything else as JSON without a schema.
    #[default]
    Simple,
    /// As Kafka's JSON converter does, with a schema where keys and values have one.
    Json,
}

/// What stands for a value that was not logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unlogged {
    /// The type's zero, as Debezium has it: `0`, `""`, `false`, 1970.
    #[default]
    Zero,
    /// Null, so that nobody takes it for a value. Only in JSON without schemas.
    Null,
}

/// The placeholder in each form that a type needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placeholder {
    pub(super) text: String,
    pub(super) octets: Vec<u8>,
    /// Version 3 of the octets, without a name space.
    pub(super) uuid: [u8; 16],
}

impl Placeholder {
    pub(super) fn new(setting: &str) -> Self {
        let octets = setting.strip_prefix("hex:").and_then(octets_of);
        let octets = octets.unwrap_or_else(|| setting.as_bytes().to_vec());
        let text = String::from_utf8_lossy(&octets).into_owned();
        let mut uuid: [u8; 16] = Md5::digest(&octets).into();
        let [.., version, _, variant, _, _, _, _, _, _, _] = &mut uuid;
        *version = *version & 0x0f | 0x30;
        *variant = *variant & 0x3f | 0x80;
        Self { text, octets, uuid }
    }
}

/// The octets of hexadecimal text.
pub(super) fn octets_of(text: &str) -> Option<Vec<u8>> {
    text.as_bytes().chunks(2).map(octet).collect()
}

fn octet(pair: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_has_octets_and_a_uuid() {
        let usual = Placeholder::new(&Options::default().placeholder);
        assert_eq!(usual.octets, usual.text.as_bytes());
        assert_eq!(usual.uuid.first_chunk(), Some(&[0xb6, 0x8a, 0x35, 0xa7]));
        assert_eq!(
            usual.uuid.last_chunk(),
            Some(&[0xaf, 0x2a, 0xae, 0x46, 0xed, 0xb4, 0x54, 0x5a])
        );
        assert_eq!(Placeholder::new("hex:676f6e65").text, "gone");
        assert_eq!(Placeholder::new("hex:6").text, "hex:6");
    }

    #[test]
    fn modes_have_the_words_of_debezium() {
        let text = r#"{"decimals":"string","times":"adaptive_time_microseconds","binary":"base64-url-safe",
            "intervals":"string","hstore":"map","field_names":"avro_unicode"}"#;
        let options: Options = serde_json::from_str(text).unwrap();
        assert_eq!(options.binary, BinaryMode::Base64UrlSafe);
        assert_eq!(options.times, TimeMode::AdaptiveTimeMicroseconds);
        assert_eq!(options.placeholder, Options::default().placeholder);
    }
}
