//! cdc-testkit.
