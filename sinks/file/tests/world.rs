use cdc_core::catalog::{SinkConnector as _, SinkContext};
use cdc_core::clock::Clock;
use cdc_core::{
    Checkpoint, Delivered, LogId, Offset, Place, Result, Sink, TableId, TopicPartition,
};
use cdc_sink_file::{Config, Connector, Envelope};
use cdc_testkit::generate::{self, Generator};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// A clock that stands still until it is told to go on.
#[derive(Clone)]
pub(crate) struct StandingClock(Arc<Mutex<SystemTime>>);

impl Clock for StandingClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

impl StandingClock {
    pub(crate) fn go_on(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

pub(crate) struct World {
    pub(crate) directory: TempDir,
    pub(crate) config: Config,
    pub(crate) clock: StandingClock,
}

impl World {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("changes.jsonl").to_str().unwrap().to_owned();
        let config =
            Config { path, envelope: Envelope::Debezium, rotate_bytes: 0, rotate_seconds: 0 };
        let start = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        Self { directory, config, clock: StandingClock(Arc::new(Mutex::new(start))) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn connector(&self) -> Connector {
        Connector::new(self.config.clone()).unwrap().with_clock(Arc::new(self.clock.clone()))
    }

    pub(crate) async fn open(&self) -> Result<Box<dyn Sink>> {
        self.connector().open(&context("pipeline")).await
    }

    /// Every committed line, read as the README tells readers to.
    pub(crate) fn committed(&self) -> Vec<Json> {
        committed(self.directory.path())
    }

    pub(crate) fn positions(&self) -> Vec<String> {
        self.committed().iter().map(|line| line["position"].as_str().unwrap().to_owned()).collect()
    }
}

pub(crate) fn context(pipeline_id: &str) -> SinkContext {
    SinkContext {
        database: "shop".to_owned(),
        pipeline_id: pipeline_id.to_owned(),
        sink_id: "out".to_owned(),
        topic_prefix: "cdc".to_owned(),
        memory_bytes: 8 << 20,
    }
}

fn committed(directory: &Path) -> Vec<Json> {
    let Ok(text) = std::fs::read_to_string(directory.join("changes.jsonl.checkpoint")) else {
        return Vec::new();
    };
    let stored: Json = serde_json::from_str(&text).unwrap();
    let newest = stored["file"].as_str().unwrap();
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".jsonl") && name.as_str() < newest)
        .collect();
    names.sort();
    let mut bytes = Vec::new();
    for name in names {
        bytes.extend(std::fs::read(directory.join(name)).unwrap());
    }
    let length = usize::try_from(stored["length"].as_u64().unwrap()).unwrap();
    if length > 0 {
        bytes.extend(&std::fs::read(directory.join(newest)).unwrap()[..length]);
    }
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// Changes of one table, about 600 bytes a line.
pub(crate) fn changes(count: usize) -> Vec<Delivered> {
    let mut generator = Generator::new(1);
    generator.add_table(TableId::new("public", "t"));
    generate::delivered(generator.transaction(count), Offset(0))
}

pub(crate) fn positions(changes: &[Delivered]) -> Vec<String> {
    changes.iter().map(|delivered| delivered.change.position.to_string()).collect()
}

pub(crate) fn checkpoint(epoch: u64, changes: &[Delivered]) -> Checkpoint {
    let last = changes.last().unwrap();
    let place = Place { offset: Offset(last.offset.0 + 1), position: last.change.position };
    Checkpoint {
        epoch,
        log: Some(LogId(uuid::Uuid::from_u128(7))),
        partitions: BTreeMap::from([(TopicPartition::new("pipeline", 0), place)]),
    }
}

pub(crate) async fn write(sink: &mut dyn Sink, changes: &[Delivered]) {
    let batch = generate::batch(changes.to_vec());
    if let Err(failed) = sink.write(&batch).await {
        panic!("{}", failed.error.chain());
    }
}

/// Opens, writes and commits; the session stays open.
pub(crate) async fn deliver(world: &World, changes: &[Delivered]) -> Box<dyn Sink> {
    let mut sink = world.open().await.unwrap();
    sink.claim(1).await.unwrap();
    write(&mut *sink, changes).await;
    sink.commit(&checkpoint(1, changes)).await.unwrap();
    sink
}

pub(crate) fn error_code<T>(result: Result<T>) -> (&'static str, cdc_core::Retry) {
    match result {
        Ok(_) => panic!("an error was expected"),
        Err(error) => {
            assert!(error.remedy.is_some(), "{error} has a remedy");
            (error.code, error.retry)
        }
    }
}
