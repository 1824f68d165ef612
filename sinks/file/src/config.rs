//! The `file:` block of a sink.

use crate::error;
use cdc_core::Result;
use schemars::JsonSchema;
use serde::Deserialize;

/// Appends changes to a file, one JSON object a line, exactly once.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// File to append to, in a directory that exists; `-` is standard output. The checkpoint and a
    /// lock are kept beside it, as `PATH.checkpoint` and `PATH.lock`.
    pub path: String,
    /// Form of `key` and `value` in each line.
    #[serde(default)]
    pub envelope: Envelope,
    /// Goes on in a new file before this one would get larger; 0 = never. With rotation the files of
    /// `changes.jsonl` are `changes-000001.jsonl`, `changes-000002.jsonl` and so on.
    #[serde(default)]
    pub rotate_bytes: u64,
    /// Goes on in a new file with the first change after the current one has reached this age;
    /// 0 = never.
    #[serde(default)]
    pub rotate_seconds: u64,
}

/// Form of a change in a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Envelope {
    /// Debezium's envelope, without schemas.
    #[default]
    Debezium,
}

impl Config {
    pub(crate) fn is_standard_output(&self) -> bool {
        self.path == "-"
    }

    pub(crate) fn rotates(&self) -> bool {
        self.rotate_bytes > 0 || self.rotate_seconds > 0
    }

    /// Refuses what cannot work, before any file is touched.
    pub(crate) fn validate(&self) -> Result<()> {
        if self.path.trim().is_empty() || self.path.contains('\0') {
            return Err(error::config("`file.path` names no file"));
        }
        if self.path.ends_with('/') || self.path.ends_with("..") {
            return Err(error::config("`file.path` is a directory: it must name a file"));
        }
        if self.is_standard_output() && self.rotates() {
            return Err(error::config(
                "`file.rotate_bytes` and `file.rotate_seconds` make no sense for standard output",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Config, String> {
        let config: Config = serde_json::from_str(json).map_err(|error| error.to_string())?;
        config.validate().map_err(|error| error.code.to_owned())?;
        Ok(config)
    }

    #[test]
    fn only_the_path_is_needed() {
        let config = parse(r#"{"path":"changes.jsonl"}"#).unwrap();
        assert!(!config.rotates());
        assert_eq!(config.envelope, Envelope::Debezium);
    }

    #[test]
    fn nonsense_is_refused() {
        for json in [
            r#"{"path":""}"#,
            r#"{"path":"dir/"}"#,
            r#"{"path":"dir/.."}"#,
            r#"{"path":"-","rotate_bytes":1}"#,
        ] {
            assert_eq!(parse(json), Err("CDC-3201".to_owned()), "{json}");
        }
        assert!(parse(r#"{"path":"a","rotate":1}"#).is_err());
        assert!(parse("{}").is_err());
    }
}
