//! From one version of a table's columns to the next.

use crate::columns::same_definition;
use cdc_core::{Column, TableSchema};

/// One alteration of a table. Drops come first, so that names are free for what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The source no longer has this column.
    Drop(String),
    /// The source calls the column something else.
    Rename {
        from: String,
        to: String,
        /// Could it as well be a column that was dropped and another that was added?
        guessed: bool,
    },
    /// The source has a new column: its index in the new schema.
    Add(usize),
    /// The column has another type: its index in the new schema.
    Retype(usize),
}

/// What turns a table of the `old` columns into one of the `new`.
///
/// Nobody tells a subscriber about a rename. But a table's columns keep their order and new ones come
/// last, so a name that gives way to another one *between* columns that stayed is a rename for
/// certain. At the end of the list it could also be a drop and an add; there the type decides.
///
/// Where the database numbers its columns, none of this is needed.
pub(crate) fn steps(old: &TableSchema, new: &TableSchema) -> Vec<Step> {
    if old.number.is_some()
        && old.number == new.number
        && let Some(steps) = by_number(old, new)
    {
        return steps;
    }
    by_place(old, new)
}

/// Follows columns by their numbers, and by their names where the number of one is not known; `None`
/// where that leaves something open.
fn by_number(old: &TableSchema, new: &TableSchema) -> Option<Vec<Step>> {
    let same = |before: &Column, column: &Column| match (before.number, column.number) {
        (Some(before), Some(after)) => before == after,
        _ => before.name == column.name,
    };
    let goes = |before: &&Column| !new.columns.iter().any(|column| same(before, column));
    let comes = |column: &&Column| !old.columns.iter().any(|before| same(before, column));
    let gone: Vec<&Column> = old.columns.iter().filter(goes).collect();
    let unsure = |column: &Column| column.number.is_none();
    let come = new.columns.iter().filter(comes);
    let any_unsure = gone.iter().copied().chain(come.clone()).any(unsure);
    if any_unsure && !gone.is_empty() && come.count() > 0 {
        return None;
    }
    let drops = gone.iter().map(|column| Step::Drop(column.name.clone()));
    let (mut renames, mut others) = (Vec::new(), Vec::new());
    for (at, column) in new.columns.iter().enumerate() {
        match old.columns.iter().find(|before| same(before, column)) {
            None => others.push(Step::Add(at)),
            Some(before) => {
                if before.name != column.name {
                    renames.push((before.name.clone(), column.name.clone()));
                }
                if !same_definition(before, column) {
                    others.push(Step::Retype(at));
                }
            }
        }
    }
    Some(drops.chain(without_clashes(renames)).chain(others).collect())
}

/// Names that are handed on, as when two columns exchange theirs, go by way of names that nobody has.
fn without_clashes(renames: Vec<(String, String)>) -> Vec<Step> {
    let step = |from, to| Step::Rename { from, to, guessed: false };
    let clash = renames.iter().any(|(_, to)| renames.iter().any(|(from, _)| from == to));
    if !clash {
        return renames.into_iter().map(|(from, to)| step(from, to)).collect();
    }
    let between = |place: usize| format!("cdc renames {place}");
    let first =
        renames.iter().enumerate().map(|(place, (from, _))| step(from.clone(), between(place)));
    let then = renames.iter().enumerate().map(|(place, (_, to))| step(between(place), to.clone()));
    first.chain(then).collect()
}

fn by_place(old: &TableSchema, new: &TableSchema) -> Vec<Step> {
    let (mut drops, mut renames, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for gap in gaps(&old.columns, &new.columns) {
        let matched = match_up(&gap, old, new);
        let name = |at: &usize| old.columns.get(*at).map(|column| column.name.clone());
        let stays = |at: &&usize| matched.iter().any(|(from, _)| from == *at);
        drops.extend(gap.old.iter().filter(|at| !stays(at)).filter_map(name).map(Step::Drop));
        let comes = |at: &&usize| matched.iter().any(|(_, to)| to == *at);
        others.extend(gap.new.iter().filter(|at| !comes(at)).map(|at| Step::Add(*at)));
        let guessed = !gap.inner || gap.old.len() != gap.new.len();
        for (from, to) in matched {
            let (Some(before), Some(after)) = (old.columns.get(from), new.columns.get(to)) else {
                continue;
            };
            let (from, name) = (before.name.clone(), after.name.clone());
            renames.push(Step::Rename { from, to: name, guessed });
            if !same_definition(before, after) {
                others.push(Step::Retype(to));
            }
        }
    }
    for (at, column) in new.columns.iter().enumerate() {
        let before = old.columns.iter().find(|before| before.name == column.name);
        if before.is_some_and(|before| !same_definition(before, column)) {
            others.push(Step::Retype(at));
        }
    }
    drops.into_iter().chain(renames).chain(others).collect()
}

/// Columns without a counterpart of the same name, between two that have one.
struct Gap {
    old: Vec<usize>,
    new: Vec<usize>,
    /// Does a column that stayed follow?
    inner: bool,
}

/// Pairs each old name of a gap with the new one that took its place.
fn match_up(gap: &Gap, old: &TableSchema, new: &TableSchema) -> Vec<(usize, usize)> {
    if gap.inner && gap.old.len() == gap.new.len() {
        return gap.old.iter().copied().zip(gap.new.iter().copied()).collect();
    }
    let same = |from: usize, to: usize| match (old.columns.get(from), new.columns.get(to)) {
        (Some(from), Some(to)) => same_definition(from, to),
        _ => false,
    };
    let (mut pairs, mut gone) = (Vec::new(), &gap.old[..]);
    for to in &gap.new {
        match gone.iter().position(|from| same(*from, *to)) {
            Some(found) if gap.inner || found == 0 => {
                pairs.extend(gone.get(found).map(|from| (*from, *to)));
                gone = gone.get(found + 1..).unwrap_or_default();
            }
            // Whatever follows a column that was added at the end was added too.
            _ if !gap.inner => break,
            _ => {}
        }
    }
    pairs
}

fn gaps(old: &[Column], new: &[Column]) -> Vec<Gap> {
    let place = |name: &str| old.iter().position(|column| column.name == name);
    let mut out = Vec::new();
    let mut start = 0;
    let mut unmatched = Vec::new();
    let mut take = |until: usize, unmatched: &mut Vec<usize>, inner: bool| {
        let gone = |at: &usize| {
            let name = old.get(*at).map(|column| &column.name);
            !new.iter().any(|column| Some(&column.name) == name)
        };
        let gap = Gap {
            old: (start..until).filter(gone).collect(),
            new: std::mem::take(unmatched),
            inner,
        };
        if !gap.old.is_empty() || !gap.new.is_empty() {
            out.push(gap);
        }
        start = start.max(until);
    };
    for (at, column) in new.iter().enumerate() {
        match place(&column.name) {
            Some(found) => take(found, &mut unmatched, true),
            None => unmatched.push(at),
        }
    }
    take(old.len(), &mut unmatched, false);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::{DataType, TableId};

    fn table(columns: &[&str]) -> TableSchema {
        let column = |text: &&str| {
            let (name, native_type) = text.split_once(' ').unwrap_or((text, "integer"));
            Column {
                name: name.into(),
                data_type: DataType::Int32,
                native_type: native_type.into(),
                nullable: true,
                number: None,
                missing: None,
                default: None,
            }
        };
        TableSchema {
            table: TableId::new("public", "t"),
            dialect: "postgres".into(),
            columns: columns.iter().map(column).collect(),
            key: vec![0],
            number: None,
        }
    }

    fn check(old: &[&str], new: &[&str], expected: &[Step]) {
        assert_eq!(steps(&table(old), &table(new)), expected, "{old:?} → {new:?}");
    }

    fn rename(from: &str, to: &str, guessed: bool) -> Step {
        Step::Rename { from: from.into(), to: to.into(), guessed }
    }

    fn numbered(columns: &[(u32, &str)]) -> TableSchema {
        let names: Vec<&str> = columns.iter().map(|(_, column)| *column).collect();
        let mut table = table(&names);
        table.number = Some(16_384);
        for (column, (number, _)) in table.columns.iter_mut().zip(columns) {
            column.number = Some(*number);
        }
        table
    }

    fn check_numbered(old: &[(u32, &str)], new: &[(u32, &str)], expected: &[Step]) {
        assert_eq!(steps(&numbered(old), &numbered(new)), expected, "{old:?} → {new:?}");
    }

    #[test]
    fn numbers_tell_a_rename_from_a_replacement() {
        let old = [(1, "id"), (2, "a")];
        check_numbered(&old, &[(1, "id"), (2, "b")], &[rename("a", "b", false)]);
        let replaced = [Step::Drop("a".into()), Step::Add(1)];
        check_numbered(&old, &[(1, "id"), (3, "b")], &replaced);
        check_numbered(&old, &[(1, "id"), (3, "a")], &replaced);
        check_numbered(&old, &[(1, "id"), (2, "a text")], &[Step::Retype(1)]);
    }

    #[test]
    fn a_column_without_a_number_is_followed_by_its_name_where_that_is_certain() {
        let mut old = numbered(&[(1, "id"), (2, "a")]);
        old.columns[1].number = None;
        let new = numbered(&[(1, "id"), (2, "a"), (3, "b")]);
        assert_eq!(steps(&old, &new), [Step::Add(2)]);
        let new = numbered(&[(1, "id"), (2, "b")]);
        assert_eq!(steps(&old, &new), [rename("a", "b", true)]);
    }

    #[test]
    fn numbers_show_names_that_are_exchanged() {
        let expected = [
            rename("a", "cdc renames 0", false),
            rename("b", "cdc renames 1", false),
            rename("cdc renames 0", "b", false),
            rename("cdc renames 1", "a", false),
        ];
        check_numbered(&[(1, "a"), (2, "b")], &[(1, "b"), (2, "a")], &expected);
    }

    #[test]
    fn another_table_of_the_same_name_is_compared_by_its_columns_names() {
        let mut new = numbered(&[(1, "a"), (2, "id")]);
        new.number = Some(16_400);
        assert_eq!(steps(&numbered(&[(1, "id"), (2, "a")]), &new), []);
    }

    #[test]
    fn nothing_changes_nothing() {
        check(&["id", "a"], &["id", "a"], &[]);
    }

    #[test]
    fn a_default_that_changes_alters_nothing() {
        let old = table(&["a", "b"]);
        let mut new = table(&["a", "b"]);
        new.columns[1].default = Some(cdc_core::ColumnDefault::Int(5));
        assert_eq!(steps(&old, &new), []);
        assert_eq!(steps(&new, &old), []);
    }

    #[test]
    fn new_columns_are_added_and_missing_ones_dropped() {
        check(&["id"], &["id", "a", "b text"], &[Step::Add(1), Step::Add(2)]);
        check(&["id", "a", "b"], &["id", "b"], &[Step::Drop("a".into())]);
        let both = [Step::Drop("a".into()), Step::Add(2)];
        check(&["id", "a", "z"], &["id", "z", "b"], &both);
    }

    #[test]
    fn a_new_name_in_an_old_place_is_a_rename() {
        check(&["id", "a", "z"], &["id", "b", "z"], &[rename("a", "b", false)]);
        let retyped = [rename("a", "b", false), Step::Retype(1)];
        check(&["id", "a", "z"], &["id", "b text", "z"], &retyped);
        check(&["id", "a", "z"], &["id", "b", "z", "c"], &[rename("a", "b", false), Step::Add(3)]);
    }

    #[test]
    fn at_the_end_the_type_tells_a_rename_from_a_replacement() {
        check(&["id", "a"], &["id", "b"], &[rename("a", "b", true)]);
        check(&["id", "a"], &["id", "b text"], &[Step::Drop("a".into()), Step::Add(1)]);
        check(&["id", "a"], &["id", "b", "c"], &[rename("a", "b", true), Step::Add(2)]);
        let replaced = [Step::Drop("a".into()), Step::Add(1), Step::Add(2)];
        check(&["id", "a"], &["id", "b text", "c"], &replaced);
    }

    #[test]
    fn another_type_is_a_retype() {
        check(&["id", "a"], &["id", "a text"], &[Step::Retype(1)]);
    }

    #[test]
    fn columns_that_swap_places_stay_by_name() {
        check(&["id", "a", "b"], &["id", "b", "a"], &[]);
    }
}
