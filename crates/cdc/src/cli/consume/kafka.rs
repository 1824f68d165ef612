//! The same from the topics of a cluster: every partition at once, each in its own order.

use super::{Args, Printer, READ_BYTES};
use crate::{
    backbone::{State, format_of, open_kafka},
    config::Kafka,
    failure::{Failure, Outcome},
    registry::Sentinel,
    settings::Settings,
    tables::Filter,
};
use cdc_core::{
    Offset, PartitionReader, TopicPartition, Transport as _,
    format::{Decoded, Decoder, Format},
};
use cdc_transport_kafka::KafkaTransport;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{sync::mpsc, task::JoinSet, time::interval};

/// How often partitions that are new are looked for.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// So many changes wait for being printed.
const WAITING_MAX: usize = 256;

/// One change and where it is.
struct Found {
    at: TopicPartition,
    offset: Offset,
    decoded: Decoded,
}

/// Reads every partition and prints what comes.
pub(super) async fn follow(
    args: &Args,
    settings: &Settings,
    kafka: &Kafka,
    mut printer: Printer,
) -> Outcome {
    let cluster = open_kafka(settings, kafka).await?;
    let state = State::open(settings).await?;
    let format = format_of(settings, kafka, &state, &Sentinel::new(false))?;
    let filter = Filter::new(&args.table);
    let (to, mut found) = mpsc::channel(WAITING_MAX);
    let mut tails = Tails { cluster, format, to, known: BTreeSet::new(), reading: JoinSet::new() };
    tails.look(args, args.from_beginning).await?;
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut ticks = interval(LOOK_INTERVAL);
    while left > 0 {
        let next: Found = tokio::select! { biased;
            Some(next) = found.recv() => next,
            Some(ended) = tails.reading.join_next() => {
                ended.unwrap_or(Ok(()))?;
                continue;
            }
            // Whoever has ended has handed over all that it read.
            () = std::future::ready(()), if args.no_follow && tails.reading.is_empty() => break,
            _ = ticks.tick() => {
                tails.look(args, true).await?;
                continue;
            }
        };
        let change = &next.decoded.change;
        if filter.takes(&change.schema.table) {
            printer.print(next.at.partition, next.offset, change)?;
            left -= 1;
        }
    }
    Ok(())
}

/// A reader of each partition.
struct Tails {
    cluster: Arc<KafkaTransport>,
    format: Arc<dyn Format>,
    to: mpsc::Sender<Found>,
    known: BTreeSet<TopicPartition>,
    reading: JoinSet<Outcome>,
}

impl Tails {
    /// Begins to read what is not read yet.
    async fn look(&mut self, args: &Args, from_beginning: bool) -> Outcome {
        for at in self.cluster.partitions().await? {
            if !self.known.insert(at.clone()) {
                continue;
            }
            let end = self.cluster.end(&at).await?;
            let from = if from_beginning { self.cluster.start(&at).await? } else { end };
            let until = args.no_follow.then_some(end);
            let tail = Tail {
                reader: self.cluster.read(&at, from).await?,
                decoder: self.format.decoder(),
                to: self.to.clone(),
                at,
            };
            self.reading.spawn(tail.read(from, until));
        }
        Ok(())
    }
}

struct Tail {
    reader: Box<dyn PartitionReader>,
    decoder: Box<dyn Decoder>,
    to: mpsc::Sender<Found>,
    at: TopicPartition,
}

impl Tail {
    async fn read(mut self, from: Offset, until: Option<Offset>) -> Outcome {
        let mut next = from;
        while until.is_none_or(|until| next < until) {
            let batch = self.reader.next(READ_BYTES).await?;
            for record in &batch.records {
                let Some(decoded) = self.decoder.decode(record).await.map_err(Failure::from)?
                else {
                    continue;
                };
                let (at, offset) = (self.at.clone(), record.offset);
                if self.to.send(Found { at, offset, decoded }).await.is_err() {
                    return Ok(());
                }
            }
            next = batch.next;
        }
        Ok(())
    }
}
