use std::time::{Duration, Instant};

use tokio_postgres::Client;

/// The rows of a table as JSON text, in an order that does not depend on the server.
pub(crate) async fn rows(client: &Client, table: &str) -> Vec<String> {
    let sql = format!("SELECT to_jsonb(t)::text FROM {table} AS t");
    let rows = client.query(&sql, &[]).await;
    let rows = rows.unwrap_or_else(|error| panic!("{table}: {error:?}"));
    let mut rows: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    rows.sort();
    rows
}

/// The first difference between the tables of two databases; `None` when they are equal.
pub(crate) async fn difference(a: &Client, b: &Client, tables: &[&str]) -> Option<String> {
    for table in tables {
        let found = b.query_one("SELECT to_regclass($1) IS NOT NULL", &[table]).await.unwrap();
        if !found.get::<_, bool>(0) {
            return Some(format!("{table}: the replica has no such table"));
        }
        let (left, right) = (rows(a, table).await, rows(b, table).await);
        if left != right {
            let only = |these: &[String], those: &[String]| {
                let missing = these.iter().filter(|row| those.binary_search(row).is_err());
                missing.take(3).cloned().collect::<Vec<_>>().join("\n    ")
            };
            return Some(format!(
                "{table}: {} rows in the source, {} in the replica\n  only in the source:\n    \
                 {}\n  only in the replica:\n    {}",
                left.len(),
                right.len(),
                only(&left, &right),
                only(&right, &left)
            ));
        }
    }
    None
}

/// Waits until the tables of two databases are equal.
pub(crate) async fn eventually_equal(a: &Client, b: &Client, tables: &[&str]) {
    equal_within(Duration::from_secs(30), a, b, tables).await;
}

/// The same, for as long as it may take.
pub(crate) async fn equal_within(limit: Duration, a: &Client, b: &Client, tables: &[&str]) {
    let deadline = Instant::now() + limit;
    while let Some(difference) = difference(a, b, tables).await {
        assert!(Instant::now() < deadline, "never became equal: {difference}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
