use crate::{config, open, record, records, scope, send, soon};
use async_trait::async_trait;
use cdc_core::{
    LogId, Offset, Place, Result, TopicPartition, Transport as _,
    checkpoint::Places,
    store::{KeptPlace, PlaceStore},
    transport::MembershipEvent,
};
use cdc_testkit::services::Kafka;
use cdc_transport_kafka::KafkaTransport;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

fn kafka() -> Option<&'static Kafka> {
    Kafka::shared_or_skip("transport-kafka").unwrap()
}

/// As an administrator would.
async fn delete_group(kafka: &Kafka, name: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create().unwrap();
    let deleted = admin.delete_groups(&[name], &AdminOptions::new()).await.unwrap();
    assert!(deleted.iter().all(std::result::Result::is_ok), "{deleted:?}");
}

/// Keeps places in memory.
#[derive(Debug, Default)]
struct Memory(Mutex<BTreeMap<String, Places>>);

#[async_trait]
impl PlaceStore for Memory {
    async fn save(&self, _: LogId, places: &BTreeMap<String, Places>) -> Result<()> {
        let mut kept = self.0.lock().unwrap();
        for (group, places) in places {
            kept.entry(group.clone()).or_default().extend(places.clone());
        }
        Ok(())
    }

    async fn load(&self, _: LogId, group: &str) -> Result<BTreeMap<TopicPartition, KeptPlace>> {
        let kept = self.0.lock().unwrap().get(group).cloned().unwrap_or_default();
        let with_time = |(at, place)| (at, KeptPlace { place, saved_at_ms: 1 });
        Ok(kept.into_iter().map(with_time).collect())
    }

    async fn forget(&self, group: &str, topic: Option<&str>) -> Result<u64> {
        let mut kept = self.0.lock().unwrap();
        let places = kept.entry(group.to_owned()).or_default();
        let before = places.len();
        places.retain(|at, _| topic.is_some_and(|topic| *at.topic != *topic));
        Ok((before - places.len()) as u64)
    }
}

async fn keeping(kafka: &Kafka, prefix: &str, store: &Arc<Memory>) -> KafkaTransport {
    open(config(kafka), prefix).await.keeping(Arc::clone(store) as Arc<dyn PlaceStore>)
}

fn place(offset: u64) -> Place {
    Place { offset: Offset(offset), position: record(offset - 1).position }
}

/// A topic of ten records, of which the group has four.
async fn begun(kafka: &Kafka, store: &Arc<Memory>) -> (KafkaTransport, String, TopicPartition) {
    let prefix = kafka.name("lost");
    let log = keeping(kafka, &prefix, store).await;
    let at = TopicPartition::new(format!("{prefix}.t"), 0);
    send(&log, &at, records(0..10)).await;
    log.commit(&prefix, &Places::from([(at.clone(), place(4))])).await.unwrap();
    log.settle().await.unwrap();
    (log, prefix, at)
}

#[tokio::test(flavor = "multi_thread")]
async fn places_of_a_deleted_group_are_kept_beside_kafka() {
    let Some(kafka) = kafka() else { return };
    let store = Arc::new(Memory::default());
    let (log, group, at) = begun(kafka, &store).await;
    let known = [at.clone()];
    delete_group(kafka, &format!("cdc-platform.{group}")).await;
    assert_eq!(log.committed(&group, &known).await.unwrap(), Places::new());
    let four = Places::from([(at.clone(), place(4))]);
    assert_eq!(log.kept(&group, &known).await.unwrap(), four);
    // Where nothing is kept there is nothing, as ever.
    let plain = KafkaTransport::open(config(kafka), scope(&group)).await.unwrap();
    assert_eq!(plain.kept(&group, &known).await.unwrap(), Places::new());
    assert_eq!(plain.kept_places(&group).await.unwrap(), None);

    log.restore(&group, &four).await.unwrap();
    assert_eq!(log.committed(&group, &known).await.unwrap(), four);
    assert_eq!(log.forget_places(&group, Some(&at.topic)).await.unwrap(), 1);
    assert_eq!(log.kept(&group, &known).await.unwrap(), Places::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_with_members_is_not_restored() {
    let Some(kafka) = kafka() else { return };
    let store = Arc::new(Memory::default());
    let (log, group, at) = begun(kafka, &store).await;
    let mut member = log.join(&group).await.unwrap();
    let Some(MembershipEvent::Assigned(share)) = soon(member.events.recv()).await else {
        panic!("no assignment");
    };
    assert_eq!(share, std::slice::from_ref(&at));
    let other = keeping(kafka, &group, &store).await;
    assert_eq!(other.members(&group).await.unwrap(), 1);
    let refused = other.restore(&group, &Places::from([(at.clone(), place(2))])).await;
    assert_eq!(refused.unwrap_err().code, "CDC-2124");
    assert_eq!(log.committed(&group, std::slice::from_ref(&at)).await.unwrap()[&at], place(4));
    assert_eq!(other.members("nobody").await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kafka_refused_is_not_kept() {
    let Some(kafka) = kafka() else { return };
    let store = Arc::new(Memory::default());
    let (log, group, at) = begun(kafka, &store).await;
    let mut member = log.join(&group).await.unwrap();
    assert!(matches!(soon(member.events.recv()).await, Some(MembershipEvent::Assigned(_))));
    let other = keeping(kafka, &group, &store).await;
    let ahead = Places::from([(at.clone(), place(9))]);
    assert_eq!(other.commit(&group, &ahead).await.unwrap_err().code, "CDC-2115");
    other.settle().await.unwrap();
    assert_eq!(log.kept(&group, std::slice::from_ref(&at)).await.unwrap()[&at], place(4));
}
