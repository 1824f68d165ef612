//! A sink that several processes share, each with some partitions of the log.

use super::{
    Destination,
    changes::{Numbers, checkpoint},
    expect_all, open, session,
};
use crate::generate;
use cdc_core::{
    Checkpoint, Delivered, LogId, Offset, Sink, TopicPartition, checkpoint::Places, sink::Delivery,
};

pub(super) async fn run<D: Destination>(fresh: &impl AsyncFn() -> D) {
    places_are_found_again(&fresh().await).await;
    the_newest_claim_wins(&fresh().await).await;
    sessions_with_other_partitions_do_not_disturb_each_other(&fresh().await).await;
}

const LOG: LogId = LogId(uuid::Uuid::from_u128(0x5eed));
const OTHER_LOG: LogId = LogId(uuid::Uuid::from_u128(7));

async fn claim(sink: &mut dyn Sink, log: LogId, partitions: &[TopicPartition]) -> Option<Places> {
    sink.claim_partitions(log, partitions).await.expect("claim")
}

/// The places after the last of these changes.
fn places(changes: &[Delivered]) -> Checkpoint {
    Checkpoint { epoch: 0, ..checkpoint(0, changes) }
}

async fn places_are_found_again(destination: &impl Destination) {
    let (at, beside) = (generate::partition(), TopicPartition::new("beside", 3));
    let both = [at.clone(), beside.clone()];
    let changes = Numbers::new().inserts(9);
    let (first, rest) = changes.split_at(3);
    let mut sink = open(destination).await;
    if sink.delivery() != Delivery::ExactlyOnce {
        let kept = claim(&mut *sink, LOG, &both).await;
        assert_eq!(kept, None, "only a sink with a checkpoint of its own says places");
        return;
    }
    let none = claim(&mut *sink, LOG, &both).await;
    assert_eq!(none, Some(Places::new()), "before the first commit no place is known");
    session::write(&mut *sink, first).await;
    sink.commit(&places(first)).await.expect("commit");
    sink.close().await.expect("close");

    let mut sink = open(destination).await;
    let found = claim(&mut *sink, LOG, &both).await;
    assert_eq!(found, Some(places(first).partitions), "places are found again");
    session::write(&mut *sink, rest).await;
    // A place without changes moves with the others.
    let mut both_moved = places(&changes);
    both_moved
        .partitions
        .extend(places(first).partitions.into_values().map(|p| (beside.clone(), p)));
    sink.commit(&both_moved).await.expect("commit");
    drop(sink);

    let mut sink = open(destination).await;
    let found = claim(&mut *sink, LOG, std::slice::from_ref(&at)).await;
    assert_eq!(found, Some(places(&changes).partitions), "only what was asked for");
    let found = claim(&mut *sink, LOG, std::slice::from_ref(&beside)).await;
    let moved = both_moved.partitions.get(&beside).copied();
    assert_eq!(found.unwrap_or_default().get(&beside).copied(), moved, "places move without data");
    drop(sink);

    let found = claim(&mut *open(destination).await, OTHER_LOG, &[at]).await.unwrap_or_default();
    let expected =
        places(&changes).partitions.into_values().map(|place| (Offset(0), place.position));
    let found = found.into_values().map(|place| (place.offset, place.position));
    assert!(found.eq(expected), "offsets of another log mean nothing, positions do");
    expect_all(destination, &changes, Delivery::ExactlyOnce, "places are found again").await;
}

async fn the_newest_claim_wins(destination: &impl Destination) {
    let changes = Numbers::new().inserts(9);
    let (first, rest) = changes.split_at(3);
    let partitions = [generate::partition()];
    let mut old = open(destination).await;
    if old.delivery() != Delivery::ExactlyOnce {
        return;
    }
    claim(&mut *old, LOG, &partitions).await;
    session::write(&mut *old, first).await;
    old.commit(&places(first)).await.expect("commit");
    // A destination may also refuse a second session for as long as the first is open.
    let Ok(mut new) = destination.open().await else { return };
    let found = claim(&mut *new, LOG, &partitions).await;
    assert_eq!(found, Some(places(first).partitions), "the newer session goes on from there");
    let refused = session::try_write(&mut *old, rest).await.is_err()
        || old.commit(&places(&changes)).await.is_err();
    assert!(refused, "a claim fences the older writer off");
    drop(old);
    expect_all(destination, first, Delivery::ExactlyOnce, "what it wrote is gone").await;
    session::write(&mut *new, rest).await;
    new.commit(&places(&changes)).await.expect("the newer session commits");
    drop(new);
    expect_all(destination, &changes, Delivery::ExactlyOnce, "the newest claim wins").await;
}

async fn sessions_with_other_partitions_do_not_disturb_each_other(destination: &impl Destination) {
    let changes = Numbers::new().inserts(9);
    let (first, rest) = changes.split_at(3);
    let beside = [TopicPartition::new("beside", 0)];
    let mut one = open(destination).await;
    if one.delivery() != Delivery::ExactlyOnce {
        return;
    }
    claim(&mut *one, LOG, &[generate::partition()]).await;
    session::write(&mut *one, first).await;
    one.commit(&places(first)).await.expect("commit");
    let Ok(mut other) = destination.open().await else { return };
    claim(&mut *other, LOG, &beside).await;
    session::write(&mut *one, rest).await;
    one.commit(&places(&changes)).await.expect("another's claim of other partitions is no matter");
    drop((one, other));
    expect_all(destination, &changes, Delivery::ExactlyOnce, "sessions beside each other").await;
}
