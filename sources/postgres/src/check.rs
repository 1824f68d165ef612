//! Preflight: what would keep a pipeline from running, or surprise its operator. Changes nothing.

mod objects;
mod partitions;
mod settings;
mod standby;
mod tables;

use crate::{
    config::Config,
    connection::connect_sql,
    replication::{MAJOR_MIN, ReplicationClient},
    schema::{self, Selection},
};
use cdc_core::{Error, Finding, catalog::CapturedTable};

/// The last major version that was tested.
const MAJOR_TESTED: u32 = 18;

/// Looks at everything that can be looked at.
pub(crate) async fn check(
    config: &Config,
    selection: &Selection,
) -> (Vec<Finding>, Vec<CapturedTable>) {
    let mut findings = Vec::new();
    let captured = look(config, selection, &mut findings).await;
    match captured {
        Ok(captured) => (findings, captured),
        Err(error) => {
            findings.push(finding(&error));
            (findings, Vec::new())
        }
    }
}

/// An error that ends the preflight, as a finding.
fn finding(error: &Error) -> Finding {
    let remedy = error.remedy.clone().unwrap_or_else(|| "try again later".to_owned());
    Finding::error(error.chain(), remedy)
}

async fn look(
    config: &Config,
    selection: &Selection,
    findings: &mut Vec<Finding>,
) -> Result<Vec<CapturedTable>, Error> {
    config.validate()?;
    let client = connect_sql(config).await?;
    let version = settings::version(config, &client).await?;
    findings.push(judge_version(&version));
    if config.snapshot_mode.streams() {
        settings::check(config, &client, findings).await?;
    }
    match ReplicationClient::open(config).await {
        Ok(_) => findings.push(Finding::ok(format!("role {} may replicate", config.username))),
        Err(error) => findings.push(finding(&error)),
    }
    let catalog = schema::load(&client, selection).await?;
    if config.snapshot_mode.streams() {
        objects::slot(config, &client, findings).await?;
        objects::publication(config, &client, &catalog.tables, findings).await?;
    }
    if config.snapshot_mode.reads_rows() && config.snapshot_mode.streams() {
        partitions::check(config, &client, &catalog.tables, findings).await?;
    }
    tables::check(config, selection, &catalog, findings);
    Ok(tables::captured(&catalog.tables))
}

fn judge_version(version: &str) -> Finding {
    let what = format!("the server is PostgreSQL {version}");
    match crate::replication::major_version(version) {
        Some(major) if major < MAJOR_MIN => {
            Finding::error(what, "upgrade to PostgreSQL 14 or later")
        }
        Some(major) if major > MAJOR_TESTED => Finding::warning(
            what,
            format!("this version of cdc was tested with PostgreSQL {MAJOR_MIN} to {MAJOR_TESTED}"),
        ),
        Some(_) => Finding::ok(what),
        None => Finding::warning(what, "its version cannot be recognised; 14 to 18 are supported"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::finding::Level;

    #[test]
    fn versions_are_judged() {
        let level = |version| judge_version(version).level;
        assert_eq!(level("13.14"), Level::Error);
        assert_eq!(level("14.23"), Level::Ok);
        assert_eq!(level("18.6 (Debian)"), Level::Ok);
        assert_eq!(level("19devel"), Level::Warning);
    }
}
