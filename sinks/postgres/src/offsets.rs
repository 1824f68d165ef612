//! The places of consumer groups in a table, `cdc.group_offsets`, for when Kafka has lost a group.

use crate::{
    Config,
    connection::{Connection, Parameter, application_name},
    error, state,
};
use async_trait::async_trait;
use cdc_core::{
    Error, Finding, LogId, Offset, Place, Position, Result, Secret, TopicPartition,
    checkpoint::Places,
    store::{KeptPlace, PlaceStore},
};
use cdc_tls::TlsConfig;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use tokio::sync::Mutex;
use tokio_postgres::{Row, types::Type};

const EXISTS: &str = "
    SELECT to_regclass('cdc.group_offsets') IS NOT NULL, to_regnamespace('cdc') IS NOT NULL,
           CASE WHEN to_regnamespace('cdc') IS NULL
                THEN has_database_privilege(current_database(), 'CREATE')
                ELSE has_schema_privilege(to_regnamespace('cdc'), 'USAGE, CREATE') END";

const CREATE_TABLE: &str = "
    CREATE TABLE IF NOT EXISTS cdc.group_offsets (
        pipeline_id text NOT NULL,
        group_id text NOT NULL,
        topic text NOT NULL,
        partition int NOT NULL,
        log uuid NOT NULL,
        next_offset bigint NOT NULL,
        position text NOT NULL,
        committed_at timestamptz NOT NULL,
        PRIMARY KEY (pipeline_id, group_id, topic, partition)
    ) WITH (fillfactor = 50)";

const SAVE: &str = "
    INSERT INTO cdc.group_offsets
           (pipeline_id, group_id, topic, partition, log, next_offset, position, committed_at)
    SELECT $1, group_id, topic, partition, $2::text::uuid, next_offset, position, clock_timestamp()
      FROM unnest($3::text[], $4::text[], $5::int[], $6::bigint[], $7::text[])
        AS new (group_id, topic, partition, next_offset, position)
     ORDER BY group_id, topic, partition
    ON CONFLICT (pipeline_id, group_id, topic, partition) DO UPDATE
       SET log = excluded.log, next_offset = excluded.next_offset, position = excluded.position,
           committed_at = excluded.committed_at";

const LOAD: &str = "
    SELECT topic, partition, log::text, next_offset, position,
           (extract(epoch FROM committed_at) * 1000)::bigint
      FROM cdc.group_offsets WHERE pipeline_id = $1 AND group_id = $2";

const FORGET: &str = "
    WITH gone AS (
        DELETE FROM cdc.group_offsets
         WHERE pipeline_id = $1 AND group_id = $2 AND topic = coalesce($3, topic) RETURNING 1)
    SELECT count(*) FROM gone";

/// A PostgreSQL database in which the offsets of consumer groups are stored, in the table
/// `cdc.group_offsets`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OffsetTableConfig {
    /// Host name or address of the server, or the directory of its Unix socket.
    #[serde(default = "crate::config::default_host")]
    pub host: String,
    /// Port of the server.
    #[serde(default = "crate::config::default_port")]
    pub port: u16,
    /// Database with the table. It must exist; the table is created.
    pub database: String,
    /// Role to log in as. It needs CREATE on the database, or on the schema `cdc` where that exists.
    #[serde(default = "crate::config::default_username")]
    pub username: String,
    /// Password of the role.
    #[serde(default = "crate::config::default_password")]
    #[schemars(with = "String")]
    pub password: Secret,
    /// How the connection is encrypted and the server verified.
    #[serde(default)]
    pub tls: TlsConfig,
    /// Longest wait for a connection.
    #[serde(default = "crate::config::default_connect_timeout_seconds")]
    #[schemars(range(min = 1))]
    pub connect_timeout_seconds: u32,
    /// Longest run of one statement on the server (`statement_timeout`).
    #[serde(default = "default_statement_timeout_seconds")]
    #[schemars(range(min = 1))]
    pub statement_timeout_seconds: u32,
}

fn default_statement_timeout_seconds() -> u32 {
    30
}

impl OffsetTableConfig {
    /// The key that cannot work, and why.
    #[must_use]
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        let named =
            [("host", &self.host), ("database", &self.database), ("username", &self.username)];
        let empty = named.into_iter().find(|(_, value)| value.trim().is_empty());
        let numbers = [
            ("connect_timeout_seconds", self.connect_timeout_seconds),
            ("statement_timeout_seconds", self.statement_timeout_seconds),
        ];
        let zero = numbers.into_iter().find(|(_, value)| *value == 0);
        empty.map(|(key, _)| (key, "is empty")).or(zero.map(|(key, _)| (key, "must be at least 1")))
    }

    fn connection(self) -> Config {
        Config {
            host: self.host,
            port: self.port,
            database: self.database,
            username: self.username,
            password: self.password,
            mode: None,
            target_table: None,
            target_schema: None,
            batch_size: 1,
            upsert: false,
            tls: self.tls,
            connect_timeout_seconds: self.connect_timeout_seconds,
            statement_timeout_seconds: self.statement_timeout_seconds,
            lock_timeout_seconds: self.statement_timeout_seconds,
        }
    }
}

/// The table of one pipeline's groups. Connects when it is first needed, and again after a failure.
#[derive(Debug)]
pub struct OffsetTable {
    config: Config,
    pipeline_id: String,
    session: Mutex<Option<Session>>,
}

#[derive(Debug)]
struct Session {
    connection: Connection,
    has_table: bool,
}

/// What the server says about the table.
struct Found {
    table: bool,
    schema: bool,
    may_create: bool,
}

impl OffsetTable {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(config: OffsetTableConfig, pipeline_id: &str) -> Self {
        let pipeline_id = pipeline_id.to_owned();
        Self { config: config.connection(), pipeline_id, session: Mutex::default() }
    }

    /// Looks whether offsets can be stored; changes nothing.
    pub async fn check(&self) -> Vec<Finding> {
        let looked = async {
            let connection = self.connect().await?;
            let found = find(&connection).await?;
            connection.close().await;
            Ok(found)
        };
        let address = self.config.address();
        match looked.await.map_err(named) {
            Ok(found) if found.table => {
                vec![Finding::ok(format!("offsets are stored in cdc.group_offsets at {address}"))]
            }
            Ok(found) if found.may_create => {
                vec![Finding::ok(format!("cdc.group_offsets will be created at {address}"))]
            }
            Ok(_) => {
                let what = format!("the table cdc.group_offsets cannot be created at {address}");
                let (database, role) = (&self.config.database, &self.config.username);
                vec![Finding::error(
                    what,
                    format!(
                        "GRANT CREATE ON DATABASE \"{database}\" TO \"{role}\"; or, where the schema \
                         exists: GRANT USAGE, CREATE ON SCHEMA cdc TO \"{role}\";"
                    ),
                )]
            }
            Err(error) => {
                vec![Finding::error(error.chain(), error.remedy.unwrap_or_default())]
            }
        }
    }

    async fn connect(&self) -> Result<Connection> {
        let name = application_name(&self.pipeline_id, "offsets");
        Connection::open(&self.config, &name).await
    }

    /// Does something with a session, which is given up when it fails.
    async fn with<T>(&self, work: impl AsyncFnOnce(&mut Session) -> Result<T>) -> Result<T> {
        let mut held = self.session.lock().await;
        // A connection that ended while nothing was to be stored is no failure.
        let open = held.take().filter(|session| !session.connection.client().is_closed());
        let mut session = match open {
            Some(session) => session,
            None => {
                let connection = self.connect().await.map_err(named)?;
                let has_table = find(&connection).await.map_err(named)?.table;
                Session { connection, has_table }
            }
        };
        let done = work(&mut session).await.map_err(named)?;
        *held = Some(session);
        Ok(done)
    }
}

/// Tells errors from those of a sink.
fn named(mut error: Error) -> Error {
    error.context = format!("storage of offsets: {}", error.context);
    error
}

async fn find(connection: &Connection) -> Result<Found> {
    let read = |row: &Row| {
        Ok(Found { table: row.try_get(0)?, schema: row.try_get(1)?, may_create: row.try_get(2)? })
    };
    connection.one("looking for cdc.group_offsets", EXISTS, &[], read).await
}

impl Session {
    async fn create_table(&mut self) -> Result<()> {
        if self.has_table {
            return Ok(());
        }
        let found = find(&self.connection).await?;
        if !found.table {
            // Without the right to create schemas one that exists must not be asked for again.
            let schema = if found.schema { "" } else { state::CREATE_SCHEMA };
            let lock = state::CREATE_LOCK;
            let sql = format!("BEGIN; {lock}; {schema}; {CREATE_TABLE}; COMMIT");
            self.connection.simple("creating cdc.group_offsets", &sql).await?;
        }
        self.has_table = true;
        Ok(())
    }
}

#[async_trait]
impl PlaceStore for OffsetTable {
    async fn save(&self, log: LogId, places: &BTreeMap<String, Places>) -> Result<()> {
        let mut rows = Columns::default();
        for (group, places) in places {
            for (at, place) in places {
                rows.add(group, at, place);
            }
        }
        let log = log.0.to_string();
        self.with(async |session| {
            session.create_table().await?;
            let parameters: [Parameter<'_>; 7] = [
                (&self.pipeline_id, Type::TEXT),
                (&log, Type::TEXT),
                (&rows.groups, Type::TEXT_ARRAY),
                (&rows.topics, Type::TEXT_ARRAY),
                (&rows.partitions, Type::INT4_ARRAY),
                (&rows.offsets, Type::INT8_ARRAY),
                (&rows.positions, Type::TEXT_ARRAY),
            ];
            let connection = &session.connection;
            let saved = connection.client().execute_typed(SAVE, &parameters);
            connection.bounded("writing cdc.group_offsets", saved).await.map(|_| ())
        })
        .await
    }

    async fn load(&self, log: LogId, group: &str) -> Result<BTreeMap<TopicPartition, KeptPlace>> {
        let rows: Vec<Kept> = self
            .with(async |session| {
                if !session.has_table && !find(&session.connection).await?.table {
                    return Ok(Vec::new());
                }
                let parameters: [Parameter<'_>; 2] =
                    [(&self.pipeline_id, Type::TEXT), (&group, Type::TEXT)];
                let doing = "reading cdc.group_offsets";
                session.connection.all(doing, LOAD, &parameters, Kept::read).await
            })
            .await?;
        rows.into_iter().map(|row| Ok((row.partition.clone(), row.place(log, group)?))).collect()
    }

    async fn forget(&self, group: &str, topic: Option<&str>) -> Result<u64> {
        self.with(async |session| {
            if !session.has_table && !find(&session.connection).await?.table {
                return Ok(0);
            }
            let parameters: [Parameter<'_>; 3] =
                [(&self.pipeline_id, Type::TEXT), (&group, Type::TEXT), (&topic, Type::TEXT)];
            let read = |row: &Row| row.try_get::<_, i64>(0);
            let doing = "deleting from cdc.group_offsets";
            let count = session.connection.one(doing, FORGET, &parameters, read).await?;
            Ok(u64::try_from(count).unwrap_or(0))
        })
        .await
    }
}

/// Places as the statement takes them, column by column.
#[derive(Default)]
struct Columns {
    groups: Vec<String>,
    topics: Vec<String>,
    partitions: Vec<i32>,
    offsets: Vec<i64>,
    positions: Vec<String>,
}

impl Columns {
    fn add(&mut self, group: &str, at: &TopicPartition, place: &Place) {
        self.groups.push(group.to_owned());
        self.topics.push(at.topic.to_string());
        self.partitions.push(at.partition.cast_signed());
        self.offsets.push(i64::try_from(place.offset.0).unwrap_or(i64::MAX));
        self.positions.push(place.position.to_string());
    }
}

/// A row as it is stored.
struct Kept {
    partition: TopicPartition,
    log: String,
    next_offset: i64,
    position: String,
    saved_at_ms: i64,
}

impl Kept {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let number: i32 = row.try_get(1)?;
        Ok(Self {
            partition: TopicPartition::new(row.try_get::<_, String>(0)?, number.cast_unsigned()),
            log: row.try_get(2)?,
            next_offset: row.try_get(3)?,
            position: row.try_get(4)?,
            saved_at_ms: row.try_get(5)?,
        })
    }

    fn place(&self, log: LogId, group: &str) -> Result<KeptPlace> {
        let unreadable = |cause| error::offset_unreadable(group, &self.partition, cause);
        let position: Position = self.position.parse().map_err(unreadable)?;
        // Offsets of another cluster mean nothing here; positions still tell what was delivered.
        let same = self.log == log.0.to_string();
        let offset = if same { u64::try_from(self.next_offset).unwrap_or(0) } else { 0 };
        let place = Place { offset: Offset(offset), position };
        Ok(KeptPlace { place, saved_at_ms: u64::try_from(self.saved_at_ms).unwrap_or(0) })
    }
}
