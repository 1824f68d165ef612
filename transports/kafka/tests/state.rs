use crate::{SOON, config, open, read_all, soon};
use bytes::Bytes;
use cdc_codec::row;
use cdc_core::{
    Change, Column, DataType, Operation, Position, TableId, TableSchema, Timestamp, TopicPartition,
    Transaction, Value,
    dead_letter::{DeadLetter, DeadLetterStore},
    store::{CaptureProgress, CheckpointStore as _, SchemaStore},
};
use cdc_testkit::{
    conformance::store::{self, letter},
    services::{Kafka, KafkaOptions},
};
use cdc_transport_kafka::{Config, DeadLetterTopics, Outgoing, State, StateOptions, TopicPlan};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

fn kafka() -> Option<&'static Kafka> {
    Kafka::shared_or_skip("transport-kafka").unwrap()
}

async fn state(config: Config, pipeline: &str) -> State {
    soon(State::open(config, pipeline, StateOptions::default())).await.unwrap()
}

fn progress(number: u64) -> CaptureProgress {
    let resume = Bytes::from(format!("{{\"lsn\":{number}}}").repeat(50));
    CaptureProgress { position: Position::new(u128::from(number), 0), resume }
}

fn schema(number: usize) -> TableSchema {
    let column = |at: usize| Column {
        name: format!("column_{at}"),
        data_type: DataType::Int64,
        native_type: "bigint".to_owned(),
        nullable: at > 0,
        number: Some(at as u32),
        missing: None,
        default: None,
    };
    TableSchema {
        table: TableId::new("public", format!("table_{number}")),
        dialect: "postgres".to_owned(),
        columns: (0..12).map(column).collect(),
        key: vec![0],
        number: Some(number as u32),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_promises_of_a_checkpoint_store() {
    let Some(kafka) = kafka() else { return };
    let pipeline = kafka.name("state");
    store::checkpoint_store(async || state(config(kafka), &pipeline).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_promises_of_a_schema_store() {
    let Some(kafka) = kafka() else { return };
    let pipeline = kafka.name("state");
    store::schema_store(async || state(config(kafka), &pipeline).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_promises_of_a_dead_letter_store() {
    let Some(kafka) = kafka() else { return };
    let pipeline = kafka.name("state");
    store::dead_letter_store(async || state(config(kafka), &pipeline).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_epoch_begins_twice() {
    let Some(kafka) = kafka() else { return };
    let pipeline = kafka.name("race");
    let mut racing = Vec::new();
    for _ in 0..4 {
        let one = state(config(kafka), &pipeline).await;
        racing.push(async move {
            let mut begun = Vec::new();
            for round in 0..15 {
                begun.push(one.begin_epoch(if round == 7 { 1_000 } else { 0 }).await.unwrap());
            }
            assert!(begun.is_sorted_by(|a, b| a < b), "{begun:?}");
            begun
        });
    }
    let begun = soon(futures::future::join_all(racing)).await.concat();
    let apart: BTreeSet<u64> = begun.iter().copied().collect();
    assert_eq!(apart.len(), begun.len(), "{begun:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_taken_over_may_not_save_any_more() {
    let Some(kafka) = kafka() else { return };
    let pipeline = kafka.name("fenced");
    let (one, two) = (state(config(kafka), &pipeline).await, state(config(kafka), &pipeline).await);
    let old = one.begin_epoch(0).await.unwrap();
    one.save_capture(old, &progress(1)).await.unwrap();
    // Without a pause: the other may not have read of the new epoch when it begins to save.
    let saving = async {
        for number in 2_u64.. {
            if let Err(error) = one.save_capture(old, &progress(number)).await {
                return (number, error);
            }
        }
        unreachable!()
    };
    let taking_over = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let new = two.begin_epoch(0).await.unwrap();
        (new, two.load_capture().await.unwrap())
    };
    let ((refused, error), (new, found)) = soon(async { tokio::join!(saving, taking_over) }).await;
    assert_eq!((error.code, error.retry), ("CDC-2119", cdc_core::Retry::Never), "{error}");
    assert!(error.context.contains(&format!("epoch {new} has begun")), "{error}");
    assert_eq!(
        found,
        Some(progress(refused - 1)),
        "all that was saved, and nothing that was refused"
    );
    two.save_capture(new, &progress(7)).await.unwrap();
    soon(async {
        while one.load_capture().await.unwrap() != Some(progress(7)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    drop((one, two));
    let again = state(config(kafka), &pipeline).await;
    assert_eq!(again.load_capture().await.unwrap(), Some(progress(7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_give_one_schema_one_number() {
    let Some(kafka) = kafka() else { return };
    let pipeline = kafka.name("numbers");
    let mut registering = Vec::new();
    for process in 0..4 {
        let one = state(config(kafka), &pipeline).await;
        registering.push(async move {
            let mut numbers = Vec::new();
            for step in 0..12 {
                let schema = schema((step + process) % 12);
                let number = one.register(&[&schema]).await.unwrap();
                numbers.push((schema.table.name.clone(), number[0]));
            }
            numbers
        });
    }
    let numbers = soon(futures::future::join_all(registering)).await.concat();
    let apart: BTreeSet<_> = numbers.into_iter().collect();
    assert_eq!(apart.len(), 12, "{apart:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_schemas_are_read_quickly() {
    let Some(kafka) = kafka() else { return };
    let pipeline = kafka.name("many");
    let schemas: Vec<TableSchema> = (0..10_000).map(schema).collect();
    let one = state(config(kafka), &pipeline).await;
    let begun = Instant::now();
    let mut numbers = Vec::new();
    for some in schemas.chunks(500) {
        let some: Vec<&TableSchema> = some.iter().collect();
        numbers.extend(soon(one.register(&some)).await.unwrap());
    }
    let registered = begun.elapsed();
    let begun = Instant::now();
    let again = state(config(kafka), &pipeline).await;
    let opened = begun.elapsed();
    println!("10,000 schemas: registered in {registered:?}, opened in {opened:?}");
    assert!(opened < Duration::from_secs(10), "{opened:?}");
    let last = SchemaStore::get(&again, *numbers.last().unwrap()).await.unwrap();
    assert_eq!(last.as_deref(), schemas.last());
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_that_memory_does_not_hold_come_from_the_topic() {
    let Some(kafka) = kafka() else { return };
    let pipeline = kafka.name("payloads");
    let one = state(config(kafka), &pipeline).await;
    let mut parked: Vec<DeadLetter> = (0..24).map(|number| letter("a", number)).collect();
    for (number, letter) in parked.iter_mut().enumerate() {
        letter.payload = vec![number as u8; 1 << 20].into();
    }
    soon(one.park(parked.clone())).await.unwrap();
    let again = state(config(kafka), &pipeline).await;
    for state in [one, again] {
        let (mut seen, mut after) = (Vec::new(), 0);
        loop {
            let page = soon(state.list(Some("a"), after, 100)).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= 8, "a page holds about 8 MiB");
            after = last.id;
            seen.extend(page);
        }
        assert_eq!(seen.len(), parked.len());
        for (given, found) in parked.iter().zip(&seen) {
            assert_eq!(DeadLetter { id: found.id, ..given.clone() }, *found);
        }
        assert_eq!(soon(DeadLetterStore::get(&state, after)).await.unwrap().as_ref(), seen.last());
    }
}

fn refused() -> DeadLetter {
    let change = Change {
        schema: Arc::new(schema(1)),
        operation: Operation::Insert,
        before: None,
        after: Some((0..12).map(Value::Int).collect()),
        position: letter("hook", 7).info.position,
        log_address: 7,
        transaction: Arc::new(Transaction { id: 7, commit_time: Timestamp::from_micros(0) }),
        ends_transaction: true,
    };
    DeadLetter { payload: row::encode_letter(&change), ..letter("hook", 7) }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_copied_to_the_topic_beside() {
    let Some(kafka) = kafka() else { return };
    let (pipeline, prefix) = (kafka.name("copies"), kafka.name("shop"));
    let topics = DeadLetterTopics { suffix: "dlq".to_owned(), topic_prefix: prefix.clone() };
    let options = StateOptions { dead_letter_topics: Some(topics), ..StateOptions::default() };
    let one = State::open(config(kafka), &pipeline, options).await.unwrap();
    let mut readable = refused();
    readable.info.topic = format!("{prefix}.public.table_1");
    let mut strange = letter("hook", 8);
    strange.info.topic.clone_from(&readable.info.topic);
    soon(one.park(vec![readable.clone(), strange.clone()])).await.unwrap();
    soon(one.park(vec![readable.clone()])).await.unwrap();

    let log = open(config(kafka), &prefix).await;
    let at = TopicPartition::new(format!("{prefix}.public.table_1.dlq"), 0);
    let copies = read_all(&log, &at).await;
    assert_eq!(copies.len(), 2, "parked again, and not copied again");
    assert_eq!(copies[0].key.as_deref(), Some(&b"{\"column_0\":0}"[..]));
    let value: serde_json::Value =
        serde_json::from_slice(copies[0].value.as_deref().unwrap()).unwrap();
    assert_eq!((&value["op"], &value["after"]["column_3"]), (&"c".into(), &3.into()));
    assert_eq!(value["source"]["name"], prefix.as_str());
    let headers: Vec<(&str, String)> = copies[0]
        .headers
        .iter()
        .map(|(name, value)| (&**name, String::from_utf8(value.to_vec()).unwrap()))
        .collect();
    let error = readable.info.error.as_str();
    for (name, value) in [
        ("dlq.source.topic", readable.info.topic.as_str()),
        ("dlq.source.partition", "0"),
        ("dlq.source.offset", "7"),
        ("dlq.error.type", "CDC-3101"),
        ("dlq.error.message", error),
        ("dlq.error.stacktrace", &format!("CDC-3101: {error}")),
        ("dlq.timestamp", "1700000000000"),
        ("dlq.sink_id", "hook"),
    ] {
        assert!(headers.contains(&(name, value.to_owned())), "{name}: {headers:?}");
    }
    assert_eq!(copies[1].value, Some(strange.payload), "what no format tells is sent as it is");
    assert_eq!(log.topics().await.unwrap(), Default::default(), "no sink reads them");
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_would_lose_the_state_are_refused() {
    let Some(kafka) = kafka() else { return };
    let log = open(config(kafka), &kafka.name("refused")).await;
    for (partitions, policy, expected) in [
        (3, "compact", "3 partitions"),
        (1, "delete", "is delete"),
        (1, "compact,delete", "must be compact"),
    ] {
        let pipeline = kafka.name("refused");
        let mut plan = TopicPlan::of_state(&pipeline, &config(kafka));
        plan.partitions = partitions;
        plan.configs.insert("cleanup.policy".to_owned(), policy.to_owned());
        log.provision(&[plan]).await.unwrap();
        let opened = State::open(config(kafka), &pipeline, StateOptions::default()).await;
        let error = opened.unwrap_err();
        assert_eq!((error.code, error.retry), ("CDC-2120", cdc_core::Retry::AfterOperator));
        assert!(error.context.contains(expected), "{error}");
        assert!(error.remedy.unwrap().contains("kafka-"), "says what to type");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_another_program_stops_the_state_until_it_is_taken_back() {
    let Some(kafka) = kafka() else { return };
    let pipeline = kafka.name("foreign");
    let one = state(config(kafka), &pipeline).await;
    one.begin_epoch(0).await.unwrap();
    let log = open(config(kafka), &kafka.name("foreign")).await;
    let at = TopicPartition::new(config(kafka).state_topic(&pipeline), 0);
    let record = |value: Option<&'static [u8]>| Outgoing {
        key: Some(Bytes::from_static(b"epoch/one/million")),
        value: value.map(Bytes::from_static),
        headers: Vec::new(),
        position: Position::default(),
    };
    crate::send(&log, &at, vec![record(Some(b"!"))]).await;
    let wait = async |unreadable: bool| {
        while one.load_capture().await.is_err() != unreadable {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(wait(true)).await;
    let error = one.begin_epoch(0).await.unwrap_err();
    assert_eq!((error.code, error.retry), ("CDC-2121", cdc_core::Retry::AfterOperator), "{error}");
    crate::send(&log, &at, vec![record(None)]).await;
    soon(wait(false)).await;
    assert_eq!(one.begin_epoch(0).await.unwrap(), 2);
}

/// What callers can see of a state.
async fn visible(of: &State) -> String {
    let letters = of.list(None, 0, 1_000).await.unwrap();
    let mut schemas = Vec::new();
    for number in 0..40 {
        schemas.push(SchemaStore::get(of, cdc_core::SchemaId(number)).await.unwrap());
    }
    let consumer = of.load("one").await.unwrap();
    format!("{:?} {consumer:?} {letters:?} {schemas:?}", of.load_capture().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cleaner_leaves_says_the_same() {
    let settings = vec![("log.cleaner.backoff.ms", "200"), ("log.cleaner.threads", "1")];
    let options = KafkaOptions { settings, ..KafkaOptions::default() };
    let Some(kafka) = Kafka::start_or_skip("transport-kafka", &options).unwrap() else { return };
    let config = config(&kafka);
    let log = open(config.clone(), "compaction").await;
    let mut plan = TopicPlan::of_state("compaction", &config);
    for (key, value) in [
        ("segment.ms", "300"),
        ("min.cleanable.dirty.ratio", "0.001"),
        ("delete.retention.ms", "100"),
    ] {
        plan.configs.insert(key.to_owned(), value.to_owned());
    }
    log.provision(std::slice::from_ref(&plan)).await.unwrap();
    let at = TopicPartition::new(plan.name, 0);
    let (one, two) =
        (state(config.clone(), "compaction").await, state(config.clone(), "compaction").await);
    let mut number = 0;
    for round in 0..6 {
        let (old, new) = if round % 2 == 0 { (&one, &two) } else { (&two, &one) };
        let epoch = new.begin_epoch(0).await.unwrap();
        for _ in 0..40 {
            number += 1;
            new.save_capture(epoch, &progress(number)).await.unwrap();
            drop(old.save_capture(epoch - 1, &progress(9_999)).await);
        }
        let checkpoint = cdc_core::Checkpoint { epoch, ..Default::default() };
        new.save("one", &checkpoint).await.unwrap();
        let schemas: Vec<TableSchema> = (round * 5..round * 5 + 5).map(schema).collect();
        let some = [&schemas[0], &schemas[1], &schemas[2]];
        let others = [&schemas[4], &schemas[3], &schemas[2], &schemas[1]];
        let (here, there) = tokio::join!(one.register(&some), two.register(&others));
        assert_eq!((here.unwrap()[2]), (there.unwrap()[2]));
        let letters = || (0..5).map(|at| letter("a", round as u64 * 5 + at)).collect();
        let (here, there) = tokio::join!(one.park(letters()), two.park(letters()));
        here.and(there).unwrap();
        let ids: Vec<u64> =
            new.list(None, 0, 100).await.unwrap().iter().map(|letter| letter.id).collect();
        new.request_retry(&ids).await.unwrap();
        new.retry_failed(ids[0], "CDC-3199", "again").await.unwrap();
        new.remove(&ids[1..3]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let begun = Instant::now();
    // Each write ends a segment, and what lies before it is cleaned.
    let (before, left) = loop {
        number += 1;
        let epoch = one.begin_epoch(0).await.unwrap();
        one.save_capture(epoch, &progress(number)).await.unwrap();
        let end = soon(cdc_core::Transport::end(&log, &at)).await.unwrap().0;
        let left = read_all(&log, &at).await.len() as u64;
        if left < 200 {
            break (end, left);
        }
        assert!(begun.elapsed() < SOON, "{left} of {end} records are left");
        tokio::time::sleep(Duration::from_millis(400)).await;
    };
    println!("{left} of {before} records are left after {:?}", begun.elapsed());
    let again = state(config.clone(), "compaction").await;
    let expected = visible(&one).await;
    assert!(expected.contains("CDC-3199") && expected.contains("table_29"), "{expected}");
    assert_eq!(visible(&again).await, expected);
    soon(async {
        while visible(&two).await != expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_in_the_middle_costs_time_only() {
    let options = KafkaOptions::default();
    let Some(kafka) = Kafka::start_or_skip("transport-kafka", &options).unwrap() else { return };
    let config = Config { request_timeout_ms: 5_000, ..config(&kafka) };
    let one = Arc::new(state(config.clone(), "killed").await);
    let epoch = one.begin_epoch(0).await.unwrap();
    let saving = Arc::clone(&one);
    let (sender, mut saved) = tokio::sync::watch::channel(0);
    let writer = tokio::spawn(async move {
        let mut number = 0;
        while !sender.is_closed() {
            number += 1;
            saving.save_capture(epoch, &progress(number)).await.unwrap();
            saving.park(vec![letter("a", number)]).await.unwrap();
            sender.send_replace(number);
        }
        number
    });
    for _ in 0..2 {
        let wanted = *saved.borrow() + 20;
        soon(saved.wait_for(|saved| *saved >= wanted)).await.unwrap();
        kafka.kill9(1).unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        kafka.start_again(1).unwrap();
    }
    let wanted = *saved.borrow() + 20;
    soon(saved.wait_for(|saved| *saved >= wanted)).await.unwrap();
    drop(saved);
    let last = soon(writer).await.unwrap();
    for state in [&*one, &state(config, "killed").await] {
        assert_eq!(state.load_capture().await.unwrap(), Some(progress(last)));
        assert_eq!(state.count(Some("a")).await.unwrap(), last);
    }
}
