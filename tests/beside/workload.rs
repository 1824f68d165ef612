//! What is done to the source: the workload of the golden files, and tables that change their shape.

use anyhow::Context as _;
use tokio_postgres::Client;

/// Tables of every type, and every kind of key.
pub(super) const TABLES: &str = include_str!("../../crates/codec/tests/golden/setup.sql");
const CHANGES: &str = include_str!("../../crates/codec/tests/golden/workload.sql");
const EVOLUTION: &str = include_str!("evolution.sql");

// What a first run of the changes left, so that they can run again.
const AGAIN: &str = "TRUNCATE types, arrays, unmapped, required, defaults, large, whole, pairs,
     keyless, \"Quoted_\"\" . Schema\".\"odd näme $ x\", extremes, endless, not_numbers, finish;
DROP TABLE evolving;
CREATE TABLE evolving (id int PRIMARY KEY, v text);
";

/// Statements to be run one after the other.
pub(super) struct Step {
    pub(super) sql: Vec<String>,
}

/// Rows for the first copy.
pub(super) async fn fill(client: &Client) -> anyhow::Result<()> {
    client.batch_execute(TABLES).await.context("create the tables")?;
    for statement in statements(CHANGES) {
        client.batch_execute(&statement).await.with_context(|| statement.clone())?;
    }
    Ok(())
}

/// Everything after it. Between two steps every reader has to come to the present: Debezium asks the
/// database what a table looks like now.
pub(super) fn steps() -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut shaped = None;
    for statement in [AGAIN, CHANGES, EVOLUTION].into_iter().flat_map(statements) {
        let shapes = ["ALTER", "CREATE", "DROP"].iter().any(|word| statement.starts_with(word));
        match steps.last_mut() {
            Some(step) if shaped == Some(shapes) => step.sql.push(statement),
            _ => steps.push(Step { sql: vec![statement] }),
        }
        shaped = Some(shapes);
    }
    steps
}

/// Each ends with a line's end; a transaction is one.
fn statements(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let (mut now, mut inside) = (String::new(), false);
    for line in text.lines() {
        now.push_str(line);
        now.push('\n');
        inside = (inside || line == "BEGIN;") && line != "COMMIT;";
        if line.ends_with(';') && !inside {
            all.push(std::mem::take(&mut now));
        }
    }
    all
}

#[test]
fn a_transaction_is_one_statement_and_changes_of_shape_are_steps() {
    let found = statements("A\n b;\nBEGIN;\nC;\nD;\nCOMMIT;\nE;\n");
    assert_eq!(found, ["A\n b;\n", "BEGIN;\nC;\nD;\nCOMMIT;\n", "E;\n"]);
    let steps = steps();
    assert!(steps.len() > 20, "{}", steps.len());
    assert!(steps[0].sql[0].starts_with("TRUNCATE"));
}
