//! `cdc deploy` and `cdc undeploy`: what the source needs on its server, and the topics on Kafka.

use super::Manner;
use crate::{
    backbone::{dead_letter_topics, open_kafka},
    directory::Probe,
    failure::{Failure, Outcome},
    output::{say, say_json},
    settings::{Files, Settings},
    when,
};
use cdc_core::naming;
use serde_json::json;

#[derive(Debug, clap::Args)]
pub(super) struct UndeployArgs {
    #[command(flatten)]
    files: Files,
    /// Delete the pipeline's topics on Kafka too, with all changes in them
    #[arg(long)]
    topics: bool,
}

pub(super) async fn deploy(files: &Files, manner: &Manner) -> Outcome {
    let settings = files.load()?;
    let mut done = settings.source.provision().await?;
    if let Some(kafka) = settings.platform.kafka() {
        let cluster = open_kafka(&settings, &kafka).await?;
        let topics = expected_topics(&settings).await;
        let plans: Vec<_> = topics.iter().map(|topic| cluster.plan(topic)).collect();
        done.extend(cluster.provision(&plans).await?);
    }
    tell(manner, done, "everything was there already")
}

/// The topics of the tables that are captured now.
pub(super) async fn expected_topics(settings: &Settings) -> Vec<String> {
    let (_, tables) = settings.source.check().await;
    let prefix = &settings.pipeline.head.topic_prefix;
    let mut topics: Vec<String> =
        tables.iter().map(|table| naming::topic(prefix, &table.table)).collect();
    topics.sort();
    topics.dedup();
    topics
}

pub(super) async fn undeploy(args: &UndeployArgs, manner: &Manner) -> Outcome {
    let settings = args.files.load()?;
    let done = match settings.platform.kafka().is_some() {
        true => undeploy_shared(args, &settings).await?,
        false => undeploy_own(&settings).await?,
    };
    tell(manner, done, "there was nothing to remove")
}

async fn undeploy_own(settings: &Settings) -> Outcome<Vec<String>> {
    let existed = settings.directory.root().exists();
    // Held to the end, so that nobody starts the pipeline on what is being removed.
    let lock = settings.directory.lock(when::now_ms())?;
    let mut done = settings.source.retire().await?;
    let root = settings.directory.root().display().to_string();
    settings.directory.remove(lock)?;
    if existed {
        done.push(format!("deleted {root}: the log, the checkpoints and the dead letters"));
    }
    Ok(done)
}

/// Others may read the topics, so they stay unless somebody wants them gone.
async fn undeploy_shared(args: &UndeployArgs, settings: &Settings) -> Outcome<Vec<String>> {
    if let Probe::Taken(holder) = settings.directory.probe()? {
        let who = holder.map_or("a process".to_owned(), |holder| format!("process {}", holder.pid));
        let context = format!("{who} on this machine runs the pipeline");
        return Err(Failure::new("CDC-0120", context, "stop it first, here and on other machines"));
    }
    let mut done = settings.source.retire().await?;
    if args.topics
        && let Some(kafka) = settings.platform.kafka()
    {
        let cluster = open_kafka(settings, &kafka).await?;
        let changes: Vec<String> = cluster.topics().await?.into_keys().collect();
        let letters = dead_letter_topics(settings);
        let mut topics: Vec<String> = changes.iter().map(|topic| letters.topic(topic)).collect();
        topics.extend(changes);
        topics.push(kafka.cluster.state_topic(settings.id()));
        topics.push(kafka.cluster.lease_topic(settings.id()));
        done.extend(cluster.remove(&topics).await?);
        // A place in a topic that is gone means nothing in one of the same name.
        for sink in &settings.pipeline.sinks {
            let sink_id = &sink.head.sink_id;
            let count = cluster.forget_places(sink_id, None).await?;
            if count > 0 {
                done.push(format!("forgot {count} stored offsets of sink {sink_id}"));
            }
        }
    }
    Ok(done)
}

fn tell(manner: &Manner, done: Vec<String>, nothing: &str) -> Outcome {
    if manner.json {
        return say_json(&json!({ "done": done }));
    }
    if done.is_empty() {
        return say(nothing);
    }
    say(done.join("\n"))
}
