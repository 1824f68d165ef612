//! The `tls-server-end-point` channel binding of RFC 5929: a hash of the server's certificate.

use sha2::{Digest, Sha256, Sha384, Sha512};

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// The hash of a DER certificate under the hash of its own signature algorithm, MD5 and SHA-1 being
/// replaced by SHA-256. `None` where the algorithm has no such hash (Ed25519) or the certificate is
/// malformed; channel binding is not possible then.
#[must_use]
pub fn end_point_binding(certificate: &[u8]) -> Option<Vec<u8>> {
    let (certificate_fields, _) = element(certificate, SEQUENCE)?;
    let (_, after_body) = element(certificate_fields, SEQUENCE)?;
    let (algorithm, _) = element(after_body, SEQUENCE)?;
    let (identifier, parameters) = element(algorithm, OBJECT_IDENTIFIER)?;
    match hash_of(identifier, parameters)? {
        Hash::Sha256 => Some(Sha256::digest(certificate).to_vec()),
        Hash::Sha384 => Some(Sha384::digest(certificate).to_vec()),
        Hash::Sha512 => Some(Sha512::digest(certificate).to_vec()),
    }
}

enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

fn hash_of(identifier: &[u8], parameters: &[u8]) -> Option<Hash> {
    // 1.2.840.113549.1.1 (RSA) and 1.2.840.10045.4 (ECDSA), as DER.
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
    if let Some(kind) = identifier.strip_prefix(RSA) {
        return match kind {
            [4 | 5 | 11] => Some(Hash::Sha256),
            [12] => Some(Hash::Sha384),
            [13] => Some(Hash::Sha512),
            [10] => pss_hash(parameters),
            _ => None,
        };
    }
    match identifier.strip_prefix(ECDSA)? {
        [1] | [3, 2] => Some(Hash::Sha256),
        [3, 3] => Some(Hash::Sha384),
        [3, 4] => Some(Hash::Sha512),
        _ => None,
    }
}

/// RSASSA-PSS names its hash in its parameters; absent means SHA-1.
fn pss_hash(parameters: &[u8]) -> Option<Hash> {
    // 2.16.840.1.101.3.4.2, as DER.
    const SHA2: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
    let (fields, _) = element(parameters, SEQUENCE)?;
    let Some((hash, _)) = element(fields, 0xa0) else { return Some(Hash::Sha256) };
    let (algorithm, _) = element(hash, SEQUENCE)?;
    let (identifier, _) = element(algorithm, OBJECT_IDENTIFIER)?;
    match identifier.strip_prefix(SHA2)? {
        [1] => Some(Hash::Sha256),
        [2] => Some(Hash::Sha384),
        [3] => Some(Hash::Sha512),
        _ => None,
    }
}

/// Splits one DER element of the expected tag into its content and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    if *found != tag {
        return None;
    }
    let (length, rest) = if first & 0x80 == 0 {
        (usize::from(*first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        (digits.iter().fold(0, |sum, digit| (sum << 8) | usize::from(*digit)), rest)
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag, u8::try_from(content.len()).expect("short test data")];
        out.extend_from_slice(content);
        out
    }

    fn certificate(identifier: &[u8], parameters: &[u8]) -> Vec<u8> {
        let algorithm = [der(OBJECT_IDENTIFIER, identifier), parameters.to_vec()].concat();
        der(SEQUENCE, &[der(SEQUENCE, b"body"), der(SEQUENCE, &algorithm)].concat())
    }

    #[test]
    fn the_signature_algorithm_chooses_the_hash() {
        let rsa = |kind| [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, kind];
        let sizes: Vec<Option<usize>> = [5, 11, 12, 13, 99]
            .into_iter()
            .map(|kind| end_point_binding(&certificate(&rsa(kind), &[5, 0])).map(|h| h.len()))
            .collect();
        assert_eq!(sizes, [Some(32), Some(32), Some(48), Some(64), None]);
        let ecdsa_384 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 3, 3];
        assert_eq!(end_point_binding(&certificate(&ecdsa_384, &[])).map(|h| h.len()), Some(48));
        let ed25519 = [0x2b, 0x65, 0x70];
        assert_eq!(end_point_binding(&certificate(&ed25519, &[])), None);
    }

    #[test]
    fn pss_takes_the_hash_of_its_parameters() {
        let pss = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 10];
        let sha512 = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 3];
        let hash = der(SEQUENCE, &der(OBJECT_IDENTIFIER, &sha512));
        let parameters = der(SEQUENCE, &der(0xa0, &hash));
        assert_eq!(end_point_binding(&certificate(&pss, &parameters)).map(|h| h.len()), Some(64));
        assert_eq!(
            end_point_binding(&certificate(&pss, &der(SEQUENCE, &[]))).map(|h| h.len()),
            Some(32)
        );
    }

    #[test]
    fn malformed_certificates_have_no_binding() {
        let good = certificate(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 3, 2], &[]);
        assert!(end_point_binding(&good).is_some());
        for length in 0..good.len() {
            assert_eq!(end_point_binding(&good[..length]), None);
        }
        assert_eq!(end_point_binding(&[SEQUENCE, 0x85, 1, 1, 1, 1, 1]), None);
    }
}
