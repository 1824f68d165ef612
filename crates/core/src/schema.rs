//! What a table looks like at one moment of its history.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A table's full name in its source: `public.users`, `shop.orders`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableId {
    /// Schema (PostgreSQL, SQL Server) or database (MySQL, MongoDB).
    pub namespace: String,
    /// Table or collection.
    pub name: String,
}

impl TableId {
    /// Names a table, exactly as the database spells it, without quotes.
    #[must_use]
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Stands where a message has no table: its topic is `{prefix}.message`.
    #[must_use]
    pub fn messages() -> Self {
        Self::new("", "message")
    }

    /// Does it stand for messages?
    #[must_use]
    pub fn is_messages(&self) -> bool {
        self.namespace.is_empty() && self.name == "message"
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return f.write_str(&self.name);
        }
        write!(f, "{}.{}", self.namespace, self.name)
    }
}

/// One version of a table's schema. Every change carries the version it was written under.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TableSchema {
    /// Which table.
    pub table: TableId,
    /// Whose type names [`Column::native_type`] holds: `postgres`, `mysql` …
    pub dialect: String,
    /// Columns in the order of the values of a [`Row`](crate::Row).
    pub columns: Vec<Column>,
    /// Indexes into `columns` of what identifies a row, in the key's own order; empty without a key.
    pub key: Vec<u16>,
    /// The number that the database knows the table by, whatever its name, until it is dropped;
    /// `None` where it gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
}

impl TableSchema {
    /// The schema of all messages of a source: a prefix and a content.
    #[must_use]
    pub fn of_messages(dialect: impl Into<String>) -> Self {
        let column = |name: &str, data_type, native_type: &str| Column {
            name: name.to_owned(),
            data_type,
            native_type: native_type.to_owned(),
            nullable: false,
            number: None,
            missing: None,
            default: None,
        };
        Self {
            table: TableId::messages(),
            dialect: dialect.into(),
            columns: vec![
                column("prefix", DataType::Text, "text"),
                column("content", DataType::Bytes, "bytea"),
            ],
            key: vec![0],
            number: None,
        }
    }

    /// The key's columns in the key's order.
    pub fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().filter_map(|index| self.columns.get(usize::from(*index)))
    }

    /// Does the table identify its rows?
    #[must_use]
    pub fn has_key(&self) -> bool {
        !self.key.is_empty()
    }
}

/// One column of a [`TableSchema`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Column {
    /// Name as the database spells it, without quotes.
    pub name: String,
    /// What its values are to us.
    pub data_type: DataType,
    /// The type as the database declares it, ready to be used in its DDL: `numeric(10,2)`,
    /// `public.mood[]`.
    pub native_type: String,
    /// May it hold NULL?
    pub nullable: bool,
    /// The number that the table knows the column by, whatever its name, until it is dropped; `None`
    /// where it gives none or where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// What rows hold that were there before the column, in the database's text form, where the
    /// database gave them a value without writing them anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// What a new row holds that says nothing of the column; `None` where that is NULL or not known.
    ///
    /// It is read when the table is looked up, and may be newer than the rows of its schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<ColumnDefault>,
}

/// What a new row holds in a column that it says nothing of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnDefault {
    /// What an expression says when the row is written.
    Computed,
    /// Of `DataType::Bool`.
    Bool(bool),
    /// Of the integer types.
    Int(i64),
    /// Of `DataType::Decimal` and the floats, as plain decimal digits.
    Number(String),
    /// Of `DataType::Text`, `Json`, `Enum` and `Other`.
    Text(String),
    /// Of `DataType::Uuid`, in the usual form.
    Uuid(String),
    /// Of `DataType::Date`: days since 1970-01-01.
    Date(i32),
    /// Of `DataType::Time`: nanoseconds since midnight.
    Time(i64),
    /// Of `DataType::Timestamp` and `TimestampTz`: microseconds since 1970.
    Timestamp(i64),
    /// Of `DataType::Interval`.
    Interval {
        /// Months.
        months: i32,
        /// Days.
        days: i32,
        /// Microseconds.
        micros: i64,
    },
    /// Of `DataType::Array`: no elements.
    EmptyArray,
}

/// What a column's values are to us; decides which [`Value`](crate::Value) they arrive as.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataType {
    /// `Value::Bool`.
    Bool,
    /// `Value::Int` in 16 bits.
    Int16,
    /// `Value::Int` in 32 bits.
    Int32,
    /// `Value::Int` in 64 bits.
    Int64,
    /// `Value::UInt`.
    UInt64,
    /// `Value::Float32`.
    Float32,
    /// `Value::Float64`.
    Float64,
    /// `Value::Decimal`; `None` where the column declares no limits.
    Decimal {
        /// Total number of digits.
        precision: Option<u32>,
        /// Digits after the point.
        scale: Option<i32>,
    },
    /// `Value::Text`.
    Text,
    /// `Value::Bytes`.
    Bytes,
    /// `Value::Json`.
    Json,
    /// `Value::Date`.
    Date,
    /// `Value::Time`.
    Time {
        /// Digits of the second's fraction; `None` = the database's default.
        precision: Option<u8>,
    },
    /// `Value::TimeTz`.
    TimeTz {
        /// Digits of the second's fraction; `None` = the database's default.
        precision: Option<u8>,
    },
    /// `Value::Timestamp`.
    Timestamp {
        /// Digits of the second's fraction; `None` = the database's default.
        precision: Option<u8>,
    },
    /// `Value::TimestampTz`.
    TimestampTz {
        /// Digits of the second's fraction; `None` = the database's default.
        precision: Option<u8>,
    },
    /// `Value::Interval`.
    Interval,
    /// `Value::Uuid`.
    Uuid,
    /// `Value::Text`, one of these labels in their sort order.
    Enum {
        /// All labels at the time of the schema.
        labels: Vec<String>,
    },
    /// `Value::Array` of this element type.
    Array(Box<DataType>),
    /// `Value::Text` in the database's own text form; the type is known by its native name alone.
    Other,
}

/// A number that stands for one table schema in records; given by the registry, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SchemaId(pub u32);
