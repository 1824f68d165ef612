//! The other direction of `pgoutput`, for tests.

use super::{Begin, Commit, Relation, RelationColumn};
use crate::position::Lsn;
use proptest::prelude::*;

/// A message with its values written out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sample {
    Begin(Begin),
    Commit(Commit),
    Origin,
    Relation(Relation),
    Type,
    Insert(u32, Vec<Cell>),
    Update(u32, Option<(bool, Vec<Cell>)>, Vec<Cell>),
    Delete(u32, (bool, Vec<Cell>)),
    Truncate(Vec<u32>),
    Logical(bool, Lsn, Vec<u8>, Vec<u8>),
}

/// One value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    Null,
    Unchanged,
    Text(Vec<u8>),
    Binary(Vec<u8>),
}

/// Writes a message as the plugin does.
pub(crate) fn encode(sample: &Sample) -> Vec<u8> {
    let mut out = Vec::new();
    match sample {
        Sample::Begin(begin) => {
            out.push(b'B');
            out.extend_from_slice(&begin.commit.0.to_be_bytes());
            out.extend_from_slice(&begin.commit_time.to_be_bytes());
            out.extend_from_slice(&begin.xid.to_be_bytes());
        }
        Sample::Commit(commit) => {
            out.extend_from_slice(&[b'C', 0]);
            out.extend_from_slice(&commit.commit.0.to_be_bytes());
            out.extend_from_slice(&commit.end.0.to_be_bytes());
            out.extend_from_slice(&commit.commit_time.to_be_bytes());
        }
        Sample::Origin => {
            out.push(b'O');
            out.extend_from_slice(&9_u64.to_be_bytes());
            out.extend_from_slice(b"elsewhere\0");
        }
        Sample::Relation(relation) => encode_relation(&mut out, relation),
        Sample::Type => {
            out.push(b'Y');
            out.extend_from_slice(&16_400_u32.to_be_bytes());
            out.extend_from_slice(b"public\0mood\0");
        }
        Sample::Insert(relation, new) => {
            out.push(b'I');
            out.extend_from_slice(&relation.to_be_bytes());
            encode_row(&mut out, b'N', new);
        }
        Sample::Update(relation, old, new) => {
            out.push(b'U');
            out.extend_from_slice(&relation.to_be_bytes());
            if let Some((key_only, row)) = old {
                encode_row(&mut out, if *key_only { b'K' } else { b'O' }, row);
            }
            encode_row(&mut out, b'N', new);
        }
        Sample::Delete(relation, (key_only, row)) => {
            out.push(b'D');
            out.extend_from_slice(&relation.to_be_bytes());
            encode_row(&mut out, if *key_only { b'K' } else { b'O' }, row);
        }
        Sample::Truncate(relations) => {
            out.push(b'T');
            out.extend_from_slice(&u32::try_from(relations.len()).unwrap().to_be_bytes());
            out.push(3);
            for relation in relations {
                out.extend_from_slice(&relation.to_be_bytes());
            }
        }
        Sample::Logical(transactional, end, prefix, content) => {
            out.extend_from_slice(&[b'M', u8::from(*transactional)]);
            out.extend_from_slice(&end.0.to_be_bytes());
            out.extend_from_slice(prefix);
            out.push(0);
            out.extend_from_slice(&u32::try_from(content.len()).unwrap().to_be_bytes());
            out.extend_from_slice(content);
        }
    }
    out
}

fn encode_relation(out: &mut Vec<u8>, relation: &Relation) {
    out.push(b'R');
    out.extend_from_slice(&relation.oid.to_be_bytes());
    for name in [&relation.namespace, &relation.name] {
        out.extend_from_slice(name.as_bytes());
        out.push(0);
    }
    out.push(relation.replica_identity);
    out.extend_from_slice(&u16::try_from(relation.columns.len()).unwrap().to_be_bytes());
    for column in &relation.columns {
        out.push(u8::from(column.key));
        out.extend_from_slice(column.name.as_bytes());
        out.push(0);
        out.extend_from_slice(&column.type_oid.to_be_bytes());
        out.extend_from_slice(&column.type_modifier.to_be_bytes());
    }
}

fn encode_row(out: &mut Vec<u8>, tag: u8, row: &[Cell]) {
    out.push(tag);
    out.extend_from_slice(&u16::try_from(row.len()).unwrap().to_be_bytes());
    for cell in row {
        let (tag, value) = match cell {
            Cell::Null => (b'n', None),
            Cell::Unchanged => (b'u', None),
            Cell::Text(value) => (b't', Some(value)),
            Cell::Binary(value) => (b'b', Some(value)),
        };
        out.push(tag);
        if let Some(value) = value {
            out.extend_from_slice(&i32::try_from(value.len()).unwrap().to_be_bytes());
            out.extend_from_slice(value);
        }
    }
}

fn row() -> impl Strategy<Value = Vec<Cell>> {
    let cell = prop_oneof![
        Just(Cell::Null),
        Just(Cell::Unchanged),
        any::<Vec<u8>>().prop_map(Cell::Text),
        any::<Vec<u8>>().prop_map(Cell::Binary),
    ];
    prop::collection::vec(cell, 0..6)
}

fn relation() -> impl Strategy<Value = Relation> {
    let name = || "[^\0]{0,12}";
    let column = (any::<bool>(), name(), any::<u32>(), any::<i32>()).prop_map(
        |(key, name, type_oid, type_modifier)| RelationColumn {
            key,
            name,
            type_oid,
            type_modifier,
        },
    );
    (any::<u32>(), name(), name(), any::<u8>(), prop::collection::vec(column, 0..6)).prop_map(
        |(oid, namespace, name, replica_identity, columns)| Relation {
            oid,
            namespace,
            name,
            replica_identity,
            columns,
        },
    )
}

/// Any message that the plugin may send.
pub(crate) fn samples() -> impl Strategy<Value = Sample> {
    let old = || (any::<bool>(), row());
    prop_oneof![
        any::<(u64, i64, u32)>().prop_map(|(commit, commit_time, xid)| Sample::Begin(Begin {
            commit: Lsn(commit),
            commit_time,
            xid
        })),
        any::<(u64, u64, i64)>().prop_map(|(commit, end, commit_time)| Sample::Commit(Commit {
            commit: Lsn(commit),
            end: Lsn(end),
            commit_time
        })),
        Just(Sample::Origin),
        relation().prop_map(Sample::Relation),
        Just(Sample::Type),
        (any::<u32>(), row()).prop_map(|(relation, new)| Sample::Insert(relation, new)),
        (any::<u32>(), prop::option::of(old()), row())
            .prop_map(|(relation, old, new)| Sample::Update(relation, old, new)),
        (any::<u32>(), old()).prop_map(|(relation, old)| Sample::Delete(relation, old)),
        any::<Vec<u32>>().prop_map(Sample::Truncate),
        (any::<(bool, u64)>(), prop::collection::vec(1_u8.., 0..12), any::<Vec<u8>>()).prop_map(
            |((transactional, end), prefix, content)| {
                Sample::Logical(transactional, Lsn(end), prefix, content)
            },
        ),
    ]
}
