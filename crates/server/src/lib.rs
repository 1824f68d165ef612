//! cdc-server.
