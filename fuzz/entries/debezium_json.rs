//! Records of topics that somebody else wrote: a key, a line's end, a value.

use cdc_codec::debezium::{Decoded, Decoder, Encoder, Options};
use cdc_core::Position;
use std::time::UNIX_EPOCH;

/// Any bytes are refused or decoded, twice the same way; what was decoded can be written or is refused.
pub(super) fn feed(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (key, value) = bytes.split_at(at);
    let value = value.strip_prefix(b"\n").unwrap_or(value);
    let mut decoder = Decoder::new(&Options::default().placeholder);
    let mut decode = || decoder.decode(Some(key), Some(value), Position::new(1, 1));
    let once = decode();
    assert_eq!(format!("{once:?}"), format!("{:?}", decode()));
    let Ok(Decoded::Change(change)) = once else { return };
    for options in [Options::default(), Options { schemas: false, ..Options::default() }] {
        let mut encoder = Encoder::with_options("cdc", options);
        let mut value = Vec::new();
        if encoder.value(&change, UNIX_EPOCH, &mut value).is_ok() {
            serde_json::from_slice::<serde_json::Value>(&value).expect("a value is JSON");
        }
    }
}
