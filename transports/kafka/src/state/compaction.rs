//! Several processes that see the log late, a compaction at any moment, and still one state.

use super::{
    checkpoints::{capture, checkpoint_of, propose},
    dead_letters::{changed, parked, taken_back},
    journal::Entry,
    schemas::{Numbers, numbers},
    value,
    view::{Verdict, View},
};
use bytes::Bytes;
use cdc_core::{
    Checkpoint, LogId, Offset, Place, Position, SchemaId, TableId, TableSchema, TopicPartition,
    dead_letter::{DeadLetter, DeadLetterInfo},
    store::CaptureProgress,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// One record as it lies in the topic.
type Stored = (Offset, Bytes, Option<Bytes>);

/// What one process does, with whatever it has read so far.
#[derive(Clone, Debug)]
enum Step {
    Read(usize),
    Begin,
    SaveCapture,
    SaveConsumer(u8),
    Register(u8),
    Park(u8),
    Retry(usize),
    Remove(usize),
    /// A process that is gone had sent its writes before; they come only now.
    Late,
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let step = prop_oneof![
        6 => (1..8_usize).prop_map(Step::Read),
        2 => Just(Step::Begin),
        3 => Just(Step::SaveCapture),
        2 => (0..2_u8).prop_map(Step::SaveConsumer),
        2 => (0..6_u8).prop_map(Step::Register),
        3 => (0..4_u8).prop_map(Step::Park),
        2 => (0..3_usize).prop_map(Step::Retry),
        2 => (0..3_usize).prop_map(Step::Remove),
        1 => Just(Step::Late),
    ];
    prop::collection::vec((0..3_usize, step), 0..120)
}

#[derive(Default)]
struct Process {
    view: View,
    read: usize,
    epoch: u64,
    /// An epoch that it has proposed: when it is read back, and which records it then takes back.
    proposed: Option<(u64, super::key::Write)>,
    late: Vec<Entry>,
}

#[derive(Default)]
struct World {
    log: Vec<Stored>,
    processes: [Process; 3],
    clock: u64,
}

impl World {
    fn append(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            let at = Offset(self.log.len() as u64);
            self.log.push((at, entry.key.to_string().into(), entry.value));
        }
    }

    fn read(&mut self, who: usize, records: usize) {
        let process = &mut self.processes[who];
        let mut tidy = Vec::new();
        for (at, key, value) in self.log.iter().skip(process.read).take(records) {
            let read = process.view.apply(*at, key, value.as_ref());
            process.read += 1;
            if let Some((epoch, write)) = process.proposed
                && let Some((read, verdict)) = read
                && read == write
            {
                process.proposed = None;
                if verdict == Verdict::Counts {
                    process.epoch = epoch;
                    tidy = process.view.outdated(epoch);
                }
            }
        }
        self.append(tidy.into_iter().map(Entry::tombstone).collect());
    }

    fn act(&mut self, who: usize, step: Step) {
        self.clock += 1;
        let clock = self.clock;
        let process = &mut self.processes[who];
        let view = &process.view;
        let ids = || view.letters.after(None, 0).collect::<Vec<u64>>();
        let entries = match step {
            Step::Read(records) => return self.read(who, records),
            Step::Begin => {
                let (epoch, entry) = propose(view, 0).unwrap();
                process.proposed = Some((epoch, entry.key.write));
                vec![entry]
            }
            Step::SaveCapture => {
                let progress = CaptureProgress {
                    position: Position::new(u128::from(clock), 0),
                    resume: Bytes::from(vec![b'\n'; 3]),
                };
                capture(view, process.epoch, &progress).unwrap_or_default()
            }
            Step::SaveConsumer(name) => {
                let checkpoint = checkpoint(process.epoch, clock);
                checkpoint_of(view, &name.to_string(), &checkpoint).unwrap_or_default()
            }
            Step::Register(number) => {
                let encoded = value::encode(&schema(number), &[]).unwrap();
                match numbers(view, &[encoded]).unwrap() {
                    Numbers::Known(_) => Vec::new(),
                    Numbers::Missing(entries) => entries,
                }
            }
            Step::Park(number) => vec![parked(&letter(number)).unwrap()],
            Step::Retry(nth) => {
                let id = ids().get(nth).copied().unwrap_or(999);
                changed(view, id, |retried| retried.retries += 1).unwrap().unwrap_or_default()
            }
            Step::Remove(nth) => {
                let ids: BTreeSet<u64> = ids().get(nth).copied().into_iter().collect();
                taken_back(view, &ids).1
            }
            Step::Late => std::mem::take(&mut process.late),
        };
        // Every fifth write of a process is under way for longer than anybody thinks.
        if clock % 5 == 0 && process.late.is_empty() {
            process.late = entries;
        } else {
            self.append(entries);
        }
    }
}

fn checkpoint(epoch: u64, offset: u64) -> Checkpoint {
    let place = Place { offset: Offset(offset), position: Position::new(u128::from(offset), 0) };
    Checkpoint {
        epoch,
        log: Some(LogId(uuid::Uuid::from_u128(1))),
        partitions: BTreeMap::from([(TopicPartition::new("t", 0), place)]),
    }
}

fn schema(number: u8) -> TableSchema {
    TableSchema {
        table: TableId::new("public", format!("t{number}")),
        dialect: "postgres".to_owned(),
        columns: Vec::new(),
        key: Vec::new(),
        number: None,
    }
}

fn letter(number: u8) -> DeadLetter {
    let info = DeadLetterInfo {
        sink_id: "s".to_owned(),
        topic: "t".to_owned(),
        table: "public.t".to_owned(),
        partition: 0,
        offset: Offset(u64::from(number)),
        position: Position::new(u128::from(number), 1),
        error_code: String::new(),
        error: "line\nfeed".to_owned(),
        parked_at_ms: 0,
        retries: 0,
        retry_requested: false,
        holds_table: false,
    };
    DeadLetter { id: 0, info, payload: Bytes::from(vec![b'\n', number]) }
}

/// Everything that callers of the state can see.
#[derive(Debug, PartialEq)]
struct Visible {
    epoch: u64,
    capture: Option<CaptureProgress>,
    consumers: Vec<Option<Checkpoint>>,
    numbers: Vec<Option<SchemaId>>,
    letters: Vec<(u64, DeadLetterInfo, Option<Bytes>)>,
}

fn visible(view: &View) -> Visible {
    let number = |number| view.number(&value::encode(&schema(number), &[]).unwrap());
    let letter = |id| {
        let payload = view.letters.get(id).unwrap().payload.clone();
        (id, view.letters.info(id).unwrap(), payload)
    };
    Visible {
        epoch: view.newest_epoch(),
        capture: view.capture().map(|(_, progress)| progress.clone()),
        consumers: ["0", "1"]
            .map(|name| view.consumer(name).map(|(_, found)| found.clone()))
            .into(),
        numbers: (0..6).map(number).collect(),
        letters: view.letters.after(None, 0).map(letter).collect(),
    }
}

fn read<'a>(log: impl IntoIterator<Item = &'a Stored>) -> View {
    let mut view = View::default();
    for (at, key, value) in log {
        view.apply(*at, key, value.as_ref());
    }
    assert_eq!(view.unreadable(), None);
    view
}

/// What the cleaner leaves of the records before `upto`: of each key the newest.
fn compacted(log: &[Stored], upto: usize, tombstones: bool) -> Vec<Stored> {
    let (cleaned, rest) = log.split_at(upto);
    let newest: BTreeMap<&Bytes, Offset> = cleaned.iter().map(|(at, key, _)| (key, *at)).collect();
    let kept = cleaned
        .iter()
        .filter(|(at, key, value)| newest.get(key) == Some(at) && (value.is_some() || tombstones));
    kept.chain(rest).cloned().collect()
}

proptest! {
    #[test]
    fn compaction_at_any_moment_changes_nothing(steps in steps(), upto: prop::sample::Index, kept: bool) {
        let mut world = World::default();
        for (who, step) in steps {
            world.act(who, step);
        }
        let upto = upto.index(world.log.len() + 1);
        let whole = visible(&read(&world.log));
        prop_assert_eq!(&visible(&read(&compacted(&world.log, upto, kept))), &whole);
        // Twice, as brokers do.
        let half = compacted(&world.log, upto / 2, true);
        let again = compacted(&half, half.len(), false);
        prop_assert_eq!(&visible(&read(&again)), &whole);
    }

    #[test]
    fn progress_of_an_epoch_that_ended_never_counts(steps in steps()) {
        let mut world = World::default();
        for (who, step) in steps {
            world.act(who, step);
        }
        let mut view = View::default();
        let mut newest = 0;
        for (at, key, value) in &world.log {
            let before = view.capture().map(|(step, _)| step);
            view.apply(*at, key, value.as_ref());
            let now = view.capture().map(|(step, _)| step);
            if before != now {
                prop_assert_eq!(now.unwrap().0, newest, "written under an older epoch");
            }
            prop_assert!(now >= before, "{now:?} after {before:?}");
            prop_assert!(view.newest_epoch() >= newest);
            newest = view.newest_epoch();
        }
    }
}
