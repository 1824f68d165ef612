//! Values of the records in a pipeline's state topic: a line of JSON that a person can read, and bytes
//! behind it where a record carries some.

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What an epoch's record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begun {
    pub(crate) epoch: u64,
}

/// What capture's progress says beside the source's own bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Captured {
    pub(crate) position: cdc_core::Position,
}

/// What became of a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Retried {
    pub(crate) retries: u32,
    pub(crate) retry_requested: bool,
    pub(crate) error_code: String,
    pub(crate) error: String,
}

/// A line and what follows.
pub(crate) fn encode(line: &impl Serialize, rest: &[u8]) -> Result<Bytes, serde_json::Error> {
    let json = serde_json::to_vec(line)?;
    let mut out = BytesMut::with_capacity(json.len() + 1 + rest.len());
    out.put_slice(&json);
    // JSON in one line has no line feed inside, so the first one ends it.
    out.put_u8(b'\n');
    out.put_slice(rest);
    Ok(out.freeze())
}

/// The reverse of [`encode`]; `None` for what is none of ours.
pub(crate) fn decode<T: DeserializeOwned>(value: &Bytes) -> Option<(T, Bytes)> {
    let end = value.iter().position(|byte| *byte == b'\n')?;
    let line = serde_json::from_slice(value.get(..end)?).ok()?;
    Some((line, value.slice(end + 1..)))
}

/// A line with nothing behind it.
pub(crate) fn decode_line<T: DeserializeOwned>(value: &Bytes) -> Option<T> {
    decode(value).filter(|(_, rest)| rest.is_empty()).map(|(line, _)| line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_value_comes_back_as_it_went(error in ".*", rest: Vec<u8>) {
            let retried = Retried { retries: 1, retry_requested: true, error_code: "C".into(), error };
            let value = encode(&retried, &rest).unwrap();
            prop_assert_eq!(decode::<Retried>(&value), Some((retried.clone(), Bytes::from(rest.clone()))));
            prop_assert_eq!(decode_line(&value), rest.is_empty().then_some(retried));
        }

        #[test]
        fn no_value_of_another_program_is_too_strange(bytes: Vec<u8>) {
            decode::<Captured>(&Bytes::from(bytes));
        }
    }
}
