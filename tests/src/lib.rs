//! cdc-e2e.
