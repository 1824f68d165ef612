//! How the fields of a type are read.

use super::{array::ArrayCodec, printed::Printed};
use crate::schema::{TypeCatalog, TypeKind};
use std::{collections::BTreeMap, sync::Arc};

/// Types inside of types go no deeper; the server itself allows no cycles.
const DEPTH_MAX: usize = 32;

/// How the fields of one type are read, in both forms.
#[derive(Clone, Debug)]
pub(crate) enum Codec {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric,
    /// Everything whose binary form is its text.
    Text,
    /// One byte.
    Char,
    Bytea,
    Json,
    Jsonb,
    Uuid,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Interval,
    Array(Box<ArrayCodec>),
    /// The value is the text that the server would print.
    Printed(Printed),
    /// The value is the text that the server prints; the binary form is not understood.
    Unprinted,
}

impl Codec {
    /// Finds out how to read a type.
    pub(crate) fn of(type_oid: u32, types: &TypeCatalog) -> Self {
        Self::at_depth(type_oid, types, 0)
    }

    fn at_depth(type_oid: u32, types: &TypeCatalog, depth: usize) -> Self {
        if depth > DEPTH_MAX {
            return Self::Unprinted;
        }
        if let Some(codec) = builtin(type_oid, types) {
            return codec;
        }
        let inner = |oid| Self::at_depth(oid, types, depth + 1);
        match types.kind(type_oid) {
            Some(TypeKind::Enum { .. }) => Self::Text,
            Some(TypeKind::Domain { base, .. }) => inner(base),
            Some(TypeKind::Array { element }) => Self::Array(Box::new(ArrayCodec {
                element: match inner(element) {
                    array @ Self::Array(_) => Self::Printed(Printed::Array(Box::new(array))),
                    element => element,
                },
                element_oid: element,
                delimiter: types.delimiter(element),
            })),
            Some(TypeKind::Range { subtype }) => {
                Self::Printed(Printed::Range(Box::new(inner(subtype))))
            }
            Some(TypeKind::Multirange { range }) => match inner(range) {
                Self::Printed(Printed::Range(bound)) => Self::Printed(Printed::Multirange(bound)),
                _ => Self::Unprinted,
            },
            Some(TypeKind::Composite { fields }) => {
                let members: BTreeMap<u32, Self> =
                    fields.iter().map(|field| (field.type_oid, inner(field.type_oid))).collect();
                Self::Printed(Printed::Record(Arc::new(members)))
            }
            Some(TypeKind::Base { send }) => from_send_function(&send),
            Some(TypeKind::Pseudo) | None => Self::Unprinted,
        }
    }

    /// Can the type's binary form be read?
    pub(crate) fn reads_binary(&self) -> bool {
        match self {
            Self::Unprinted => false,
            Self::Array(array) => array.element.reads_binary(),
            Self::Printed(
                Printed::Array(inner) | Printed::Range(inner) | Printed::Multirange(inner),
            ) => inner.reads_binary(),
            Self::Printed(Printed::Record(members)) => members.values().all(Self::reads_binary),
            _ => true,
        }
    }
}

/// Types of extensions are recognised by the function that makes their binary form, since their
/// numbers and even names are the installation's choice.
fn from_send_function(symbol: &str) -> Codec {
    match symbol {
        // citext, and domains of text in all but name.
        "textsend" => Codec::Text,
        "ltree_send" | "lquery_send" | "ltxtq_send" => Codec::Printed(Printed::Versioned),
        "hstore_send" => Codec::Printed(Printed::Hstore),
        _ => Codec::Unprinted,
    }
}

/// Types that every server has under the same number.
pub(super) fn builtin(type_oid: u32, types: &TypeCatalog) -> Option<Codec> {
    Some(match type_oid {
        16 => Codec::Bool,
        17 => Codec::Bytea,
        18 => Codec::Char,
        // name, text, bpchar, varchar, xml, refcursor.
        19 | 25 | 1042 | 1043 | 142 | 1790 => Codec::Text,
        20 => Codec::Int8,
        21 => Codec::Int2,
        23 => Codec::Int4,
        26 => Codec::Oid,
        114 => Codec::Json,
        3802 => Codec::Jsonb,
        700 => Codec::Float4,
        701 => Codec::Float8,
        790 if types.prints_plain_money() => Codec::Printed(Printed::Money),
        1082 => Codec::Date,
        1083 => Codec::Time,
        1114 => Codec::Timestamp,
        1184 => Codec::TimestampTz,
        1186 => Codec::Interval,
        1266 => Codec::TimeTz,
        1700 => Codec::Numeric,
        2950 => Codec::Uuid,
        _ => Codec::Printed(builtin_printed(type_oid)?),
    })
}

fn builtin_printed(type_oid: u32) -> Option<Printed> {
    Some(match type_oid {
        22 => Printed::Int2Vector,
        30 => Printed::OidVector,
        27 => Printed::Tid,
        // xid, cid.
        28 | 29 => Printed::Unsigned32,
        5069 => Printed::Unsigned64,
        600 => Printed::Point,
        601 => Printed::Segment,
        602 => Printed::Path,
        603 => Printed::Rectangle,
        604 => Printed::Polygon,
        628 => Printed::Line,
        718 => Printed::Circle,
        // cidr, inet.
        650 | 869 => Printed::Inet,
        829 => Printed::MacAddr,
        774 => Printed::MacAddr8,
        // bit, varbit.
        1560 | 1562 => Printed::Bit,
        // txid_snapshot, pg_snapshot.
        2970 | 5038 => Printed::Snapshot,
        3220 => Printed::LogAddress,
        3614 => Printed::TextSearchVector,
        4072 => Printed::Versioned,
        _ => return None,
    })
}
