//! The configuration block of the embedded transport.

use crate::error;
use cdc_core::Result;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

/// The smallest segment that is worth a file.
const SEGMENT_BYTES_MIN: u64 = 4 << 10;
/// The largest segment whose damaged tail is still searched in reasonable time.
const SEGMENT_BYTES_MAX: u64 = 4 << 30;

/// How the embedded log is kept on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Size at which the log goes on in a new file, from 4KiB to 4GiB. Retention removes whole
    /// files only.
    pub segment_bytes: ByteSize,
    /// How much the log may hold. What every sink has delivered is removed beyond this size. What a
    /// sink has not delivered yet is never removed: when such records alone reach this size, capture
    /// pauses until the slowest sink goes on. A warning comes from 80 % on.
    pub retention_bytes: ByteSize,
    /// How many hours records are kept after every sink has delivered them; 0 removes them as soon
    /// as a whole file can go.
    pub retention_hours: u32,
    /// When written records are forced to disk.
    pub fsync: Fsync,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            segment_bytes: ByteSize(64 << 20),
            retention_bytes: ByteSize(10 << 30),
            retention_hours: 168,
            fsync: Fsync::Always,
        }
    }
}

impl Config {
    /// Refuses values that no log can be kept with.
    pub fn validate(&self) -> Result<()> {
        let segment = self.segment_bytes.0;
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&segment) {
            return Err(error::invalid_config("segment_bytes", "must be from 4KiB to 4GiB"));
        }
        if self.retention_bytes.0 < segment {
            let why = "must be at least `embedded.segment_bytes`";
            return Err(error::invalid_config("retention_bytes", why));
        }
        Ok(())
    }

    /// How many bytes of a segment one entry of its index stands for.
    pub(crate) fn index_spacing(&self) -> u64 {
        (self.segment_bytes.0 / 64).clamp(1 << 10, 1 << 20)
    }

    pub(crate) fn retention_age(&self) -> Duration {
        Duration::from_secs(u64::from(self.retention_hours) * 3600)
    }
}

/// When written records are forced to disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fsync {
    /// Before anything counts as durable: survives a crash of the machine.
    #[default]
    Always,
    /// Never: survives a crash of the process only. For benchmarks and tests; after a crash of the
    /// machine the log may be refused as damaged.
    Never,
}

/// A number of bytes: an integer, or text such as `64MiB`, `10 GiB`, `500kB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ByteSize(pub u64);

const UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("b", 1),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
];

/// The text is no number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidByteSize;

impl fmt::Display for InvalidByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a number of bytes such as 67108864 or \"64MiB\"")
    }
}

impl std::error::Error for InvalidByteSize {}

impl FromStr for ByteSize {
    type Err = InvalidByteSize;

    fn from_str(text: &str) -> Result<Self, InvalidByteSize> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(digits).ok_or(InvalidByteSize)?;
        let unit = unit.trim_start().to_ascii_lowercase();
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(InvalidByteSize)?;
        let number: u64 = number.parse().map_err(|_| InvalidByteSize)?;
        number.checked_mul(*factor).map(Self).ok_or(InvalidByteSize)
    }
}

/// The largest binary unit that leaves one digit before the point: `1.5 GiB`.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
        for (unit, shift) in units {
            let whole = self.0 >> shift;
            if whole > 0 {
                let tenth = ((self.0 >> (shift - 10)) & 1023) * 10 / 1024;
                return write!(f, "{whole}.{tenth} {unit}");
            }
        }
        write!(f, "{} B", self.0)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes such as 67108864 or \"64MiB\"")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(value))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<ByteSize, E> {
                let invalid = |_| E::invalid_value(de::Unexpected::Signed(value), &self);
                u64::try_from(value).map(ByteSize).map_err(invalid)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of bytes: an integer, or text such as `64MiB` or `10GiB`.",
            "type": ["integer", "string"],
            "minimum": 0,
            "pattern": "^ *[0-9]+ *([kKmMgGtT][iI]?)?[bB]? *$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_or_text() {
        for (text, bytes) in
            [("7", 7), ("\"64MiB\"", 64 << 20), ("\"10 GiB\"", 10 << 30), ("\"500kB\"", 500_000)]
        {
            assert_eq!(serde_json::from_str::<ByteSize>(text).unwrap(), ByteSize(bytes), "{text}");
        }
        for text in ["-1", "\"\"", "\"MiB\"", "\"1.5GiB\"", "\"64Mi\"", "\"99999999TiB\"", "1.5"] {
            assert!(serde_json::from_str::<ByteSize>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_print_in_the_largest_unit() {
        for (bytes, text) in
            [(0, "0 B"), (1023, "1023 B"), (1 << 20, "1.0 MiB"), (1610612736, "1.5 GiB")]
        {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }

    #[test]
    fn defaults_are_valid_and_documented() {
        let config: Config = serde_json::from_str("{}").unwrap();
        assert_eq!(config, Config::default());
        config.validate().unwrap();
        let schema = serde_json::to_value(schemars::schema_for!(Config)).unwrap();
        for key in ["segment_bytes", "retention_bytes", "retention_hours", "fsync"] {
            assert!(schema["properties"][key]["description"].is_string(), "{key}");
        }
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        let small = Config { segment_bytes: ByteSize(1), ..Config::default() };
        assert_eq!(small.validate().unwrap_err().code, "CDC-2013");
        let retention = Config { retention_bytes: ByteSize(1), ..Config::default() };
        assert_eq!(retention.validate().unwrap_err().code, "CDC-2013");
        assert!(serde_json::from_str::<Config>("{\"segment_byte\": 1}").is_err());
    }
}
