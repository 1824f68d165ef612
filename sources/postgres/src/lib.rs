//! cdc-source-postgres.
