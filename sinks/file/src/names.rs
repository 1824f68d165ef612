//! Names of the files of one sink.

use crate::error;
use cdc_core::Result;
use std::path::{Path, PathBuf};

/// Where a sink's files are. Number 0 is the configured path itself, for a sink without rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// As configured.
    pub(crate) path: PathBuf,
    pub(crate) directory: PathBuf,
    file: String,
    /// `changes` and `.jsonl`
    stem: String,
    extension: String,
}

impl Names {
    pub(crate) fn of(path: &str) -> Result<Self> {
        let path = PathBuf::from(path);
        let file = path
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| error::config("`file.path` names no file"))?
            .to_owned();
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let (stem, extension) = match file.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => {
                (stem.to_owned(), format!(".{extension}"))
            }
            _ => (file.clone(), String::new()),
        };
        Ok(Self { path, directory, file, stem, extension })
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.directory.join(format!("{}.checkpoint", self.file))
    }

    /// Where the next checkpoint is written before it takes the place of the last one.
    pub(crate) fn next_checkpoint(&self) -> PathBuf {
        self.directory.join(format!("{}.checkpoint.new", self.file))
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.directory.join(format!("{}.lock", self.file))
    }

    pub(crate) fn data_name(&self, number: u64) -> String {
        match number {
            0 => self.file.clone(),
            number => format!("{}-{number:06}{}", self.stem, self.extension),
        }
    }

    pub(crate) fn data(&self, number: u64) -> PathBuf {
        self.directory.join(self.data_name(number))
    }

    /// The number of a data file; `None` for every other file.
    pub(crate) fn number_of(&self, name: &str) -> Option<u64> {
        if name == self.file {
            return Some(0);
        }
        let digits = name
            .strip_prefix(&self.stem)?
            .strip_prefix('-')?
            .strip_suffix(self.extension.as_str())?;
        if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let number = digits.parse().ok()?;
        // Only the one spelling that `data_name` gives.
        (number > 0 && self.data_name(number) == name).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_numbered_before_the_extension() {
        let names = Names::of("/var/out/changes.jsonl").unwrap();
        assert_eq!(names.data(0), Path::new("/var/out/changes.jsonl"));
        assert_eq!(names.data(7), Path::new("/var/out/changes-000007.jsonl"));
        assert_eq!(names.data_name(1_000_000), "changes-1000000.jsonl");
        assert_eq!(names.checkpoint(), Path::new("/var/out/changes.jsonl.checkpoint"));
        assert_eq!(Names::of("out").unwrap().data(2), Path::new("./out-000002"));
        assert_eq!(Names::of(".hidden").unwrap().data_name(2), ".hidden-000002");
    }

    #[test]
    fn only_own_names_have_a_number() {
        let names = Names::of("changes.jsonl").unwrap();
        for number in [0, 1, 999_999, 1_000_000, u64::MAX] {
            assert_eq!(names.number_of(&names.data_name(number)), Some(number));
        }
        for name in [
            "changes.jsonl.lock",
            "changes-1.jsonl",
            "changes-000000.jsonl",
            "changes-0000001.jsonl",
            "changes-00000a.jsonl",
            "changes-.jsonl",
            "changes-000001.json",
            "other-000001.jsonl",
            "changes-99999999999999999999.jsonl",
        ] {
            assert_eq!(names.number_of(name), None, "{name}");
        }
    }
}
