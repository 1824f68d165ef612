//! What every store of a pipeline's state must do.
//!
//! `reopen` gives the store as a new process would find it: on the first call an empty one, later
//! one with everything that was saved. The suite drops a store before it opens the next.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a suite fails by panicking")]

use bytes::Bytes;
use cdc_core::{
    Checkpoint, Column, DataType, Error, LogId, Offset, Place, Position, Retry, SchemaId, TableId,
    TableSchema, TopicPartition,
    dead_letter::{DeadLetter, DeadLetterInfo, DeadLetterStore},
    store::{CaptureProgress, CheckpointStore, SchemaStore},
};
use uuid::Uuid;

/// Runs the promises of [`CheckpointStore`].
pub async fn checkpoint_store<S: CheckpointStore>(reopen: impl AsyncFn() -> S) {
    nothing_is_known_at_first(&reopen().await).await;
    capture_progress_survives(&reopen).await;
    epochs_grow_over_restarts(&reopen).await;
    an_older_epoch_is_refused(&reopen().await).await;
    checkpoints_survive_and_stay_apart(&reopen).await;
    no_partition_moves_back(&reopen().await).await;
    another_log_resets_offsets_and_keeps_positions(&reopen().await).await;
}

async fn nothing_is_known_at_first(store: &impl CheckpointStore) {
    assert_eq!(store.load_capture().await.unwrap(), None);
    assert_eq!(store.load("nobody").await.unwrap(), Checkpoint::default());
}

async fn capture_progress_survives<S: CheckpointStore>(reopen: &impl AsyncFn() -> S) {
    let first = progress(7, b"{\"lsn\":7}");
    let second = progress(u128::MAX, b"\x00\xff any bytes");
    let store = reopen().await;
    let epoch = store.begin_epoch(0).await.unwrap();
    store.save_capture(epoch, &first).await.unwrap();
    assert_eq!(store.load_capture().await.unwrap(), Some(first));
    store.save_capture(epoch, &second).await.unwrap();
    drop(store);
    assert_eq!(reopen().await.load_capture().await.unwrap(), Some(second));
}

async fn epochs_grow_over_restarts<S: CheckpointStore>(reopen: &impl AsyncFn() -> S) {
    let store = reopen().await;
    let first = store.begin_epoch(0).await.unwrap();
    let second = store.begin_epoch(0).await.unwrap();
    assert!(first > 0 && second > first, "epochs grow: {first}, {second}");
    drop(store);
    let store = reopen().await;
    let third = store.begin_epoch(0).await.unwrap();
    assert!(third > second, "epochs grow over restarts: {second}, {third}");
    assert_eq!(store.begin_epoch(third + 100).await.unwrap(), third + 100, "raised to at_least");
    assert!(store.begin_epoch(third).await.unwrap() > third + 100, "never lowered");
}

async fn an_older_epoch_is_refused(store: &impl CheckpointStore) {
    let old = store.begin_epoch(0).await.unwrap();
    let kept = progress(100, b"kept");
    store.save_capture(old, &kept).await.unwrap();
    store.save("fenced", &checkpoint(old, log(1), &[(0, 5, 50)])).await.unwrap();
    let new = store.begin_epoch(0).await.unwrap();
    for wrong in [old, new + 1] {
        refused_for_good(store.save_capture(wrong, &progress(200, b"late")).await.unwrap_err());
        let late = checkpoint(wrong, log(1), &[(0, 9, 90)]);
        refused_for_good(store.save("fenced", &late).await.unwrap_err());
        refused_for_good(store.save("fenced-and-new", &late).await.unwrap_err());
    }
    assert_eq!(store.load_capture().await.unwrap(), Some(kept));
    assert_eq!(store.load("fenced").await.unwrap(), checkpoint(old, log(1), &[(0, 5, 50)]));
    assert_eq!(store.load("fenced-and-new").await.unwrap(), Checkpoint::default());
    store.save("fenced", &checkpoint(new, log(1), &[(0, 6, 60)])).await.unwrap();
    assert_eq!(store.load("fenced").await.unwrap(), checkpoint(new, log(1), &[(0, 6, 60)]));
}

async fn checkpoints_survive_and_stay_apart<S: CheckpointStore>(reopen: &impl AsyncFn() -> S) {
    let store = reopen().await;
    let epoch = store.begin_epoch(0).await.unwrap();
    let one = checkpoint(epoch, log(1), &[(0, 1, 10), (7, 2, 20)]);
    let two = checkpoint(epoch, log(1), &[(0, 3, 30)]);
    store.save("one", &one).await.unwrap();
    store.save("two", &two).await.unwrap();
    drop(store);
    let store = reopen().await;
    assert_eq!(store.load("one").await.unwrap(), one);
    assert_eq!(store.load("two").await.unwrap(), two);
}

async fn no_partition_moves_back(store: &impl CheckpointStore) {
    let epoch = store.begin_epoch(0).await.unwrap();
    let steps: [(&[Step], &[Step]); 4] = [
        (&[(0, 5, 50), (1, 8, 80)], &[(0, 5, 50), (1, 8, 80)]),
        (&[(0, 4, 40), (1, 9, 90)], &[(0, 5, 50), (1, 9, 90)]),
        (&[(0, 6, 50), (2, 1, 10)], &[(0, 6, 50), (2, 1, 10)]),
        (&[(0, 6, 60), (2, 1, 9)], &[(0, 6, 60), (2, 1, 10)]),
    ];
    for (saved, expected) in steps {
        store.save("forward", &checkpoint(epoch, log(1), saved)).await.unwrap();
        let loaded = store.load("forward").await.unwrap();
        assert_eq!(loaded, checkpoint(epoch, log(1), expected), "after {saved:?}");
    }
}

async fn another_log_resets_offsets_and_keeps_positions(store: &impl CheckpointStore) {
    let epoch = store.begin_epoch(0).await.unwrap();
    store.save("moved", &checkpoint(epoch, log(1), &[(0, 500, 50)])).await.unwrap();
    store.save("moved", &checkpoint(epoch, log(2), &[(0, 3, 40)])).await.unwrap();
    let loaded = store.load("moved").await.unwrap();
    assert_eq!(loaded, checkpoint(epoch, log(2), &[(0, 3, 50)]), "offsets of another log are gone");
}

/// Runs the promises of [`SchemaStore`].
pub async fn schema_store<S: SchemaStore>(reopen: impl AsyncFn() -> S) {
    let store = reopen().await;
    assert_eq!(store.get(SchemaId(1)).await.unwrap(), None);
    assert_eq!(store.get(SchemaId(u32::MAX)).await.unwrap(), None);
    let variants = schemas();
    let mut ids = Vec::new();
    for schema in &variants {
        let id = number(&store, schema).await;
        assert_eq!(number(&store, &schema.clone()).await, id, "same schema, same number");
        assert!(!ids.contains(&id), "another schema, another number: {schema:?}");
        ids.push(id);
    }
    drop(store);
    let store = reopen().await;
    for (schema, id) in variants.iter().zip(&ids) {
        assert_eq!(store.get(*id).await.unwrap().as_deref(), Some(schema));
        assert_eq!(number(&store, schema).await, *id, "the number outlives a restart");
    }
    let (one, two) = (schema("later", &[("id", DataType::Uuid)]), schema("last", &[]));
    let known = variants.first().unwrap();
    let newest = store.register(&[&one, known, &two, &one]).await.unwrap();
    let [first, second, third, fourth] = newest[..] else { panic!("{newest:?}") };
    assert!(![first, third].iter().any(|id| ids.contains(id)), "numbers are not reused");
    assert_eq!((Some(&second), fourth), (ids.first(), first));
    assert_ne!(first, third);
    assert_eq!(store.register(&[]).await.unwrap(), []);
    same_schema_registered_at_once_gets_one_number(&store).await;
}

async fn number(store: &impl SchemaStore, schema: &TableSchema) -> SchemaId {
    let numbers = store.register(&[schema]).await.unwrap();
    let [number] = numbers[..] else { panic!("{numbers:?} for one schema") };
    number
}

async fn same_schema_registered_at_once_gets_one_number(store: &impl SchemaStore) {
    let schema = schema("contended", &[("id", DataType::Int64)]);
    let ids = futures::future::join_all((0..8).map(|_| number(store, &schema))).await;
    assert!(ids.windows(2).all(|pair| pair.first() == pair.last()), "{ids:?}");
}

/// Schemas that differ from each other in one thing each.
fn schemas() -> Vec<TableSchema> {
    let base = schema("users", &[("id", DataType::Int32), ("name", DataType::Text)]);
    let with = |change: &dyn Fn(&mut TableSchema)| {
        let mut schema = base.clone();
        change(&mut schema);
        schema
    };
    let column = |change: &'static dyn Fn(&mut Column)| {
        with(&move |schema| schema.columns.iter_mut().take(1).for_each(change))
    };
    vec![
        base.clone(),
        with(&|schema| schema.table.namespace = "audit".to_owned()),
        with(&|schema| schema.table.name = "Größe \"x\".y".to_owned()),
        with(&|schema| schema.dialect = "mysql".to_owned()),
        with(&|schema| schema.key = vec![1, 0]),
        with(&|schema| schema.key = Vec::new()),
        with(&|schema| schema.columns.reverse()),
        with(&|schema| schema.columns.truncate(1)),
        column(&|column| column.name = "ID".to_owned()),
        column(&|column| column.nullable = true),
        column(&|column| column.native_type = "serial".to_owned()),
        column(&|column| column.data_type = DataType::Int64),
        column(&|column| column.data_type = decimal(None, None)),
        column(&|column| column.data_type = decimal(Some(10), Some(-2))),
        column(&|column| {
            column.data_type = DataType::Array(Box::new(DataType::Time { precision: Some(3) }));
        }),
        column(&|column| {
            column.data_type = DataType::Enum { labels: vec!["a".to_owned(), "ü".to_owned()] };
        }),
    ]
}

fn decimal(precision: Option<u32>, scale: Option<i32>) -> DataType {
    DataType::Decimal { precision, scale }
}

/// Runs the promises of [`DeadLetterStore`].
pub async fn dead_letter_store<S: DeadLetterStore>(reopen: impl AsyncFn() -> S) {
    letters_keep_their_order_and_contents(&reopen).await;
    parking_again_changes_nothing(&reopen().await).await;
    lists_are_per_sink_and_in_pages(&reopen().await).await;
    a_retry_is_requested_and_fails(&reopen).await;
    removed_letters_are_gone_and_their_ids_too(&reopen).await;
}

async fn letters_keep_their_order_and_contents<S: DeadLetterStore>(reopen: &impl AsyncFn() -> S) {
    let store = reopen().await;
    assert_eq!(store.count(None).await.unwrap(), 0);
    assert_eq!(store.list(None, 0, 10).await.unwrap(), []);
    assert_eq!(store.get(1).await.unwrap(), None);
    let mut parked = vec![letter("a", 1), letter("b", 1), letter("a", 2)];
    parked.iter_mut().for_each(|letter| letter.id = 999);
    store.park(parked.clone()).await.unwrap();
    store.park(Vec::new()).await.unwrap();
    drop(store);
    let store = reopen().await;
    let listed = store.list(None, 0, 10).await.unwrap();
    let ids: Vec<u64> = listed.iter().map(|letter| letter.id).collect();
    assert!(ids.iter().all(|id| *id > 0), "numbers start above 0, where lists start: {ids:?}");
    assert!(ids.is_sorted_by(|a, b| a < b), "numbers grow in the order of parking: {ids:?}");
    for (mut given, kept) in parked.into_iter().zip(&listed) {
        given.id = kept.id;
        assert_eq!(&given, kept);
        assert_eq!(store.get(kept.id).await.unwrap().as_ref(), Some(kept));
    }
    assert_eq!(listed.len(), 3);
}

async fn parking_again_changes_nothing(store: &impl DeadLetterStore) {
    let before = store.list(None, 0, 10).await.unwrap();
    let mut again = letter("a", 2);
    again.info.error = "another error".to_owned();
    again.payload = Bytes::from_static(b"another payload");
    store.park(vec![again, letter("b", 1)]).await.unwrap();
    assert_eq!(store.list(None, 0, 10).await.unwrap(), before);
    store.park(vec![letter("twice", 1), letter("twice", 1)]).await.unwrap();
    assert_eq!(store.count(Some("twice")).await.unwrap(), 1);
}

async fn lists_are_per_sink_and_in_pages(store: &impl DeadLetterStore) {
    assert_eq!(store.count(Some("a")).await.unwrap(), 2);
    assert_eq!(store.count(Some("b")).await.unwrap(), 1);
    assert_eq!(store.count(Some("nobody")).await.unwrap(), 0);
    assert_eq!(store.count(None).await.unwrap(), 4);
    assert_eq!(store.list(Some("nobody"), 0, 10).await.unwrap(), []);
    assert_eq!(store.list(None, u64::MAX, 10).await.unwrap(), []);
    assert_eq!(store.list(None, 0, 0).await.unwrap(), []);
    for sink in [None, Some("a")] {
        let whole = store.list(sink, 0, 10).await.unwrap();
        assert!(sink.is_none_or(|sink| whole.iter().all(|letter| letter.info.sink_id == sink)));
        let mut paged = Vec::new();
        let mut after = 0;
        loop {
            let page = store.list(sink, after, 1).await.unwrap();
            let Some(last) = page.last() else { break };
            after = last.id;
            paged.extend(page);
        }
        assert_eq!(paged, whole, "`after` itself is not listed again");
    }
}

async fn a_retry_is_requested_and_fails<S: DeadLetterStore>(reopen: &impl AsyncFn() -> S) {
    let store = reopen().await;
    let before = first(&store, "b").await;
    assert_eq!(store.request_retry(&[before.id, u64::MAX]).await.unwrap(), 1);
    drop(store);
    let store = reopen().await;
    let mut expected = before;
    expected.info.retry_requested = true;
    assert_eq!(first(&store, "b").await, expected);
    store.retry_failed(expected.id, "CDC-3199", "refused once more").await.unwrap();
    store.retry_failed(u64::MAX, "CDC-3199", "nobody").await.unwrap();
    expected.info.retry_requested = false;
    expected.info.retries = 1;
    expected.info.error_code = "CDC-3199".to_owned();
    expected.info.error = "refused once more".to_owned();
    assert_eq!(first(&store, "b").await, expected);
    assert_eq!(store.count(Some("b")).await.unwrap(), 1);
}

async fn removed_letters_are_gone_and_their_ids_too<S: DeadLetterStore>(
    reopen: &impl AsyncFn() -> S,
) {
    let store = reopen().await;
    store.park(vec![letter("late", 1)]).await.unwrap();
    let gone = first(&store, "late").await.id;
    assert_eq!(store.remove(&[gone, u64::MAX]).await.unwrap(), 1);
    assert_eq!(store.remove(&[gone]).await.unwrap(), 0);
    assert_eq!(store.get(gone).await.unwrap(), None);
    assert_eq!(store.count(Some("late")).await.unwrap(), 0);
    assert_eq!(store.list(Some("late"), 0, 10).await.unwrap(), []);
    drop(store);
    let store = reopen().await;
    store.park(vec![letter("late", 1)]).await.unwrap();
    let parked_again = first(&store, "late").await;
    assert!(parked_again.id > gone, "a number is never used twice");
    let all: Vec<u64> =
        store.list(None, 0, 100).await.unwrap().iter().map(|letter| letter.id).collect();
    assert_eq!(store.remove(&all).await.unwrap(), all.len());
    assert_eq!(store.count(None).await.unwrap(), 0);
}

async fn first(store: &impl DeadLetterStore, sink: &str) -> DeadLetter {
    let letters = store.list(Some(sink), 0, 1).await.unwrap();
    letters.into_iter().next().unwrap_or_else(|| panic!("no letter of {sink}"))
}

/// Partition, offset and commit of its position.
type Step = (u32, u64, u128);

fn checkpoint(epoch: u64, log: LogId, places: &[Step]) -> Checkpoint {
    let place = |(partition, offset, commit): &Step| {
        let place = Place { offset: Offset(*offset), position: Position::new(*commit, 1) };
        (TopicPartition::new("pipeline", *partition), place)
    };
    Checkpoint { epoch, log: Some(log), partitions: places.iter().map(place).collect() }
}

fn log(number: u128) -> LogId {
    LogId(Uuid::from_u128(number))
}

fn progress(commit: u128, resume: &'static [u8]) -> CaptureProgress {
    CaptureProgress { position: Position::new(commit, 3), resume: Bytes::from_static(resume) }
}

fn refused_for_good(error: Error) {
    assert_eq!(error.retry, Retry::Never, "{error}");
}

fn schema(name: &str, columns: &[(&str, DataType)]) -> TableSchema {
    let column = |(name, data_type): &(&str, DataType)| Column {
        name: (*name).to_owned(),
        data_type: data_type.clone(),
        native_type: "integer".to_owned(),
        nullable: false,
        number: None,
        missing: None,
        default: None,
    };
    TableSchema {
        table: TableId::new("public", name),
        dialect: "postgres".to_owned(),
        columns: columns.iter().map(column).collect(),
        key: vec![0],
        number: None,
    }
}

/// A letter of a sink whose place is told by a number.
#[must_use]
pub fn letter(sink: &str, number: u64) -> DeadLetter {
    DeadLetter {
        id: 0,
        info: DeadLetterInfo {
            sink_id: sink.to_owned(),
            topic: "cdc.public.users".to_owned(),
            table: "public.users".to_owned(),
            partition: 0,
            offset: Offset(number),
            position: Position::new(u128::MAX - 1000 + u128::from(number), number),
            error_code: "CDC-3101".to_owned(),
            error: "refused: \"quotes\" and umlauts äöü".to_owned(),
            parked_at_ms: 1_700_000_000_000,
            retries: 0,
            retry_requested: false,
            holds_table: number == 2,
        },
        payload: Bytes::from(vec![u8::try_from(number % 256).unwrap_or(0); 100]),
    }
}
