//! Frames of the embedded log.

use cdc_core::LogId;
use cdc_transport_embedded::frame::{self, Cut, Seal};

/// Any bytes are refused or decoded, and what was decoded survives another round.
pub(super) fn feed(bytes: &[u8]) {
    let seal = Seal::of(LogId(uuid::Uuid::nil()));
    let decoded = frame::decode(bytes, seal);
    assert!(decoded.is_ok() || decoded.is_err());
    let Ok(records) = frame::decode_unchecked(bytes) else { return };
    let given = records.iter().map(|stored| stored.record.clone()).collect();
    let cut = Cut { frame_bytes: 64, large_bytes: 32 };
    let mut again = Vec::new();
    for mut frame in frame::encode(given, cut).expect("what came out of one frame goes into others")
    {
        frame.place(again.len() as u64, 0, seal);
        let pieces: Vec<u8> = frame.pieces().flatten().copied().collect();
        let (header, records) = frame::decode(&pieces, seal).expect("what was encoded is decoded");
        assert_eq!(header.count as usize, records.len());
        again.extend(records.into_iter().map(|stored| stored.record));
    }
    assert_eq!(again, records.into_iter().map(|stored| stored.record).collect::<Vec<_>>());
}
