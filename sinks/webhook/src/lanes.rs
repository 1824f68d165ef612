//! Which changes may be under way at once.

use cdc_core::{Change, Delivered, Operation, Value};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Indexes of changes, and how they may be sent. Steps follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Lanes side by side, the changes of one lane in order.
    Together(Vec<Vec<usize>>),
    /// One change with nothing beside it.
    Alone(usize),
}

/// Spreads changes over lanes by their keys. A change of more than one row of its table, or one that
/// moves a row to another key, waits for everything before it and lets nothing overtake it.
pub(crate) fn steps(changes: &[Delivered], lanes: usize) -> Vec<Step> {
    if lanes <= 1 {
        return vec![Step::Together(vec![(0..changes.len()).collect()])];
    }
    let mut out = Vec::new();
    let mut open = vec![Vec::new(); lanes];
    for (index, delivered) in changes.iter().enumerate() {
        if is_barrier(&delivered.change) {
            close(&mut out, &mut open, lanes);
            out.push(Step::Alone(index));
        } else if let Some(lane) = open.get_mut(lane_of(&delivered.change, lanes)) {
            lane.push(index);
        }
    }
    close(&mut out, &mut open, lanes);
    out
}

fn close(out: &mut Vec<Step>, open: &mut Vec<Vec<usize>>, lanes: usize) {
    let mut together = std::mem::replace(open, vec![Vec::new(); lanes]);
    together.retain(|lane| !lane.is_empty());
    if !together.is_empty() {
        out.push(Step::Together(together));
    }
}

fn is_barrier(change: &Change) -> bool {
    change.operation == Operation::Truncate || moves_row(change)
}

fn moves_row(change: &Change) -> bool {
    let (Some(before), Some(after)) = (&change.before, &change.after) else { return false };
    change.schema.key.iter().map(|index| usize::from(*index)).any(|index| {
        let (old, new) = (before.get(index), after.get(index));
        let sent = |value: Option<&Value>| value.is_some_and(|value| *value != Value::Unchanged);
        sent(old) && sent(new) && old != new
    })
}

/// Changes of a table without a key share a lane.
fn lane_of(change: &Change, lanes: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    change.schema.table.hash(&mut hasher);
    for index in change.schema.key.iter().map(|index| usize::from(*index)) {
        let images = [&change.after, &change.before];
        let value = images
            .into_iter()
            .filter_map(|row| row.as_ref()?.get(index))
            .find(|value| **value != Value::Unchanged);
        // The text of a value tells it apart well enough to choose a lane.
        format!("{value:?}").hash(&mut hasher);
    }
    let lanes = u64::try_from(lanes).unwrap_or(1).max(1);
    usize::try_from(hasher.finish() % lanes).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::{Offset, TableId};
    use cdc_testkit::generate::{Generator, delivered};
    use std::collections::BTreeMap;

    fn history() -> Vec<Delivered> {
        let mut generator = Generator::new(11);
        generator.add_table(TableId::new("public", "a"));
        generator.add_table(TableId::new("public", "b"));
        delivered(generator.transactions(300, 4), Offset(0))
    }

    /// The keys of the rows that a change touches.
    fn touched(change: &Change) -> Vec<String> {
        let images = [&change.before, &change.after].into_iter().flatten();
        images.map(|row| format!("{} {:?}", change.schema.table, row[0])).collect()
    }

    #[test]
    fn one_lane_keeps_all_changes_in_order() {
        let changes = history();
        let all = (0..changes.len()).collect();
        assert_eq!(steps(&changes, 1), [Step::Together(vec![all])]);
    }

    #[test]
    fn every_change_is_sent_once_and_keeps_its_place_among_those_of_its_rows() {
        let changes = history();
        let mut step_and_lane = BTreeMap::new();
        let mut lanes_seen = 0;
        for (step_number, step) in steps(&changes, 4).into_iter().enumerate() {
            let lanes = match step {
                Step::Alone(index) => vec![vec![index]],
                Step::Together(lanes) => lanes,
            };
            lanes_seen = lanes_seen.max(lanes.len());
            for (lane, indexes) in lanes.into_iter().enumerate() {
                assert!(indexes.is_sorted());
                for index in indexes {
                    assert_eq!(step_and_lane.insert(index, (step_number, lane)), None);
                }
            }
        }
        assert_eq!(lanes_seen, 4);
        assert!(step_and_lane.keys().copied().eq(0..changes.len()));
        let mut last_of: BTreeMap<String, usize> = BTreeMap::new();
        let mut last_truncate = None;
        for (index, delivered) in changes.iter().enumerate() {
            let rows = touched(&delivered.change);
            let before = rows.iter().filter_map(|row| last_of.get(row)).chain(&last_truncate);
            for earlier in before {
                let (earlier, later) = (step_and_lane[earlier], step_and_lane[&index]);
                assert!(earlier.0 < later.0 || earlier == later, "{earlier:?} {later:?}");
            }
            if delivered.change.operation == Operation::Truncate {
                last_truncate = Some(index);
            }
            last_of.extend(rows.into_iter().map(|row| (row, index)));
        }
        assert!(last_truncate.is_some());
    }
}
