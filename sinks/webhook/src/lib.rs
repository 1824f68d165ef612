//! cdc-sink-webhook.
