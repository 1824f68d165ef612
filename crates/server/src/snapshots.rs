//! Snapshots: their progress, and orders about them.

use crate::{error::Refusal, listen::App};
use axum::{
    Json,
    extract::{Path, State},
};
use cdc_core::{Result, snapshot::SnapshotOrder};
use serde_json::{Value, json};

pub(crate) async fn get_progress(
    State(app): State<App>,
    Path(pipeline): Path<String>,
) -> Result<Json<Value>, Refusal> {
    app.own(&pipeline)?;
    let source = app.status.borrow().source.clone();
    Ok(Json(json!({ "tables": source.snapshot, "details": source.details })))
}

pub(crate) async fn post_order(
    State(app): State<App>,
    Path(pipeline): Path<String>,
    Json(order): Json<SnapshotOrder>,
) -> Result<Json<Value>, Refusal> {
    app.own(&pipeline)?;
    let ordered = cdc_engine::order_snapshot(&*app.source, &*app.checkpoints, &order).await?;
    let tables: Vec<String> = ordered.iter().map(ToString::to_string).collect();
    Ok(Json(json!({ "tables": tables })))
}
