//! What can be told about the files without touching them.

use crate::{checkpoint::Stored, config::Config, names::Names};
use cdc_core::{Finding, catalog::SinkContext};
use rustix::fs::{Access, access};
use std::fs;
use std::path::Path;

/// Looks at the directory, the data file and the checkpoint.
pub(crate) fn findings(config: &Config, context: &SinkContext) -> Vec<Finding> {
    if config.is_standard_output() {
        return vec![Finding::warning(
            "file sink writes to standard output: at least once, without a checkpoint of its own",
            "name a file in `file.path` for exactly-once delivery",
        )];
    }
    let names = match Names::of(&config.path) {
        Ok(names) => names,
        Err(error) => return vec![Finding::error(error.context, error.remedy.unwrap_or_default())],
    };
    let mut out = vec![directory(&names.directory)];
    out.extend(data_file(&names));
    out.extend(checkpoint(&names, context));
    out
}

fn directory(path: &Path) -> Finding {
    let shown = path.display();
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => Finding::error(
            format!("{shown} is not a directory"),
            "correct `file.path`: it must name a file in a directory",
        ),
        Ok(_) if access(path, Access::WRITE_OK | Access::EXEC_OK).is_err() => Finding::error(
            format!("directory {shown} is not writable"),
            format!("let the user that runs `cdc` write there: chown or chmod {shown}"),
        ),
        Ok(_) => Finding::ok(format!("directory {shown} is writable")),
        Err(error) => Finding::error(
            format!("directory {shown}: {error}"),
            format!("create it: mkdir -p {shown}"),
        ),
    }
}

fn data_file(names: &Names) -> Option<Finding> {
    let path = &names.path;
    let metadata = fs::metadata(path).ok()?;
    let shown = path.display();
    if metadata.is_dir() {
        let remedy = format!("let `file.path` name a file, as in {shown}/changes.jsonl");
        return Some(Finding::error(format!("{shown} is a directory"), remedy));
    }
    if access(path, Access::WRITE_OK).is_err() {
        let remedy = format!("let the user that runs `cdc` write to it: chown or chmod {shown}");
        return Some(Finding::error(format!("file {shown} is not writable"), remedy));
    }
    if metadata.len() > 0 && !names.checkpoint().exists() {
        return Some(Finding::error(
            format!("file {shown} holds data and there is no checkpoint for it"),
            "move it away, or give this sink another `file.path`",
        ));
    }
    None
}

fn checkpoint(names: &Names, context: &SinkContext) -> Option<Finding> {
    let verified = match Stored::load(names) {
        Ok(None) => return None,
        Ok(Some(stored)) => stored.verify_owner(names, &context.pipeline_id, &context.sink_id),
        Err(error) => Err(error),
    };
    Some(match verified {
        Ok(()) => Finding::ok(format!("file {} will be continued", names.path.display())),
        Err(error) => Finding::error(error.context, error.remedy.unwrap_or_default()),
    })
}
