//! cdc-sink-postgres.
