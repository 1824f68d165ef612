//! A server whose pipeline is made up.

use crate::snapshots::TakesOrders;
use cdc_codec::row::encode_letter;
use cdc_core::{
    Change, Column, DataType, Offset, Operation, Position, TableId, TableSchema, Timestamp,
    Transaction, Value,
    dead_letter::{DeadLetter, DeadLetterInfo, DeadLetterStore},
    status::{ConnectorState, Problem, SinkStatus, SlotStatus},
    store::{CheckpointStore, SchemaStore},
};
use cdc_engine::PipelineStatus;
use cdc_server::{Counters, Parts, Server};
use cdc_testkit::memory::MemoryStores;
use std::{net::SocketAddr, sync::Arc};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub(crate) struct World {
    pub(crate) at: SocketAddr,
    pub(crate) status: watch::Sender<PipelineStatus>,
    pub(crate) letters: Arc<MemoryStores>,
    pub(crate) cancel: CancellationToken,
    pub(crate) serving: JoinHandle<cdc_core::Result<()>>,
}

pub(crate) async fn world() -> World {
    let (status, receiver) = watch::channel(healthy());
    let letters = MemoryStores::new();
    let server = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
    let at = server.address();
    let parts = Parts {
        lag: None,
        pipeline_id: "shop".to_owned(),
        status: receiver,
        source: Arc::new(TakesOrders),
        checkpoints: Arc::clone(&letters) as Arc<dyn CheckpointStore>,
        dead_letters: Arc::clone(&letters) as Arc<dyn DeadLetterStore>,
        schemas: Arc::clone(&letters) as Arc<dyn SchemaStore>,
        counters: Counters::default(),
    };
    let cancel = CancellationToken::new();
    let serving = tokio::spawn(server.serve(parts, cancel.clone()));
    World { at, status, letters, cancel, serving }
}

pub(crate) fn healthy() -> PipelineStatus {
    let mut status = PipelineStatus {
        pipeline_id: "shop".to_owned(),
        epoch: 3,
        started_at_ms: 1_700_000_000_500,
        sinks: vec![sink("copy"), sink("hook \"1\"")],
        ..PipelineStatus::default()
    };
    status.source.state = ConnectorState::Running;
    status.source.connected = true;
    status.source.lag_ms = Some(1_500);
    status.source.retained_bytes = Some(4_096);
    status.source.slot =
        Some(SlotStatus { wal_status: "extended".to_owned(), safe_wal_bytes: Some(-5) });
    status.transport.end_offset = 100;
    status
}

fn sink(id: &str) -> SinkStatus {
    SinkStatus {
        sink_id: id.to_owned(),
        sink_type: "file".to_owned(),
        state: ConnectorState::Running,
        delivery: None,
        lag_records: 7,
        lag_ms: 2_500,
        delivered: 93,
        position: Some(Position::new(0x1a, 2)),
        dead_letters: 1,
        parked_tables: Vec::new(),
        error: None,
    }
}

pub(crate) fn problem() -> Problem {
    Problem {
        code: "CDC-3101".to_owned(),
        message: "the endpoint does not answer".to_owned(),
        remedy: Some("start it".to_owned()),
    }
}

/// A dead letter of table `public.users` whose change inserts the row (id, "Ada").
pub(crate) fn letter(sink_id: &str, id: i64) -> DeadLetter {
    let column = |name: &str, data_type, native_type: &str| Column {
        name: name.to_owned(),
        data_type,
        native_type: native_type.to_owned(),
        nullable: false,
        number: None,
        missing: None,
        default: None,
    };
    let schema = TableSchema {
        table: TableId::new("public", "users"),
        dialect: "postgres".to_owned(),
        columns: vec![
            column("id", DataType::Int64, "bigint"),
            column("name", DataType::Text, "text"),
        ],
        key: vec![0],
        number: None,
    };
    let position = Position::new(u128::try_from(id).expect("positive"), 1);
    let commit_time = Timestamp::from_micros(0);
    let change = Change {
        schema: Arc::new(schema),
        operation: Operation::Insert,
        before: None,
        after: Some(Box::new([Value::Int(id), Value::text("Ada")])),
        position,
        log_address: 7,
        transaction: Arc::new(Transaction { id: 1, commit_time }),
        ends_transaction: true,
    };
    let info = DeadLetterInfo {
        sink_id: sink_id.to_owned(),
        topic: "cdc.public.users".to_owned(),
        table: "public.users".to_owned(),
        partition: 0,
        offset: Offset(5),
        position,
        error_code: "CDC-3105".to_owned(),
        error: "the endpoint refused it".to_owned(),
        parked_at_ms: 1,
        retries: 0,
        retry_requested: false,
        holds_table: false,
    };
    DeadLetter { id: 0, info, payload: encode_letter(&change) }
}
