//! Rules of the project that the compiler and clippy do not know.
#![expect(clippy::print_stdout, reason = "the output of a command")]

mod arrows;
mod errors;
mod folders;
mod named;
mod text;
mod tree;

use anyhow::ensure;

use self::tree::Tree;
use crate::paths;

/// Checks everything and fails when a rule is broken.
pub(crate) fn run() -> anyhow::Result<()> {
    ensure!(report(&findings()?), "the rules above are broken");
    Ok(())
}

/// Every broken rule: file or crate, and what is wrong with it.
pub(crate) fn findings() -> anyhow::Result<Vec<String>> {
    let tree = Tree::read(&paths::workspace())?;
    let metadata = paths::metadata()?;
    let mut findings = arrows::check(&metadata);
    findings.extend(text::check(&tree));
    findings.extend(folders::check(&tree));
    findings.extend(errors::check(&tree));
    findings.extend(named::check(&tree));
    Ok(findings)
}

/// Prints the findings and says whether there are none.
pub(crate) fn report(findings: &[String]) -> bool {
    for finding in findings {
        println!("{finding}");
    }
    findings.is_empty()
}

#[cfg(test)]
mod tests {
    use super::findings;

    #[test]
    fn the_workspace_keeps_its_rules() {
        let findings = findings().unwrap();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }
}
