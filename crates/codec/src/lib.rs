//! cdc-codec.
