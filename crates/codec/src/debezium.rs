//! Debezium's records of changes, and changes from Debezium's records.
//!
//! ```text
//! Change ─▶ Records (topic, key, value, headers) ─▶ Envelopes ─▶ connect::Writer of each Encoding
//! TableSchema + Options ─▶ schemas (what Connect says of key and value) ─▶ text, once a table
//! ```
//!
//! Keys are `{"id":1}`, values are the envelope `{"before":…,"after":…,"source":{…},"op":"c",…}`, with
//! or without `{"schema":…,"payload":…}` around them. A message of the log has the key
//! `{"prefix":"…"}` and the envelope
//! `{"op":"m","ts_ms":…,"source":{…},"transaction":null,"message":{"prefix":"…","content":"base64"}}`.
//! By default column values are those of Debezium's PostgreSQL connector by default:
//!
//! | column | JSON |
//! |---|---|
//! | `bool`, `bit(1)` | `true`, `false` |
//! | `int2` … `int8`, `oid`, `float4`, `float8` | number; `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | `numeric(p,s)`, `money` | base64 of the unscaled value, big-endian two's complement |
//! | `numeric` | `{"scale":1,"value":"base64"}`, trailing zeros stripped |
//! | `bytea` | base64 |
//! | `bit(n)`, `varbit(n)` | base64, little-endian, without zero bytes at the end |
//! | `date` | days since 1970 |
//! | `time(p)` | milliseconds up to 3 digits of fraction, else microseconds |
//! | `timestamp(p)` | milliseconds up to 3 digits of fraction, else microseconds |
//! | `timestamptz` | `"2016-11-04T11:51:30.123456Z"`, `"infinity"` |
//! | `timetz` | `"11:51:30.123789Z"`, shifted to UTC |
//! | `interval` | microseconds, a month counted as 30.4375 days |
//! | `point` | `{"x":1.0,"y":2.0,"wkb":"base64","srid":null}` |
//! | `geometry`, `geography` | `{"wkb":"base64","srid":4326}` |
//! | `vector`, `halfvec` | array of numbers |
//! | `hstore` | JSON text: `"{\"a\":\"1\"}"` |
//! | arrays | JSON arrays, nested for more dimensions where there is no schema |
//! | everything else | the database's text form |
//!
//! An unchanged TOAST column is `"__debezium_unavailable_value"` in the form of its type, unless
//! `before` holds the real value. [`Options`] has the other choices of Debezium's users, and
//! `docs/debezium-differences.md` every difference, each of which a test knows.

mod cloud_event;
mod column_default;
mod decimal;
mod encoder;
mod encoding;
mod envelope;
mod error;
mod foreign;
mod form;
mod headers;
mod learnt;
mod losses;
mod mark;
mod native;
mod notice;
mod options;
mod plan;
mod records;
pub mod schemas;
mod source;
mod stand_in;
mod tell;
pub(crate) mod temporal;
mod transactions;
mod unwrap;
mod value;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod typed;

pub use encoder::Encoder;
pub use encoding::Encoding;
pub use envelope::{Envelopes, InTransaction, Part, Telling};
pub(crate) use foreign::days_since_1970;
pub use foreign::{Decoded, Decoder, ForeignError, Payload, TableReader};
pub use learnt::{Notices, Planned, Registration};
pub use losses::{Degree, Loss, losses};
pub use mark::{InvalidMark, Mark, Moved, SCHEMA_HEADER};
pub use notice::{Notice, TransactionEnd};
pub use options::{
    BinaryMode, DecimalMode, HeaderForm, HstoreMode, IntervalMode, Options, TimeMode, Unlogged,
};
pub use records::{Record, Records};
pub use unwrap::{Added, DeleteMode, InvalidAddition, Unwrap};
