use crate::{SOON, config, number_of, open, record, records, send, soon};
use cdc_core::{
    Offset, Place, Position, TopicPartition, Transport as _,
    transport::{Membership, MembershipEvent},
};
use cdc_testkit::services::Kafka;
use cdc_transport_kafka::{Config, KafkaTransport};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::oneshot;

fn kafka() -> Option<&'static Kafka> {
    Kafka::shared_or_skip("transport-kafka").unwrap()
}

fn group_config(kafka: &Kafka, partitions: u32) -> Config {
    Config { topic_num_partitions: partitions, session_timeout_ms: 6_000, ..config(kafka) }
}

async fn assigned(membership: &mut Membership) -> BTreeSet<TopicPartition> {
    match soon(membership.events.recv()).await {
        Some(MembershipEvent::Assigned(share)) => share.into_iter().collect(),
        other => panic!("not an assignment: {other:?}"),
    }
}

async fn revoked(membership: &mut Membership) -> (BTreeSet<TopicPartition>, oneshot::Sender<()>) {
    loop {
        match soon(membership.events.recv()).await {
            Some(MembershipEvent::Revoked { partitions, done }) => {
                return (partitions.into_iter().collect(), done);
            }
            Some(MembershipEvent::Assigned(share)) => assert!(share.is_empty(), "{share:?}"),
            None => panic!("the membership ended"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_member_waits_until_the_first_has_let_go() {
    let Some(kafka) = kafka() else { return };
    let prefix = kafka.name("group");
    let log = open(group_config(kafka, 4), &prefix).await;
    log.provision(&[log.plan(&format!("{prefix}.t"))]).await.unwrap();
    let mut first = log.join("sink").await.unwrap();
    assert_eq!(assigned(&mut first).await.len(), 4);

    let other = open(group_config(kafka, 4), &prefix).await;
    let mut second = other.join("sink").await.unwrap();
    let (given, done) = revoked(&mut first).await;
    assert_eq!(given.len(), 2);
    // The others stay with the first meanwhile, and nobody has the two.
    let early = tokio::time::timeout(Duration::from_secs(2), async {
        loop {
            if let Some(MembershipEvent::Assigned(share)) = second.events.recv().await
                && !share.is_empty()
            {
                return share;
            }
        }
    });
    assert!(early.await.is_err(), "given away before the first had let go");
    done.send(()).unwrap();
    let mut share = assigned(&mut second).await;
    while share.is_empty() {
        share = assigned(&mut second).await;
    }
    assert_eq!(share, given);

    // A member that leaves gives its share back.
    drop(second);
    let mut back = assigned(&mut first).await;
    while back.is_empty() {
        back = assigned(&mut first).await;
    }
    assert_eq!(back, given);
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_appear_later_are_assigned() {
    let Some(kafka) = kafka() else { return };
    let prefix = kafka.name("later");
    let log = open(group_config(kafka, 1), &prefix).await;
    let mut member = log.join("sink").await.unwrap();
    log.provision(&[log.plan(&format!("{prefix}.a")), log.plan(&format!("{prefix}.a.dlq"))])
        .await
        .unwrap();
    assert_eq!(assigned(&mut member).await, [TopicPartition::new(format!("{prefix}.a"), 0)].into());
    log.provision(&[log.plan(&format!("{prefix}.b"))]).await.unwrap();
    assert_eq!(assigned(&mut member).await, [TopicPartition::new(format!("{prefix}.b"), 0)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_this_process_makes_is_assigned_at_once() {
    let Some(kafka) = kafka() else { return };
    let prefix = kafka.name("made");
    let log = open(group_config(kafka, 1), &prefix).await;
    let mut member = log.join("sink").await.unwrap();
    log.provision(&[log.plan(&format!("{prefix}.first"))]).await.unwrap();
    assigned(&mut member).await;
    // One after the other, so that no look that was due anyway finds all of them.
    for name in ["a", "b", "c"] {
        let at = TopicPartition::new(format!("{prefix}.{name}"), 0);
        send(&log, &at, records(0..1)).await;
        let made = std::time::Instant::now();
        assert_eq!(assigned(&mut member).await, [at].into());
        let waited = made.elapsed();
        assert!(waited < Duration::from_secs(3), "{name} was assigned after {waited:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn committed_offsets_keep_their_positions_and_tell_the_lag() {
    let Some(kafka) = kafka() else { return };
    let prefix = kafka.name("commit");
    let log = open(group_config(kafka, 2), &prefix).await;
    let topic = format!("{prefix}.t");
    let (zero, one) = (TopicPartition::new(&*topic, 0), TopicPartition::new(&*topic, 1));
    send(&log, &zero, records(0..10)).await;
    send(&log, &one, records(10..15)).await;
    let group = prefix.as_str();
    let both = [zero.clone(), one.clone()];
    assert_eq!(log.committed(group, &both).await.unwrap(), BTreeMap::new());
    let lags: u64 = log.lag(group).await.unwrap().iter().map(|lag| lag.records).sum();
    assert_eq!(lags, 15);

    // By nobody in particular, as long as the group has no members.
    let place = |offset, position| Place { offset: Offset(offset), position };
    let places = BTreeMap::from([(zero.clone(), place(4, record(3).position))]);
    log.commit(group, &places).await.unwrap();
    assert_eq!(log.committed(group, &both).await.unwrap(), places);

    // By a member.
    let mut member = log.join(group).await.unwrap();
    assert_eq!(assigned(&mut member).await.len(), 2);
    let far = Position::new(u128::MAX, u64::MAX);
    let places =
        BTreeMap::from([(zero.clone(), place(9, record(8).position)), (one, place(5, far))]);
    log.commit(group, &places).await.unwrap();
    assert_eq!(log.committed(group, &both).await.unwrap(), places);
    let lags: Vec<u64> = log.lag(group).await.unwrap().iter().map(|lag| lag.records).collect();
    assert_eq!(lags, [1, 0]);

    // Nor may a member those of a partition that is not its own.
    let foreign = BTreeMap::from([(TopicPartition::new(&*topic, 7), place(0, far))]);
    assert_eq!(log.commit(group, &foreign).await.unwrap_err().code, "CDC-2115");

    // Who is no member may not move the offsets of those who are.
    let other = open(group_config(kafka, 2), &prefix).await;
    let stale = BTreeMap::from([(zero, place(1, Position::default()))]);
    let error = other.commit(group, &stale).await.unwrap_err();
    assert_eq!(error.code, "CDC-2115", "{}", error.chain());
    assert_eq!(log.committed(group, &both).await.unwrap(), places);
}

/// What every member of a group together has delivered, in the order of commits.
type Ledger = Arc<Mutex<BTreeMap<TopicPartition, Vec<u64>>>>;
/// Takes what one commit has delivered.
type Delivered = Arc<dyn Fn(&TopicPartition, &[u64]) + Send + Sync>;

/// Delivers as a sink does that keeps data and offset in one step, here in the ledger with the group's
/// offsets: records are counted only when their commit went through.
struct Worker {
    log: Arc<KafkaTransport>,
    group: String,
    delivered: Delivered,
}

impl Worker {
    async fn run(self, stop: oneshot::Receiver<()>) {
        let mut membership = self.log.join(&self.group).await.unwrap();
        let mut readers =
            BTreeMap::<TopicPartition, (oneshot::Sender<()>, tokio::task::JoinHandle<()>)>::new();
        let this = Arc::new(self);
        let mut stop = stop;
        loop {
            tokio::select! {
                biased;
                _ = &mut stop => break,
                event = membership.events.recv() => match event {
                    Some(MembershipEvent::Assigned(share)) => for at in share {
                        let (end, ended) = oneshot::channel();
                        let task = tokio::spawn(Arc::clone(&this).deliver(at.clone(), ended));
                        readers.insert(at, (end, task));
                    },
                    Some(MembershipEvent::Revoked { partitions, done }) => {
                        for at in partitions {
                            if let Some((end, task)) = readers.remove(&at) {
                                drop(end);
                                task.await.unwrap();
                            }
                        }
                        done.send(()).unwrap();
                    }
                    None => break,
                },
            }
        }
        // Leaves only after it has stopped, as an orderly end does.
        for (_, (end, task)) in readers {
            drop(end);
            task.await.unwrap();
        }
        drop(membership);
    }

    async fn deliver(self: Arc<Self>, at: TopicPartition, mut ended: oneshot::Receiver<()>) {
        let committed = self.log.committed(&self.group, std::slice::from_ref(&at)).await.unwrap();
        let mut place = committed.get(&at).copied();
        let from = place.map_or(Offset(0), |place| place.offset);
        let mut reader = self.log.records(&at, from).await.unwrap();
        loop {
            let batch = tokio::select! {
                biased;
                _ = &mut ended => return,
                batch = reader.next(2_000) => batch.unwrap(),
            };
            let newest = place.map_or(Position::default(), |place| place.position);
            let fresh: Vec<_> =
                batch.records.iter().filter(|record| record.position.unwrap() > newest).collect();
            let position = fresh.last().map_or(newest, |record| record.position.unwrap());
            let next = Place { offset: batch.next, position };
            // Committed as a member; refused when the partition has gone to another.
            match self.log.commit(&self.group, &BTreeMap::from([(at.clone(), next)])).await {
                Ok(()) => {
                    let numbers: Vec<u64> = fresh.iter().map(|record| number_of(record)).collect();
                    (self.delivered)(&at, &numbers);
                    place = Some(next);
                }
                Err(error) => {
                    assert_eq!(error.code, "CDC-2115", "{}", error.chain());
                    // A rebalance is under way: what was read is read again.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    let from = place.map_or(Offset(0), |place| place.offset);
                    reader = self.log.records(&at, from).await.unwrap();
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rebalances_in_a_loop_lose_and_double_nothing() {
    const PARTITIONS: u32 = 6;
    const TOTAL: u64 = 60_000;
    let Some(kafka) = kafka() else { return };
    let prefix = kafka.name("loop");
    let log = Arc::new(open(group_config(kafka, PARTITIONS), &prefix).await);
    let topic = format!("{prefix}.t");
    log.provision(&[log.plan(&topic)]).await.unwrap();
    let mut expected = BTreeMap::<TopicPartition, Vec<u64>>::new();
    let ledger = Ledger::default();
    let book = Arc::clone(&ledger);
    let delivered: Delivered = Arc::new(move |at: &TopicPartition, numbers: &[u64]| {
        book.lock().unwrap().entry(at.clone()).or_default().extend(numbers);
    });
    let start = |log: &Arc<KafkaTransport>| {
        let (stop, stopped) = oneshot::channel::<()>();
        let delivered = Arc::clone(&delivered);
        let worker = Worker { log: Arc::clone(log), group: prefix.clone(), delivered };
        (stop, tokio::spawn(worker.run(stopped)))
    };
    let mut members = Vec::new();
    for _ in 0..2 {
        let log = Arc::new(open(group_config(kafka, PARTITIONS), &prefix).await);
        members.push(start(&log));
    }
    let rounds = 12;
    for round in 0..rounds {
        for number in round * TOTAL / rounds..(round + 1) * TOTAL / rounds {
            let at = log.partition_of(&topic, record(number).key.as_ref().unwrap());
            expected.entry(at).or_default().push(number);
        }
        for (at, numbers) in &expected {
            let first = round * TOTAL / rounds;
            let fresh = numbers.iter().filter(|number| **number >= first);
            send(&log, at, fresh.map(|number| record(*number)).collect()).await;
        }
        // One comes, or the oldest goes.
        if round % 3 == 2 {
            let (stop, task) = members.remove(0);
            drop(stop);
            soon(task).await.unwrap();
        } else if members.len() < 4 {
            let log = Arc::new(open(group_config(kafka, PARTITIONS), &prefix).await);
            members.push(start(&log));
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let complete = tokio::time::timeout(SOON * 2, async {
        while ledger.lock().unwrap().values().map(Vec::len).sum::<usize>() < TOTAL as usize {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let late = complete.await.is_err();
    let found = ledger.lock().unwrap().clone();
    for (at, numbers) in &expected {
        let found = found.get(at).cloned().unwrap_or_default();
        let differs = found.iter().zip(numbers).position(|(found, wanted)| found != wanted);
        assert!(
            found == *numbers,
            "{at}: {} of {} records, late: {late}, first difference at {differs:?}",
            found.len(),
            numbers.len(),
        );
    }
    for (stop, task) in members {
        drop(stop);
        soon(task).await.unwrap();
    }
    let lag: u64 = log.lag(&prefix).await.unwrap().iter().map(|lag| lag.records).sum();
    assert_eq!(lag, 0);
}

const BOOTSTRAP: &str = "KAFKA_GROUP_BOOTSTRAP";
const PREFIX: &str = "KAFKA_GROUP_PREFIX";

/// A member in a process of its own. It prints what each commit has delivered.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "child: started by the test below"]
async fn child_delivers_until_it_is_killed() {
    let (Ok(bootstrap_servers), Ok(prefix)) = (std::env::var(BOOTSTRAP), std::env::var(PREFIX))
    else {
        return;
    };
    let config = Config { bootstrap_servers, session_timeout_ms: 3_000, ..Config::default() };
    let log = Arc::new(open(config, &prefix).await);
    let delivered: Delivered = Arc::new(|at: &TopicPartition, numbers: &[u64]| {
        let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        println!("delivered {} {}", at.partition, numbers.join(" "));
    });
    let (_never, stop) = oneshot::channel();
    Worker { log, group: prefix, delivered }.run(stop).await;
}

struct Child {
    process: std::process::Child,
    reader: std::thread::JoinHandle<()>,
}

fn child(kafka: &Kafka, prefix: &str, ledger: &Ledger) -> Child {
    use std::io::BufRead as _;
    let mut process = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["group::child_delivers_until_it_is_killed", "--exact", "--ignored", "--nocapture"])
        .env(BOOTSTRAP, kafka.bootstrap())
        .env(PREFIX, prefix)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(process.stdout.take().unwrap()).lines();
    let (ledger, topic) = (Arc::clone(ledger), format!("{prefix}.t"));
    let reader = std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let Some(numbers) = line.strip_prefix("delivered ") else { continue };
            let mut numbers = numbers.split_whitespace().map(|one| one.parse::<u64>().unwrap());
            let partition = numbers.next().unwrap() as u32;
            let mut ledger = ledger.lock().unwrap();
            let at = TopicPartition::new(&*topic, partition);
            ledger.entry(at).or_default().extend(numbers);
        }
    });
    Child { process, reader }
}

fn signal(child: &Child, name: &str) {
    let pid = child.process.id().to_string();
    assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_frozen_for_longer_than_its_session_doubles_nothing() {
    const PARTITIONS: u32 = 6;
    let Some(kafka) = kafka() else { return };
    let prefix = kafka.name("frozen");
    let log = open(group_config(kafka, PARTITIONS), &prefix).await;
    let topic = format!("{prefix}.t");
    log.provision(&[log.plan(&topic)]).await.unwrap();
    let ledger = Ledger::default();
    let mut children: Vec<Child> = (0..3).map(|_| child(kafka, &prefix, &ledger)).collect();
    let mut expected = BTreeMap::<TopicPartition, Vec<u64>>::new();
    let mut next = 0;
    let mut write = async |count: u64| {
        let mut fresh = BTreeMap::<TopicPartition, Vec<u64>>::new();
        for number in next..next + count {
            let at = log.partition_of(&topic, record(number).key.as_ref().unwrap());
            fresh.entry(at).or_default().push(number);
        }
        next += count;
        for (at, numbers) in fresh {
            send(&log, &at, numbers.iter().map(|number| record(*number)).collect()).await;
            expected.entry(at).or_default().extend(numbers);
        }
    };
    for frozen in &children {
        for step in 0..40 {
            write(100).await;
            match step {
                5 => signal(frozen, "-STOP"),
                34 => signal(frozen, "-CONT"),
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    let total: usize = expected.values().map(Vec::len).sum();
    let complete = tokio::time::timeout(SOON, async {
        while ledger.lock().unwrap().values().map(Vec::len).sum::<usize>() < total {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let late = complete.await.is_err();
    for one in &mut children {
        one.process.kill().unwrap();
        one.process.wait().unwrap();
    }
    for one in children {
        one.reader.join().unwrap();
    }
    let mut found = ledger.lock().unwrap().clone();
    for (at, numbers) in &expected {
        // Lines of different processes may be read in another order than their commits had.
        let found = found.get_mut(at).unwrap();
        found.sort_unstable();
        assert!(found == numbers, "{at}: {} of {}, late: {late}", found.len(), numbers.len());
    }
}
