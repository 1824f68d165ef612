//! Makes the connector, looks whether it can be made, and removes it.

use crate::{
    config::Config,
    error,
    rest::{Properties, Rest, Status},
    watch::Watcher,
};
use async_trait::async_trait;
use cdc_core::{
    Finding, Position, Result, Source,
    catalog::{CapturedTable, SharedSourceConnector, SourceConnector},
};
use std::collections::BTreeMap;

/// A setting of each connector that this source has made: the pipeline that it is for.
pub const OWNER: &str = "cdc.pipeline";
const PREFIX: &str = "topic.prefix";
const CLASS: &str = "connector.class";

/// A connector of Debezium, made from these settings.
pub struct Connector {
    /// The same database, as `cdc` itself would capture it.
    native: SharedSourceConnector,
    rest: Rest,
    name: String,
    settings: Properties,
}

impl Connector {
    /// The connector of a pipeline. `settings` are Debezium's, with the pipeline's id as [`OWNER`].
    ///
    /// # Errors
    /// When the way to Kafka Connect cannot work.
    pub fn new(
        native: SharedSourceConnector,
        config: &Config,
        settings: BTreeMap<String, String>,
    ) -> Result<Self> {
        config.validate()?;
        let pipeline = settings.get(OWNER).cloned().unwrap_or_default();
        let name = config.name.clone().unwrap_or(pipeline);
        Ok(Self { native, rest: Rest::new(config)?, name, settings })
    }

    fn setting(&self, key: &str) -> &str {
        self.settings.get(key).map_or("", String::as_str)
    }

    fn is_ours(&self, found: &Properties) -> bool {
        found.get(OWNER) == self.settings.get(OWNER)
    }

    /// The settings that it has and that were asked for, where they are not the same.
    fn differs(&self, found: &Properties) -> bool {
        // Kafka Connect adds the name.
        self.settings.iter().any(|(key, value)| found.get(key) != Some(value))
            || found.keys().any(|key| key != "name" && !self.settings.contains_key(key))
    }

    async fn look(&self) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        let class = self.setting(CLASS);
        let plugins = self.rest.plugins().await?;
        findings.push(if plugins.iter().any(|plugin| plugin == class) {
            Finding::ok(format!("Kafka Connect at {} has {class}", self.rest.shown()))
        } else {
            Finding::error(
                format!("the workers of Kafka Connect at {} have no {class}", self.rest.shown()),
                "install Debezium's connector for PostgreSQL in their plugin.path",
            )
        });
        let Some(found) = self.rest.settings(&self.name).await? else {
            let what = format!("the connector {} is made by cdc deploy, or cdc run", self.name);
            findings.push(Finding::ok(what));
            return Ok(findings);
        };
        self.check_owner(&found)?;
        let status = self.rest.status(&self.name).await?;
        findings.push(match status.as_ref().and_then(Status::failure) {
            Some(why) => Finding::error(
                format!("the connector {} has failed: {why}", self.name),
                "correct what the message names, then start cdc run",
            ),
            None => Finding::ok(format!("the connector {} is there", self.name)),
        });
        Ok(findings)
    }

    /// Another's connector will do, if it writes our topics.
    fn check_owner(&self, found: &Properties) -> Result<()> {
        let writes = found.get(PREFIX).map_or("", String::as_str);
        if self.is_ours(found) || writes == self.setting(PREFIX) {
            return Ok(());
        }
        Err(error::of_others(&self.name, writes, self.setting(PREFIX)))
    }
}

#[async_trait]
impl SourceConnector for Connector {
    fn kind(&self) -> &'static str {
        "debezium"
    }

    async fn check(&self) -> (Vec<Finding>, Vec<CapturedTable>) {
        let (mut findings, tables) = self.native.check().await;
        findings.extend(self.look().await.unwrap_or_else(|error| {
            vec![Finding::error(error.context, error.remedy.unwrap_or_default())]
        }));
        (findings, tables)
    }

    async fn provision(&self) -> Result<Vec<String>> {
        let name = &self.name;
        let mut done = Vec::new();
        match self.rest.settings(name).await? {
            Some(found) if !self.is_ours(&found) => {
                self.check_owner(&found)?;
                tracing::info!(
                    connector = name,
                    "somebody else made the connector: it stays as it is"
                );
                return Ok(done);
            }
            Some(found) if !self.differs(&found) => {}
            Some(_) => {
                self.rest.put(name, &self.settings).await?;
                done.push(format!("gave the connector {name} its new settings"));
            }
            None => {
                self.rest.put(name, &self.settings).await?;
                done.push(format!("made the connector {name} on {}", self.rest.shown()));
            }
        }
        let status = self.rest.status(name).await?;
        if done.is_empty() && status.is_some_and(|status| status.failure().is_some()) {
            self.rest.restart(name).await?;
            done.push(format!("started the connector {name} again, which had failed"));
        }
        Ok(done)
    }

    async fn retire(&self) -> Result<Vec<String>> {
        let mut done = Vec::new();
        let found = self.rest.settings(&self.name).await?;
        if found.is_some_and(|found| !self.is_ours(&found)) {
            done.push(format!("left the connector {} alone: somebody else made it", self.name));
            return Ok(done);
        }
        if self.rest.delete(&self.name).await? {
            done.push(format!("removed the connector {}", self.name));
        }
        done.extend(self.native.retire().await?);
        Ok(done)
    }

    async fn open(&self) -> Result<Box<dyn Source>> {
        Ok(Box::new(Watcher::new(self.rest.clone(), self.name.clone())))
    }

    fn begins_with_rows(&self) -> bool {
        false
    }

    async fn current_position(&self) -> Result<Position> {
        Err(error::not_captured_here("--until-current"))
    }
}
