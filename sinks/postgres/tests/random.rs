use crate::target::{Script, Target, batch, checkpoint, deliver, on_each_major};
use cdc_core::{Offset, Sink, TableId, TableSchema};
use cdc_testkit::generate::{Generator, delivered};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{collections::BTreeMap, sync::Arc};

/// Delivers a random history in random batches with random commits and restarts, then compares the
/// tables with the rows that the history ends in, which go by COPY into a second schema.
async fn run(target: &Target, seed: u64) {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let mut generator = Generator::new(seed);
    let names: Vec<TableId> =
        (0..3).map(|n| TableId::new(format!("s{seed}"), format!("t {n}"))).collect();
    let mut schemas: Vec<Arc<TableSchema>> = Vec::new();
    for name in &names[..2] {
        schemas.push(generator.add_table(name.clone()));
    }
    schemas.push(generator.add_table_of_every_type(names[2].clone()));
    let changes = delivered(generator.transactions(150, 6), Offset(0));

    let mut sink = target.replica().await;
    let mut committed = 0;
    let mut next = 0;
    let mut prepared: BTreeMap<TableId, Arc<TableSchema>> = BTreeMap::new();
    while committed < changes.len() {
        let end = (next + dice.random_range(1..120)).min(changes.len());
        let run = &changes[next..end];
        for change in run {
            let schema = &change.change.schema;
            if prepared.insert(schema.table.clone(), Arc::clone(schema)).is_none() {
                sink.prepare(None, schema).await.unwrap();
            }
        }
        if let Err(failed) = sink.write(&batch(run.to_vec())).await {
            panic!("seed {seed}: {}", failed.error.chain());
        }
        next = end;
        if dice.random_bool(0.5) || next == changes.len() {
            sink.commit(&checkpoint(1, next as u64)).await.unwrap();
            committed = next;
        }
        if dice.random_bool(0.15) {
            sink = target.replica().await;
            prepared.clear();
            next = committed;
        }
    }
    compare(target, &names, &schemas, &generator, seed).await;
}

async fn compare(
    target: &Target,
    names: &[TableId],
    schemas: &[Arc<TableSchema>],
    generator: &Generator,
    seed: u64,
) {
    let mut model: Box<dyn Sink> =
        target.replica_with(serde_json::json!({"target_schema": format!("model{seed}")})).await;
    for (name, schema) in names.iter().zip(schemas) {
        let mut script = Script::new(schema);
        script.truncate();
        generator.rows(name).for_each(|row| _ = script.snapshot(row.clone()));
        deliver(&mut *model, script.take()).await;
        let rows = |schema: String| {
            let table = &name.name;
            async move {
                target
                    .rows(&format!("SELECT t::text FROM \"{schema}\".\"{table}\" t ORDER BY id"))
                    .await
            }
        };
        let (held, expected) =
            (rows(name.namespace.clone()).await, rows(format!("model{seed}")).await);
        assert_eq!(held, expected, "seed {seed}, {name}");
        assert_eq!(held.len(), generator.rows(name).count(), "seed {seed}, {name}");
    }
}

#[tokio::test]
async fn a_random_history_leaves_the_rows_of_its_source() {
    on_each_major("sink-postgres random", async |target| {
        let first: u64 = rand::random_range(0..1_000_000);
        eprintln!("seeds {first} to {}", first + 7);
        for seed in first..first + 8 {
            run(&target, seed).await;
        }
    })
    .await;
}
