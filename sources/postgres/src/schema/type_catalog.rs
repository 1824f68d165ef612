//! The types that occur in the captured tables, and what they are made of.

use std::collections::BTreeMap;
use tokio_postgres::types::{Kind, Type};

/// Types by their number. Those that every server has are known without asking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeCatalog {
    types: BTreeMap<u32, CatalogType>,
    plain_money: bool,
}

/// One type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogType {
    /// Its number.
    pub oid: u32,
    /// What it is made of.
    pub kind: TypeKind,
    /// Does the server have a binary form for it?
    pub has_binary: bool,
    /// What separates its values in the text form of an array.
    pub delimiter: u8,
}

/// What a type is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeKind {
    /// Nothing else.
    Base {
        /// The symbol of the function that makes its binary form; empty without one.
        send: String,
    },
    /// One of some labels.
    Enum {
        /// In their sort order.
        labels: Vec<String>,
    },
    /// Another type with constraints.
    Domain {
        /// The other type.
        base: u32,
        /// The modifier of the other type.
        modifier: i32,
    },
    /// An array.
    Array {
        /// Of this type.
        element: u32,
    },
    /// A row.
    Composite {
        /// Its members.
        fields: Vec<CompositeField>,
    },
    /// A range.
    Range {
        /// Of this type.
        subtype: u32,
    },
    /// Several ranges.
    Multirange {
        /// Of this range type.
        range: u32,
    },
    /// A type that no column has.
    Pseudo,
}

/// One member of a composite type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompositeField {
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_oid: u32,
    /// Its type's modifier.
    pub type_modifier: i32,
}

impl TypeCatalog {
    /// Collects types. `plain_money` says that the database prints money as `-$1,234.56`.
    #[must_use]
    pub fn new(types: impl IntoIterator<Item = CatalogType>, plain_money: bool) -> Self {
        let types = types.into_iter().map(|found| (found.oid, found)).collect();
        Self { types, plain_money }
    }

    /// What a type is made of; `None` for a number that was not in the catalog.
    #[must_use]
    pub fn kind(&self, oid: u32) -> Option<TypeKind> {
        match self.types.get(&oid) {
            Some(found) => Some(found.kind.clone()),
            None => builtin(oid),
        }
    }

    /// Does the server have a binary form for the type?
    #[must_use]
    pub fn has_binary(&self, oid: u32) -> bool {
        self.types.get(&oid).is_none_or(|found| found.has_binary)
    }

    pub(crate) fn delimiter(&self, oid: u32) -> u8 {
        match self.types.get(&oid) {
            Some(found) => found.delimiter,
            None if oid == Type::BOX.oid() => b';',
            None => b',',
        }
    }

    pub(crate) fn prints_plain_money(&self) -> bool {
        self.plain_money
    }

    /// This catalog with `newer` over it.
    #[must_use]
    pub(crate) fn updated(&self, newer: impl IntoIterator<Item = CatalogType>) -> Self {
        let mut types = self.types.clone();
        types.extend(newer.into_iter().map(|found| (found.oid, found)));
        Self { types, plain_money: self.plain_money }
    }
}

fn builtin(oid: u32) -> Option<TypeKind> {
    let found = Type::from_oid(oid)?;
    Some(match found.kind() {
        Kind::Array(element) => TypeKind::Array { element: element.oid() },
        Kind::Range(subtype) => TypeKind::Range { subtype: subtype.oid() },
        // The library names the subtype here, not the range.
        Kind::Multirange(subtype) => TypeKind::Multirange { range: range_of(subtype.oid())? },
        Kind::Simple => TypeKind::Base { send: String::new() },
        _ => TypeKind::Pseudo,
    })
}

fn range_of(subtype: u32) -> Option<u32> {
    let ranges = [
        Type::INT4_RANGE,
        Type::NUM_RANGE,
        Type::TS_RANGE,
        Type::TSTZ_RANGE,
        Type::DATE_RANGE,
        Type::INT8_RANGE,
    ];
    let matches = |range: &&Type| matches!(range.kind(), Kind::Range(of) if of.oid() == subtype);
    ranges.iter().find(matches).map(Type::oid)
}
