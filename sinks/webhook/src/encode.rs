//! Bodies, identities and signatures.

use cdc_codec::debezium::Encoder;
use cdc_core::{Delivered, Error, Origin, Result, Retry, Secret};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// Header that carries the identity of a request.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Header that carries the signature of a request.
pub(crate) const SIGNATURE: &str = "cdc-signature";

/// Says who a change is, the same for each delivery of it: `pipeline/sink/position`.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    prefix: String,
}

impl Identity {
    pub(crate) fn new(pipeline_id: &str, sink_id: &str) -> Self {
        Self { prefix: format!("{pipeline_id}/{sink_id}/") }
    }

    pub(crate) fn of(&self, delivered: &Delivered) -> String {
        format!("{}{}", self.prefix, delivered.change.position)
    }

    /// Of a request with all changes from the first to the last.
    pub(crate) fn of_all(&self, first: &Delivered, last: &Delivered) -> String {
        if first.change.position == last.change.position {
            return self.of(first);
        }
        format!("{}{}..{}", self.prefix, first.change.position, last.change.position)
    }
}

/// Appends `{"key":…,"value":…,"metadata":{…}}`. After an error `out` is as it was.
/// `identity` becomes part of the metadata where no header can carry it.
pub(crate) fn append_record(
    encoder: &mut Encoder,
    delivered: &Delivered,
    partition: u32,
    identity: Option<&str>,
    (processed_at, out): (SystemTime, &mut Vec<u8>),
) -> Result<()> {
    let start = out.len();
    let mut append = || -> Result<()> {
        out.extend_from_slice(b"{\"key\":");
        if !encoder.key(&delivered.change, out)? {
            out.extend_from_slice(b"null");
        }
        out.extend_from_slice(b",\"value\":");
        encoder.value(&delivered.change, processed_at, out)?;
        out.extend_from_slice(b",\"metadata\":{\"topic\":");
        append_text(out, &delivered.topic)?;
        let numbers = format!(",\"partition\":{partition},\"offset\":{}", delivered.offset);
        out.extend_from_slice(numbers.as_bytes());
        if let Some(identity) = identity {
            out.extend_from_slice(b",\"idempotency_key\":");
            append_text(out, identity)?;
        }
        out.extend_from_slice(b"}}");
        Ok(())
    };
    let result = append();
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn append_text(out: &mut Vec<u8>, text: &str) -> Result<()> {
    serde_json::to_writer(out, text).map_err(|error| {
        let context = "a request could not be written to memory";
        Error::new("CDC-3102", Origin::Internal, Retry::Backoff, context).with_source(error)
    })
}

/// `t=SECONDS,v1=HEX`: the HMAC-SHA256 of `SECONDS.BODY`.
pub(crate) fn signature(secret: &Secret, now: SystemTime, body: &[u8]) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
        .expect("a key of any length is a key");
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    let mut out = format!("t={seconds},v1=");
    for byte in mac.finalize().into_bytes() {
        write!(out, "{byte:02x}").expect("a string takes every character");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::{Offset, TableId};
    use cdc_testkit::generate::{Generator, delivered};
    use std::time::Duration;

    #[test]
    fn a_signature_can_be_verified_with_common_tools() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac topsecret
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(
            signature(&Secret::new("topsecret"), now, br#"{"a":1}"#),
            "t=1700000000,v1=6a939b0c71853d606167625a15168ee9188c6a511c773ef4f42d307f3849e50f"
        );
    }

    #[test]
    fn a_body_has_the_members_of_the_contract() {
        let mut generator = Generator::new(4);
        generator.add_table(TableId::new("public", "t"));
        let mut encoder = Encoder::new("cdc");
        let identities = Identity::new("shop", "hook");
        for delivered in delivered(generator.transactions(20, 3), Offset(9)) {
            let identity = identities.of(&delivered);
            for identity in [None, Some(identity.as_str())] {
                let mut out = b"[".to_vec();
                let at = (UNIX_EPOCH, &mut out);
                append_record(&mut encoder, &delivered, 2, identity, at).unwrap();
                let json: serde_json::Value = serde_json::from_slice(&out[1..]).unwrap();
                let members: Vec<&String> = json.as_object().unwrap().keys().collect();
                assert_eq!(members, ["key", "value", "metadata"]);
                let metadata = json["metadata"].as_object().unwrap();
                assert_eq!(metadata["topic"], *delivered.topic);
                assert_eq!(metadata["partition"], 2);
                assert_eq!(metadata["offset"], delivered.offset.0);
                assert_eq!(metadata.get("idempotency_key").and_then(|key| key.as_str()), identity);
            }
        }
    }

    #[test]
    fn identities_name_pipeline_sink_and_position() {
        let mut generator = Generator::new(4);
        generator.add_table(TableId::new("public", "t"));
        let changes = delivered(generator.transaction(3), Offset(0));
        let identities = Identity::new("shop", "hook");
        let (first, last) = (changes[0].change.position, changes[2].change.position);
        assert_eq!(identities.of(&changes[0]), format!("shop/hook/{first}"));
        assert_eq!(identities.of_all(&changes[0], &changes[0]), format!("shop/hook/{first}"));
        let all = identities.of_all(&changes[0], &changes[2]);
        assert_eq!(all, format!("shop/hook/{first}..{last}"));
    }
}
