//! The shop: its tables, its first rows and what happens in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use cdc_testkit::services::Postgres;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

/// The shop's tables.
pub(super) const TABLES: [&str; 4] = ["customers", "products", "orders", "order_items"];

const SCHEMA: &str = "
    CREATE TYPE order_state AS ENUM ('open', 'paid', 'sent', 'cancelled');
    CREATE TABLE customers (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL,
        email varchar(120) NOT NULL, born date, tags text[] NOT NULL DEFAULT '{}', profile jsonb,
        created timestamptz NOT NULL DEFAULT now());
    CREATE TABLE products (
        sku char(8) PRIMARY KEY, title text NOT NULL, price numeric(10,2) NOT NULL,
        stock int NOT NULL, weight real, picture bytea);
    CREATE TABLE orders (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), customer bigint NOT NULL REFERENCES customers,
        state order_state NOT NULL DEFAULT 'open', total numeric, placed timestamp NOT NULL DEFAULT now(),
        promised interval);
    CREATE TABLE order_items (
        \"order\" uuid REFERENCES orders ON DELETE CASCADE, line smallint, sku char(8) NOT NULL,
        amount int NOT NULL, price numeric(10,2) NOT NULL, PRIMARY KEY (\"order\", line));
    INSERT INTO customers (name, email, born, tags, profile)
        SELECT 'Customer ' || n, 'customer' || n || '@example.org', date '1950-01-01' + n * 17,
               CASE WHEN n % 3 = 0 THEN ARRAY['loyal', 'newsletter'] ELSE '{}' END,
               jsonb_build_object('visits', n, 'city', (ARRAY['Bern','Oslo','Köln'])[n % 3 + 1])
        FROM generate_series(1, 500) AS n;
    INSERT INTO products
        SELECT 'P' || lpad(n::text, 7, '0'), 'Product ' || n, n * 1.37, 100000, n / 10.0,
               decode(repeat(md5(n::text), 8), 'hex')
        FROM generate_series(1, 200) AS n;
    INSERT INTO orders (customer, state, total, promised)
        SELECT n % 500 + 1, 'sent', n * 0.99, interval '3 days' FROM generate_series(1, 2000) AS n;
    INSERT INTO order_items
        SELECT o.id, line, 'P' || lpad((line * 7)::text, 7, '0'), line, 9.99
        FROM orders AS o, generate_series(1, 3) AS line;";

const BUY: &str = "
    WITH bought AS (
        INSERT INTO orders (customer, total, promised)
        VALUES ({customer}, {amount} * 9.99, interval '{amount} days') RETURNING id)
    INSERT INTO order_items
    SELECT id, line, 'P' || lpad(({product} + line)::text, 7, '0'), {amount}, 9.99
    FROM bought, generate_series(1, {lines}) AS line";

const CHANGES: [&str; 5] = [
    "UPDATE products SET stock = stock - 1 WHERE sku = 'P' || lpad('{product}', 7, '0')",
    "UPDATE orders SET state = 'paid' WHERE id IN
        (SELECT id FROM orders WHERE customer = {customer} AND state = 'open' LIMIT 2)",
    "UPDATE customers SET profile = profile || '{\"visits\": {amount}}' WHERE id = {customer}",
    "DELETE FROM orders WHERE id IN
        (SELECT id FROM orders WHERE customer = {customer} AND state = 'open' LIMIT 1)",
    "UPDATE products SET price = price * 1.01 WHERE sku = 'P' || lpad('{product}', 7, '0')",
];

/// Creates the tables and their first rows.
pub(super) async fn fill(client: &Client) -> anyhow::Result<()> {
    client.batch_execute(SCHEMA).await.context("fill the shop")
}

/// Customers who buy, cancel and browse.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    transactions: Arc<AtomicU64>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Load {
    /// Opens the shop.
    #[expect(clippy::disallowed_methods, reason = "is stopped and joined below")]
    pub(super) fn start(server: &Arc<Postgres>, database: &str, rate: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let transactions = Arc::new(AtomicU64::new(0));
        let work = work(
            Arc::clone(server),
            database.to_owned(),
            Duration::from_secs(1) / rate.max(1),
            Arc::clone(&stop),
            Arc::clone(&transactions),
        );
        Self { stop, transactions, task: tokio::spawn(work) }
    }

    /// How many transactions were committed.
    pub(super) fn transactions(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
    }

    /// Fails when the load ended by itself.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.task.is_finished(), "the load ended too early");
        Ok(())
    }

    /// Closes the shop and returns how many transactions were committed.
    pub(super) async fn stop(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.context("the load panicked")??;
        Ok(self.transactions.load(Ordering::Relaxed))
    }
}

async fn work(
    server: Arc<Postgres>,
    database: String,
    pause: Duration,
    stop: Arc<AtomicBool>,
    transactions: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let client = server.connect(&database).await?;
    let mut random = ChaCha8Rng::from_os_rng();
    let mut ticks = tokio::time::interval(pause);
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        client.batch_execute(&transaction(&mut random)).await.context("the load")?;
        transactions.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn transaction(random: &mut ChaCha8Rng) -> String {
    let buys = random.random_bool(0.5);
    let other = CHANGES.get(random.random_range(0..CHANGES.len())).copied().unwrap_or(BUY);
    let mut sql = format!("BEGIN; {}; COMMIT", if buys { BUY } else { other });
    for (name, range) in
        [("{customer}", 1..501), ("{product}", 1..190), ("{amount}", 1..9), ("{lines}", 1..5)]
    {
        sql = sql.replace(name, &random.random_range::<u32, _>(range).to_string());
    }
    sql
}
