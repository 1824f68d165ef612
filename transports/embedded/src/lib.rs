//! cdc-transport-embedded.
