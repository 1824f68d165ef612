//! Reads the configuration files and the environment.

use crate::{
    catalog::SourceConfig,
    config::{
        ConfigError, Diagnostic, Pipeline, Platform, TransportMode, parse_pipeline, parse_platform,
    },
    debezium,
    directory::Directory,
    failure::{Failure, Outcome},
};
use cdc_core::{
    Error, Origin, Retry,
    catalog::{SharedSourceConnector, SinkContext},
};
use cdc_engine::{OnRejected, SinkSpec};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Which files a command works on.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Files {
    /// The pipeline file: what to capture and where to send it
    pub(crate) pipeline: PathBuf,
    #[command(flatten)]
    pub(crate) platform: PlatformArgs,
}

/// Where the platform file is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PlatformArgs {
    /// The platform file: on what infrastructure to run; without it all its defaults hold
    #[arg(long, value_name = "FILE", env = "CDC_PLATFORM_CONFIG")]
    pub(crate) platform_config: Option<PathBuf>,
    /// Directory of the log and the state, instead of embedded.data_dir of the platform file
    #[arg(long, value_name = "DIR", env = "CDC_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// Both files, read and checked, with the connectors that they ask for.
#[derive(Clone)]
pub(crate) struct Settings {
    /// What to capture and where to send it.
    pub(crate) pipeline: Pipeline,
    /// On what infrastructure.
    pub(crate) platform: Platform,
    /// Where this pipeline keeps its log and state.
    pub(crate) directory: Directory,
    /// Where changes come from.
    pub(crate) source: SharedSourceConnector,
    /// The sinks that are enabled.
    pub(crate) sinks: Vec<SinkSpec>,
}

impl Settings {
    /// The pipeline's id.
    #[must_use]
    pub(crate) fn id(&self) -> &str {
        &self.pipeline.head.pipeline_id
    }

    /// What a sink is told when it is checked.
    pub(crate) fn sink_context(&self, sink_id: &str) -> SinkContext {
        let budget = usize::try_from(self.platform.file.memory_budget).unwrap_or(usize::MAX);
        SinkContext {
            pipeline_id: self.id().to_owned(),
            sink_id: sink_id.to_owned(),
            topic_prefix: self.pipeline.head.topic_prefix.clone(),
            database: self.pipeline.source.database().to_owned(),
            memory_bytes: budget / 4,
        }
    }
}

/// Reads a variable of the environment; what is not Unicode counts as not set.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub(crate) fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl PlatformArgs {
    /// Reads the platform file, or takes the defaults.
    pub(crate) fn load(&self) -> Outcome<Platform> {
        let mut platform = match &self.platform_config {
            Some(path) => {
                let text = read(path, "platform")?;
                parse_platform(&text, &env).map_err(|e| e.in_file(path.display().to_string()))?
            }
            None => Platform::default(),
        };
        if let Some(data_dir) = &self.data_dir {
            platform.data.data_dir.clone_from(data_dir);
        }
        Ok(platform)
    }
}

impl Files {
    /// Reads both files. The problems of both are reported together.
    pub(crate) fn load(&self) -> Outcome<Settings> {
        let text = read(&self.pipeline, "pipeline")?;
        let name = self.pipeline.display().to_string();
        let pipeline = parse_pipeline(&text, &env).map_err(|error| error.in_file(name.clone()));
        let platform = self.platform.load();
        let (mut pipeline, platform) = match (pipeline, platform) {
            (Ok(pipeline), Ok(platform)) => (pipeline, platform),
            (Err(error), _) => return Err(error.into()),
            (_, Err(failure)) => return Err(failure),
        };
        supply(&mut pipeline, &platform);
        let mut problems = Vec::new();
        let source = pipeline.source.connector();
        let source = source.and_then(|native| debezium::instead(native, &pipeline, &platform));
        let source =
            source.map_err(|error| problems.push(pipeline.source_keys.refusal(&error))).ok();
        let sinks = sinks(&pipeline, &platform, &mut problems);
        refuse_rows_alone(&pipeline, &platform, &self.platform, &mut problems);
        let directory = Directory::new(&platform.data.data_dir, &pipeline.head.pipeline_id);
        let directory = match platform.mode() {
            TransportMode::Kafka => directory.shared(),
            TransportMode::Embedded | TransportMode::Pubsub | TransportMode::Kinesis => directory,
        };
        match source {
            Some(source) if problems.is_empty() => {
                Ok(Settings { pipeline, platform, directory, source, sinks })
            }
            _ => Err(ConfigError::new(name, &text, problems).into()),
        }
    }
}

/// The sinks that are enabled; what is wrong with any of them is added to `problems`.
fn sinks(
    pipeline: &Pipeline,
    platform: &Platform,
    problems: &mut Vec<Diagnostic>,
) -> Vec<SinkSpec> {
    let park = platform.file.dlq.enabled;
    let default = if park { OnRejected::Park } else { OnRejected::Stop };
    let mut sinks = Vec::with_capacity(pipeline.sinks.len());
    for sink in &pipeline.sinks {
        let retry = platform.file.retry.overridden(sink.head.retry).policy();
        let connector = sink.config.connector();
        match (retry, connector) {
            (Ok(retry), Ok(connector)) if sink.head.enabled => sinks.push(SinkSpec {
                sink_id: sink.head.sink_id.clone(),
                connector,
                retry,
                on_rejected: sink.head.on_error.map_or(default, Into::into),
            }),
            (Ok(_), Ok(_)) => {}
            (Err(message), _) => {
                // Keys of both files may clash only once both are known.
                let message = format!("`retry` of sink `{}`: {message}", sink.head.sink_id);
                let problem = Diagnostic::new("CDC-0104", message).at(sink.keys.block);
                let remedy = "mind that keys left out come from `retry` of the platform file";
                problems.push(problem.with_remedy(remedy));
            }
            (Ok(_), Err(error)) => problems.push(sink.keys.refusal(&error)),
        }
    }
    sinks
}

/// Records that are rows alone do not say what happened to them, so no sink of ours can be fed by them.
fn refuse_rows_alone(
    pipeline: &Pipeline,
    platform: &Platform,
    at: &PlatformArgs,
    problems: &mut Vec<Diagnostic>,
) {
    let readable = platform.file.format.options("").can_be_read_back();
    if readable || platform.mode() != TransportMode::Kafka {
        return;
    }
    let file = at.platform_config.as_deref().unwrap_or(Path::new("platform.yaml")).display();
    for sink in pipeline.sinks.iter().filter(|sink| sink.head.enabled) {
        let message = format!(
            "sink `{}` cannot read the topics: `format.unwrap` of {file} makes their records rows alone",
            sink.head.sink_id
        );
        let remedy = format!(
            "remove `unwrap` from `format` in {file}, or set `enabled: false` for this sink and let \
             other consumers read the topics"
        );
        let problem = Diagnostic::new("CDC-0109", message).at(sink.keys.block);
        problems.push(problem.with_remedy(remedy));
    }
}

/// Keys of `wal_reader` stand in for keys of the source that the pipeline file does not give.
fn supply(pipeline: &mut Pipeline, platform: &Platform) {
    let reader = &platform.file.wal_reader;
    let given = |key: &str| pipeline.source_keys.gives(key);
    let slot = reader.slot_name.clone().filter(|_| !given("slot_name"));
    let publication = reader.publication_name.clone().filter(|_| !given("publication_name"));
    let interval = reader.status_interval_seconds.filter(|_| !given("status_interval_seconds"));
    match &mut pipeline.source {
        SourceConfig::Postgres(config) => {
            config.slot_name = slot.unwrap_or_else(|| config.slot_name.clone());
            config.publication_name =
                publication.unwrap_or_else(|| config.publication_name.clone());
            config.status_interval_seconds = interval.unwrap_or(config.status_interval_seconds);
        }
    }
}

fn read(path: &Path, what: &str) -> Outcome<String> {
    let text = std::fs::read(path).and_then(|bytes| {
        String::from_utf8(bytes)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8"))
    });
    text.map_err(|error| {
        let context = format!("the {what} file {} cannot be read", path.display());
        let remedy = format!("give the path of a {what} file; examples/ has some");
        let failure = Error::new("CDC-0101", Origin::Config, Retry::Never, context);
        let failure = failure.with_remedy(remedy).with_source(error_text(error));
        Failure::Usage(Box::new(failure))
    })
}

fn error_text(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(error.kind(), "there is no such file"),
        io::ErrorKind::PermissionDenied => {
            io::Error::new(error.kind(), "this user may not read it")
        }
        io::ErrorKind::IsADirectory => io::Error::new(error.kind(), "it is a directory"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(source: &str, sink: &str, platform: &str) -> Outcome<Settings> {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let pipeline = format!(
            "pipeline_id: p\nsource: {{database: d{source}}}\n\
             sinks: [{{sink_id: out, sink_type: file, file: {{path: x}}{sink}}}]\n"
        );
        let platform_config = Some(write("f.yaml", platform.to_owned()));
        let platform = PlatformArgs { platform_config, data_dir: None };
        Files { pipeline: write("p.yaml", pipeline), platform }.load()
    }

    fn slot(settings: &Settings) -> &str {
        let SourceConfig::Postgres(config) = &settings.pipeline.source;
        &config.slot_name
    }

    #[test]
    fn the_platform_supplies_the_slot_that_the_pipeline_does_not_name() {
        let platform = "wal_reader: {slot_name: theirs, status_interval_seconds: 7}";
        let settings = load("", "", platform).expect("valid");
        assert_eq!(slot(&settings), "theirs");
        let SourceConfig::Postgres(config) = &settings.pipeline.source;
        assert_eq!(config.status_interval_seconds, 7);
        let settings = load(", slot_name: ours", "", platform).expect("valid");
        assert_eq!(slot(&settings), "ours");
        assert_eq!(slot(&load("", "", "").expect("valid")), "cdc_slot");
    }

    #[test]
    fn a_refused_change_stops_its_sink_where_dead_letters_are_off() {
        let policy = |sink, platform| load("", sink, platform).expect("valid").sinks[0].on_rejected;
        assert_eq!(policy("", ""), OnRejected::Park);
        assert_eq!(policy("", "dlq: {enabled: false}"), OnRejected::Stop);
        assert_eq!(policy(", on_error: skip", "dlq: {enabled: false}"), OnRejected::Skip);
    }

    #[test]
    fn a_sinks_own_retry_keys_override_and_must_fit_those_of_the_platform() {
        let settings = load("", ", retry: {max_attempts: 9}", "retry: {max_wait_seconds: 5}");
        let retry = settings.expect("valid").sinks[0].retry;
        assert_eq!((retry.max_attempts, retry.max_wait.as_secs()), (9, 5));
        let clash = load("", ", retry: {initial_wait_seconds: 9}", "retry: {max_wait_seconds: 5}");
        let Err(failure) = clash else { panic!("they clash") };
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.to_string().contains("`retry` of sink `out`"), "{failure}");
    }

    #[test]
    fn a_disabled_sink_is_checked_but_not_run() {
        assert!(load("", ", enabled: false", "").expect("valid").sinks.is_empty());
    }
}
