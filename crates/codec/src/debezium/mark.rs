//! Headers by which our own readers know exactly what a record was made of.
//!
//! | header | value |
//! |---|---|
//! | `cdc.schema` | `17`, or `17 {"decimals":"string"}`: the table schema's number in the pipeline's store, and the choices by which values were written where they are not the usual ones |
//! | `cdc.unchanged` | `e/3`: columns of `before` and of `after` that the database did not log |
//! | `cdc.change` | the change in the log's own form, where it is told as a delete and a create and the create lacks columns that the database did not log: nothing with the delete, everything with the create |
//! | `cdc.null` | as above: columns that are null, where the format cannot tell null from empty |
//!
//! Columns are bits of hexadecimal digits: the first digit has the first four columns, its lowest bit
//! the first of them. Zeros at the end are left out.

use super::envelope::{Image, Part, images, kept};
use super::options::{
    BinaryMode, DecimalMode, HstoreMode, IntervalMode, Options, TimeMode, Unlogged,
};
use super::plan::Plan;
use crate::connect::NameAdjustment;
use crate::row;
use bytes::{Bytes, BytesMut};
use cdc_core::{Change, Header, Position, Row, SchemaId, TableSchema, Value};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The header that has the number of the table schema.
pub const SCHEMA_HEADER: &str = "cdc.schema";
/// Columns that were not logged.
pub(super) const UNCHANGED: &str = "cdc.unchanged";
/// The whole change.
const CHANGE: &str = "cdc.change";
/// Columns that are null.
pub(super) const NULL: &str = "cdc.null";

/// What records of one table schema are made by.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// The number of the table schema in the pipeline's store.
    pub schema: SchemaId,
    modes: Modes,
}

/// Every choice that a value's form depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Modes {
    #[serde(skip_serializing_if = "is_usual")]
    decimals: DecimalMode,
    #[serde(skip_serializing_if = "is_usual")]
    times: TimeMode,
    #[serde(skip_serializing_if = "is_usual")]
    binary: BinaryMode,
    #[serde(skip_serializing_if = "is_usual")]
    intervals: IntervalMode,
    #[serde(skip_serializing_if = "is_usual")]
    hstore: HstoreMode,
    #[serde(skip_serializing_if = "is_usual")]
    schema_names: NameAdjustment,
    #[serde(skip_serializing_if = "is_usual")]
    field_names: NameAdjustment,
    #[serde(skip_serializing_if = "is_usual")]
    unlogged: Unlogged,
}

impl Default for Modes {
    fn default() -> Self {
        Self::of(&Options::default())
    }
}

impl Modes {
    fn of(options: &Options) -> Self {
        Self {
            decimals: options.decimals,
            times: options.times,
            binary: options.binary,
            intervals: options.intervals,
            hstore: options.hstore,
            schema_names: options.schema_names,
            field_names: options.field_names,
            unlogged: options.unlogged,
        }
    }
}

fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The header is none that this version writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a header of it (cdc.schema, cdc.change) is none that this version of cdc writes")]
pub struct InvalidMark;

impl Mark {
    /// Of records that are written with these options.
    #[must_use]
    pub fn new(schema: SchemaId, options: &Options) -> Self {
        Self { schema, modes: Modes::of(options) }
    }

    /// Reads the header's value.
    ///
    /// # Errors
    /// When it is not what this version writes.
    pub fn read(value: &[u8]) -> Result<Self, InvalidMark> {
        let text = std::str::from_utf8(value).map_err(|_| InvalidMark)?;
        let (number, modes) = match text.split_once(' ') {
            Some((number, modes)) => {
                (number, serde_json::from_str(modes).map_err(|_| InvalidMark)?)
            }
            None => (text, Modes::default()),
        };
        let number = number.parse().map_err(|_| InvalidMark)?;
        Ok(Self { schema: SchemaId(number), modes })
    }

    /// The header's value.
    #[must_use]
    pub fn value(&self) -> Bytes {
        let number = self.schema.0;
        if self.modes == Modes::default() {
            return number.to_string().into();
        }
        let modes = serde_json::to_string(&self.modes).unwrap_or_default();
        format!("{number} {modes}").into()
    }

    /// The options that values were written with, as far as they decide on a value's form.
    #[must_use]
    pub fn options(&self) -> Options {
        let modes = self.modes.clone();
        Options {
            decimals: modes.decimals,
            times: modes.times,
            binary: modes.binary,
            intervals: modes.intervals,
            hstore: modes.hstore,
            schema_names: modes.schema_names,
            field_names: modes.field_names,
            unlogged: modes.unlogged,
            ..Options::default()
        }
    }
}

/// The headers of what a record cannot say of its rows.
pub(super) fn of_rows(
    change: &Change,
    part: Part,
    plan: &Plan,
    nulls: bool,
    out: &mut Vec<Header>,
) {
    let (before, after) = images(change, part);
    let unlogged = |_: usize, value: &Value| *value == Value::Unchanged;
    let unchanged =
        |index: usize, value: &Value| *value == Value::Unchanged && kept(change, index).is_none();
    let name = UNCHANGED;
    add(name, [columns(before, unlogged), columns(after, unchanged)], out);
    if nulls {
        let null = |index: usize, value: &Value| {
            let told = if *value == Value::Unchanged { kept(change, index) } else { Some(value) };
            told == Some(&Value::Null)
                && plan.columns.get(index).is_some_and(|column| column.form.is_repeated())
        };
        add(NULL, [columns(before, null), columns(after, null)], out);
    }
}

/// The header of a change of the key whose row is not whole: whoever has the row under its old key must
/// not delete it before it has it under the new one.
pub(super) fn of_move(change: &Change, part: Part, out: &mut Vec<Header>) {
    let is_missing = |(index, value): (usize, &Value)| {
        *value == Value::Unchanged && kept(change, index).is_none()
    };
    let lacks = change.after.iter().flatten().enumerate().any(is_missing);
    let value = match part {
        Part::OldKey if lacks => Bytes::new(),
        Part::NewKey if lacks => {
            let mut whole = BytesMut::new();
            // The number is that of the header beside it.
            row::encode_change(SchemaId(0), change, &mut whole);
            whole.freeze()
        }
        Part::OldKey | Part::NewKey | Part::Whole => return,
    };
    out.push(Header { name: CHANGE.into(), value });
}

/// What a record says of a row that has moved to another key.
#[derive(Clone, Debug, PartialEq)]
pub enum Moved {
    /// Nothing: the record says what it says.
    No,
    /// It goes; the record at its new key says everything.
    Leaves,
    /// It has moved, by this change.
    Arrives(Box<Change>),
}

impl Moved {
    pub(super) fn read(
        headers: &[Header],
        position: Position,
        schema: &Arc<TableSchema>,
    ) -> Result<Self, InvalidMark> {
        let Some(header) = headers.iter().find(|header| &*header.name == CHANGE) else {
            return Ok(Self::No);
        };
        if header.value.is_empty() {
            return Ok(Self::Leaves);
        }
        let mut change = row::decode_change(&header.value, position, schema, &mut None)
            .map_err(|_| InvalidMark)?;
        change.ends_transaction = true;
        Ok(Self::Arrives(Box::new(change)))
    }
}

fn add(name: &str, [before, after]: [String; 2], out: &mut Vec<Header>) {
    if !before.is_empty() || !after.is_empty() {
        out.push(Header { name: name.into(), value: format!("{before}/{after}").into() });
    }
}

/// Hexadecimal digits of the columns of which something is so.
fn columns(row: Option<&Row>, is_so: impl Fn(usize, &Value) -> bool) -> String {
    let mut digits = String::new();
    for (at, value) in row.into_iter().flatten().enumerate() {
        if is_so(at, value) {
            let digit = at / 4;
            while digits.len() <= digit {
                digits.push('0');
            }
            let known = digits.pop().and_then(|c| c.to_digit(16)).unwrap_or(0);
            digits.push(char::from_digit(known | 1 << (at % 4), 16).unwrap_or('0'));
        }
    }
    digits
}

/// Columns of the two images of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Columns<'a> {
    before: &'a [u8],
    after: &'a [u8],
}

impl<'a> Columns<'a> {
    /// Reads the header of this name; none where there is none.
    pub(super) fn read(headers: &'a [Header], name: &str) -> Self {
        let value = headers.iter().find(|header| &*header.name == name).map(|it| &*it.value);
        let value = value.unwrap_or_default();
        let mut parts = value.splitn(2, |byte| *byte == b'/');
        Self { before: parts.next().unwrap_or_default(), after: parts.next().unwrap_or_default() }
    }

    /// Is the column one of them?
    pub(super) fn has(&self, image: Image, column: usize) -> bool {
        let digits = if image == Image::Before { self.before } else { self.after };
        let digit = digits.get(column / 4).and_then(|digit| char::from(*digit).to_digit(16));
        digit.is_some_and(|digit| digit & 1 << (column % 4) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_mark_is_a_number_where_everything_is_usual() {
        let usual = Mark::new(SchemaId(17), &Options::default());
        assert_eq!(usual.value(), "17");
        let options = Options { decimals: DecimalMode::String, ..Options::default() };
        let other = Mark::new(SchemaId(17), &options);
        assert_eq!(other.value(), r#"17 {"decimals":"string"}"#);
        for mark in [usual, other] {
            assert_eq!(Mark::read(&mark.value()), Ok(mark));
        }
        for wrong in ["", "x", "-1", "4294967296", "1 {", r#"1 {"later":1}"#, "1 [1]"] {
            assert_eq!(Mark::read(wrong.as_bytes()), Err(InvalidMark), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn columns_come_back(set in prop::collection::vec(any::<bool>(), 0..40)) {
            let value = |is_set: &bool| if *is_set { Value::Unchanged } else { Value::Null };
            let row: Row = set.iter().map(value).collect();
            let digits = columns(Some(&row), |_, value| *value == Value::Unchanged);
            let mut headers = Vec::new();
            add(UNCHANGED, [String::new(), digits], &mut headers);
            let read = Columns::read(&headers, UNCHANGED);
            for (at, is_set) in set.iter().enumerate() {
                prop_assert_eq!(read.has(Image::After, at), *is_set);
                prop_assert!(!read.has(Image::Before, at));
            }
        }
    }
}
