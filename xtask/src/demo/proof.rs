//! Proves at the end that the copy is the source.
#![expect(clippy::print_stdout, reason = "the output of a command")]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};

use anyhow::Context as _;
use cdc_testkit::services::{Postgres, Receiver};
use serde::Deserialize;
use tokio_postgres::Client;

use super::pipeline::Pipeline;
use super::shop::TABLES;

/// Prints the comparison and says whether all tables are equal.
pub(super) async fn print(
    server: &Postgres,
    source: &str,
    copy: &str,
    pipeline: &Pipeline,
    receiver: &Receiver,
) -> anyhow::Result<bool> {
    let (source, copy) = (server.connect(source).await?, server.connect(copy).await?);
    let mut all_equal = true;
    println!(
        "\n  {:<12} {:>8} {:>8}  {:<16} {:<16}",
        "table", "source", "replica", "hash of source", "hash of replica"
    );
    for table in TABLES {
        let ((rows, hash), (copied, other)) =
            (fingerprint(&source, table).await?, fingerprint(&copy, table).await?);
        let equal = rows == copied && hash == other;
        all_equal &= equal;
        let word = if equal { "equal" } else { "DIFFERENT" };
        println!("  {table:<12} {rows:>8} {copied:>8}  {hash:<16} {other:<16}  {word}");
    }
    let (lines, changes) = lines(pipeline)?;
    println!("\n  file: {lines} lines, {changes} different changes");
    println!("  webhook: {} requests, each at least once", receiver.accepted_count());
    Ok(all_equal && changes > 0 && receiver.accepted_count() >= changes)
}

/// Number of rows, and a hash over all of them that does not depend on their order.
async fn fingerprint(client: &Client, table: &str) -> anyhow::Result<(i64, String)> {
    let sql = format!(
        "SELECT count(*), left(md5(coalesce(string_agg(h, '' ORDER BY h), '')), 16)
         FROM (SELECT md5(to_jsonb(t)::text) COLLATE \"C\" AS h FROM {table} AS t) AS hashes"
    );
    let row = client.query_one(&sql, &[]).await.with_context(|| format!("compare {table}"))?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

#[derive(Deserialize)]
struct Line {
    position: String,
}

/// How many lines the file has and how many different changes they are.
fn lines(pipeline: &Pipeline) -> anyhow::Result<(u64, u64)> {
    let file = std::fs::File::open(pipeline.file()).context("open the file sink's file")?;
    let (mut lines, mut positions) = (0, BTreeSet::new());
    for line in BufReader::new(file).lines() {
        let line: Line = serde_json::from_str(&line?).context("read the file sink's file")?;
        lines += 1;
        positions.insert(line.position);
    }
    Ok((lines, positions.len() as u64))
}
