//! `cdc run`: the pipeline at work.

use super::Manner;
use crate::{
    backbone::{Backbone, State, TELL_TRUNCATES, registry_of, without_truncates},
    directory::Lock,
    failure::{Failure, Outcome},
    lag, pressure, progress,
    registry::{self, Monitor, Own, Registry, Sentinel},
    remote::local,
    settings::{Files, Settings},
    stop, when,
};
use cdc_core::clock::SystemClock;
use cdc_engine::{PipelineSpec, PipelineStatus, Until};
use cdc_server::{Counters, Parts, Server};
use cdc_transport_kafka::KafkaTransport;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Offsets that were committed last may take so long to where they are kept beside Kafka.
const SETTLING_WAIT: Duration = Duration::from_secs(5);

/// Schemas that were captured last may take so long to get into the registry.
const ANNOUNCING_WAIT: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    files: Files,
    /// Deliver everything that was committed before the start, then exit
    #[arg(long)]
    until_current: bool,
}

pub(super) async fn run(args: &Args, manner: &Manner) -> Outcome {
    let settings = args.files.load()?;
    for notice in &settings.platform.notices {
        tracing::info!(notice, "a key of the platform file has no effect");
    }
    for sink_id in without_truncates(&settings) {
        tracing::warn!(sink_id, remedy = TELL_TRUNCATES, "truncates do not reach this sink");
    }
    let mut lock = settings.directory.lock(when::now_ms())?;
    let server = listen(&settings, &mut lock).await?;
    let sentinel = Sentinel::new(settings.platform.file.rest.stop_on_incompatible_schema);
    let mut state = State::open(&settings).await?;
    let (own, mut announcing, backbone, registry) = match settings.platform.kafka() {
        Some(kafka) => {
            let backbone = Backbone::kafka(&settings, &kafka, state, &sentinel).await?;
            (None, JoinSet::new(), backbone, registry_of(&settings, &kafka)?)
        }
        None => {
            let own = Own::open(&settings).await?;
            let mut announcing = JoinSet::new();
            if let Some(own) = &own {
                (state.schemas, announcing) = own.fed_by(state.schemas, &settings, &sentinel);
            }
            let registry = own.as_ref().map(|own| Registry::Own(Arc::clone(&own.registry)));
            (own, announcing, Backbone::embedded(&settings, state).await?, registry)
        }
    };
    let watch = Watch { registry, announced: own.as_ref().map(|own| Arc::clone(&own.announced)) };
    let until = if args.until_current { Until::Current } else { Until::Cancelled };
    let work = Work { backbone, server, own, watch, sentinel };
    let outcome = Box::pin(work.run(&settings, until, manner)).await;
    // What was captured last is in the registry when the process is gone.
    let _late = tokio::time::timeout(ANNOUNCING_WAIT, announcing.join_next()).await;
    drop(lock);
    outcome
}

async fn listen(settings: &Settings, lock: &mut Lock) -> Outcome<Option<Server>> {
    let rest = &settings.platform.file.rest;
    if !rest.health_enabled {
        return Ok(None);
    }
    let server = Server::bind(SocketAddr::new(rest.health_address, rest.health_port)).await?;
    let address = server.address();
    tracing::info!(%address, "health, metrics and the API are served");
    lock.announce(local(address).to_string());
    Ok(Some(server))
}

fn spec(
    settings: &Settings,
    backbone: &Backbone,
    until: Until,
    hold: watch::Receiver<Option<String>>,
) -> PipelineSpec {
    let platform = &settings.platform.file;
    let state = backbone.state.clone();
    PipelineSpec {
        pipeline_id: settings.id().to_owned(),
        topic_prefix: settings.pipeline.head.topic_prefix.clone(),
        database: settings.pipeline.source.database().to_owned(),
        source: Arc::clone(&settings.source),
        sinks: settings.sinks.clone(),
        transport: Arc::clone(&backbone.transport),
        checkpoints: state.checkpoints,
        format: Arc::clone(&backbone.format),
        schemas: state.schemas,
        dead_letters: state.dead_letters,
        clock: Arc::new(SystemClock),
        seed: when::now_ms() ^ u64::from(std::process::id()).rotate_left(32),
        memory_budget_bytes: usize::try_from(platform.memory_budget).unwrap_or(usize::MAX),
        retry: platform.retry.policy().unwrap_or_default(),
        until,
        hold: Some(hold),
    }
}

/// Whose schemas are watched.
struct Watch {
    registry: Option<Registry>,
    /// Told when this process registers something.
    announced: Option<Arc<Notify>>,
}

impl Watch {
    /// Never ends.
    async fn follow(self, settings: &Settings, sentinel: Sentinel) {
        let Some(registry) = self.registry else { return std::future::pending().await };
        let prefix = &settings.pipeline.head.topic_prefix;
        let seconds = settings.platform.file.rest.schema_monitor_interval_seconds;
        let monitor = Monitor::begin(registry, prefix, sentinel).await;
        monitor.watch(seconds, self.announced.unwrap_or_default()).await;
    }
}

/// A pipeline with everything that watches it.
struct Work {
    backbone: Backbone,
    server: Option<Server>,
    own: Option<Own>,
    watch: Watch,
    sentinel: Sentinel,
}

impl Work {
    /// Until it ends or is told to.
    async fn run(self, settings: &Settings, until: Until, manner: &Manner) -> Outcome {
        let Self { backbone, server, own, watch, sentinel } = self;
        let (status, watched) = watch::channel(PipelineStatus::default());
        let cancel = CancellationToken::new();
        let served = CancellationToken::new();
        let (lag_sender, lag) = watch::channel(Vec::new());
        let (hold, held) = watch::channel(None);
        let spec = spec(settings, &backbone, until, held);
        let Backbone { kafka, .. } = backbone;
        let cluster = kafka.clone();
        let parts = Parts {
            pipeline_id: spec.pipeline_id.clone(),
            status: watched.clone(),
            lag: kafka.is_some().then_some(lag),
            source: Arc::clone(&spec.source),
            checkpoints: Arc::clone(&spec.checkpoints),
            dead_letters: Arc::clone(&spec.dead_letters),
            schemas: Arc::clone(&spec.schemas),
            counters: Counters::install(),
        };
        let serving = serve(server, parts, served.clone());
        let serving_registry = registry::serve(own, served.clone());
        let lag_seconds = settings.platform.file.rest.lag_monitor_interval_seconds;
        let lag = async {
            match kafka {
                Some(kafka) => lag::follow_kafka(kafka, settings, lag_sender, lag_seconds).await,
                None => lag::follow(watched.clone(), lag_seconds).await,
            }
        };
        tracing::info!(pipeline_id = %spec.pipeline_id, "pipeline starts");
        let started = Instant::now();
        let running = std::pin::pin!(cdc_engine::run(spec, status, cancel.clone()));
        let beside = async {
            tokio::join!(
                progress::follow(watched.clone(), manner.stderr.clone()),
                lag,
                pressure::follow(cluster.clone(), settings, hold),
                watch.follow(settings, sentinel.clone()),
            )
        };
        let ended = tokio::select! { biased;
            ended = stop::ending(running, sentinel.tripped(), &cancel) => ended,
            failed = serving => Err(failed),
            failed = serving_registry => Err(failed),
            _ = beside => Ok(()),
        };
        served.cancel();
        if let Some(cluster) = cluster {
            settle(&cluster).await;
        }
        sum_up(&watched.borrow(), &ended, started);
        ended
    }
}

/// Stores the offsets that were committed last.
async fn settle(cluster: &KafkaTransport) {
    let settled = tokio::time::timeout(SETTLING_WAIT, cluster.settle()).await;
    let failure = match settled {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.chain(),
        Err(_) => "no answer in time".to_owned(),
    };
    let remedy = "nothing while Kafka has the group: the next run stores them; \
                  should it be lost before, the last changes are delivered again";
    tracing::warn!(failure, remedy, "the last offsets are not stored");
}

fn sum_up(status: &PipelineStatus, ended: &Outcome, started: Instant) {
    let dead_letters: u64 = status.sinks.iter().map(|sink| sink.dead_letters).sum();
    if dead_letters > 0 {
        let remedy = "look at them with cdc dead-letters list";
        tracing::warn!(dead_letters, remedy, "changes are set aside");
    }
    let delivered: u64 = status.sinks.iter().map(|sink| sink.delivered).sum();
    let seconds = started.elapsed().as_secs();
    match ended {
        Ok(()) => tracing::info!(delivered, seconds, "pipeline stopped"),
        Err(failure) => tracing::debug!(?failure, delivered, seconds, "pipeline failed"),
    }
}

/// Resolves only when the server fails: a pipeline without health is not what was asked for.
async fn serve(server: Option<Server>, parts: Parts, cancel: CancellationToken) -> Failure {
    let Some(server) = server else { return std::future::pending().await };
    match server.serve(parts, cancel).await {
        Err(error) => error.into(),
        Ok(()) => std::future::pending().await,
    }
}
