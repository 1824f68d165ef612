//! Watches the versions of the pipeline's subjects.

use super::{Registry, Sentinel};
use cdc_core::Result;
use cdc_registry::{
    Breach, Level, Schema, check,
    embedded::{Selector, Shown},
    plan::{Step, plan},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};

/// So many differences are told at once.
const STEPS_MAX: usize = 10;

/// What was seen last of every subject, and where.
pub(crate) struct Monitor {
    registry: Registry,
    prefix: String,
    sentinel: Sentinel,
    known: BTreeMap<String, i32>,
    reachable: bool,
}

impl Monitor {
    /// Remembers what is there now; the subjects are those of topics of this prefix.
    pub(crate) async fn begin(registry: Registry, topic_prefix: &str, sentinel: Sentinel) -> Self {
        let prefix = format!("{topic_prefix}.");
        let mut monitor =
            Self { registry, prefix, sentinel, known: BTreeMap::new(), reachable: true };
        match monitor.latest().await {
            Ok(latest) => monitor.known = latest,
            Err(error) => monitor.unreachable(&error),
        }
        monitor
    }

    /// Looks again from time to time, and when it is told to. Never ends.
    pub(crate) async fn watch(mut self, seconds: u64, announced: Arc<Notify>) {
        if seconds == 0 {
            return std::future::pending().await;
        }
        let mut ticks = interval(Duration::from_secs(seconds));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! { biased;
                () = announced.notified() => {}
                _ = ticks.tick() => {}
            }
            match self.look().await {
                Ok(()) => self.reachable = true,
                Err(error) => self.unreachable(&error),
            }
        }
    }

    fn unreachable(&mut self, error: &cdc_core::Error) {
        if std::mem::replace(&mut self.reachable, false) {
            let (code, remedy) = (error.code, error.remedy.as_deref());
            let problem = &error.context;
            tracing::warn!(code, problem, remedy, "the schema registry cannot be watched");
        }
    }

    async fn look(&mut self) -> Result<()> {
        for (subject, version) in self.latest().await? {
            let before = self.known.insert(subject.clone(), version);
            if let Some(before) = before.filter(|before| *before < version) {
                self.compare(&subject, before, version).await?;
            }
        }
        Ok(())
    }

    /// The newest version of each subject.
    async fn latest(&self) -> Result<BTreeMap<String, i32>> {
        match &self.registry {
            Registry::Own(registry) => {
                let all = registry.all(&self.prefix, Shown::default(), true);
                Ok(all.into_iter().map(|found| (found.subject, found.version)).collect())
            }
            Registry::Elsewhere(client) => {
                let mut latest = BTreeMap::new();
                for subject in client.subjects().await? {
                    if subject.starts_with(&self.prefix) {
                        let found = client.version(&subject, "latest").await?;
                        latest.insert(subject, found.version);
                    }
                }
                Ok(latest)
            }
        }
    }

    async fn compare(&self, subject: &str, before: i32, version: i32) -> Result<()> {
        let (old, new) =
            (self.schema(subject, before).await?, self.schema(subject, version).await?);
        let (Some(old), Some(new)) = (old, new) else { return Ok(()) };
        let changed = changes(&plan(&old, &new).steps);
        let breaches = check(self.level(subject).await?, &new, &[&old]);
        if breaches.is_empty() {
            tracing::info!(subject, version, before, changed, "schema.version_changed");
            return Ok(());
        }
        tracing::warn!(subject, version, before, changed, "schema.version_changed");
        // Whoever stops the run by this tells it by himself.
        let _error = self.sentinel.incompatible(subject, &reasons(version, &breaches));
        Ok(())
    }

    async fn level(&self, subject: &str) -> Result<Level> {
        Ok(match &self.registry {
            Registry::Own(registry) => {
                let config = registry.config(Some(subject), true).ok();
                config.and_then(|config| config.level).unwrap_or_default()
            }
            Registry::Elsewhere(client) => client.level(Some(subject)).await?,
        })
    }

    /// A version's schema; `None` when it was deleted in the meantime or cannot be read.
    async fn schema(&self, subject: &str, version: i32) -> Result<Option<Schema>> {
        Ok(match &self.registry {
            Registry::Own(registry) => {
                let found = registry.version(subject, Selector::Number(version), true).ok();
                found.and_then(|found| registry.schema(found.id).ok())
            }
            Registry::Elsewhere(client) => {
                match client.version(subject, &version.to_string()).await {
                    Ok(found) => client.parse(&found.named).await.ok(),
                    Err(error) if error.code == "CDC-6013" => None,
                    Err(error) => return Err(error),
                }
            }
        })
    }
}

/// One line for all differences.
fn changes(steps: &[Step]) -> String {
    let mut texts: Vec<String> = steps.iter().take(STEPS_MAX).map(Step::to_string).collect();
    if steps.len() > STEPS_MAX {
        texts.push(format!("and {} more", steps.len() - STEPS_MAX));
    }
    texts.join(", ")
}

fn reasons(version: i32, breaches: &[Breach]) -> String {
    let finding = |breach: &Breach| {
        format!("{} at {}: {}", breach.finding.kind, breach.finding.path, breach.finding.message)
    };
    let texts: Vec<String> = breaches.iter().take(STEPS_MAX).map(finding).collect();
    format!("version {version}: {}", texts.join(", "))
}
