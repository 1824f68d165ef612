//! What may stand in a file, and how much of it.

use super::tree::{TextFile, Tree};

const FILE_LINES_MAX: usize = 800;
const CORE_LINES_MAX: usize = 4_000;

// In two halves, so that this file keeps its own rule.
const WORDS: [(&str, &str); 5] =
    [("FIX", "ME"), ("XX", "X"), ("dbg", "!("), ("todo", "!("), ("unimplemented", "!(")];
const PLACES: [(&str, &str); 2] = [("/wo", "rk/"), ("/ro", "ot/")];

/// Every file that is too long or says what it must not.
pub(super) fn check(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            findings.push(format!("{}: {lines} lines, more than 800", file.path.display()));
        }
        findings.extend(find(file, &WORDS));
        findings.extend(biased(file));
    }
    for file in tree.files.iter().filter(|file| !file.path.ends_with("Cargo.lock")) {
        findings.extend(find(file, &PLACES));
    }
    let core: usize = tree.below("crates/core/src").map(|file| file.text.lines().count()).sum();
    if core > CORE_LINES_MAX {
        findings.push(format!("crates/core: {core} lines, more than {CORE_LINES_MAX}"));
    }
    findings
}

fn find(file: &TextFile, refused: &[(&str, &str)]) -> Vec<String> {
    let mut findings = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for (start, end) in refused {
            let word = format!("{start}{end}");
            if line.contains(&word) {
                let place = format!("{}:{}", file.path.display(), number + 1);
                findings.push(format!("{place}: {word} must not stand in a file"));
            }
        }
    }
    findings
}

// An unbiased choice makes a simulation's run depend on a hidden random number.
fn biased(file: &TextFile) -> Vec<String> {
    let opening = concat!("select", "! {");
    let mut findings = Vec::new();
    for (start, _) in file.text.match_indices(opening) {
        let body = file.text.get(start + opening.len()..).unwrap_or_default();
        if !body.trim_start().starts_with("biased;") {
            let before = file.text.get(..start).unwrap_or_default();
            let line = before.lines().count().max(1);
            let place = format!("{}:{line}", file.path.display());
            findings.push(format!("{place}: this choice between futures is not `biased;`"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::tree::tree_of;
    use super::check;

    #[test]
    fn a_file_that_is_too_long_is_found() {
        let long = "\n".repeat(801);
        let tree = tree_of(&[("a.rs", &long), ("a.md", &long)]);
        assert_eq!(check(&tree), ["a.rs: 801 lines, more than 800"]);
    }

    #[test]
    fn a_refused_word_is_found_with_its_line() {
        let tree = tree_of(&[("a.rs", concat!("ok\n// FIX", "ME later"))]);
        assert_eq!(check(&tree), [concat!("a.rs:2: FIX", "ME must not stand in a file")]);
    }

    #[test]
    fn a_path_of_one_machine_is_found_in_any_file() {
        let tree = tree_of(&[("a.md", concat!("see /wo", "rk/here"))]);
        assert_eq!(check(&tree).len(), 1);
    }

    #[test]
    fn only_an_unbiased_choice_is_found() {
        let good = concat!("tokio::select", "! {\n    biased;\n}");
        let bad = concat!("x\ntokio::select", "! {\n    a = b => {}\n}");
        assert_eq!(check(&tree_of(&[("a.rs", good)])), Vec::<String>::new());
        assert_eq!(check(&tree_of(&[("a.rs", bad)])).len(), 1);
    }

    #[test]
    fn a_growing_core_is_found() {
        let half = "\n".repeat(700);
        let files: Vec<(String, &str)> =
            (0..6).map(|n| (format!("crates/core/src/{n}.rs"), half.as_str())).collect();
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        assert_eq!(check(&tree_of(&files)), ["crates/core: 4200 lines, more than 4000"]);
    }
}
