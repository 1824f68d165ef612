//! Which files a connector has and how modules are named.

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
            names.iter().any(|name| REFUSED.iter().any(|refused| name == *refused))
        })
        .map(|file| format!("{}: name the module after what it is about", file.path.display()))
        .collect();
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
}
