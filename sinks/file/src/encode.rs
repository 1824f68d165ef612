//! Changes as lines.

use cdc_codec::debezium::Encoder;
use cdc_core::{Delivered, Error, Origin, Result, Retry};
use std::io::Write as _;
use std::time::SystemTime;

/// Writes lines: `{"topic":…,"partition":…,"offset":…,"position":…,"key":…,"value":…}`.
#[derive(Debug)]
pub(crate) struct Lines {
    encoder: Encoder,
}

impl Lines {
    pub(crate) fn new(topic_prefix: &str, database: &str) -> Self {
        Self { encoder: Encoder::new(topic_prefix).with_database(database) }
    }

    /// Appends the change's line. After an error `out` is as it was.
    pub(crate) fn append(
        &mut self,
        delivered: &Delivered,
        partition: u32,
        processed_at: SystemTime,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let start = out.len();
        let result = self.try_append(delivered, partition, processed_at, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn try_append(
        &mut self,
        delivered: &Delivered,
        partition: u32,
        processed_at: SystemTime,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        out.extend_from_slice(b"{\"topic\":");
        serde_json::to_writer(&mut *out, &*delivered.topic).map_err(impossible)?;
        let (offset, position) = (delivered.offset, delivered.change.position);
        write!(
            out,
            ",\"partition\":{partition},\"offset\":{offset},\"position\":\"{position}\",\"key\":"
        )
        .map_err(impossible)?;
        if !self.encoder.key(&delivered.change, out)? {
            out.extend_from_slice(b"null");
        }
        out.extend_from_slice(b",\"value\":");
        self.encoder.value(&delivered.change, processed_at, out)?;
        out.extend_from_slice(b"}\n");
        Ok(())
    }
}

fn impossible(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let context = "a line could not be written to memory";
    Error::new("CDC-3209", Origin::Internal, Retry::Backoff, context).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::{Offset, TableId};
    use cdc_testkit::generate::{Generator, delivered};
    use std::time::UNIX_EPOCH;

    #[test]
    fn a_line_is_one_json_object_and_says_where_its_change_sits() {
        let mut generator = Generator::new(1);
        generator.add_table_of_every_type(TableId::new("public", "t\n"));
        let mut lines = Lines::new("cdc", "shop");
        for delivered in delivered(generator.transactions(30, 3), Offset(5)) {
            let mut out = b"before\n".to_vec();
            lines.append(&delivered, 3, UNIX_EPOCH, &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            let line = text.strip_prefix("before\n").unwrap().strip_suffix('\n').unwrap();
            assert!(!line.contains('\n'));
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(json["topic"], *delivered.topic);
            assert_eq!(json["partition"], 3);
            assert_eq!(json["offset"], delivered.offset.0);
            assert_eq!(json["position"], delivered.change.position.to_string());
            assert!(json["value"]["op"].is_string());
            let truncate = json["value"]["op"] == "t";
            assert_eq!(json["key"].is_null(), truncate);
        }
    }
}
