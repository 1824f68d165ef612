//! Which tables somebody wants to see.

use cdc_core::TableId;

/// Patterns of table names; without any, every table is taken.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    patterns: Vec<Vec<char>>,
}

impl Filter {
    pub(crate) fn new(patterns: &[String]) -> Self {
        Self { patterns: patterns.iter().map(|pattern| pattern.chars().collect()).collect() }
    }

    /// Does a pattern fit `schema.table`, or the table's name alone where it has no point?
    pub(crate) fn takes(&self, table: &TableId) -> bool {
        let full: Vec<char> = table.to_string().chars().collect();
        let name: Vec<char> = table.name.chars().collect();
        self.patterns.is_empty()
            || self.patterns.iter().any(|pattern| {
                fits(pattern, &full) || !pattern.contains(&'.') && fits(pattern, &name)
            })
    }
}

/// Does `*` (anything) and `?` (one character) make the pattern fit? Steps back to the newest star
/// only, so that it takes no longer than the product of both lengths.
fn fits(pattern: &[char], text: &[char]) -> bool {
    let (mut at, mut in_text) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while in_text < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, in_text));
                at += 1;
            }
            Some(c) if *c == '?' || text.get(in_text) == Some(c) => {
                at += 1;
                in_text += 1;
            }
            Some(_) | None => match star {
                Some((star_at, matched)) => {
                    star = Some((star_at, matched + 1));
                    at = star_at + 1;
                    in_text = matched + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).is_none_or(|rest| rest.iter().all(|c| *c == '*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_names() {
        let table = TableId::new("public", "order_items");
        for (patterns, expected) in [
            (&[] as &[&str], true),
            (&["public.order_items"], true),
            (&["order_items"], true),
            (&["public.*"], true),
            (&["*.order*s"], true),
            (&["order?items"], true),
            (&["public.order"], false),
            (&["sales.*"], false),
            (&["sales.*", "*items"], true),
            (&[""], false),
        ] {
            let patterns: Vec<String> = patterns.iter().map(|&p| p.to_owned()).collect();
            assert_eq!(Filter::new(&patterns).takes(&table), expected, "{patterns:?}");
        }
    }
}
