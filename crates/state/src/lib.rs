//! cdc-state.
