//! What differs is ordered from the source, until nothing does.

use super::{Change, Shared, Verdict, for_seeds, lock, verify};
use cdc_core::snapshot::SnapshotOrder;
use cdc_engine::verify::Report;

/// More rounds than this mean that an order does not help.
const ROUNDS_MAX: usize = 20;

/// The source reads the rows as they are now, and tells of them behind everything that it has told.
fn carry_out(world: &Shared, report: &Report) -> usize {
    let orders = cdc_engine::orders(report);
    for order in &orders {
        let SnapshotOrder::Rows { keys, .. } = order else { panic!("{order:?}") };
        let mut world = lock(world);
        let key = |key: &Vec<String>| key.first().unwrap().parse::<u64>().unwrap();
        let rows: Vec<Change> = keys
            .iter()
            .map(key)
            .map(|key| (key, world.source.get(&key).map(|row| row.value)))
            .collect();
        world.commit(rows);
    }
    orders.len()
}

#[tokio::test(start_paused = true)]
async fn what_differs_is_repaired_while_changes_flow() {
    for_seeds(true, async |seed, world| {
        lock(&world).damage();
        for round in 0.. {
            assert!(round < ROUNDS_MAX, "SEED={seed}: the replica never becomes equal");
            let report = verify(&world).await;
            if report.verdict() == Verdict::Equal {
                assert!(round > 0, "SEED={seed}: the damage was not seen");
                break;
            }
            assert!(carry_out(&world, &report) > 0, "SEED={seed}: nothing was ordered: {report:?}");
        }
        // Nothing but the damage was ever different, so that nothing is left to order.
        assert_eq!(carry_out(&world, &verify(&world).await), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rows_without_a_key_are_not_ordered() {
    for_seeds(false, async |seed, world| {
        lock(&world).damage();
        let report = verify(&world).await;
        assert_eq!(carry_out(&world, &report), 0, "SEED={seed}: {report:?}");
    })
    .await;
}
