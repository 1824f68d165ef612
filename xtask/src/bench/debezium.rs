//! The Debezium engine as a contender: the connector for PostgreSQL, changes as JSON in the same
//! process, counted and thrown away.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::arena::Arena;
use super::contest::Contest;
use super::measure::{self, Usage};
use super::workload;
use crate::services::debezium::{Engine, VERSION};

const PROGRAM: &str = include_str!("debezium/Drain.java");
const SLOT: &str = "bench_debezium";
const TOPIC: &str = "bench.public.events";

/// With which settings it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settings {
    /// What its users have when they set nothing.
    Defaults,
    /// Larger batches and queues, and no schema in each message.
    Tuned,
}

/// What it is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// The changes from the marked place on.
    Stream,
    /// The first copy and nothing after it.
    Snapshot,
}

/// The installed engine with our program, or why there is none.
pub(super) struct Debezium(anyhow::Result<Program>);

struct Program {
    class_path: String,
    classes: TempDir,
}

/// How it is named with its defaults.
pub(super) const DEFAULTS: &str = "Debezium, defaults";
/// How it is named with its better settings.
pub(super) const TUNED: &str = "Debezium, tuned";

impl Debezium {
    /// Installs the engine if it is not there and compiles our program, unless it is not wanted.
    pub(super) fn prepare(wanted: bool) -> Self {
        Self(if wanted { Program::compile() } else { Err(anyhow::anyhow!("left out on request")) })
    }

    /// Gives it its turn, once with each of its settings.
    pub(super) async fn take_turn(
        &self,
        contest: &mut Contest,
        arena: &Arena<'_>,
        task: Task,
        rows: u64,
    ) -> anyhow::Result<()> {
        for (name, settings) in [(DEFAULTS, Settings::Defaults), (TUNED, Settings::Tuned)] {
            let program = match &self.0 {
                Ok(program) if !contest.is_absent(name) => program,
                Ok(_) => continue,
                Err(reason) => {
                    contest.excuse(name, reason);
                    continue;
                }
            };
            match program.run(arena, task, settings, rows).await {
                Ok(usage) => contest.note(name, usage),
                Err(reason) => contest.excuse(name, &reason),
            }
            clean_up(arena).await?;
        }
        Ok(())
    }

    /// What a reader of its figures has to know.
    pub(super) fn notes(&self) -> Vec<String> {
        let Ok(program) = &self.0 else { return Vec::new() };
        let tuned = Settings::Tuned.properties().replace('\n', " ");
        vec![
            format!(
                "Debezium: engine {VERSION}.Final, connector for PostgreSQL, pgoutput, {}, heap of \
                 Java's choice; JSON in its process, counted and thrown away, nothing on disk",
                program.java_version()
            ),
            "Debezium, defaults: no setting beyond where to read and where offsets lie".to_owned(),
            format!("Debezium, tuned: {}", tuned.trim()),
        ]
    }
}

impl Program {
    fn compile() -> anyhow::Result<Self> {
        let engine = Engine::install()?;
        let classes = tempfile::Builder::new().prefix("cdc-bench-").tempdir()?;
        let source = classes.path().join("Drain.java");
        std::fs::write(&source, PROGRAM)?;
        let class_path = engine.class_path();
        let output = Command::new("javac")
            .args(["-cp", &class_path, "-d"])
            .args([classes.path(), &source])
            .output()
            .context("run javac")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "javac: {}", said.trim());
        Ok(Self { class_path, classes })
    }

    fn java_version(&self) -> String {
        let output = Command::new("java").arg("-version").output();
        let said = output.map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
        java_version(&said.unwrap_or_default())
    }

    async fn run(
        &self,
        arena: &Arena<'_>,
        task: Task,
        settings: Settings,
        rows: u64,
    ) -> anyhow::Result<Usage> {
        let directory = tempfile::Builder::new().prefix("cdc-bench-").tempdir()?;
        let file = |name: &str| -> PathBuf { directory.path().join(name) };
        let (settings_file, begun) = (file("engine.properties"), file("begun"));
        let text = properties(arena, task, &file("offsets")) + settings.properties();
        std::fs::write(&settings_file, text)?;
        if task == Task::Stream {
            workload::slot(&arena.client, SLOT).await?;
        }
        let mut command = Command::new("java");
        command
            .arg("-cp")
            .arg(format!("{}:{}", self.classes.path().display(), self.class_path))
            .arg("Drain")
            .arg(&settings_file)
            .args([TOPIC, &rows.to_string()])
            .arg(&begun)
            .current_dir(directory.path())
            .stdout(Stdio::null());
        measure::run(command, arena.server, async || begun.exists()).await
    }
}

// Other lines may come before it, about options in the environment.
fn java_version(said: &str) -> String {
    let line = said.lines().find(|line| line.contains(" version "));
    line.unwrap_or("Java of an unknown version").to_owned()
}

impl Settings {
    fn properties(self) -> &'static str {
        match self {
            Self::Defaults => "",
            Self::Tuned => {
                "max.batch.size=20480\nmax.queue.size=81920\n\
                 key.converter.schemas.enable=false\nvalue.converter.schemas.enable=false\n"
            }
        }
    }
}

fn properties(arena: &Arena<'_>, task: Task, offsets: &Path) -> String {
    let server = arena.server;
    let snapshot_mode = match task {
        Task::Stream => "no_data",
        Task::Snapshot => "initial_only",
    };
    let lines = [
        ("name", "bench"),
        ("connector.class", "io.debezium.connector.postgresql.PostgresConnector"),
        ("plugin.name", "pgoutput"),
        ("database.hostname", server.host()),
        ("database.port", &server.port().to_string()),
        ("database.user", server.superuser()),
        ("database.password", server.password()),
        ("database.dbname", &arena.database),
        ("topic.prefix", "bench"),
        ("table.include.list", "public.events"),
        ("slot.name", SLOT),
        ("publication.name", workload::PUBLICATION),
        ("publication.autocreate.mode", "disabled"),
        ("snapshot.mode", snapshot_mode),
        ("offset.storage", "org.apache.kafka.connect.storage.FileOffsetBackingStore"),
        ("offset.storage.file.filename", &offsets.display().to_string()),
    ];
    lines.iter().map(|(key, value)| format!("{key}={value}\n")).collect()
}

// A run that failed early has made no slot.
async fn clean_up(arena: &Arena<'_>) -> anyhow::Result<()> {
    let sql = "SELECT FROM pg_replication_slots WHERE slot_name = $1";
    if arena.client.query_opt(sql, &[&SLOT]).await?.is_some() {
        workload::drop_slot(&arena.client, SLOT).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Settings, java_version};

    #[test]
    fn the_version_is_found_behind_other_lines() {
        let said =
            "Picked up JAVA_TOOL_OPTIONS: -Xint\nopenjdk version \"17.0.15\" 2025-04-15\nmore\n";
        assert_eq!(java_version(said), "openjdk version \"17.0.15\" 2025-04-15");
        assert_eq!(java_version(""), "Java of an unknown version");
    }

    #[test]
    fn defaults_are_nobodys_settings_and_the_tuned_ones_are_lines_of_properties() {
        assert_eq!(Settings::Defaults.properties(), "");
        let tuned = Settings::Tuned.properties();
        assert!(tuned.lines().all(|line| line.split('=').count() == 2), "{tuned}");
        assert!(tuned.contains("max.batch.size=20480\n"), "{tuned}");
    }
}
