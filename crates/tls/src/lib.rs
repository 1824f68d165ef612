//! cdc-tls.
