//! `cdc offsets`: how far sinks are, in Kafka and where it is stored beside Kafka.

use super::Manner;
use crate::{
    backbone::{State, format_of, open_kafka},
    config::Kafka,
    failure::{Failure, Outcome},
    output::{say, say_json, table},
    registry::Sentinel,
    settings::{Files, Settings},
    when,
};
use cdc_core::{
    Offset, Place, TopicPartition, Transport as _, checkpoint::Places, store::KeptPlace,
};
use cdc_transport_kafka::KafkaTransport;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show Kafka's and the stored offsets of each sink side by side
    Show(Selected),
    /// Write the stored offsets into the consumer groups; no process of the pipeline may run
    Restore(Selected),
    /// Forget stored offsets, for topics that were deleted and made anew
    Forget {
        #[command(flatten)]
        files: Files,
        /// Those of this sink
        #[arg(long, value_name = "ID")]
        sink_id: String,
        /// Only those of this topic
        #[arg(long, value_name = "TOPIC")]
        topic: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Selected {
    #[command(flatten)]
    files: Files,
    /// Only those of this sink
    #[arg(long, value_name = "ID")]
    sink_id: Option<String>,
}

pub(super) async fn run(command: Command, manner: &Manner) -> Outcome {
    match command {
        Command::Show(selected) => {
            let sinks = selected.open().await?;
            let found = sinks.look().await?;
            if manner.json { say_json(&as_json(&found)) } else { say(shown(&found)) }
        }
        Command::Restore(selected) => {
            let sinks = selected.open().await?;
            let restored = sinks.restore().await?;
            if manner.json {
                return say_json(&json!({ "restored": as_json(&restored) }));
            }
            if restored.is_empty() {
                return say("Kafka has every stored offset");
            }
            say(format!("restored\n\n{}", shown(&restored)))
        }
        Command::Forget { files, sink_id, topic } => {
            let selected = Selected { files, sink_id: Some(sink_id) };
            let sinks = selected.open().await?;
            sinks.forget(topic.as_deref(), manner).await
        }
    }
}

impl Selected {
    async fn open(&self) -> Outcome<Sinks> {
        let settings = self.files.load()?;
        let Some(kafka) = settings.platform.kafka() else {
            let context =
                "the log of this pipeline is on this machine's disk, and has no consumer groups";
            return Err(Failure::new(
                "CDC-0133",
                context,
                "cdc status shows how far its sinks are",
            ));
        };
        let all = settings.sinks.iter().map(|sink| sink.sink_id.clone());
        let chosen = |id: &String| self.sink_id.as_ref().is_none_or(|wanted| wanted == id);
        let ids: Vec<String> = all.filter(chosen).collect();
        if let (Some(wanted), true) = (&self.sink_id, ids.is_empty()) {
            let context = format!("the pipeline has no enabled sink {wanted}");
            return Err(Failure::new("CDC-0133", context, "give the sink_id of an enabled sink"));
        }
        let cluster = open_kafka(&settings, &kafka).await?;
        Ok(Sinks { settings, kafka, cluster, ids })
    }
}

/// The sinks that were asked for, and the cluster.
struct Sinks {
    settings: Settings,
    kafka: Kafka,
    cluster: Arc<KafkaTransport>,
    ids: Vec<String>,
}

/// One sink in one partition.
struct Found {
    sink_id: String,
    partition: TopicPartition,
    /// What Kafka has.
    committed: Option<Place>,
    /// What is stored beside it; the offset is 0 where it is one of another cluster.
    stored: Option<KeptPlace>,
    /// Offset after the newest record; `None` where the topic is gone.
    end: Option<Offset>,
}

impl Sinks {
    async fn look(&self) -> Outcome<Vec<Found>> {
        let there: BTreeSet<TopicPartition> =
            self.cluster.partitions().await?.into_iter().collect();
        let mut found = Vec::new();
        for sink_id in &self.ids {
            let stored = self.cluster.kept_places(sink_id).await?.unwrap_or_default();
            let all: Vec<TopicPartition> =
                there.union(&stored.keys().cloned().collect()).cloned().collect();
            let committed = self.cluster.committed(sink_id, &all).await?;
            for partition in all {
                let end = match there.contains(&partition) {
                    true => Some(self.cluster.end(&partition).await?),
                    false => None,
                };
                let (committed, stored) =
                    (committed.get(&partition).copied(), stored.get(&partition).copied());
                found.push(Found { sink_id: sink_id.clone(), partition, committed, stored, end });
            }
        }
        Ok(found)
    }

    /// Writes what is stored into the groups that do not have it.
    async fn restore(&self) -> Outcome<Vec<Found>> {
        if self.kafka.beside.offset_storage_postgres.is_none() {
            let context = "offsets are kept in Kafka only, and nowhere else to restore them from";
            let remedy = "set kafka.offset_storage: postgres for the next time; a sink that keeps its \
                          own checkpoint (postgres, file) needs no restore: start it, and the group \
                          has its offsets again";
            return Err(Failure::new("CDC-0133", context, remedy));
        }
        let found = self.look().await?;
        let differs = |found: &Found| {
            let stored = found.stored.filter(|kept| kept.place.offset > Offset(0));
            let stored = stored.filter(|_| found.end.is_some());
            stored.is_some_and(|kept| Some(kept.place) != found.committed)
        };
        let wanted: Vec<Found> = found.into_iter().filter(differs).collect();
        let mut by_sink: BTreeMap<&str, Places> = BTreeMap::new();
        for found in &wanted {
            if let Some(kept) = found.stored {
                let places = by_sink.entry(&found.sink_id).or_default();
                places.insert(found.partition.clone(), kept.place);
            }
        }
        let state = State::open(&self.settings).await?;
        let sentinel = Sentinel::new(false);
        let format = format_of(&self.settings, &self.kafka, &state, &sentinel)?;
        for places in by_sink.values() {
            cdc_engine::check_places(&*self.cluster, &mut *format.decoder(), places).await?;
        }
        for (sink_id, places) in &by_sink {
            self.cluster.restore(sink_id, places).await?;
        }
        Ok(wanted)
    }

    async fn forget(&self, topic: Option<&str>, manner: &Manner) -> Outcome {
        let mut count = 0;
        for sink_id in &self.ids {
            count += self.cluster.forget_places(sink_id, topic).await?;
        }
        if manner.json {
            return say_json(&json!({ "forgotten": count }));
        }
        let offsets = if count == 1 { "stored offset" } else { "stored offsets" };
        say(format!("{count} {offsets} forgotten"))
    }
}

fn as_json(found: &[Found]) -> Vec<Value> {
    let place =
        |place: &Place| json!({ "offset": place.offset.0, "position": place.position.to_string() });
    let one = |found: &Found| {
        let stored = found.stored.map(|kept| {
            json!({
                "offset": kept.place.offset.0,
                "position": kept.place.position.to_string(),
                "stored_at": when::utc(kept.saved_at_ms),
            })
        });
        json!({
            "sink_id": found.sink_id,
            "topic": found.partition.topic.to_string(),
            "partition": found.partition.partition,
            "kafka": found.committed.as_ref().map(place),
            "stored": stored,
            "end": found.end.map(|end| end.0),
        })
    };
    found.iter().map(one).collect()
}

fn shown(found: &[Found]) -> String {
    let header = ["SINK", "TOPIC", "PARTITION", "IN KAFKA", "STORED", "STORED AT (UTC)", "END"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let number =
        |offset: Option<Offset>| offset.map_or("-".to_owned(), |offset| offset.0.to_string());
    for found in found {
        let stored = match found.stored {
            Some(kept) if kept.place.offset == Offset(0) => "of another cluster".to_owned(),
            stored => number(stored.map(|kept| kept.place.offset)),
        };
        rows.push(vec![
            found.sink_id.clone(),
            found.partition.topic.to_string(),
            found.partition.partition.to_string(),
            number(found.committed.map(|place| place.offset)),
            stored,
            found.stored.map_or("-".to_owned(), |kept| when::utc(kept.saved_at_ms)),
            found.end.map_or("no such topic".to_owned(), |end| end.0.to_string()),
        ]);
    }
    table(&rows)
}
