//! Verification on two tables in memory: a source that goes on, a replica that follows in jumps, and
//! damage that only the replica has.

mod repair;

use async_trait::async_trait;
use cdc_core::{
    Checkpoint, Column, DataType, Offset, Place, Position, Result, TableId, TableSchema,
    TopicPartition,
    verify::{
        Cells, Comparison, Digest, Kept, Key, Method, ReplicaRows, Rows, Seen, SourceRows,
        SourceTable,
    },
};
use cdc_engine::verify::{Kind, Limits, LogState, LogView, Report, Verdict, Verification};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hasher as _},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

/// Keys that the load touches; damage is done to the others.
const BUSY: u64 = 40;
const KEYS: u64 = 120;
const SEEDS: u64 = 400;

/// A row and how often this side has written it, over all of its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stored {
    value: u64,
    version: i64,
}

type Table = BTreeMap<u64, Stored>;
/// A key and its new value, or nothing where the row was deleted.
type Change = (u64, Option<u64>);

struct World {
    random: ChaCha8Rng,
    has_key: bool,
    /// Chance that the source goes on whenever somebody looks.
    load: f64,
    /// Does the replica apply what it is behind?
    follows: bool,
    /// Does it claim to have what it has not?
    lies: bool,
    /// Does a lookup find nothing?
    blind: bool,
    address: u128,
    versions: i64,
    source: Table,
    replica: Table,
    /// Address and changes of each transaction.
    log: Vec<(u128, Vec<Change>)>,
    applied: usize,
}

impl World {
    fn new(seed: u64, has_key: bool) -> Self {
        let mut world = Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            has_key,
            load: 0.0,
            follows: true,
            lies: false,
            blind: false,
            address: 1_000,
            versions: 0,
            source: Table::new(),
            replica: Table::new(),
            log: Vec::new(),
            applied: 0,
        };
        for key in (0..KEYS).filter(|key| key % 3 != 0) {
            world.commit(vec![(key, Some(key % 5))]);
        }
        world.apply(usize::MAX);
        world
    }

    fn write(table: &mut Table, versions: &mut i64, changes: &[Change]) {
        for (key, value) in changes {
            *versions += 1;
            match value {
                Some(value) => table.insert(*key, Stored { value: *value, version: *versions }),
                None => table.remove(key),
            };
        }
    }

    fn commit(&mut self, changes: Vec<Change>) {
        self.address += 10;
        Self::write(&mut self.source, &mut self.versions, &changes);
        self.log.push((self.address, changes));
    }

    fn apply(&mut self, transactions: usize) {
        let end = self.applied.saturating_add(transactions).min(self.log.len());
        for (_, changes) in &self.log[self.applied..end] {
            Self::write(&mut self.replica, &mut self.versions, changes);
        }
        self.applied = end;
    }

    /// Time passes.
    fn go_on(&mut self) {
        let mut load = self.load;
        while self.random.random_bool(load) {
            let changes = (0..self.random.random_range(1..4)).map(|_| {
                // Few values, so that rows often become what they were.
                let value = self.random.random_bool(0.7).then(|| self.random.random_range(0..3));
                (self.random.random_range(0..BUSY), value)
            });
            let changes = changes.collect();
            self.commit(changes);
            load *= 0.9;
        }
        // What others write moves the address as well.
        self.address += self.random.random_range(0..3);
        if self.follows && self.random.random_bool(0.6) {
            let transactions = self.random.random_range(0..=self.log.len() - self.applied);
            self.apply(transactions);
        }
    }

    fn damage(&mut self) -> BTreeMap<u64, Kind> {
        let mut damaged = BTreeMap::new();
        for _ in 0..self.random.random_range(1..6) {
            let key = self.random.random_range(BUSY..KEYS);
            if damaged.contains_key(&key) {
                continue;
            }
            self.versions += 1;
            let version = self.versions;
            let kind = match self.replica.get(&key).copied() {
                None => {
                    self.replica.insert(key, Stored { value: 7, version });
                    Kind::Extra
                }
                Some(_) if self.random.random_bool(0.5) => {
                    self.replica.remove(&key);
                    Kind::Missing
                }
                Some(row) => {
                    self.replica.insert(key, Stored { value: row.value + 50, version });
                    Kind::Different
                }
            };
            damaged.insert(key, kind);
        }
        damaged
    }
}

type Shared = Arc<Mutex<World>>;

fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap()
}

fn hash_of(text: &impl std::hash::Hash) -> i64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish() as i64
}

/// One side.
struct Side {
    world: Shared,
    of_source: bool,
    view: Option<Table>,
    scan: Vec<Seen>,
}

impl Side {
    fn new(world: &Shared, of_source: bool) -> Self {
        Self { world: Arc::clone(world), of_source, view: None, scan: Vec::new() }
    }

    fn open(&mut self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap();
        world.go_on();
        let table = if self.of_source { &world.source } else { &world.replica };
        assert!(self.view.replace(table.clone()).is_none(), "a view was left open");
        world
    }

    fn seen(&self) -> Vec<Seen> {
        let has_key = lock(&self.world).has_key;
        let rows = self.view.as_ref().expect("a view").iter();
        rows.map(|(key, row)| {
            // Without a key only the value counts, and some values are there more than once.
            let content = if has_key { (*key, row.value) } else { (key / 4, row.value) };
            let hash = hash_of(&content);
            let key_hash = if has_key { hash_of(key) } else { hash };
            let key = if has_key { vec![Some(key.to_string())] } else { Vec::new() };
            Seen { key_hash, key, hash, version: row.version }
        })
        .collect()
    }
}

#[async_trait]
impl Rows for Side {
    async fn probe(&mut self, method: Method) -> Result<Option<i64>> {
        Ok(match (method, self.of_source) {
            (Method::Native, of_source) => Some(i64::from(of_source)),
            (Method::Portable, _) => Some(5),
        })
    }

    async fn digests(&mut self, of: &Comparison) -> Result<Vec<Digest>> {
        assert_eq!(of.method, Method::Portable, "the sides do not agree on the other one");
        let mut digests: BTreeMap<u32, Digest> = BTreeMap::new();
        for seen in self.seen() {
            let range = seen.key_hash as u32 & (of.ranges - 1);
            let digest = digests.entry(range).or_insert(Digest { range, rows: 0, sum: 0 });
            digest.rows += 1;
            digest.sum += i128::from(seen.hash);
        }
        Ok(digests.into_values().collect())
    }

    async fn scan(&mut self, of: &Comparison, ranges: &[u32]) -> Result<()> {
        let ranges: BTreeSet<u32> = ranges.iter().copied().collect();
        let mut rows = self.seen();
        rows.retain(|seen| ranges.contains(&(seen.key_hash as u32 & (of.ranges - 1))));
        rows.sort_by_key(|seen| std::cmp::Reverse(seen.key_hash));
        self.scan = rows;
        Ok(())
    }

    async fn next(&mut self) -> Result<Vec<Seen>> {
        let count = lock(&self.world).random.random_range(1..5);
        let rest = self.scan.len().saturating_sub(count);
        let mut rows = self.scan.split_off(rest);
        rows.reverse();
        Ok(rows)
    }

    async fn lookup(&mut self, _: &Comparison, keys: &[(i64, Key)]) -> Result<Vec<Seen>> {
        if lock(&self.world).blind {
            return Ok(Vec::new());
        }
        let wanted: BTreeSet<i64> = keys.iter().map(|(hash, _)| *hash).collect();
        let mut rows = self.seen();
        rows.retain(|seen| wanted.contains(&seen.key_hash) || seen.key_hash % 7 == 0);
        Ok(rows)
    }

    async fn cells(
        &mut self,
        _: &Comparison,
        keys: &[(i64, Key)],
        values: bool,
    ) -> Result<Vec<Cells>> {
        assert!(!values, "nobody asked for values");
        let wanted: BTreeSet<i64> = keys.iter().map(|(hash, _)| *hash).collect();
        let rows = self.seen().into_iter().filter(|seen| wanted.contains(&seen.key_hash));
        Ok(rows
            .map(|seen| Cells {
                hashes: vec![Some(seen.key_hash), Some(seen.hash)],
                key_hash: seen.key_hash,
                key: seen.key,
                values: None,
            })
            .collect())
    }

    async fn end(&mut self) -> Result<()> {
        self.view = None;
        Ok(())
    }
}

fn schema(has_key: bool) -> Arc<TableSchema> {
    let column = |name: &str| Column {
        name: name.to_owned(),
        data_type: DataType::Int64,
        native_type: "int8".to_owned(),
        nullable: false,
        number: None,
        missing: None,
        default: None,
    };
    Arc::new(TableSchema {
        table: TableId::new("public", "t"),
        dialect: "memory".to_owned(),
        columns: vec![column("id"), column("v")],
        key: if has_key { vec![0] } else { Vec::new() },
        number: None,
    })
}

#[async_trait]
impl SourceRows for Side {
    async fn tables(&mut self) -> Result<Vec<SourceTable>> {
        let schema = schema(lock(&self.world).has_key);
        Ok(vec![SourceTable { schema, rows_estimated: Some(100), left_out: None }])
    }

    async fn begin(&mut self) -> Result<Position> {
        Ok(Position::new(self.open().address + 1, 0))
    }

    fn bytes_between(&self, earlier: Position, later: Position) -> Option<u64> {
        u64::try_from(later.commit - earlier.commit).ok()
    }
}

#[async_trait]
impl ReplicaRows for Side {
    async fn kept(&mut self, schema: &TableSchema) -> Result<Kept> {
        if lock(&self.world).applied == 0 {
            return Ok(Kept::Not("there is no such table yet".to_owned()));
        }
        Ok(Kept::As(vec![None; schema.columns.len()]))
    }

    async fn begin(&mut self) -> Result<Option<Checkpoint>> {
        let world = self.open();
        let applied = if world.lies { world.log.len() } else { world.applied };
        let commit = applied.checked_sub(1).map_or(0, |at| world.log[at].0);
        let place = Place { offset: Offset(applied as u64), position: Position::new(commit, 1) };
        let partitions = BTreeMap::from([(TopicPartition::new("p", 0), place)]);
        Ok(Some(Checkpoint { epoch: 1, log: None, partitions }))
    }
}

struct Log(Shared);

#[async_trait]
impl LogView for Log {
    async fn state(&self) -> Option<LogState> {
        let world = lock(&self.0);
        let newest = world.log.last().map(|(address, _)| Position::new(*address, 1));
        Some(LogState { captured: Some(Position::new(world.address + 1, 0)), newest, ends: None })
    }

    async fn trouble(&self) -> Option<String> {
        Some("it sleeps".to_owned())
    }
}

async fn verify(world: &Shared) -> Report {
    let log = Log(Arc::clone(world));
    let mut verification = Verification {
        source: Box::new(Side::new(world, true)),
        replica: Box::new(Side::new(world, false)),
        log: &log,
        limits: Limits {
            wait: Duration::from_secs(60),
            attempts: 200,
            listed_max: 1_000,
            values: false,
        },
    };
    verification.run(|_| true, |_| {}).await.unwrap()
}

/// A world in the middle of its work, for each seed; `SEED` replays one.
#[expect(clippy::disallowed_methods, reason = "a test reads its environment")]
async fn for_seeds(has_key: bool, check: impl AsyncFn(u64, Shared)) {
    let seeds = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = seeds.map_or(0..SEEDS, |seed: u64| seed..seed + 1);
    for seed in seeds {
        let mut world = World::new(seed, has_key);
        world.load = [0.0, 0.3, 0.8][(seed % 3) as usize];
        world.go_on();
        check(seed, Arc::new(Mutex::new(world))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn lag_is_never_taken_for_a_difference() {
    for has_key in [true, false] {
        for_seeds(has_key, async |seed, world| {
            let report = verify(&world).await;
            assert_eq!(report.verdict(), Verdict::Equal, "SEED={seed}: {report:?}");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_damaged_row_is_found_and_no_other() {
    for_seeds(true, async |seed, world| {
        let damaged = lock(&world).damage();
        let report = verify(&world).await;
        let found: BTreeMap<u64, Kind> = report.tables[0]
            .differences
            .iter()
            .map(|difference| {
                let named = if difference.kind == Kind::Different { vec!["v"] } else { vec![] };
                assert_eq!(difference.columns, named, "SEED={seed}: {difference:?}");
                let key = difference.key[0].1.as_ref().unwrap();
                (key.parse().unwrap(), difference.kind)
            })
            .collect();
        assert_eq!(found, damaged, "SEED={seed}: {report:?}");
        assert_eq!(report.verdict(), Verdict::Different);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn damage_without_a_key_is_counted_by_content() {
    for_seeds(false, async |seed, world| {
        // Content that the load never makes.
        let keys = {
            let mut world = lock(&world);
            world.versions += 1;
            let version = world.versions;
            let keys: Vec<u64> = world.replica.keys().copied().filter(|key| *key >= BUSY).collect();
            world.replica.remove(&keys[0]);
            world.replica.insert(999, Stored { value: 9, version });
            world.replica.insert(998, Stored { value: 9, version: version + 1 });
            world.versions += 2;
            keys
        };
        let report = verify(&world).await;
        let table = &report.tables[0];
        let counts = (table.missing, table.extra, table.different);
        assert_eq!(counts, (1, 2, 0), "SEED={seed}: {} {report:?}", keys.len());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_stopped_is_behind_and_never_different() {
    let mut behind = 0;
    for_seeds(true, async |seed, world| {
        lock(&world).follows = false;
        let report = verify(&world).await;
        assert_ne!(report.verdict(), Verdict::Different, "SEED={seed}: {report:?}");
    })
    .await;
    for seed in 0..SEEDS {
        let mut world = World::new(seed, true);
        world.follows = false;
        world.commit(vec![(1, Some(77)), (50, None)]);
        let report = verify(&Arc::new(Mutex::new(world))).await;
        assert_eq!(report.verdict(), Verdict::NotCompared, "SEED={seed}: {report:?}");
        let reason = report.tables[0].reason.clone().unwrap();
        assert!(reason.contains("bytes behind (it sleeps)"), "{reason}");
        behind += 1;
    }
    assert_eq!(behind, SEEDS);
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_finds_nothing_proves_nothing() {
    for_seeds(true, async |seed, world| {
        {
            let mut world = lock(&world);
            world.blind = true;
            world.damage();
        }
        let report = verify(&world).await;
        assert_eq!(report.verdict(), Verdict::NotCompared, "SEED={seed}: {report:?}");
        assert!(report.tables[0].reason.as_ref().unwrap().contains("CDC-4008"), "{report:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_table_that_the_replica_has_not_made_yet_is_waited_for() {
    for_seeds(true, async |seed, world| {
        {
            let mut world = lock(&world);
            world.applied = 0;
            world.replica.clear();
        }
        let report = verify(&world).await;
        assert_eq!(report.verdict(), Verdict::Equal, "SEED={seed}: {report:?}");
    })
    .await;
    let mut world = World::new(1, true);
    (world.applied, world.follows) = (0, false);
    world.replica.clear();
    let report = verify(&Arc::new(Mutex::new(world))).await;
    assert_eq!(report.verdict(), Verdict::NotCompared, "{report:?}");
}

/// The checks above have teeth: a checkpoint that is not stored with its rows is caught.
#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_runs_ahead_of_its_rows_shows_as_a_difference() {
    let caught = Mutex::new(0);
    for_seeds(true, async |_, world| {
        {
            let mut world = lock(&world);
            world.lies = true;
            world.follows = false;
            world.commit(vec![(1, Some(77))]);
        }
        if verify(&world).await.verdict() == Verdict::Different {
            *caught.lock().unwrap() += 1;
        }
    })
    .await;
    assert!(*caught.lock().unwrap() > 0);
}
