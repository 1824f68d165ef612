//! What every sink must do.
//!
//! A sink's tests implement [`Destination`] and call [`run`]. The suite plays the engine: it opens
//! sessions, delivers in batches, commits where the sink allows it, drops sessions at every kind of
//! moment, resumes from what the contract says, and then compares what a reader of the destination
//! sees with what was captured. [`Destination::seen`] decides what a reader is: one of a file reads
//! as far as the committed length, one of a webhook what the receiver took.

mod changes;
mod partitions;
mod session;

use crate::generate;
use async_trait::async_trait;
use cdc_core::sink::Delivery;
use cdc_core::{Checkpoint, Delivered, Offset, Result, Sink};
use changes::{Numbers, checkpoint};
use session::{Crash, Delivery as Run};
use std::collections::{BTreeMap, BTreeSet};

pub use changes::Seen;

/// Where a sink under test writes to. Every call of `open` opens the same destination.
#[async_trait]
pub trait Destination: Send + Sync {
    /// Opens a session, as the engine does after every failure.
    async fn open(&self) -> Result<Box<dyn Sink>>;

    /// Every row that a reader of the destination sees now, in the order in which they arrived;
    /// where the destination is a table, in the order of `id`. The rows are those of
    /// [`table`](fn@table).
    async fn seen(&self) -> Vec<Seen>;

    /// Is the destination a table, of whose rows only the newest version is seen?
    fn is_table(&self) -> bool {
        false
    }

    /// Does it keep the order of all changes, and not only of those with one key?
    fn keeps_total_order(&self) -> bool {
        true
    }

    /// Makes the next write or commit land without its answer. `false` where that cannot be done.
    async fn lose_next_answer(&self) -> bool {
        false
    }
}

/// Runs the whole suite; `fresh` makes an empty destination. Panics with the name of the promise
/// that was broken.
pub async fn run<D: Destination>(fresh: impl AsyncFn() -> D) {
    everything_arrives_in_order(&fresh().await).await;
    the_checkpoint_is_found_again(&fresh().await).await;
    a_checkpoint_moves_without_data(&fresh().await).await;
    what_was_not_committed_is_gone(&fresh().await).await;
    crashes_neither_lose_nor_repeat(&fresh).await;
    a_lost_answer_changes_nothing(&fresh().await).await;
    an_older_epoch_is_refused(&fresh().await).await;
    preparing_twice_is_preparing_once(&fresh().await).await;
    large_batches_and_values_pass(&fresh().await).await;
    every_operation_and_type_is_taken(&fresh().await).await;
    partitions::run(&fresh).await;
}

/// The table that the suite writes: `id bigint` is its key, `sequence bigint` grows from change to
/// change, `padding text` is as large as a scenario needs it.
#[must_use]
pub fn table() -> std::sync::Arc<cdc_core::TableSchema> {
    changes::schema(&[])
}

async fn everything_arrives_in_order(destination: &impl Destination) {
    for (changes, batch) in
        [(Numbers::new().inserts(50), 7), (Numbers::after(50).updates(60, 5), 1)]
    {
        let mut run = Run::new(destination, changes.clone());
        run.batch = batch;
        run.finish().await;
    }
    let expected: Vec<Delivered> =
        [Numbers::new().inserts(50), Numbers::after(50).updates(60, 5)].concat();
    expect_all(destination, &expected, Delivery::ExactlyOnce, "everything arrives in order").await;
}

async fn the_checkpoint_is_found_again(destination: &impl Destination) {
    let mut sink = open(destination).await;
    let keeps = sink.delivery() == Delivery::ExactlyOnce;
    let none = sink.claim(1).await.expect("claim");
    if !keeps {
        assert_eq!(none, None, "only a sink with a checkpoint of its own says one");
        return;
    }
    let nothing = Checkpoint { epoch: 1, ..Checkpoint::default() };
    assert_eq!(none, Some(nothing), "before the first commit only the epoch is known");
    let changes = Numbers::new().inserts(3);
    session::write(&mut *sink, &changes).await;
    sink.commit(&checkpoint(1, &changes)).await.expect("commit");
    sink.close().await.expect("close");
    for epoch in [1, 2] {
        let found = open(destination).await.claim(epoch).await.expect("claim");
        let expected = Some(checkpoint(epoch, &changes));
        assert_eq!(found, expected, "the checkpoint is found again under the epoch claimed");
    }
}

async fn a_checkpoint_moves_without_data(destination: &impl Destination) {
    let mut sink = open(destination).await;
    let delivery = sink.delivery();
    sink.claim(4).await.expect("claim");
    let saved = checkpoint(4, &Numbers::new().inserts(3));
    sink.commit(&saved).await.expect("a commit without data");
    drop(sink);
    if delivery == Delivery::ExactlyOnce {
        let found = open(destination).await.claim(4).await.expect("claim");
        assert_eq!(found, Some(saved), "a checkpoint moves without data");
    }
    assert!(destination.seen().await.is_empty(), "nothing was written");
}

async fn what_was_not_committed_is_gone(destination: &impl Destination) {
    let changes = Numbers::new().inserts(21);
    let (committed, lost) = changes.split_at(9);
    let mut sink = open(destination).await;
    if sink.delivery() != Delivery::ExactlyOnce {
        return;
    }
    sink.claim(1).await.expect("claim");
    session::write(&mut *sink, committed).await;
    assert!(destination.seen().await.is_empty(), "nothing is seen before its commit");
    sink.commit(&checkpoint(1, committed)).await.expect("commit");
    session::write(&mut *sink, lost).await;
    expect_all(destination, committed, Delivery::ExactlyOnce, "what is seen is committed").await;
    drop(sink);
    let mut sink = open(destination).await;
    let found = sink.claim(1).await.expect("claim");
    assert_eq!(found, Some(checkpoint(1, committed)), "the old checkpoint holds");
    expect_all(destination, committed, Delivery::ExactlyOnce, "what was dropped is gone").await;
    drop(sink);
    Run::new(destination, changes.clone()).finish().await;
    expect_all(destination, &changes, Delivery::ExactlyOnce, "and arrives when repeated").await;
}

async fn crashes_neither_lose_nor_repeat<D: Destination>(fresh: &impl AsyncFn() -> D) {
    const SEEDS: u64 = 12;
    for seed in 0..SEEDS {
        let destination = fresh().await;
        let changes = [Numbers::new().inserts(40), Numbers::after(40).updates(40, 6)].concat();
        let mut run = Run::new(&destination, changes.clone());
        run.batch = usize::try_from(seed % 5).unwrap_or(0) + 1;
        run.crash = Some(Crash::from_seed(seed));
        let delivery = run.finish().await;
        let promise = format!("crashes neither lose nor repeat (seed {seed})");
        expect_all(&destination, &changes, delivery, &promise).await;
    }
}

async fn a_lost_answer_changes_nothing(destination: &impl Destination) {
    let changes = Numbers::new().inserts(30);
    let mut run = Run::new(destination, changes.clone());
    run.batch = 4;
    run.lose_answers = true;
    let delivery = run.finish().await;
    expect_all(destination, &changes, delivery, "a lost answer changes nothing").await;
}

async fn an_older_epoch_is_refused(destination: &impl Destination) {
    let changes = Numbers::new().inserts(9);
    let (first, rest) = changes.split_at(3);
    let mut old = open(destination).await;
    if old.delivery() != Delivery::ExactlyOnce {
        return;
    }
    old.claim(5).await.expect("claim");
    session::write(&mut *old, first).await;
    old.commit(&checkpoint(5, first)).await.expect("commit");
    // A destination may also refuse a second session for as long as the first is open.
    if let Ok(mut newer) = destination.open().await
        && newer.claim(7).await.is_ok()
    {
        let refused = commits(&mut *old, &checkpoint(5, &changes), rest).await;
        assert!(!refused, "a claim fences the older writer off");
        drop(newer);
    } else {
        old.close().await.expect("close");
        open(destination).await.claim(7).await.expect("claim");
    }
    let mut older = open(destination).await;
    let found = older.claim(6).await.expect("claim");
    assert_eq!(found, Some(checkpoint(7, first)), "an older claim changes nothing and says so");
    assert!(!commits(&mut *older, &checkpoint(6, &changes), rest).await, "an older commit fails");
    drop(older);
    expect_all(destination, first, Delivery::ExactlyOnce, "an older epoch leaves nothing").await;
    let found = open(destination).await.claim(7).await.expect("claim");
    assert_eq!(found, Some(checkpoint(7, first)), "the newer checkpoint holds");
}

async fn commits(sink: &mut dyn Sink, checkpoint: &Checkpoint, changes: &[Delivered]) -> bool {
    session::try_write(sink, changes).await.is_ok() && sink.commit(checkpoint).await.is_ok()
}

async fn preparing_twice_is_preparing_once(destination: &impl Destination) {
    let narrow = Numbers::new().inserts(4);
    let wide_schema = changes::schema(&["added"]);
    let wide = Numbers::after(4).under(&wide_schema).inserts(4);
    let mut sink = open(destination).await;
    let delivery = sink.delivery();
    sink.claim(1).await.expect("claim");
    for _ in 0..2 {
        sink.prepare(None, &table()).await.expect("prepare does nothing the second time");
    }
    session::write(&mut *sink, &narrow).await;
    sink.commit(&checkpoint(1, &narrow)).await.expect("commit");
    for _ in 0..2 {
        sink.prepare(Some(&table()), &wide_schema).await.expect("a column is added once");
    }
    session::write(&mut *sink, &wide).await;
    sink.commit(&checkpoint(1, &wide)).await.expect("commit");
    drop(sink);
    let mut sink = open(destination).await;
    sink.claim(1).await.expect("claim");
    sink.prepare(None, &wide_schema).await.expect("prepare after a start");
    drop(sink);
    expect_all(destination, &[narrow, wide].concat(), delivery, "prepare loses nothing").await;
}

async fn large_batches_and_values_pass(destination: &impl Destination) {
    const MIB: usize = 1 << 20;
    let many = Numbers::new().padded(1_000).inserts(3_000);
    let large = Numbers::after(3_000).padded(4 * MIB).inserts(2);
    let changes = [many, large].concat();
    let mut run = Run::new(destination, changes.clone());
    run.batch = changes.len();
    let delivery = run.finish().await;
    expect_all(destination, &changes, delivery, "large batches and values pass").await;
}

async fn every_operation_and_type_is_taken(destination: &impl Destination) {
    let mut generator = generate::Generator::new(42);
    generator.add_table(cdc_core::TableId::new("public", "random \"one\""));
    generator.add_table_of_every_type(cdc_core::TableId::new("public", "Ünïcode two"));
    let changes = generate::delivered(generator.transactions(120, 4), Offset(0));
    let mut run = Run::new(destination, changes);
    run.batch = 50;
    run.finish().await;
}

async fn open(destination: &impl Destination) -> Box<dyn Sink> {
    destination.open().await.expect("the destination opens")
}

/// Compares what is seen with what was delivered, as strictly as the promise allows.
async fn expect_all(
    destination: &impl Destination,
    changes: &[Delivered],
    delivery: Delivery,
    promise: &str,
) {
    let seen = destination.seen().await;
    let expected: Vec<(i64, i64)> = changes.iter().map(changes::numbers).collect();
    if destination.is_table() {
        let newest: BTreeMap<i64, i64> = expected.into_iter().collect();
        let rows: Vec<(i64, i64)> = seen.iter().map(|seen| (seen.id, seen.sequence)).collect();
        assert_eq!(rows, newest.into_iter().collect::<Vec<_>>(), "{promise}");
        return;
    }
    let once = first_of_each(&seen, delivery, promise);
    if destination.keeps_total_order() {
        assert_eq!(once, expected, "{promise}");
        return;
    }
    let by_key = |pairs: &[(i64, i64)]| {
        let mut out: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for (id, sequence) in pairs {
            out.entry(*id).or_default().push(*sequence);
        }
        out
    };
    assert_eq!(by_key(&once), by_key(&expected), "{promise}");
}

/// Drops repetitions, which only `AtLeastOnce` may show, and only under one identity.
fn first_of_each(seen: &[Seen], delivery: Delivery, promise: &str) -> Vec<(i64, i64)> {
    let mut identities: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    let mut known = BTreeSet::new();
    let mut out = Vec::new();
    for row in seen {
        let numbers = (row.id, row.sequence);
        let first = *identities.entry(&row.identity).or_insert(numbers);
        assert_eq!(first, numbers, "{promise}: two changes share an identity");
        if known.insert(numbers) {
            assert!(
                identities.len() == known.len(),
                "{promise}: a change came again under another identity"
            );
            out.push(numbers);
        } else {
            assert_eq!(delivery, Delivery::AtLeastOnce, "{promise}: {numbers:?} came twice");
        }
    }
    assert_eq!(identities.len(), known.len(), "{promise}: one change has two identities");
    out
}
