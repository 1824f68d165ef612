//! Snapshots over HTTP, with a source that only takes orders.

use crate::{
    client::{get, send},
    world::world,
};
use async_trait::async_trait;
use bytes::Bytes;
use cdc_core::{
    Error, Finding, Origin, Position, Result, Retry, Source, TableId,
    catalog::{CapturedTable, SourceConnector},
    snapshot::SnapshotOrder,
    status::SnapshotProgress,
    store::{CaptureProgress, CheckpointStore as _},
};
use serde_json::json;

/// A source that takes every order but one for a table `missing`.
pub(crate) struct TakesOrders;

#[async_trait]
impl SourceConnector for TakesOrders {
    fn kind(&self) -> &'static str {
        "scripted"
    }

    async fn check(&self) -> (Vec<Finding>, Vec<CapturedTable>) {
        unreachable!("not asked for")
    }

    async fn provision(&self) -> Result<Vec<String>> {
        unreachable!("not asked for")
    }

    async fn retire(&self) -> Result<Vec<String>> {
        unreachable!("not asked for")
    }

    async fn open(&self) -> Result<Box<dyn Source>> {
        unreachable!("not asked for")
    }

    fn begins_with_rows(&self) -> bool {
        true
    }

    async fn current_position(&self) -> Result<Position> {
        unreachable!("not asked for")
    }

    async fn order_snapshot(
        &self,
        order: &SnapshotOrder,
        resume: &[u8],
    ) -> Result<Option<Vec<TableId>>> {
        assert_eq!(resume, b"resume");
        let SnapshotOrder::Begin { tables, .. } = order else { return Ok(Some(Vec::new())) };
        if tables.iter().any(|table| table == "missing") {
            return Err(Error::new(
                "CDC-1074",
                Origin::Source,
                Retry::AfterOperator,
                "no such table",
            )
            .with_remedy("write schema.table"));
        }
        Ok(Some(tables.iter().map(|name| TableId::new("public", name.clone())).collect()))
    }
}

const PATH: &str = "/api/v1/pipelines/shop/snapshots";

#[tokio::test]
async fn an_order_reaches_the_source_with_its_state() {
    let world = world().await;
    let order = json!({ "order": "begin", "tables": ["orders"], "where": "id > 7" });
    let early = send(world.at, "POST", PATH, Some(order.clone())).await;
    assert_eq!((early.code, &early.json()["error"]["code"]), (409, &json!("CDC-4009")));
    let epoch = world.letters.begin_epoch(0).await.unwrap();
    // The log's identity comes first.
    let resume = Bytes::from([&[7_u8; 16][..], b"resume"].concat());
    let progress = CaptureProgress { position: Position::new(7, 1), resume };
    world.letters.save_capture(epoch, &progress).await.unwrap();
    let taken = send(world.at, "POST", PATH, Some(order)).await;
    assert_eq!((taken.code, taken.json()), (200, json!({ "tables": ["public.orders"] })));
    for order in ["pause", "resume", "cancel"] {
        let taken = send(world.at, "POST", PATH, Some(json!({ "order": order }))).await;
        assert_eq!((taken.code, taken.json()), (200, json!({ "tables": [] })));
    }
    let missing = json!({ "order": "begin", "tables": ["missing"] });
    let refused = send(world.at, "POST", PATH, Some(missing)).await;
    assert_eq!(
        (refused.code, &refused.json()["error"]["remedy"]),
        (409, &json!("write schema.table"))
    );
    let unknown = send(world.at, "POST", PATH, Some(json!({ "order": "burn" }))).await;
    assert_eq!(unknown.code, 422);
}

#[tokio::test]
async fn the_progress_of_each_table_is_shown() {
    let world = world().await;
    world.status.send_modify(|status| {
        status.source.snapshot.push(SnapshotProgress {
            table: TableId::new("public", "orders"),
            rows: 5,
            rows_estimated: Some(10),
            done: false,
        });
    });
    let shown = get(world.at, PATH).await;
    assert_eq!(shown.json()["tables"][0]["rows"], 5);
    assert_eq!(get(world.at, "/api/v1/pipelines/other/snapshots").await.code, 404);
}
