//! `cdc run`: the pipeline at work.

use super::Manner;
use crate::{
    directory::Lock,
    failure::{Failure, Outcome},
    progress,
    settings::{Files, Settings},
    stop, when,
};
use cdc_core::{Transport, clock::SystemClock, dead_letter::DeadLetterStore, store::SchemaStore};
use cdc_engine::{PipelineSpec, PipelineStatus, RowFormat, Until};
use cdc_server::{Counters, Parts, Server};
use cdc_state::Store;
use cdc_transport_embedded::Log;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

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
    let mut lock = settings.directory.lock(when::now_ms())?;
    let server = listen(&settings, &mut lock).await?;
    let store = Store::open(settings.directory.state())?;
    let log = &settings.platform.embedded;
    let log = Log::open(settings.directory.log(), settings.id(), log.clone()).await?;
    let until = if args.until_current { Until::Current } else { Until::Cancelled };
    let spec = spec(&settings, Arc::new(log), store, until);
    let outcome = Box::pin(work(&settings, spec, server, manner)).await;
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

/// The address by which processes of this machine reach a server.
fn local(address: SocketAddr) -> SocketAddr {
    let mut local = address;
    if address.ip().is_unspecified() {
        local.set_ip(if address.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            [0, 0, 0, 0, 0, 0, 0, 1].into()
        });
    }
    local
}

fn spec(
    settings: &Settings,
    transport: Arc<dyn Transport>,
    store: Store,
    until: Until,
) -> PipelineSpec {
    let store = Arc::new(store);
    let platform = &settings.platform.file;
    let prefix = &settings.pipeline.head.topic_prefix;
    let schemas: Arc<dyn SchemaStore> = Arc::clone(&store) as _;
    let format = RowFormat::new(Arc::clone(&schemas), prefix, transport.ordering());
    PipelineSpec {
        pipeline_id: settings.id().to_owned(),
        topic_prefix: prefix.clone(),
        database: settings.pipeline.source.database().to_owned(),
        source: Arc::clone(&settings.source),
        sinks: settings.sinks.clone(),
        transport,
        checkpoints: Arc::clone(&store) as _,
        format: Arc::new(format),
        schemas,
        dead_letters: store,
        clock: Arc::new(SystemClock),
        seed: when::now_ms() ^ u64::from(std::process::id()).rotate_left(32),
        memory_budget_bytes: usize::try_from(platform.memory_budget).unwrap_or(usize::MAX),
        retry: platform.retry.policy().unwrap_or_default(),
        until,
    }
}

/// Runs the pipeline with everything that watches it, until it ends or is told to.
async fn work(
    settings: &Settings,
    spec: PipelineSpec,
    server: Option<Server>,
    manner: &Manner,
) -> Outcome {
    let (status, watched) = watch::channel(PipelineStatus::default());
    let cancel = CancellationToken::new();
    let served = CancellationToken::new();
    let counters = Counters::install();
    let parts = Parts {
        pipeline_id: spec.pipeline_id.clone(),
        status: watched.clone(),
        source: Arc::clone(&spec.source),
        checkpoints: Arc::clone(&spec.checkpoints),
        dead_letters: Arc::clone(&spec.dead_letters) as Arc<dyn DeadLetterStore>,
        schemas: Arc::clone(&spec.schemas),
        counters,
    };
    let serving = serve(server, parts, served.clone());
    let lag_seconds = settings.platform.file.rest.lag_monitor_interval_seconds;
    tracing::info!(pipeline_id = %spec.pipeline_id, "pipeline starts");
    let started = Instant::now();
    let running = std::pin::pin!(cdc_engine::run(spec, status, cancel.clone()));
    let beside = async {
        tokio::join!(
            progress::follow(watched.clone(), manner.stderr.clone()),
            lag(watched.clone(), lag_seconds),
        )
    };
    let ended = tokio::select! { biased;
        ended = stop::ending(running, &cancel) => ended,
        failed = serving => Err(failed),
        _ = beside => Ok(()),
    };
    served.cancel();
    let dead_letters: u64 = watched.borrow().sinks.iter().map(|sink| sink.dead_letters).sum();
    if dead_letters > 0 {
        let remedy = "look at them with cdc dead-letters list";
        tracing::warn!(dead_letters, remedy, "changes are set aside");
    }
    let delivered: u64 = watched.borrow().sinks.iter().map(|sink| sink.delivered).sum();
    let seconds = started.elapsed().as_secs();
    match &ended {
        Ok(()) => tracing::info!(delivered, seconds, "pipeline stopped"),
        Err(failure) => tracing::debug!(?failure, delivered, seconds, "pipeline failed"),
    }
    ended
}

/// Resolves only when the server fails: a pipeline without health is not what was asked for.
async fn serve(server: Option<Server>, parts: Parts, cancel: CancellationToken) -> Failure {
    let Some(server) = server else { return std::future::pending().await };
    match server.serve(parts, cancel).await {
        Err(error) => error.into(),
        Ok(()) => std::future::pending().await,
    }
}

/// Logs each sink's lag from time to time, while there is any.
async fn lag(status: watch::Receiver<PipelineStatus>, seconds: u64) {
    if seconds == 0 {
        return std::future::pending().await;
    }
    let mut ticks = interval(Duration::from_secs(seconds));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let status = status.borrow();
        for sink in status.sinks.iter().filter(|sink| sink.lag_records > 0) {
            tracing::info!(
                sink_id = sink.sink_id,
                topic = status.pipeline_id,
                partition = 0,
                lag = sink.lag_records,
                lag_ms = sink.lag_ms,
                "consumer.lag"
            );
        }
    }
}
