//! Error codes in the sources and their pages in the documentation are the same list.

use std::collections::BTreeMap;
use std::path::Path;

use super::tree::Tree;

const PREFIX: &str = "CDC-";
const DIGITS: usize = 4;

/// Every code without a page, page without a code and page without cause or remedy.
pub(super) fn check(tree: &Tree) -> Vec<String> {
    let codes = codes(tree);
    let pages: BTreeMap<String, &str> = tree
        .below("docs/errors")
        .filter_map(|file| Some((code_of_page(&file.path)?, file.text.as_str())))
        .collect();
    let mut findings = Vec::new();
    for (code, place) in &codes {
        if !pages.contains_key(code) {
            findings.push(format!("{place}: {code} has no page docs/errors/{code}.md"));
        }
    }
    for (code, text) in &pages {
        if !codes.contains_key(code) {
            findings.push(format!("docs/errors/{code}.md: no source uses this code"));
        }
        let complete = text.starts_with(&format!("# {code}: "))
            && ["\n## Cause\n", "\n## Remedy\n"].iter().all(|part| text.contains(part));
        if !complete {
            findings.push(format!("docs/errors/{code}.md: lacks its title, cause or remedy"));
        }
    }
    findings
}

fn codes(tree: &Tree) -> BTreeMap<String, String> {
    let mut codes = BTreeMap::new();
    for file in tree.rust().filter(|file| is_product(&file.path)) {
        let product = file.text.split("#[cfg(test)]").next().unwrap_or_default();
        for (start, _) in product.match_indices("\"CDC-") {
            let code = product.get(start + 1..).and_then(code_at);
            codes.extend(code.map(|code| (code, file.path.display().to_string())));
        }
    }
    codes
}

fn is_product(path: &Path) -> bool {
    let tools = ["crates/testkit", "xtask", "tests", "fuzz"];
    !tools.iter().any(|tool| path.starts_with(tool))
        && path.iter().any(|part| part == "src")
        && !path.iter().any(|part| part == "tests" || part == "tests.rs")
}

fn code_at(text: &str) -> Option<String> {
    let code = text.get(..PREFIX.len() + DIGITS)?;
    let digits = code.strip_prefix(PREFIX)?;
    digits.chars().all(|digit| digit.is_ascii_digit()).then(|| code.to_owned())
}

fn code_of_page(path: &Path) -> Option<String> {
    code_at(path.file_name()?.to_str()?)
}

#[cfg(test)]
mod tests {
    use super::super::tree::tree_of;
    use super::check;

    const PAGE: &str = "# CDC-1001: title\n\n## Cause\nx\n\n## Remedy\ny\n";

    #[test]
    fn a_code_with_its_page_is_right() {
        let tree =
            tree_of(&[("a/src/error.rs", "\"CDC-1001\""), ("docs/errors/CDC-1001.md", PAGE)]);
        assert_eq!(check(&tree), Vec::<String>::new());
    }

    #[test]
    fn a_code_without_page_and_a_page_without_code_are_found() {
        let tree =
            tree_of(&[("a/src/error.rs", "\"CDC-1002\""), ("docs/errors/CDC-1001.md", PAGE)]);
        assert_eq!(check(&tree).len(), 2);
    }

    #[test]
    fn a_page_without_remedy_is_found() {
        let page = "# CDC-1001: title\n\n## Cause\nx\n";
        let tree =
            tree_of(&[("a/src/error.rs", "\"CDC-1001\""), ("docs/errors/CDC-1001.md", page)]);
        assert_eq!(check(&tree), ["docs/errors/CDC-1001.md: lacks its title, cause or remedy"]);
    }

    #[test]
    fn codes_in_tests_need_no_page() {
        let inline = "#[cfg(test)]\nmod tests { const A: &str = \"CDC-9999\"; }";
        let tree = tree_of(&[("a/src/b.rs", inline), ("a/tests/c.rs", "\"CDC-9998\"")]);
        assert_eq!(check(&tree), Vec::<String>::new());
    }
}
