//! The text files of the workspace, read once.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

const NOT_OURS: [&str; 6] = [".git", "target", "node_modules", "corpus", "artifacts", "cdc-data"];

/// Every text file, by its path from the workspace's root.
#[derive(Default)]
pub(super) struct Tree {
    pub(super) files: Vec<TextFile>,
}

/// One text file.
pub(super) struct TextFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Tree {
    /// Reads all files below `root`.
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut tree = Self::default();
        tree.descend(root, root)?;
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    /// All Rust files.
    pub(super) fn rust(&self) -> impl Iterator<Item = &TextFile> {
        self.files.iter().filter(|file| file.path.extension().is_some_and(|e| e == "rs"))
    }

    /// All files below a folder.
    pub(super) fn below(&self, folder: &str) -> impl Iterator<Item = &TextFile> {
        self.files.iter().filter(move |file| file.path.starts_with(folder))
    }

    /// Whether there is such a file.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.files.iter().any(|file| file.path == path)
    }

    fn descend(&mut self, root: &Path, folder: &Path) -> anyhow::Result<()> {
        let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            if name.is_some_and(|name| NOT_OURS.contains(&name.as_str())) || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                self.descend(root, &path)?;
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                let path = path.strip_prefix(root)?.to_path_buf();
                self.files.push(TextFile { path, text });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) fn tree_of(files: &[(&str, &str)]) -> Tree {
    let file = |(path, text): &(&str, &str)| TextFile {
        path: PathBuf::from(path),
        text: (*text).to_owned(),
    };
    Tree { files: files.iter().map(file).collect() }
}
