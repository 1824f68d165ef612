//! Debezium's JSON of a change, as its JSON converter writes it without schemas.
//!
//! Keys are `{"id":1}`, values are the envelope `{"before":…,"after":…,"source":{…},"op":"c",…}`.
//! A message of the log has the key `{"prefix":"…"}` and the envelope
//! `{"op":"m","ts_ms":…,"source":{…},"transaction":null,"message":{"prefix":"…","content":"base64"}}`.
//! Column values follow the defaults of Debezium's PostgreSQL connector:
//!
//! | column | JSON |
//! |---|---|
//! | `bool`, `bit(1)` | `true`, `false` |
//! | `int2` … `int8`, `oid`, `float4`, `float8` | number; `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | `numeric(p,s)`, `money` | base64 of the unscaled value, big-endian two's complement |
//! | `numeric` | `{"scale":1,"value":"base64"}`, trailing zeros stripped |
//! | `bytea` | base64 |
//! | `bit(n)`, `varbit(n)` | base64, little-endian |
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
//! | arrays | JSON arrays, nested for more dimensions |
//! | everything else | the database's text form |
//!
//! An unchanged TOAST column is `"__debezium_unavailable_value"` in the form of its type, unless
//! `before` holds the real value. A column that the database did not log in `before` is `null`.
//!
//! Where Debezium fails or leaves a column out, this does not: `numeric` that is not a number is
//! `"NaN"`, `"POSITIVE_INFINITY"` or `"NEGATIVE_INFINITY"` in the place of the base64 text (none of
//! which is valid base64), and a type that Debezium does not know arrives as its text.
//! `source.sequence` names the change's own commit, and not the one before it, so that it is the same
//! for each delivery of one change.

mod decimal;
mod encoder;
mod envelope;
mod error;
mod form;
mod native;
mod options;
mod plan;
pub mod schemas;
mod source;
mod stand_in;
pub(crate) mod temporal;
mod value;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod typed;

pub use encoder::Encoder;
pub use envelope::{Envelopes, InTransaction, Part, Telling};
pub use options::{BinaryMode, DecimalMode, HstoreMode, IntervalMode, Options, TimeMode, Unlogged};
