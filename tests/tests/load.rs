//! Random transactions on ten tables of different shapes, repeatable from a seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cdc_testkit::services::Postgres;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// A table, its statements written with `{n}` for a row's number and `{r}` for a random number.
struct Shape {
    name: &'static str,
    /// As `schema.table` stands in an envelope.
    plain: &'static str,
    create: &'static str,
    key: &'static [(&'static str, &'static str)],
    values: &'static [(&'static str, &'static str)],
}

const SHAPES: [Shape; 10] = [
    Shape {
        name: "public.plain",
        plain: "public.plain",
        create: "CREATE TABLE public.plain (id int PRIMARY KEY, v text, n bigint)",
        key: &[("id", "{n}")],
        values: &[("v", "'v{r}'"), ("n", "{r}")],
    },
    Shape {
        name: "public.large",
        plain: "public.large",
        create: "CREATE TABLE public.large (id bigint PRIMARY KEY, body text, flag bool);
                 ALTER TABLE public.large ALTER body SET STORAGE EXTERNAL",
        key: &[("id", "{n}")],
        values: &[("flag", "{r} % 2 = 0"), ("body", "repeat(md5('{r}'), 150)")],
    },
    Shape {
        name: "public.pairs",
        plain: "public.pairs",
        create: "CREATE TABLE public.pairs (a int, v text, b text, PRIMARY KEY (b, a))",
        key: &[("a", "{n} % 7"), ("b", "'k{n}'")],
        values: &[("v", "CASE WHEN {r} % 5 > 0 THEN 'v{r}' END")],
    },
    Shape {
        name: "public.complete",
        plain: "public.complete",
        create: "CREATE TABLE public.complete (id int PRIMARY KEY, v text, f float8);
                 ALTER TABLE public.complete REPLICA IDENTITY FULL",
        key: &[("id", "{n}")],
        values: &[("v", "'ä€{r}'"), ("f", "{r} / 8.0")],
    },
    Shape {
        name: "public.named",
        plain: "public.named",
        create: "CREATE TABLE public.named (id uuid PRIMARY KEY, v varchar(40) NOT NULL)",
        key: &[("id", "md5('{n}')::uuid")],
        values: &[("v", "md5('{r}')")],
    },
    Shape {
        name: "public.\"Odd Näme\"",
        plain: "public.Odd Näme",
        create: "CREATE TABLE public.\"Odd Näme\" (\"I d\" int PRIMARY KEY, \"select\" text)",
        key: &[("\"I d\"", "{n}")],
        values: &[("\"select\"", "E'q\\'\\\\\\n{r}'")],
    },
    Shape {
        name: "public.parts",
        plain: "public.parts",
        create: "CREATE TABLE public.parts (id int PRIMARY KEY, v int) PARTITION BY HASH (id);
                 CREATE TABLE public.parts_0 PARTITION OF public.parts
                   FOR VALUES WITH (MODULUS 2, REMAINDER 0);
                 CREATE TABLE public.parts_1 PARTITION OF public.parts
                   FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
        key: &[("id", "{n}")],
        values: &[("v", "{r}")],
    },
    Shape {
        name: "other.texts",
        plain: "other.texts",
        create: "CREATE SCHEMA other; CREATE TABLE other.texts (id text PRIMARY KEY, v text)",
        key: &[("id", "'key ' || {n}")],
        values: &[("v", "repeat('x', {r} % 900)")],
    },
    Shape {
        name: "other.small",
        plain: "other.small",
        create: "CREATE TABLE other.small (id smallint PRIMARY KEY, v smallint)",
        key: &[("id", "{n} % 30000")],
        values: &[("v", "{r} % 100")],
    },
    Shape {
        name: "other.keys",
        plain: "other.keys",
        create: "CREATE TABLE other.keys (id int PRIMARY KEY)",
        key: &[("id", "{n}")],
        values: &[],
    },
];

/// The tables as SQL names them.
pub(crate) fn tables() -> Vec<&'static str> {
    SHAPES.iter().map(|shape| shape.name).collect()
}

/// The tables as SQL and as envelopes name them.
pub(crate) fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    SHAPES.iter().map(|shape| (shape.name, shape.plain))
}

/// Creates the tables with some rows in most of them.
pub(crate) async fn create(client: &Client) {
    for (index, shape) in SHAPES.iter().enumerate() {
        client.batch_execute(shape.create).await.unwrap();
        for number in 0..index * 40 {
            client.batch_execute(&shape.insert(number as u64, number as u64)).await.unwrap();
        }
    }
}

impl Shape {
    fn insert(&self, number: u64, random: u64) -> String {
        let columns: Vec<&str> =
            self.key.iter().chain(self.values).map(|(column, _)| *column).collect();
        let values: Vec<String> = self
            .key
            .iter()
            .chain(self.values)
            .map(|(_, value)| filled(value, number, random))
            .collect();
        format!(
            "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING",
            self.name,
            columns.join(", "),
            values.join(", ")
        )
    }

    fn update(&self, number: u64, random: u64) -> String {
        let Some(choices) = (self.values.len() as u64).checked_sub(1) else {
            return self.update_key(number, number + 1_000_000);
        };
        let (column, value) =
            self.values[if random.is_multiple_of(3) { 0 } else { choices as usize }];
        let value = filled(value, number, random);
        format!("UPDATE {} SET {column} = {value} WHERE {}", self.name, self.condition(number))
    }

    // Moves a row only to a key that is free, so that the transaction goes on.
    fn update_key(&self, from: u64, to: u64) -> String {
        let set: Vec<String> =
            self.key.iter().map(|(c, value)| format!("{c} = {}", filled(value, to, 0))).collect();
        format!(
            "UPDATE {} SET {} WHERE {} AND NOT EXISTS (SELECT FROM {0} WHERE {})",
            self.name,
            set.join(", "),
            self.condition(from),
            self.condition(to)
        )
    }

    fn delete(&self, number: u64) -> String {
        format!("DELETE FROM {} WHERE {}", self.name, self.condition(number))
    }

    fn condition(&self, number: u64) -> String {
        let equal =
            |(column, value): &(&str, &str)| format!("{column} = {}", filled(value, number, 0));
        self.key.iter().map(equal).collect::<Vec<_>>().join(" AND ")
    }
}

fn filled(template: &str, number: u64, random: u64) -> String {
    template.replace("{n}", &number.to_string()).replace("{r}", &random.to_string())
}

/// One random transaction.
fn transaction(random: &mut ChaCha8Rng, next: &mut u64) -> String {
    let mut statements = vec!["BEGIN".to_owned()];
    let count = if random.random_bool(0.02) { 400 } else { random.random_range(1..=8) };
    for index in 0..count {
        let undone = random.random_bool(0.05);
        if undone {
            statements.push(format!("SAVEPOINT s{index}"));
        }
        statements.push(statement(random, next));
        if undone {
            statements.push(format!("ROLLBACK TO s{index}"));
        }
    }
    let end = if random.random_bool(0.05) { "ROLLBACK" } else { "COMMIT" };
    statements.push(end.to_owned());
    statements.join("; ")
}

fn statement(random: &mut ChaCha8Rng, next: &mut u64) -> String {
    let shape = &SHAPES[random.random_range(0..SHAPES.len())];
    let old = random.random_range(0..*next);
    match random.random_range(0..1000) {
        0..=399 => {
            *next += 1;
            shape.insert(*next, random.random_range(0..1000))
        }
        400..=749 => shape.update(old, random.random_range(0..1000)),
        750..=829 => {
            *next += 1;
            shape.update_key(old, *next)
        }
        830..=994 => shape.delete(old),
        _ => {
            let other = &SHAPES[random.random_range(0..SHAPES.len())];
            let both = if other.name == shape.name { "" } else { other.name };
            let comma = if both.is_empty() { "" } else { ", " };
            format!("TRUNCATE {}{comma}{both}", shape.name)
        }
    }
}

/// A load that runs until it is stopped, whatever happens to the server in between.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    transactions: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Load {
    pub(crate) fn start(server: &Arc<Postgres>, database: &str, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let transactions = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(work(
            Arc::clone(server),
            database.to_owned(),
            ChaCha8Rng::seed_from_u64(seed),
            Arc::clone(&stop),
            Arc::clone(&transactions),
        ));
        Self { stop, transactions, task }
    }

    /// Ends the load and returns how many transactions it did.
    pub(crate) async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        self.transactions.load(Ordering::Relaxed)
    }
}

async fn work(
    server: Arc<Postgres>,
    database: String,
    mut random: ChaCha8Rng,
    stop: Arc<AtomicBool>,
    transactions: Arc<AtomicU64>,
) {
    let mut next = 400;
    while !stop.load(Ordering::Relaxed) {
        let Ok(client) = server.connect(&database).await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        while !stop.load(Ordering::Relaxed) {
            let sql = transaction(&mut random, &mut next);
            match client.batch_execute(&sql).await {
                Ok(()) => {
                    transactions.fetch_add(1, Ordering::Relaxed);
                }
                // A snapshot reads the tables in its own order; one of the two has to give way.
                Err(error) if error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED) => {
                    if client.batch_execute("ROLLBACK").await.is_err() {
                        break;
                    }
                }
                Err(_) if client.is_closed() => break,
                Err(error) if is_shutdown(&error) => break,
                Err(error) => panic!("the load is wrong: {error:?} in {sql}"),
            }
            tokio::time::sleep(Duration::from_millis(random.random_range(0..10))).await;
        }
    }
}

// Without a code the connection broke; 57P is the server's own end.
fn is_shutdown(error: &tokio_postgres::Error) -> bool {
    error.code().is_none_or(|code| code.code().starts_with("57P"))
}
