//! Rows alone, as Debezium's `ExtractNewRecordState` makes them of envelopes.

use super::envelope::{
    Envelopes, Image, Telling, Times, images, operation_code, or_null, since_1970,
};
use super::plan::Plan;
use super::{schemas, source};
use crate::connect::{Field, Kind, Label, Schema, Writer, label};
use cdc_core::{Change, Result, TableSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Envelopes become rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Unwrap {
    /// `delete.tombstone.handling.mode`.
    pub deletes: DeleteMode,
    /// `add.fields`: `op,source.ts_ms,lsn:position`.
    pub add_fields: Added,
    /// `add.fields.prefix`.
    pub add_fields_prefix: String,
    /// `add.headers`.
    pub add_headers: Added,
    /// `add.headers.prefix`.
    pub add_headers_prefix: String,
}

impl Default for Unwrap {
    fn default() -> Self {
        Self {
            deletes: DeleteMode::default(),
            add_fields: Added::default(),
            add_fields_prefix: "__".to_owned(),
            add_headers: Added::default(),
            add_headers_prefix: "__".to_owned(),
        }
    }
}

/// What becomes of a delete and of the tombstone behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeleteMode {
    /// Only the tombstone.
    #[default]
    Tombstone,
    /// Neither.
    Drop,
    /// The row before, with `__deleted` set to `true`; every other row has it set to `false`.
    Rewrite,
    /// As rewrite, and the tombstone.
    RewriteWithTombstone,
    /// The delete becomes a tombstone, whether or not tombstones are written.
    DeleteToTombstone,
}

impl DeleteMode {
    /// Does each row say whether it is deleted?
    fn marks(self) -> bool {
        matches!(self, Self::Rewrite | Self::RewriteWithTombstone)
    }
}

/// Parts of the envelope beside the row, in the words of `add.fields`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Added(Vec<Addition>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Addition {
    /// As it was written, without the new name.
    path: String,
    part: Option<EnvelopePart>,
    renamed: Option<String>,
}

/// A value of the envelope beside the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EnvelopePart {
    Operation,
    Millis,
    Micros,
    Nanos,
    Source(source::Field),
    TransactionId,
    TotalOrder,
    CollectionOrder,
}

/// A name in `add.fields` is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected names with commas between them, each `field`, `struct.field` or `field:name`")]
pub struct InvalidAddition;

impl TryFrom<String> for Added {
    type Error = InvalidAddition;

    fn try_from(text: String) -> Result<Self, InvalidAddition> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(Addition::read).collect::<Result<_, _>>().map(Self)
    }
}

impl From<Added> for String {
    fn from(added: Added) -> Self {
        let parts = added.0.into_iter().map(|addition| match addition.renamed {
            Some(name) => format!("{}:{name}", addition.path),
            None => addition.path,
        });
        parts.collect::<Vec<_>>().join(",")
    }
}

impl Addition {
    fn read(text: &str) -> Result<Self, InvalidAddition> {
        let (path, renamed) = match text.split_once(':') {
            Some((path, name)) => (path.trim(), Some(name.trim().to_owned())),
            None => (text, None),
        };
        if path.is_empty() || renamed.as_ref().is_some_and(String::is_empty) {
            return Err(InvalidAddition);
        }
        Ok(Self { path: path.to_owned(), part: EnvelopePart::named(path), renamed })
    }

    fn name(&self, prefix: &str) -> String {
        match &self.renamed {
            Some(name) => format!("{prefix}{name}"),
            None => format!("{prefix}{}", self.path.replace('.', "_")),
        }
    }
}

impl EnvelopePart {
    /// A name without a struct is looked for in the envelope, then in `source`.
    fn named(path: &str) -> Option<Self> {
        let source = |name: &str| {
            let found = source::Field::ALL.into_iter().find(|field| field.label().name() == name);
            found.map(Self::Source)
        };
        match path.split_once('.') {
            Some(("source", name)) => source(name),
            Some(("transaction", "id")) => Some(Self::TransactionId),
            Some(("transaction", "total_order")) => Some(Self::TotalOrder),
            Some(("transaction", "data_collection_order")) => Some(Self::CollectionOrder),
            Some(_) => None,
            None => match path {
                "op" => Some(Self::Operation),
                "ts_ms" => Some(Self::Millis),
                "ts_us" => Some(Self::Micros),
                "ts_ns" => Some(Self::Nanos),
                name => source(name),
            },
        }
    }

    fn schema(self, dialect: &str) -> Schema {
        match self {
            Self::Operation | Self::TransactionId => Schema::new(Kind::String),
            Self::Source(field) => schemas::source(dialect)
                .field(field.label().name())
                .cloned()
                .unwrap_or_else(|| Schema::new(Kind::String)),
            Self::Millis | Self::Micros | Self::Nanos => Schema::new(Kind::Int64).optional(),
            Self::TotalOrder | Self::CollectionOrder => Schema::new(Kind::Int64),
        }
    }

    fn write<W: Writer>(
        self,
        out: &mut W,
        envelopes: &Envelopes,
        change: &Change,
        telling: Telling<'_>,
    ) {
        let processed = || Times::of(since_1970(telling.processed_at));
        let transaction = telling.transaction;
        match self {
            Self::Operation => out.string(operation_code(change.operation, telling.part)),
            Self::Millis => or_null(out, processed().millis),
            Self::Micros => or_null(out, processed().micros),
            Self::Nanos => or_null(out, processed().nanos),
            Self::Source(field) => field.write(out, envelopes, change),
            Self::TransactionId => match transaction {
                Some(transaction) => out.string(&transaction.id),
                None => out.null(),
            },
            Self::TotalOrder => or_null(out, transaction.map(|t| t.total_order.cast_signed())),
            Self::CollectionOrder => {
                or_null(out, transaction.map(|t| t.data_collection_order.cast_signed()));
            }
        }
    }
}

impl Unwrap {
    /// Is a delete told as a row?
    pub(super) fn tells_deletes(&self) -> bool {
        self.deletes.marks()
    }

    /// Is a tombstone written for a delete? `tombstones` says whether there is one to begin with.
    pub(super) fn keeps_tombstone(&self, tombstones: bool) -> bool {
        match self.deletes {
            DeleteMode::Tombstone | DeleteMode::RewriteWithTombstone => tombstones,
            DeleteMode::Drop | DeleteMode::Rewrite => false,
            DeleteMode::DeleteToTombstone => true,
        }
    }

    /// The schema of a table's rows with what is added to them.
    pub(super) fn schema(&self, row: Schema, table: &TableSchema) -> Schema {
        let Schema { kind: Kind::Struct(mut fields), .. } = row.clone() else { return row };
        if self.deletes.marks() {
            fields.push(Field::new("__deleted", Schema::new(Kind::String).optional()));
        }
        for (part, name) in self.add_fields.named(&self.add_fields_prefix) {
            fields.push(Field::new(name, part.schema(&table.dialect).optional()));
        }
        Schema { kind: Kind::Struct(fields), ..row }
    }
}

impl Added {
    /// The parts that envelopes have, with their names.
    fn named(&self, prefix: &str) -> impl Iterator<Item = (EnvelopePart, String)> {
        self.0.iter().filter_map(move |addition| Some((addition.part?, addition.name(prefix))))
    }
}

/// What unwrapping does to every record.
#[derive(Debug)]
pub(super) struct Unwrapping {
    marks: bool,
    fields: Vec<(EnvelopePart, Label)>,
    headers: Vec<(EnvelopePart, Arc<str>)>,
}

/// A header that unwrapping adds.
#[derive(Clone, Copy, Debug)]
pub(super) struct AddedHeader<'a> {
    pub(super) name: &'a Arc<str>,
    part: EnvelopePart,
}

impl AddedHeader<'_> {
    /// The schema of its value. A tombstone has nothing that this would be made optional for.
    pub(super) fn schema(&self, dialect: &str, is_tombstone: bool) -> Schema {
        let schema = self.part.schema(dialect);
        let optional = schema.optional || !is_tombstone;
        schema.with_optional(optional)
    }

    /// Tells its value.
    pub(super) fn write<W: Writer>(
        &self,
        out: &mut W,
        envelopes: &Envelopes,
        change: &Change,
        telling: Telling<'_>,
    ) {
        self.part.write(out, envelopes, change, telling);
    }
}

impl Unwrapping {
    pub(super) fn new(unwrap: &Unwrap) -> Self {
        let fields = unwrap.add_fields.named(&unwrap.add_fields_prefix);
        let headers = unwrap.add_headers.named(&unwrap.add_headers_prefix);
        Self {
            marks: unwrap.deletes.marks(),
            fields: fields.map(|(part, name)| (part, Label::new(name))).collect(),
            headers: headers.map(|(part, name)| (part, name.into())).collect(),
        }
    }

    /// Tells the row and what is added to it.
    pub(super) fn write<W: Writer>(
        &self,
        out: &mut W,
        envelopes: &Envelopes,
        (plan, change, telling): (&Plan, &Change, Telling<'_>),
    ) -> Result<()> {
        let (before, after) = images(change, telling.part);
        let (row, image) = match after {
            Some(after) => (Some(after), Image::After),
            None => (before, Image::Before),
        };
        let Some(row) = row else {
            out.null();
            return Ok(());
        };
        out.begin_struct();
        envelopes.write_fields(out, plan, change, row, image)?;
        if self.marks {
            out.field(label!("__deleted"));
            out.string(if image == Image::Before { "true" } else { "false" });
        }
        for (part, label) in &self.fields {
            out.field(label);
            part.write(out, envelopes, change, telling);
        }
        out.end_struct();
        Ok(())
    }

    /// The headers that are added to a record.
    pub(super) fn headers(&self) -> impl Iterator<Item = AddedHeader<'_>> {
        self.headers.iter().map(|(part, name)| AddedHeader { name, part: *part })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additions_are_read_as_they_are_written() {
        let text = "op, source.ts_ms ,lsn:position,transaction.id,nothing";
        let added = Added::try_from(text.to_owned()).unwrap();
        let parts: Vec<_> = added.0.iter().map(|addition| addition.part).collect();
        assert_eq!(
            parts,
            [
                Some(EnvelopePart::Operation),
                Some(EnvelopePart::Source(source::Field::Millis)),
                Some(EnvelopePart::Source(source::Field::Address)),
                Some(EnvelopePart::TransactionId),
                None
            ]
        );
        let names: Vec<_> = added.0.iter().map(|addition| addition.name("__")).collect();
        let expected = ["__op", "__source_ts_ms", "__position", "__transaction_id", "__nothing"];
        assert_eq!(names, expected);
        assert_eq!(String::from(added), "op,source.ts_ms,lsn:position,transaction.id,nothing");
        for wrong in [":a", "a:", "op,:"] {
            assert_eq!(Added::try_from(wrong.to_owned()), Err(InvalidAddition), "{wrong}");
        }
    }
}
