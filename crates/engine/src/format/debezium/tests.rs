use super::*;
use bytes::Bytes;
use cdc_codec::debezium::{DecimalMode, IntervalMode};
use cdc_core::{
    Change, Column, DataType, Offset, Operation, Record, Row, SchemaId, StoredRecord, TableId,
    TableSchema, Timestamp, Transaction, Value, clock::SystemClock, format::Draft,
};
use cdc_testkit::memory::{MemoryRegistry, MemoryStores};

const FIRST_FOREIGN: u32 = 1 << 31;

#[test]
fn positions_of_records_lie_between_those_of_changes() {
    let (first, second) = (Position::new(7, 1), Position::new(7, 2));
    let parts: Vec<Position> = [first, second]
        .iter()
        .flat_map(|change| (0..5).map(|part| part_of(*change, part)))
        .collect();
    assert!(parts.is_sorted_by(|a, b| a < b));
    assert!(part_of(Position::new(7, 9), 4) < part_of(Position::new(8, 1), 0));
}

fn table() -> Arc<TableSchema> {
    let column = |name: &str, data_type, native_type: &str| Column {
        name: name.to_owned(),
        data_type,
        native_type: native_type.to_owned(),
        nullable: name != "id",
        number: Some(3),
        missing: None,
        default: None,
    };
    let columns = vec![
        column("id", DataType::Int32, "integer"),
        column("big-text", DataType::Text, "text"),
        column("price", DataType::Decimal { precision: None, scale: None }, "numeric"),
        column("at", DataType::Timestamp { precision: None }, "timestamp without time zone"),
        column("span", DataType::Interval, "interval"),
        column("address", DataType::Other, "inet"),
        column("list", DataType::Array(Box::new(DataType::Int32)), "integer[]"),
    ];
    let table = TableId::new("public", "orders");
    let dialect = "postgres".to_owned();
    Arc::new(TableSchema { table, dialect, columns, key: vec![0], number: Some(16_400) })
}

fn row(id: i64, text: Value) -> Option<Row> {
    Some(Box::new([
        Value::Int(id),
        text,
        Value::Decimal(Bytes::from_static(b"1.500")),
        Value::Timestamp(Timestamp { seconds: -1, nanos: 999_999_000 }),
        Value::Interval { months: 1, days: -2, micros: 3 },
        Value::text("10.0.0.0/8"),
        Value::Null,
    ]))
}

fn change(
    schema: &Arc<TableSchema>,
    operation: Operation,
    before: Option<Row>,
    after: Option<Row>,
    ordinal: u64,
) -> Change {
    let commit_time = Timestamp { seconds: 1_700_000_000, nanos: 5_000 };
    Change {
        schema: Arc::clone(schema),
        operation,
        before,
        after,
        position: Position::new(100, ordinal),
        log_address: 90 + ordinal,
        transaction: Arc::new(Transaction { id: 7, commit_time }),
        ends_transaction: true,
    }
}

struct World {
    stores: Arc<MemoryStores>,
    registry: Arc<MemoryRegistry>,
}

impl World {
    fn new() -> Self {
        Self { stores: MemoryStores::new(), registry: MemoryRegistry::new() }
    }

    fn format(&self, options: Options, key: Encoding, value: Encoding) -> DebeziumFormat {
        DebeziumFormat::new(DebeziumSpec {
            topic_prefix: "shop".to_owned(),
            database: "shop".to_owned(),
            options,
            key,
            value,
            registry: Some(Arc::<MemoryRegistry>::clone(&self.registry)),
            schemas: Arc::<MemoryStores>::clone(&self.stores),
            clock: Arc::new(SystemClock),
        })
    }
}

fn exact() -> Options {
    let (decimals, intervals) = (DecimalMode::String, IntervalMode::String);
    Options { decimals, intervals, truncates: true, ..Options::default() }
}

async fn encoded(format: &DebeziumFormat, changes: &[Change]) -> Vec<Draft> {
    let mut encoder = format.encoder();
    let mut drafts = Vec::new();
    for change in changes {
        encoder.learn(&[&change.schema]).await.unwrap();
        encoder.encode(change, &mut drafts).unwrap();
    }
    drafts
}

#[tokio::test]
async fn a_row_that_moves_to_another_key_keeps_what_was_not_logged() {
    let schema = table();
    let old = Some([Value::Int(1)].into_iter().chain(vec![Value::Unchanged; 6]).collect::<Row>());
    let moved = change(&schema, Operation::Update, old, row(2, Value::Unchanged), 3);
    for encoding in Encoding::ALL {
        let world = World::new();
        let format = world.format(exact(), Encoding::Json, encoding);
        let drafts = encoded(&format, std::slice::from_ref(&moved)).await;
        assert_eq!(drafts.len(), 3, "a delete, its tombstone, a create");
        let mut decoder = format.decoder();
        let mut read = Vec::new();
        for draft in drafts {
            read.extend(decoder.decode(&stored(draft.record)).await.unwrap());
        }
        let [read] = &*read else { panic!("{encoding}: {} changes", read.len()) };
        assert_eq!(read.change.operation, Operation::Update);
        assert_eq!(read.change.before, moved.before);
        assert_eq!(read.change.after, moved.after, "{encoding}");
    }
}

fn stored(record: Record) -> StoredRecord {
    StoredRecord { offset: Offset(0), record }
}

#[tokio::test]
async fn changes_come_back_as_they_were_in_every_format() {
    let schema = table();
    let changes = [
        change(&schema, Operation::Snapshot, None, row(1, Value::text("a")), 1),
        change(&schema, Operation::Insert, None, row(1, Value::Null), 2),
        change(&schema, Operation::Update, None, row(1, Value::Unchanged), 3),
        change(&schema, Operation::Truncate, None, None, 4),
    ];
    for key in Encoding::ALL {
        for value in Encoding::ALL {
            let world = World::new();
            let format = world.format(exact(), key, value);
            let drafts = encoded(&format, &changes).await;
            assert_eq!(drafts.len(), changes.len());
            let id = world.stores.register(&[&schema]).await.unwrap();
            // Another process, which has seen nothing of what was written.
            let mut decoder = format.decoder();
            for (draft, sent) in drafts.into_iter().zip(&changes) {
                let position = draft.record.position;
                let decoded = decoder.decode(&stored(draft.record)).await.unwrap().unwrap();
                assert_eq!(decoded.topic, draft.topic);
                assert_eq!([decoded.schema], *id);
                assert_eq!(decoded.change, Change { position, ..sent.clone() }, "{key} {value}");
            }
        }
    }
}

#[tokio::test]
async fn a_change_of_the_key_is_a_delete_a_tombstone_and_a_create() {
    let schema = table();
    let nothing = || Box::new([const { Value::Unchanged }; 6]) as Box<[Value]>;
    let mut before = vec![Value::Int(1)];
    before.extend(nothing());
    let before: Row = before.into();
    let moved =
        change(&schema, Operation::Update, Some(before.clone()), row(2, Value::text("x")), 1);
    let world = World::new();
    let format = world.format(exact(), Encoding::Avro, Encoding::Avro);
    let drafts = encoded(&format, &[moved]).await;
    assert_eq!(drafts.len(), 3);
    assert!(drafts.is_sorted_by(|a, b| a.record.position < b.record.position));
    let mut decoder = format.decoder();
    let mut read = Vec::new();
    for draft in drafts {
        read.extend(decoder.decode(&stored(draft.record)).await.unwrap());
    }
    let told: Vec<_> = read.iter().map(|d| (d.change.operation, &d.change.before)).collect();
    assert_eq!(told, [(Operation::Delete, &Some(before)), (Operation::Insert, &None)]);
}

#[tokio::test]
async fn schemas_are_registered_once_for_each_topic() {
    let world = World::new();
    let options = Options { transaction_metadata: true, ..exact() };
    let format = world.format(options, Encoding::Avro, Encoding::Protobuf);
    let schema = table();
    let changes =
        [1, 2].map(|at| change(&schema, Operation::Insert, None, row(1, Value::Null), at));
    let drafts = encoded(&format, &changes).await;
    assert_eq!(drafts.len(), 6, "each is told with begin and end of its transaction");
    let numbers: Vec<(String, usize)> = world
        .registry
        .subjects()
        .into_iter()
        .map(|(subject, numbers)| (subject, numbers.len()))
        .collect();
    let expected = [
        "shop.public.orders-key",
        "shop.public.orders-value",
        "shop.transaction-key",
        "shop.transaction-value",
    ];
    assert_eq!(numbers, expected.map(|subject| (subject.to_owned(), 1)));
    let framed = drafts.iter().all(|draft| draft.record.payload.first() == Some(&0));
    assert!(framed, "begin and end are in the same formats");
}

#[tokio::test]
async fn records_of_other_producers_have_numbers_of_their_own() {
    let world = World::new();
    for (key, value) in [
        (Encoding::JsonWithSchemas, Encoding::JsonWithSchemas),
        (Encoding::Json, Encoding::Json),
        (Encoding::Avro, Encoding::Avro),
        (Encoding::JsonSchema, Encoding::JsonSchema),
    ] {
        let format = world.format(Options::default(), key, value);
        let inserted = change(&table(), Operation::Insert, None, row(1, Value::text("a")), 1);
        let mut drafts = encoded(&format, &[inserted]).await;
        let mut record = drafts.remove(0).record;
        record.headers.clear();
        let decoded = format.decoder().decode(&stored(record)).await.unwrap().unwrap();
        assert!(decoded.schema > SchemaId(FIRST_FOREIGN), "{value}");
        assert_eq!(decoded.change.schema.key, [0]);
        assert_eq!(decoded.change.after.unwrap().first(), Some(&Value::Int(1)));
        let exact = value != Encoding::Json;
        let at = decoded.change.schema.columns.get(3).map(|column| column.data_type.clone());
        assert_eq!(at == Some(DataType::Timestamp { precision: None }), exact, "{value}");
    }
}

#[tokio::test]
async fn without_a_registry_only_json_is_written() {
    let world = World::new();
    let mut spec = (*world.format(exact(), Encoding::Json, Encoding::Json).spec).clone();
    spec.registry = None;
    let schema = table();
    let json = DebeziumFormat::new(spec.clone());
    json.encoder().learn(&[&schema]).await.unwrap();
    spec.key = Encoding::Avro;
    let refused = DebeziumFormat::new(spec).encoder().learn(&[&schema]).await.unwrap_err();
    assert_eq!(refused.code, "CDC-4030");
}

#[tokio::test]
async fn a_tombstone_is_no_change() {
    let world = World::new();
    let format = world.format(exact(), Encoding::Json, Encoding::Json);
    let record = Record {
        key: Bytes::from_static(b"{\"id\":1}"),
        payload: Bytes::new(),
        headers: Vec::new(),
        position: Position::new(1, 1),
    };
    assert!(format.decoder().decode(&stored(record)).await.unwrap().is_none());
}
