//! The net effect of consecutive changes of one table.
//!
//! ```text
//! changes ─▶ plan ─▶ segments, applied in order:
//!            Truncate · Append (rows that cannot collide) · Net (last image per key)
//!            · Moves (key changes of rows that are not whole) · Matches (rows without a key)
//! ```

#[cfg(test)]
mod properties;

use cdc_core::{Change, Operation, TableSchema, Value};
use indexmap::IndexMap;
use std::borrow::Cow;

/// The values of a row, borrowed from its change unless two images were merged.
pub(crate) type Image<'a> = Cow<'a, [Value]>;

/// Consecutive changes of one table that are applied together.
#[derive(Debug, PartialEq)]
pub(crate) enum Segment<'a> {
    /// Remove all rows.
    Truncate,
    /// Rows that are new for certain: the table has no key, or was empty.
    Append(Vec<Image<'a>>),
    /// What is left of each row that was touched, by key.
    Net(Net<'a>),
    /// Rows that get another key while some of their columns are not known here; in order.
    Moves(Vec<Pair<'a>>),
    /// Changes of single rows of a table without a key, found by all their columns; in order.
    Matches(Vec<Match<'a>>),
}

/// Last effect by key, in the order in which the keys appeared.
pub(crate) type Net<'a> = IndexMap<Vec<u8>, Effect<'a>>;

/// What happened to one key in the end.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect<'a> {
    /// The row is gone. Only the key's columns of the image are sure to be known.
    Delete(Image<'a>),
    /// The row is exactly this.
    Upsert(Image<'a>),
    /// The row exists and gets these columns; the `Unchanged` ones stay.
    Patch(Image<'a>),
}

/// A row before and after.
#[derive(Debug, PartialEq)]
pub(crate) struct Pair<'a> {
    /// Names the row.
    pub(crate) old: Image<'a>,
    /// The new values.
    pub(crate) new: Image<'a>,
}

/// A change of one row that is found by all its columns.
#[derive(Debug, PartialEq)]
pub(crate) enum Match<'a> {
    /// Remove one such row.
    Delete(Image<'a>),
    /// Replace one such row.
    Update(Pair<'a>),
}

/// Why a change cannot be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unapplicable {
    /// It does not say which row it is about.
    Keyless,
    /// It changes a row that an earlier change removed.
    RowMissing,
    /// It does not have the shape that its schema and operation ask for.
    Malformed,
}

/// What a plan leaves behind.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// To be applied in order.
    pub(crate) segments: Vec<Segment<'a>>,
    /// Will every row of the table be one of a snapshot, so that the next one cannot collide?
    pub(crate) fresh: bool,
}

/// Folds `changes` of one table into segments. `fresh` says that the table holds nothing but rows of
/// the snapshot that is being read. Fails with the index of the change that cannot be applied.
pub(crate) fn plan<'a>(
    schema: &TableSchema,
    fresh: bool,
    changes: impl Iterator<Item = &'a Change>,
) -> Result<Plan<'a>, (usize, Unapplicable)> {
    let mut planner = Planner { schema, segments: Vec::new(), fresh };
    for (index, change) in changes.enumerate() {
        planner.take(change).map_err(|why| (index, why))?;
    }
    Ok(Plan { segments: planner.segments, fresh: planner.fresh })
}

struct Planner<'s, 'a> {
    schema: &'s TableSchema,
    segments: Vec<Segment<'a>>,
    fresh: bool,
}

impl<'a> Planner<'_, 'a> {
    fn take(&mut self, change: &'a Change) -> Result<(), Unapplicable> {
        if change.operation == Operation::Truncate {
            self.segments.clear();
            self.segments.push(Segment::Truncate);
            self.fresh = true;
            return Ok(());
        }
        let appends = change.operation == Operation::Snapshot && self.fresh
            || !self.schema.has_key() && is_new(change.operation);
        self.fresh &= change.operation == Operation::Snapshot;
        match change.operation {
            Operation::Snapshot | Operation::Insert => {
                let row = self.after(change)?;
                if !is_whole(&row) {
                    return Err(Unapplicable::Malformed);
                }
                if appends {
                    self.append(row);
                    return Ok(());
                }
                let key = self.key(&row)?;
                self.net().insert(key, Effect::Upsert(row));
                Ok(())
            }
            Operation::Update if self.schema.has_key() => self.update(change),
            Operation::Update => {
                let old = self.whole_before(change)?;
                let new = self.after(change)?;
                self.matches().push(Match::Update(Pair { old, new }));
                Ok(())
            }
            Operation::Delete if self.schema.has_key() => {
                let row = self.before(change)?.ok_or(Unapplicable::Malformed)?;
                let key = self.key(&row)?;
                self.net().insert(key, Effect::Delete(row));
                Ok(())
            }
            Operation::Delete => {
                let old = self.whole_before(change)?;
                self.matches().push(Match::Delete(old));
                Ok(())
            }
            Operation::Truncate | Operation::Message => Ok(()),
        }
    }

    fn update(&mut self, change: &'a Change) -> Result<(), Unapplicable> {
        let after = self.after(change)?;
        let new_key = self.key(&after)?;
        // The old key is logged only where it differs from the new one, or with the whole old row.
        let before = self.before(change)?.filter(|before| self.key(before).is_ok());
        let old = before.unwrap_or_else(|| after.clone());
        let old_key = self.key(&old)?;
        if old_key == new_key {
            return self.change_in_place(new_key, after);
        }
        let known = match self.net_tail().and_then(|net| net.get(&old_key)) {
            Some(Effect::Upsert(earlier)) => Some(overlay(earlier, &after)),
            Some(Effect::Delete(_)) => return Err(Unapplicable::RowMissing),
            Some(Effect::Patch(_)) | None => None,
        };
        let after = known.unwrap_or(after);
        if is_whole(&after) {
            let net = self.net();
            net.insert(old_key, Effect::Delete(old));
            net.insert(new_key, Effect::Upsert(after));
        } else {
            self.moves().push(Pair { old, new: after });
        }
        Ok(())
    }

    fn change_in_place(&mut self, key: Vec<u8>, after: Image<'a>) -> Result<(), Unapplicable> {
        let net = self.net();
        let effect = match net.get(&key) {
            Some(Effect::Upsert(earlier)) => Effect::Upsert(overlay(earlier, &after)),
            Some(Effect::Patch(earlier)) => {
                let merged = overlay(earlier, &after);
                if is_whole(&merged) { Effect::Upsert(merged) } else { Effect::Patch(merged) }
            }
            Some(Effect::Delete(_)) if !is_whole(&after) => return Err(Unapplicable::RowMissing),
            Some(Effect::Delete(_)) | None if is_whole(&after) => Effect::Upsert(after),
            Some(Effect::Delete(_)) | None => Effect::Patch(after),
        };
        net.insert(key, effect);
        Ok(())
    }

    /// The new row, its unchanged columns filled in where the old row knows them.
    fn after(&self, change: &'a Change) -> Result<Image<'a>, Unapplicable> {
        let after = change.after.as_deref().ok_or(Unapplicable::Malformed)?;
        self.check_width(after)?;
        match self.before(change)? {
            Some(before) if !is_whole(after) => Ok(overlay(&before, after)),
            _ => Ok(Cow::Borrowed(after)),
        }
    }

    fn before(&self, change: &'a Change) -> Result<Option<Image<'a>>, Unapplicable> {
        let Some(before) = change.before.as_deref() else { return Ok(None) };
        self.check_width(before)?;
        Ok(Some(Cow::Borrowed(before)))
    }

    fn whole_before(&self, change: &'a Change) -> Result<Image<'a>, Unapplicable> {
        self.before(change)?.filter(|row| is_whole(row)).ok_or(Unapplicable::Keyless)
    }

    fn check_width(&self, row: &[Value]) -> Result<(), Unapplicable> {
        if row.len() == self.schema.columns.len() { Ok(()) } else { Err(Unapplicable::Malformed) }
    }

    /// Bytes that are the same for the same key. Equal keys of different bytes (1.0 and 1.00) are
    /// kept apart, which is harmless: the source always names a row by the bytes it holds.
    fn key(&self, row: &[Value]) -> Result<Vec<u8>, Unapplicable> {
        let mut out = Vec::with_capacity(16);
        for index in &self.schema.key {
            match row.get(usize::from(*index)) {
                None | Some(Value::Unchanged) => return Err(Unapplicable::Keyless),
                Some(value) => put_key(value, &mut out),
            }
        }
        Ok(out)
    }

    fn append(&mut self, row: Image<'a>) {
        if let Some(Segment::Append(rows)) = self.segments.last_mut() {
            rows.push(row);
        } else {
            self.segments.push(Segment::Append(vec![row]));
        }
    }

    fn net_tail(&self) -> Option<&Net<'a>> {
        match self.segments.last() {
            Some(Segment::Net(net)) => Some(net),
            _ => None,
        }
    }

    fn net(&mut self) -> &mut Net<'a> {
        if !matches!(self.segments.last(), Some(Segment::Net(_))) {
            self.segments.push(Segment::Net(Net::new()));
        }
        match self.segments.last_mut() {
            Some(Segment::Net(net)) => net,
            _ => unreachable!("a net segment was pushed just above"),
        }
    }

    fn moves(&mut self) -> &mut Vec<Pair<'a>> {
        if !matches!(self.segments.last(), Some(Segment::Moves(_))) {
            self.segments.push(Segment::Moves(Vec::new()));
        }
        match self.segments.last_mut() {
            Some(Segment::Moves(moves)) => moves,
            _ => unreachable!("a moves segment was pushed just above"),
        }
    }

    fn matches(&mut self) -> &mut Vec<Match<'a>> {
        if !matches!(self.segments.last(), Some(Segment::Matches(_))) {
            self.segments.push(Segment::Matches(Vec::new()));
        }
        match self.segments.last_mut() {
            Some(Segment::Matches(matches)) => matches,
            _ => unreachable!("a matches segment was pushed just above"),
        }
    }
}

fn is_new(operation: Operation) -> bool {
    matches!(operation, Operation::Snapshot | Operation::Insert)
}

/// Does the row say what every column holds?
pub(crate) fn is_whole(row: &[Value]) -> bool {
    !row.contains(&Value::Unchanged)
}

fn overlay<'a>(below: &[Value], above: &[Value]) -> Image<'a> {
    let pick = |(below, above): (&Value, &Value)| match above {
        Value::Unchanged => below.clone(),
        above => above.clone(),
    };
    Cow::Owned(below.iter().zip(above).map(pick).collect())
}

fn put_key(value: &Value, out: &mut Vec<u8>) {
    let mut put = |kind: u8, bytes: &[u8]| {
        out.push(kind);
        // A usize always fits into 64 bits on the platforms that Rust's std supports here.
        out.extend_from_slice(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        out.extend_from_slice(bytes);
    };
    match value {
        Value::Int(number) => put(1, &number.to_le_bytes()),
        Value::Text(bytes) => put(2, bytes),
        Value::Uuid(bytes) => put(3, bytes),
        Value::Bytes(bytes) => put(4, bytes),
        other => {
            let mut text = vec![5];
            crate::literal::write(other, crate::literal::COMMA, &mut text);
            put(if *other == Value::Null { 6 } else { 5 }, &text);
        }
    }
}
