//! Finds the key that somebody probably meant.

/// The candidate nearest to `word`, if one is near enough to be a likely slip.
#[must_use]
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word: Vec<char> = normalized(word);
    let limit = (word.len() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &normalized(candidate)), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Case and the choice between `-`, `_` and nothing are the commonest slips and count as none.
fn normalized(word: &str) -> Vec<char> {
    /// Longer words are no keys of ours; the limit keeps the matrix small.
    const CHARS_MAX: usize = 64;
    word.chars()
        .filter(|c| !matches!(c, '-' | '_' | ' '))
        .flat_map(char::to_lowercase)
        .take(CHARS_MAX)
        .collect()
}

/// Edit distance in which swapping two neighbours counts as one edit.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        let mut left = i + 1;
        for (j, to) in b.iter().enumerate() {
            let diagonal = above.get(j).copied().unwrap_or(usize::MAX / 2);
            let up = above.get(j + 1).copied().unwrap_or(usize::MAX / 2);
            let mut cost = (diagonal + usize::from(from != to)).min(up + 1).min(left + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(to) && b.get(j - 1) == Some(from);
            if swapped && let Some(twice) = before.get(j - 1) {
                cost = cost.min(twice + 1);
            }
            row.push(cost);
            left = cost;
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_nothing_else() {
        let keys = ["slot_name", "publication_name", "tables", "host", "port"];
        for (word, expected) in [
            ("slot_nmae", Some("slot_name")),
            ("slotName", Some("slot_name")),
            ("slot-name", Some("slot_name")),
            ("table", Some("tables")),
            ("hsot", Some("host")),
            ("publicaton_name", Some("publication_name")),
            ("kafka", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
    }

    #[test]
    fn counts_edits() {
        for (a, b, expected) in
            [("abc", "abc", 0), ("abc", "acb", 1), ("", "ab", 2), ("kitten", "sitting", 3)]
        {
            let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            assert_eq!(distance(&a, &b), expected);
        }
    }
}
