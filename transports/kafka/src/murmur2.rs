//! The hash by which Kafka's own clients choose the partition of a key.

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;
const SHIFT: u32 = 24;

/// The 32-bit `MurmurHash2` of the bytes, with the seed that Kafka uses.
#[must_use]
pub fn murmur2(bytes: &[u8]) -> u32 {
    // The length goes into the hash with 32 bits, whatever it is.
    #[expect(clippy::cast_possible_truncation, reason = "Java lengths have 32 bits")]
    let mut hash = SEED ^ (bytes.len() as u32);
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        word ^= word >> SHIFT;
        hash = hash.wrapping_mul(MULTIPLIER) ^ word.wrapping_mul(MULTIPLIER);
    }
    for (place, byte) in rest.iter().enumerate() {
        hash ^= u32::from(*byte) << (8 * place);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

/// The partition of a key among `partitions`, as the default partitioner of Java clients has it.
#[must_use]
pub fn partition(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    // What `Utils.murmur2` of the Java client 4.3.1 prints, as signed numbers.
    #[test]
    fn hashes_are_those_of_the_java_client() {
        let every_byte: Vec<u8> = (0..=255).collect();
        let cases: [(&[u8], i32); 12] = [
            (b"", 275_646_681),
            (b"a", -1_563_381_124),
            (b"ab", 316_155_434),
            (b"abc", 479_470_107),
            (b"abcd", -1_323_649_548),
            (b"21", -973_932_308),
            (b"key-1", 193_331_640),
            (br#"{"id":42}"#, 486_015_037),
            ("äöü".as_bytes(), -2_070_914_556),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (&every_byte, -1_948_347_274),
        ];
        for (key, hash) in cases {
            assert_eq!(murmur2(key).cast_signed(), hash, "{key:?}");
        }
    }

    #[test]
    fn partitions_are_those_of_the_java_client() {
        let key: [u8; 9] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
        let found: Vec<u32> =
            (1..=9).map(|length| partition(key.get(..length).unwrap(), 7)).collect();
        assert_eq!(found, [0, 5, 6, 2, 4, 5, 4, 6, 1]);
    }

    #[test]
    fn a_partition_is_never_beyond_the_last() {
        for partitions in [0, 1, 2, 7, 100] {
            for key in [&b""[..], b"21", b"foobar", b"k"] {
                assert!(partition(key, partitions) < partitions.max(1));
            }
        }
    }
}
