//! cdc-sink-file.
