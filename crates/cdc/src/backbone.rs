//! What lies between capture and delivery: the log, what its records look like, and what the pipeline
//! remembers.

use crate::{
    config::{Kafka, OffsetStorage, Skipped},
    failure::Outcome,
    registry::{Guarded, Registry, Sentinel},
    settings::Settings,
};
use cdc_core::{
    Transport,
    clock::SystemClock,
    dead_letter::DeadLetterStore,
    format::Format,
    naming,
    registry::SchemaRegistry,
    store::{CheckpointStore, SchemaStore},
};
use cdc_engine::{DebeziumFormat, DebeziumSpec, RowFormat};
use cdc_sink_postgres::OffsetTable;
use cdc_state::Store;
use cdc_transport_embedded::Log;
use cdc_transport_kafka::{DeadLetterTopics, KafkaTransport, Scope, StateOptions};
use std::sync::Arc;

/// What a pipeline remembers beside its log.
#[derive(Clone)]
pub(crate) struct State {
    /// Epochs, capture progress, and checkpoints of sinks that keep none.
    pub(crate) checkpoints: Arc<dyn CheckpointStore>,
    /// Table schemas by number.
    pub(crate) schemas: Arc<dyn SchemaStore>,
    /// Changes set aside.
    pub(crate) dead_letters: Arc<dyn DeadLetterStore>,
}

impl State {
    fn of<S: CheckpointStore + SchemaStore + DeadLetterStore>(store: S) -> Self {
        let store = Arc::new(store);
        Self {
            checkpoints: Arc::clone(&store) as _,
            schemas: Arc::clone(&store) as _,
            dead_letters: store,
        }
    }

    /// Opens what a pipeline remembers, where it is kept.
    pub(crate) async fn open(settings: &Settings) -> Outcome<Self> {
        match settings.platform.kafka() {
            None => Ok(Self::of(Store::open(settings.directory.state())?)),
            Some(kafka) => Self::shared(settings, &kafka).await,
        }
    }

    /// What all processes of a pipeline on Kafka share.
    async fn shared(settings: &Settings, kafka: &Kafka) -> Outcome<Self> {
        let copies = settings.platform.file.dlq.enabled.then(|| dead_letter_topics(settings));
        let options = StateOptions { dead_letter_topics: copies, ..StateOptions::default() };
        let state = cdc_transport_kafka::State::open(kafka.cluster.clone(), settings.id(), options);
        Ok(Self::of(state.await?))
    }
}

/// The log of a running pipeline with everything around it.
pub(crate) struct Backbone {
    /// The log.
    pub(crate) transport: Arc<dyn Transport>,
    /// The same where it is Kafka's.
    pub(crate) kafka: Option<Arc<KafkaTransport>>,
    /// What its records look like.
    pub(crate) format: Arc<dyn Format>,
    /// What the pipeline remembers.
    pub(crate) state: State,
}

impl Backbone {
    /// The log on this machine's disk.
    pub(crate) async fn embedded(settings: &Settings, state: State) -> Outcome<Self> {
        let config = settings.platform.embedded.clone();
        let log = Log::open(settings.directory.log(), settings.id(), config).await?;
        let transport: Arc<dyn Transport> = Arc::new(log);
        let prefix = &settings.pipeline.head.topic_prefix;
        let schemas = Arc::clone(&state.schemas);
        let format = RowFormat::new(schemas, prefix, transport.ordering());
        Ok(Self { transport, kafka: None, format: Arc::new(format), state })
    }

    /// The topics of a cluster.
    pub(crate) async fn kafka(
        settings: &Settings,
        kafka: &Kafka,
        state: State,
        sentinel: &Sentinel,
    ) -> Outcome<Self> {
        let transport = open_kafka(settings, kafka).await?;
        let format = format_of(settings, kafka, &state, sentinel)?;
        let kafka = Some(Arc::clone(&transport));
        Ok(Self { transport, kafka, format, state })
    }
}

/// Connects to the cluster.
pub(crate) async fn open_kafka(settings: &Settings, kafka: &Kafka) -> Outcome<Arc<KafkaTransport>> {
    let scope = scope_of(settings);
    let cluster = kafka.cluster.clone();
    let cluster = match kafka.beside.transactional {
        true => KafkaTransport::open_transactional(cluster, scope).await?,
        false => KafkaTransport::open(cluster, scope).await?,
    };
    Ok(Arc::new(match offset_table(settings, kafka) {
        Some(table) => cluster.keeping(Arc::new(table)),
        None => cluster,
    }))
}

/// The table that keeps offsets beside the cluster, where one is asked for.
pub(crate) fn offset_table(settings: &Settings, kafka: &Kafka) -> Option<OffsetTable> {
    let config = kafka.beside.offset_storage_postgres.clone();
    let wanted = config.filter(|_| kafka.beside.offset_storage == OffsetStorage::Postgres);
    wanted.map(|config| OffsetTable::new(config, settings.id()))
}

/// Where copies of dead letters go for whoever reads topics.
pub(crate) fn dead_letter_topics(settings: &Settings) -> DeadLetterTopics {
    DeadLetterTopics {
        suffix: settings.platform.file.dlq.topic_suffix.clone(),
        topic_prefix: settings.pipeline.head.topic_prefix.clone(),
    }
}

/// The topics that carry changes of the pipeline.
pub(crate) fn scope_of(settings: &Settings) -> Scope {
    let prefix = &settings.pipeline.head.topic_prefix;
    Scope {
        prefix: prefix.clone(),
        without_suffixes: vec![settings.platform.file.dlq.topic_suffix.clone()],
        also: vec![naming::heartbeat_topic(prefix)],
        pipeline: settings.id().to_owned(),
        foreign: settings.platform.file.connector.is_some(),
    }
}

/// Sinks that keep rows, where truncates have no records: their rows would stay.
pub(crate) fn without_truncates(settings: &Settings) -> Vec<&str> {
    let told = settings.platform.file.format.skipped_operations == Skipped::None;
    if told || settings.platform.kafka().is_none() {
        return Vec::new();
    }
    let keeping = settings.sinks.iter().filter(|sink| sink.connector.compares());
    keeping.map(|sink| sink.sink_id.as_str()).collect()
}

/// What helps then.
pub(crate) const TELL_TRUNCATES: &str =
    "set format.skipped_operations: none in the platform file, so that truncates are records too";

/// The registry beside the cluster, as formats need it; `None` where none is asked for.
pub(crate) fn registry_of(settings: &Settings, kafka: &Kafka) -> Outcome<Option<Registry>> {
    let wanted = settings.platform.file.format.needs_registry()
        || kafka.beside.schema_registry_url.is_some();
    if !wanted {
        return Ok(None);
    }
    let client = cdc_registry::client::Client::new(&kafka.beside.registry())?;
    Ok(Some(Registry::Elsewhere(client)))
}

/// What records on Kafka look like.
pub(crate) fn format_of(
    settings: &Settings,
    kafka: &Kafka,
    state: &State,
    sentinel: &Sentinel,
) -> Outcome<Arc<dyn Format>> {
    let format = &settings.platform.file.format;
    let registry = registry_of(settings, kafka)?.filter(|_| format.needs_registry());
    let registry = registry.map(|registry| {
        Arc::new(Guarded::new(registry.of_formats(), sentinel.clone())) as Arc<dyn SchemaRegistry>
    });
    Ok(Arc::new(DebeziumFormat::new(DebeziumSpec {
        topic_prefix: settings.pipeline.head.topic_prefix.clone(),
        database: settings.pipeline.source.database().to_owned(),
        options: format.options(&uuid::Uuid::new_v4().to_string()),
        key: format.key,
        value: format.value,
        registry,
        schemas: Arc::clone(&state.schemas),
        clock: Arc::new(SystemClock),
    })))
}
