use crate::target::{Target, on_each_major};
use cdc_core::{
    LogId, Offset, Place, Position, TopicPartition, checkpoint::Places, finding::Level,
    store::PlaceStore as _,
};
use cdc_sink_postgres::{OffsetTable, OffsetTableConfig};
use serde_json::json;
use std::collections::BTreeMap;

const GROUP: &str = "cdc.shop.file";

fn config(target: &Target, extra: &serde_json::Value) -> OffsetTableConfig {
    let mut config = json!({
        "host": target.server.host(),
        "port": target.server.port(),
        "database": target.database,
        "username": target.server.superuser(),
        "password": target.server.password(),
        "tls": {"mode": "disable"},
    });
    config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    serde_json::from_value(config).unwrap()
}

fn table(target: &Target) -> OffsetTable {
    OffsetTable::new(config(target, &json!({})), "shop")
}

fn log(number: u128) -> LogId {
    LogId(uuid(number))
}

fn uuid(number: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(number)
}

fn place(offset: u64) -> Place {
    Place { offset: Offset(offset), position: Position::new(1 << 70, offset) }
}

fn places(topic: &str, offsets: &[u64]) -> Places {
    let numbered = (0..).zip(offsets);
    numbered.map(|(n, offset)| (TopicPartition::new(topic, n), place(*offset))).collect()
}

fn of_group(places: Places) -> BTreeMap<String, Places> {
    BTreeMap::from([(GROUP.to_owned(), places)])
}

async fn loaded(table: &OffsetTable, log: LogId) -> Places {
    let kept = table.load(log, GROUP).await.unwrap();
    assert!(kept.values().all(|kept| kept.saved_at_ms > 1_700_000_000_000));
    kept.into_iter().map(|(at, kept)| (at, kept.place)).collect()
}

#[tokio::test]
async fn places_come_back_as_they_were_saved_last() {
    on_each_major("sink-postgres offsets", async |target| {
        let store = table(&target);
        assert_eq!(loaded(&store, log(1)).await, Places::new(), "nothing is made to read");
        let made = "SELECT to_regclass('cdc.group_offsets') IS NULL";
        assert_eq!(target.rows(made).await, ["t"]);
        let both = BTreeMap::from([
            (GROUP.to_owned(), places("t", &[3, 4])),
            ("cdc.shop.other".to_owned(), places("t", &[9])),
        ]);
        store.save(log(1), &both).await.unwrap();
        store.save(log(1), &of_group(places("t", &[5]))).await.unwrap();
        assert_eq!(loaded(&store, log(1)).await, places("t", &[5, 4]));
        // Another process of the pipeline has the same, another pipeline its own.
        assert_eq!(loaded(&table(&target), log(1)).await, places("t", &[5, 4]));
        let other = OffsetTable::new(config(&target, &json!({})), "other");
        assert_eq!(loaded(&other, log(1)).await, Places::new());
    })
    .await;
}

#[tokio::test]
async fn offsets_of_another_cluster_are_not_taken_but_positions_are() {
    on_each_major("sink-postgres offsets", async |target| {
        let store = table(&target);
        store.save(log(1), &of_group(places("t", &[7]))).await.unwrap();
        let moved = loaded(&store, log(2)).await;
        let expected = Place { offset: Offset(0), position: place(7).position };
        assert_eq!(moved, Places::from([(TopicPartition::new("t", 0), expected)]));
    })
    .await;
}

#[tokio::test]
async fn places_of_a_topic_are_forgotten_on_request() {
    on_each_major("sink-postgres offsets", async |target| {
        let store = table(&target);
        assert_eq!(store.forget(GROUP, None).await.unwrap(), 0);
        let all: Places = places("a", &[1, 2]).into_iter().chain(places("b", &[3])).collect();
        store.save(log(1), &of_group(all)).await.unwrap();
        assert_eq!(store.forget(GROUP, Some("a")).await.unwrap(), 2);
        assert_eq!(loaded(&store, log(1)).await, places("b", &[3]));
        assert_eq!(store.forget(GROUP, None).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_ended_is_made_anew() {
    on_each_major("sink-postgres offsets", async |target| {
        let store = table(&target);
        store.save(log(1), &of_group(places("t", &[1]))).await.unwrap();
        target
            .run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cdc shop/offsets' AND datname = current_database()")
            .await;
        // The end of the connection may still be on its way.
        let mut tries = 0;
        while store.save(log(1), &of_group(places("t", &[2]))).await.is_err() {
            tries += 1;
            assert!(tries < 2, "one failure at most");
        }
        assert_eq!(loaded(&store, log(1)).await, places("t", &[2]));
    })
    .await;
}

#[tokio::test]
async fn what_is_in_the_way_is_named() {
    on_each_major("sink-postgres offsets", async |target| {
        let found = table(&target).check().await;
        assert_eq!(found[0].level, Level::Ok, "{found:?}");
        assert!(found[0].what.starts_with("cdc.group_offsets will be created"), "{found:?}");
        let role = format!("plain_{}", target.database);
        target.run(&format!("CREATE ROLE {role} LOGIN PASSWORD 'x'")).await;
        let login = json!({ "username": role, "password": "x" });
        let plain = OffsetTable::new(config(&target, &login), "shop");
        let found = plain.check().await;
        let grant = format!("GRANT CREATE ON DATABASE \"{}\" TO \"{role}\"", target.database);
        assert!(found[0].remedy.as_ref().unwrap().contains(&grant), "{found:?}");
        let refused = plain.save(log(1), &of_group(places("t", &[1]))).await.unwrap_err();
        assert_eq!(refused.code, "CDC-3002", "{}", refused.chain());
        assert!(refused.context.starts_with("storage of offsets: "), "{refused}");
        table(&target).save(log(1), &of_group(places("t", &[1]))).await.unwrap();
        target.run("UPDATE cdc.group_offsets SET position = 'here'").await;
        let refused = table(&target).load(log(1), GROUP).await.unwrap_err();
        assert_eq!(refused.code, "CDC-3010");
    })
    .await;
}
