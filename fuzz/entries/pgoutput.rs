//! What a PostgreSQL server sends while it streams.

use bytes::Bytes;
use cdc_core::TableId;
use cdc_source_postgres::{
    convert::{DecodedColumn, Decoder},
    protocol::{
        Chunk, Field, Message, Relation, StreamMessage, Tuple, decode, decode_stream,
        whole_messages,
    },
    schema::TypeCatalog,
};
use std::{collections::BTreeMap, ops::Range, sync::Arc};

/// Any bytes are refused or decoded: as backend messages with a stream in them, and as one message of
/// the output plugin.
pub(super) fn feed(bytes: &[u8]) {
    let mut reader = Reader::default();
    let chunk = Chunk { bytes: Bytes::copy_from_slice(bytes) };
    if let Ok((whole, _)) = whole_messages(bytes) {
        assert!(whole <= bytes.len());
    }
    for (tag, payload) in chunk.messages() {
        assert!(payload.end <= bytes.len());
        if tag != b'd' {
            continue;
        }
        if let Ok(StreamMessage::Data { payload, .. }) = decode_stream(&chunk.bytes, payload) {
            reader.read(&chunk.bytes, payload);
        }
    }
    reader.read(&chunk.bytes, 0..bytes.len());
}

#[derive(Default)]
struct Reader {
    decoders: BTreeMap<u32, Decoder>,
}

impl Reader {
    fn read(&mut self, frame: &Bytes, message: Range<usize>) {
        match decode(frame, message) {
            Ok(Message::Relation(relation)) => {
                self.decoders.insert(relation.oid, decoder(&relation));
            }
            Ok(Message::Insert { relation, new }) => self.row(frame, relation, &new),
            Ok(Message::Update { relation, old, new }) => {
                if let Some(old) = old {
                    self.row(frame, relation, &old.tuple);
                }
                self.row(frame, relation, &new);
            }
            Ok(Message::Delete { relation, old }) => self.row(frame, relation, &old.tuple),
            Ok(Message::Logical(message)) => {
                let prefix = frame.slice(message.prefix);
                assert!(!prefix.contains(&0) && message.content.end <= frame.len());
            }
            Ok(_) => {}
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }

    fn row(&self, frame: &Bytes, relation: u32, tuple: &Tuple) {
        assert_eq!(tuple.fields(frame).count(), usize::from(tuple.columns));
        let Some(decoder) = self.decoders.get(&relation) else { return };
        for (column, field) in tuple.fields(frame).enumerate() {
            let read = match field {
                Field::Null | Field::Unchanged => continue,
                Field::Text(range) => decoder.text(column, frame, range),
                Field::Binary(range) => decoder.binary(column, frame, range),
            };
            drop(read);
        }
    }
}

fn decoder(relation: &Relation) -> Decoder {
    let columns = relation.columns.iter().map(|column| DecodedColumn {
        name: column.name.clone(),
        type_oid: column.type_oid,
        type_name: String::new(),
    });
    let table = TableId::new(relation.namespace.as_str(), relation.name.as_str());
    Decoder::new(&table, columns, &Arc::new(TypeCatalog::default()))
}
