//! Worlds, each for as many seeds as its share of the time budget allows.

use crate::{
    history::Shape,
    ledger::Manner,
    world::{Outcome, Plan, World, in_paused_time, simulate},
};
use cdc_core::{Position, dead_letter::DeadLetterStore};
use std::{
    collections::BTreeSet,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

/// All scenarios together take about 30 seconds.
const BUDGET: Duration = Duration::from_secs(7);

const SHAPE: Shape =
    Shape { transactions: 60, tables: 3, keys: 12, snapshot: 0, total_order: true };

fn total() -> Plan {
    Plan {
        shape: SHAPE,
        partitions: 1,
        processes: 1,
        sinks: vec![Manner::replica(), Manner::events(), Manner::webhook()],
        overlap_percent: 0,
        wrap: None,
        avro: false,
        in_transactions: false,
    }
}

/// Runs seeds until the budget is used up; a failure names its seed. `SEED` replays one.
#[expect(clippy::disallowed_methods, reason = "a test's time budget and seed come from outside")]
fn for_seeds(name: &str, mut run: impl FnMut(u64) -> Outcome) {
    let one = std::env::var("SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let first = one.unwrap_or_else(|| u64::from(std::process::id()) * 1_000_000);
    let began = Instant::now();
    let (mut seeds, mut starts, mut duplicates) = (0_u64, 0, 0);
    while began.elapsed() < BUDGET && (one.is_none() || seeds == 0) {
        // The first seeds are the same in every run, the others are new ones.
        let seed = if one.is_some() || seeds >= 50 { first + seeds } else { seeds };
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| run(seed)));
        let Ok(outcome) = outcome else { panic!("{name}: replay with SEED={seed}") };
        seeds += 1;
        starts += outcome.starts;
        duplicates += outcome.log_records.saturating_sub(outcome.changes);
    }
    eprintln!(
        "{name}: {seeds} seeds from {first}, {starts} starts, {duplicates} records beyond the changes"
    );
}

#[test]
fn every_sink_equals_the_source_for_every_seed() {
    for_seeds("totally ordered log", |seed| simulate(seed, &total()));
}

#[test]
fn a_partitioned_log_keeps_the_order_of_each_key() {
    let plan = Plan { partitions: 3, shape: Shape { total_order: false, ..SHAPE }, ..total() };
    for_seeds("partitioned log", |seed| simulate(seed, &plan));
}

fn shared() -> Plan {
    Plan { partitions: 4, processes: 3, shape: Shape { total_order: false, ..SHAPE }, ..total() }
}

#[test]
fn processes_that_share_a_pipeline_lose_and_double_nothing() {
    for_seeds("three processes of one pipeline", |seed| simulate(seed, &shared()));
}

#[test]
fn a_capture_whose_epoch_has_passed_stands_by_at_once() {
    for seed in 0..5 {
        in_paused_time(async {
            let plan = Plan { processes: 1, sinks: vec![Manner::events()], ..shared() };
            let mut world = World::new(seed, plan);
            (world.patience, world.faulty) = (Duration::from_secs(60), false);
            let took = world.run_beside_others_that_begin_epochs(5).await;
            assert!(took < Duration::from_secs(30), "seed {seed}: it waited for {took:?}");
            world.verify();
        });
    }
}

#[test]
fn processes_that_share_a_pipeline_end_when_all_of_it_is_delivered() {
    for seed in 0..20 {
        in_paused_time(async {
            let mut world = World::new(seed, shared());
            world.run_together_until_current().await;
            assert!(world.complete(), "seed {seed}: something is missing");
            world.verify();
        });
    }
}

#[test]
fn in_transactions_every_record_is_there_once_and_every_transaction_whole() {
    let partitioned =
        Plan { partitions: 3, shape: Shape { total_order: false, ..SHAPE }, ..total() };
    let plans = [total(), Plan { overlap_percent: 60, ..total() }, partitioned, shared()];
    let plans = plans.map(|plan| Plan { in_transactions: true, ..plan });
    let mut next = plans.iter().cycle();
    for_seeds("in transactions", |seed| simulate(seed, next.next().unwrap()));
}

#[test]
fn records_in_avro_bring_every_change_to_every_sink() {
    let shape = Shape { total_order: false, ..SHAPE };
    let plan = Plan { partitions: 3, shape, avro: true, ..total() };
    for_seeds("Avro", |seed| simulate(seed, &plan));
}

#[test]
fn two_processes_that_fight_over_a_pipeline_double_nothing() {
    let plan = Plan { overlap_percent: 60, ..total() };
    for_seeds("two processes", |seed| simulate(seed, &plan));
}

#[test]
fn refused_changes_are_set_aside_and_delivered_on_request() {
    for_seeds("dead letters", |seed| in_paused_time(refused_and_mended(seed, total())));
}

#[test]
fn refused_changes_of_a_shared_pipeline_are_set_aside_and_delivered_on_request() {
    for_seeds("dead letters of three processes", |seed| {
        in_paused_time(refused_and_mended(seed, shared()))
    });
}

async fn refused_and_mended(seed: u64, plan: Plan) -> Outcome {
    let mut world = World::new(seed, plan);
    let poison: Vec<Position> =
        world.history.changes.iter().skip(5).step_by(29).map(|change| change.position).collect();
    for ledger in &world.ledgers {
        ledger.manner.lock().unwrap().poison = poison.iter().copied().collect();
    }
    world.run_to_the_end().await;
    for (index, ledger) in (0..).zip(&world.ledgers) {
        let held = ledger.held.lock().unwrap();
        assert!(held.applied.iter().all(|change| !poison.contains(&change.position)));
        assert!(poison.iter().all(|position| world.letters(index).contains(position)));
    }
    // The operator mends the destinations and asks for every letter again.
    for ledger in &world.ledgers {
        ledger.manner.lock().unwrap().poison.clear();
    }
    let letters = world.stores.list(None, 0, usize::MAX).await.unwrap();
    let ids: Vec<u64> = letters.iter().map(|letter| letter.id).collect();
    world.stores.request_retry(&ids).await.unwrap();
    while world.stores.count(None).await.unwrap() > 0 {
        world.run_for(Duration::from_secs(10)).await;
    }
    world.verify_after_letters()
}

#[test]
fn a_run_until_current_ends_with_everything_delivered() {
    for seed in 0..20 {
        in_paused_time(async {
            let mut world = World::new(seed, total());
            world.run_until_current().await;
            assert!(world.complete(), "seed {seed}: something is missing");
            world.verify();
        });
    }
}

#[test]
fn a_run_until_current_delivers_the_whole_snapshot() {
    let plan = Plan { shape: Shape { snapshot: 20, ..SHAPE }, ..total() };
    for seed in 0..20 {
        in_paused_time(async {
            let mut world = World::new(seed, plan.clone());
            world.run_until_current().await;
            let read = |change: &&cdc_core::Change| change.transaction.id == 0;
            let rows = world.history.changes.iter().filter(read);
            let rows: BTreeSet<_> = rows.map(|change| change.position).collect();
            for ledger in &world.ledgers {
                let held = ledger.held.lock().unwrap();
                let delivered = held.applied.iter().filter(read).map(|change| change.position);
                assert_eq!(delivered.collect::<BTreeSet<_>>(), rows, "seed {seed}");
            }
        });
    }
}

#[test]
fn a_seed_replays_to_the_same_end() {
    for seed in 0..15 {
        let plan = Plan { overlap_percent: 30, ..total() };
        assert_eq!(simulate(seed, &plan), simulate(seed, &plan), "seed {seed}");
    }
}
