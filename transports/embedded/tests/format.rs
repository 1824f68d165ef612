use bytes::Bytes;
use cdc_core::{LogId, Position, Record};
use cdc_transport_embedded::frame::{
    self, Cut, Frame, HEADER_BYTES, Header, Invalid, Seal, decode, decode_unchecked,
};
use proptest::{collection::vec, prelude::*};
use std::str::FromStr;

fn seal() -> Seal {
    Seal::of(LogId(uuid::Uuid::from_u128(42)))
}

fn any_record() -> impl Strategy<Value = Record> {
    let position = prop_oneof![
        (1_u128..4, 0_u64..4).prop_map(|(commit, ordinal)| Position { commit, ordinal }),
        any::<(u128, u64)>().prop_map(|(commit, ordinal)| Position { commit, ordinal }),
    ];
    (vec(any::<u8>(), 0..20), vec(any::<u8>(), 0..200), position).prop_map(
        |(key, payload, position)| Record {
            key: key.into(),
            payload: payload.into(),
            headers: Vec::new(),
            position,
        },
    )
}

fn bytes_of(frame: &Frame) -> Vec<u8> {
    frame.pieces().flatten().copied().collect()
}

proptest! {
    #[test]
    fn frames_round_trip(
        records in vec(any_record(), 1..60),
        frame_bytes in 1_usize..2000,
        large_bytes in 1_usize..300,
        start in 0_u64..1 << 60,
    ) {
        let cut = Cut { frame_bytes, large_bytes };
        let mut base = start;
        let mut seen = Vec::new();
        for mut frame in frame::encode(records.clone(), cut).unwrap() {
            frame.place(base, start, seal());
            let bytes = bytes_of(&frame);
            let (header, stored) = decode(&bytes, seal()).unwrap();
            prop_assert_eq!(header.frame_bytes(), bytes.len() as u64);
            prop_assert_eq!(header.durable_end, start);
            prop_assert_eq!(stored[0].offset.0, base);
            base = header.end();
            seen.extend(stored.into_iter().map(|stored| stored.record));
        }
        prop_assert_eq!(base, start + records.len() as u64);
        prop_assert_eq!(seen, records);
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_noticed(
        records in vec(any_record(), 1..5),
        at: prop::sample::Index,
        bit in 0..8,
    ) {
        let mut frame = frame::encode(records, Cut::default()).unwrap().remove(0);
        frame.place(7, 3, seal());
        let mut bytes = bytes_of(&frame);
        let at = at.index(bytes.len());
        prop_assert!(decode(&bytes[..at], seal()).is_err());
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(decode(&bytes, seal()).is_err());
    }

    #[test]
    fn a_frame_of_another_log_is_refused(records in vec(any_record(), 1..5)) {
        let mut frame = frame::encode(records, Cut::default()).unwrap().remove(0);
        frame.place(7, 3, Seal::of(LogId(uuid::Uuid::from_u128(43))));
        prop_assert_eq!(decode(&bytes_of(&frame), seal()), Err(Invalid::HeaderChecksum));
    }

    #[test]
    fn decoding_is_total(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(decode(&bytes, seal()).is_err());
        prop_assert!(Header::decode(&bytes, seal()).is_err());
        if let Ok(records) = decode_unchecked(&bytes) {
            prop_assert!(records.len() <= bytes.len());
        }
    }

    #[test]
    fn what_the_unchecked_decoder_accepts_encodes_to_the_same_records(
        records in vec(any_record(), 1..5),
        base in 0_u64..1 << 60,
    ) {
        let frame = frame::encode(records.clone(), Cut::default()).unwrap().remove(0);
        let mut bytes = (records.len() as u32).to_le_bytes().to_vec();
        bytes.extend(base.to_le_bytes());
        let last = records.last().unwrap().position;
        bytes.extend(last.commit.to_le_bytes());
        bytes.extend(last.ordinal.to_le_bytes());
        bytes.extend(&bytes_of(&frame)[HEADER_BYTES..]);
        let seen = decode_unchecked(&bytes).unwrap();
        prop_assert_eq!(seen.into_iter().map(|stored| stored.record).collect::<Vec<_>>(), records);
    }
}

/// The format is promised to users' directories: a change of these bytes is a new version.
#[test]
fn version_1_looks_like_this() {
    let record = |ordinal, key: &'static [u8], payload: &'static [u8]| Record {
        key: Bytes::from_static(key),
        payload: Bytes::from_static(payload),
        headers: Vec::new(),
        position: Position::from_str(&format!("1f4:{ordinal}")).unwrap(),
    };
    let records = vec![record(1, b"", b"first"), record(2, b"key", b"")];
    let mut frame = frame::encode(records, Cut::default()).unwrap().remove(0);
    frame.place(0x0102, 0x0101, seal());
    let hex: Vec<_> = bytes_of(&frame).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex.join(""), EXPECTED.replace([' ', '\n'], ""));
}

const EXPECTED: &str = "
    11000000 f67138f8 0201000000000000 0101000000000000 02000000
    f4010000000000000000000000000000 0200000000000000 5ab47ad8
    e807 01 00 05 6669727374
    00 02 03 6b6579 00";

#[test]
fn a_count_that_the_body_cannot_hold_allocates_nothing() {
    let mut bytes = u32::MAX.to_le_bytes().to_vec();
    bytes.resize(40, 0);
    assert!(decode_unchecked(&bytes).is_err());
}
