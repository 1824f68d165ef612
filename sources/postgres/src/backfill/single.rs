//! Rows that are read by their key, some of which may not be there.

use super::touched::{Key, key_of};
use crate::convert::Decoder;
use bytes::Bytes;
use cdc_core::{Row, TableSchema, Value};
use std::collections::BTreeSet;

/// A row of which only the key is known, from the printed values of that; `None` where they are not a key
/// of this table.
pub(super) fn key_row(schema: &TableSchema, decoder: &Decoder, text: &[String]) -> Option<Row> {
    if schema.key.is_empty() || schema.key.len() != text.len() {
        return None;
    }
    let mut values = vec![Value::Unchanged; schema.columns.len()];
    for (index, text) in schema.key.iter().map(|index| usize::from(*index)).zip(text) {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let length = bytes.len();
        *values.get_mut(index)? = decoder.text(index, &bytes, 0..length).ok()?;
    }
    Some(values.into_boxed_slice())
}

/// Keys as the server prints them, with the bytes by which the stream knows them; what is no key of the
/// table is left out.
pub(crate) fn keys(
    schema: &TableSchema,
    decoder: &Decoder,
    texts: Vec<Vec<String>>,
) -> Vec<(Vec<String>, Key)> {
    let known = |text: Vec<String>| {
        let key = key_of(&schema.key, &key_row(schema, decoder, &text)?)?;
        Some((text, key))
    };
    texts.into_iter().filter_map(known).collect()
}

/// Of these keys, the rows that were not read and that nothing has touched since.
pub(super) fn absent(
    schema: &TableSchema,
    decoder: &Decoder,
    asked: &[(Vec<String>, Key)],
    read: &BTreeSet<Key>,
    touched: impl Fn(&Key) -> bool,
) -> Vec<Row> {
    let gone = asked.iter().filter(|(_, key)| !read.contains(key) && !touched(key));
    gone.filter_map(|(text, _)| key_row(schema, decoder, text)).collect()
}
