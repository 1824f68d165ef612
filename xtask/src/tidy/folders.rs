//! Which files a connector has, how modules are named and how many test binaries there are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::tree::Tree;

const REFUSED: [&str; 9] =
    ["utils", "util", "common", "helpers", "helper", "types", "base", "manager", "misc"];

/// Every module with an empty name and every connector without its description.
pub(super) fn check(tree: &Tree) -> Vec<String> {
    let mut findings: Vec<String> = tree
        .rust()
        .filter(|file| {
            let names = file.path.with_extension("");
            // A test may well be about types; a module of the product that is about them is not.
            !names.iter().any(|name| name == "tests")
                && names.iter().any(|name| REFUSED.iter().any(|refused| name == *refused))
        })
        .map(|file| format!("{}: name the module after what it is about", file.path.display()))
        .collect();
    findings.extend(test_binaries(tree));
    for connector in connectors(tree) {
        let mut wanted = vec!["README.md"];
        if connector == Path::new("sources/postgres") {
            wanted.push("TYPES.md");
        }
        let absent = wanted.into_iter().filter(|name| !tree.has(&connector.join(name)));
        findings.extend(absent.map(|name| format!("{}: has no {name}", connector.display())));
    }
    findings
}

// Cargo makes a binary of each file in `tests/` unless it is told not to.
fn test_binaries(tree: &Tree) -> Vec<String> {
    let manifests = tree.files.iter().filter(|file| file.path.ends_with("Cargo.toml"));
    manifests
        .filter(|manifest| !manifest.text.contains("autotests = false"))
        .filter_map(|manifest| {
            let tests = manifest.path.parent()?.join("tests");
            let count = tree.rust().filter(|file| file.path.parent() == Some(&tests)).count();
            (count > 1).then(|| {
                let path = manifest.path.display();
                format!("{path}: has {count} test binaries; set autotests = false and one [[test]]")
            })
        })
        .collect()
}

fn connectors(tree: &Tree) -> BTreeSet<PathBuf> {
    tree.files
        .iter()
        .filter(|file| {
            file.path.ends_with("Cargo.toml")
                && ["sources", "sinks", "transports"].iter().any(|kind| file.path.starts_with(kind))
        })
        .filter_map(|file| Some(file.path.parent()?.to_path_buf()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree::tree_of;
    use super::check;

    #[test]
    fn empty_names_are_found_as_file_and_as_folder() {
        let tree =
            tree_of(&[("a/src/utils.rs", ""), ("a/src/helpers/b.rs", ""), ("a/src/c.rs", "")]);
        assert_eq!(check(&tree).len(), 2);
    }

    #[test]
    fn a_connector_without_description_is_found() {
        let tree = tree_of(&[("sources/postgres/Cargo.toml", ""), ("sinks/file/Cargo.toml", "")]);
        let wanted = [
            "sinks/file: has no README.md",
            "sources/postgres: has no README.md",
            "sources/postgres: has no TYPES.md",
        ];
        assert_eq!(check(&tree), wanted);
    }

    #[test]
    fn a_second_test_binary_is_found() {
        let tests = [("a/tests/main.rs", ""), ("a/tests/b.rs", "")];
        let with = |manifest| tree_of(&[("a/Cargo.toml", manifest), tests[0], tests[1]]);
        assert_eq!(check(&with("")).len(), 1);
        assert_eq!(check(&with("autotests = false")), Vec::<String>::new());
    }
}
