//! Every test that a page names exists.

use super::tree::{TextFile, Tree};

/// Pages that prove what they say by the names of tests: `path/to/file.rs::name`, and `…::name` for
/// another one of the same file.
const PAGES: [&str; 2] = ["ARCHITECTURE.md", "docs/pains.md"];
const SAME_FILE: &str = "…";
/// The page whose every line must name a test.
const PAINS: &str = "docs/pains.md";

/// Every name of a test that is in no such file, and every line that names none.
pub(super) fn check(tree: &Tree) -> Vec<String> {
    let pages = tree.files.iter().filter(|file| PAGES.iter().any(|page| file.path.ends_with(page)));
    pages.flat_map(|page| of_page(tree, page)).collect()
}

fn of_page(tree: &Tree, page: &TextFile) -> Vec<String> {
    let mut findings = Vec::new();
    let mut path = "";
    for (number, line) in page.text.lines().enumerate() {
        let at = format!("{}:{}", page.path.display(), number + 1);
        let mut names = 0;
        for (file, name) in
            line.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::"))
        {
            if file != SAME_FILE && !file.ends_with(".rs") {
                continue;
            }
            if file != SAME_FILE {
                path = file;
            }
            names += 1;
            let found = tree.files.iter().find(|file| file.path.to_str() == Some(path));
            if !found.is_some_and(|file| file.text.contains(&format!("fn {name}("))) {
                findings.push(format!("{at}: there is no test {name} in {path}"));
            }
        }
        let in_table = line.starts_with("| ") && !line.starts_with("| pain |");
        if page.path.ends_with(PAINS) && in_table && names == 0 {
            findings.push(format!("{at}: names no test that shows it"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::tree::tree_of;
    use super::check;

    const TEST: (&str, &str) = ("a/tests/b.rs", "#[test]\nfn it_holds() {}\nfn it_also_holds() {}");

    #[test]
    fn named_tests_that_exist_are_right() {
        let page = "| pain |\n| p | b | `a/tests/b.rs::it_holds`, `…::it_also_holds` |";
        assert_eq!(check(&tree_of(&[TEST, ("docs/pains.md", page)])), Vec::<String>::new());
    }

    #[test]
    fn a_test_that_was_renamed_is_found() {
        let page = "| p | b | `a/tests/b.rs::it_held` |\nnot a test: `a::b`";
        assert_eq!(
            check(&tree_of(&[TEST, ("docs/pains.md", page)])),
            ["docs/pains.md:1: there is no test it_held in a/tests/b.rs"]
        );
    }

    #[test]
    fn a_pain_without_a_test_is_found() {
        let tree = tree_of(&[
            TEST,
            ("docs/pains.md", "| p | b | nothing |"),
            ("ARCHITECTURE.md", "| p |"),
        ]);
        assert_eq!(check(&tree), ["docs/pains.md:1: names no test that shows it"]);
    }
}
