use tokio_postgres::Client;

/// As SQL names the table.
pub(super) const TABLE: &str = "public.items";

/// Creates the table; bodies are kept out of line, as they are.
pub(super) async fn create(client: &Client) {
    let sql = format!(
        "CREATE TABLE {TABLE} (id bigint PRIMARY KEY, v text NOT NULL, n bigint NOT NULL, body text);
         ALTER TABLE {TABLE} ALTER body SET STORAGE EXTERNAL"
    );
    client.batch_execute(&sql).await.unwrap();
}

/// Inserts rows in one transaction; one in fifty has a long body.
pub(super) async fn insert(client: &Client, from: u64, to: u64) {
    let sql = format!(
        "INSERT INTO {TABLE} SELECT i, 'item ' || i, i % 1000,
           CASE WHEN i % 50 = 0 THEN repeat(md5(i::text), 100) END
         FROM generate_series({from}, {to}) AS i"
    );
    client.batch_execute(&sql).await.unwrap();
}

/// How many rows there are, and a sum of hashes of all their values.
pub(super) async fn fingerprint(client: &Client) -> (i64, String) {
    let sql = format!(
        "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0)::text FROM {TABLE} AS t"
    );
    let row = client.query_one(&sql, &[]).await.unwrap();
    (row.get(0), row.get(1))
}
