//! `cargo xtask heavy rates`

use crate::target::{Script, batch, checkpoint, column, context, schema, target};
use cdc_core::{
    DataType, Delivered, Operation, Row, Sink, TableSchema, Value, catalog::SinkConnector,
};
use serde_json::json;
use std::sync::Arc;
use tokio::time::Instant;

const ROWS: i64 = 200_000;
const BATCH: usize = 5_000;

/// Eight columns, about 150 bytes a row.
fn orders() -> Arc<TableSchema> {
    let columns = vec![
        column("id", DataType::Int64, "bigint"),
        column("customer", DataType::Int32, "integer"),
        column(
            "amount",
            DataType::Decimal { precision: Some(12), scale: Some(2) },
            "numeric(12,2)",
        ),
        column("status", DataType::Text, "text"),
        column("placed", DataType::TimestampTz { precision: None }, "timestamp with time zone"),
        column("paid", DataType::Bool, "boolean"),
        column("note", DataType::Text, "text"),
        column("payload", DataType::Json, "jsonb"),
    ];
    schema("orders", columns, &[0])
}

fn order(id: i64, status: &str) -> Row {
    let at = cdc_core::Timestamp { seconds: 1_700_000_000 + id, nanos: 5_000 };
    Box::new([
        Value::Int(id),
        Value::Int(id % 1_000),
        Value::Decimal(format!("{}.{:02}", id % 10_000, id % 100).into()),
        Value::text(status),
        Value::TimestampTz(at),
        Value::Bool(id % 2 == 0),
        Value::text("leave it with the neighbours, they are at home in the afternoon"),
        Value::Json(format!(r#"{{"lines": [{id}], "coupon": null}}"#).into()),
    ])
}

async fn timed(what: &str, sink: &mut dyn Sink, changes: Vec<Delivered>) {
    let count = changes.len();
    let batches: Vec<_> = changes.chunks(BATCH).map(|run| batch(run.to_vec())).collect();
    let start = Instant::now();
    for (number, batch) in batches.iter().enumerate() {
        sink.write(batch).await.unwrap();
        sink.commit(&checkpoint(1, number as u64 + 1)).await.unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    eprintln!("{what:<34} {count:>8} changes {seconds:>7.2} s {:>9.0} /s", count as f64 / seconds);
}

#[tokio::test]
#[ignore = "heavy: run by make test-heavy"]
async fn heavy_rates() {
    let target = target().await;
    let start = Instant::now();
    let mut sink = target.replica().await;
    eprintln!("open and claim {:?}", start.elapsed());
    let start = Instant::now();
    sink.prepare(None, &orders()).await.unwrap();
    eprintln!("prepare {:?}", start.elapsed());
    let mut script = Script::new(&orders());
    (0..ROWS).for_each(|id| _ = script.snapshot(order(id, "new")));
    timed("snapshot, COPY", &mut *sink, script.take()).await;
    (ROWS..2 * ROWS).for_each(|id| _ = script.insert(order(id, "new")));
    timed("inserts", &mut *sink, script.take()).await;
    (0..ROWS).for_each(|id| _ = script.update(order(id, "paid")));
    timed("updates of distinct rows", &mut *sink, script.take()).await;
    (0..ROWS).for_each(|id| _ = script.update(order(id % 100, "paid")));
    timed("updates of 100 rows", &mut *sink, script.take()).await;
    (0..ROWS).for_each(|id| {
        let mut row = order(id, "sent");
        row[7] = Value::Unchanged;
        script.update(row);
    });
    timed("updates with an unchanged column", &mut *sink, script.take()).await;
    (0..ROWS).for_each(|id| {
        let mut row: Row = vec![Value::Unchanged; 8].into();
        row[0] = Value::Int(id);
        script.delete(row);
    });
    timed("deletes", &mut *sink, script.take()).await;

    let mut waits = Vec::new();
    for id in 0..1_000 {
        script.insert(order(3 * ROWS + id, "new"));
        let one = batch(script.take());
        let start = Instant::now();
        sink.write(&one).await.unwrap();
        sink.commit(&checkpoint(1, id as u64)).await.unwrap();
        waits.push(start.elapsed());
    }
    waits.sort();
    eprintln!("one change, written and committed: p50 {:?} p99 {:?}", waits[500], waits[990]);
}

#[tokio::test]
#[ignore = "heavy: run by make test-heavy"]
async fn heavy_rates_of_events() {
    let target = target().await;
    for batch_size in [100, 5_000] {
        let extra = json!({"target_table": format!("public.events_{batch_size}"), "batch_size": batch_size});
        let mut sink = target.connector(extra).open(&context()).await.unwrap();
        sink.claim(1).await.unwrap();
        let mut script = Script::new(&orders());
        (0..ROWS / 2).for_each(|id| _ = script.insert(order(id, "new")));
        timed(&format!("events, batch_size {batch_size}"), &mut *sink, script.take()).await;
    }
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// One transaction far larger than the memory that the sink may use.
#[tokio::test]
async fn a_transaction_larger_than_memory_passes_in_bounded_memory() {
    const BATCHES: i64 = 60;
    const ROWS_A_BATCH: i64 = 2_000;
    let target = target().await;
    let mut sink = target.replica().await;
    let blobs = schema(
        "blobs",
        vec![column("id", DataType::Int64, "bigint"), column("body", DataType::Text, "text")],
        &[0],
    );
    sink.prepare(None, &blobs).await.unwrap();
    let body = Value::text("x".repeat(2_000));
    let mut peak = 0;
    let mut base = 0;
    for number in 0..BATCHES {
        let mut script = Script::new(&blobs);
        for id in 0..ROWS_A_BATCH {
            let operation = if number % 2 == 0 { Operation::Insert } else { Operation::Update };
            let row: Row = Box::new([Value::Int(number / 2 * ROWS_A_BATCH + id), body.clone()]);
            script.change(operation, None, Some(row));
        }
        sink.write(&batch(script.take())).await.unwrap();
        if number == 5 {
            base = resident_bytes();
        }
        peak = peak.max(resident_bytes());
    }
    sink.commit(&checkpoint(1, 1)).await.unwrap();
    let count = target.rows("SELECT count(*) FROM public.blobs").await;
    assert_eq!(count, [(BATCHES / 2 * ROWS_A_BATCH).to_string()]);
    let grown = peak.saturating_sub(base) >> 20;
    eprintln!(
        "one transaction of {} MB: grew by {grown} MB",
        (BATCHES * ROWS_A_BATCH * 2_000) >> 20
    );
    assert!(grown < 60, "memory grew by {grown} MB within one transaction");
}
