//! Every type, read in both forms from a real server: the values must be the same.

use crate::harness::{Pipeline, config};
use bytes::Bytes;
use cdc_core::{Change, DataType, Operation, TableSchema, Value};
use cdc_source_postgres::{
    Config, SnapshotMode,
    convert::{DecodedColumn, Decoder},
    schema::{self, SESSION_SETTINGS, Selection, TypeCatalog},
};
use cdc_testkit::{
    postgres_types::{self, READ_AS_TEXT},
    services::Postgres,
};
use rand::{Rng, SeedableRng};
use std::{collections::BTreeMap, error::Error, sync::Arc};
use tokio_postgres::{
    Client, SimpleQueryMessage,
    types::{FromSql, Type},
};

/// A field as it arrived.
struct Raw(Option<Bytes>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Some(Bytes::copy_from_slice(raw))))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

async fn session(server: &Postgres, database: &str) -> Client {
    let client = server.connect(database).await.unwrap();
    for (name, value) in SESSION_SETTINGS {
        client.batch_execute(&format!("SET {name} TO '{value}'")).await.unwrap();
    }
    client
}

/// The first column of a query in binary form.
async fn binary(client: &Client, sql: &str) -> Vec<Option<Bytes>> {
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get::<_, Raw>(0).0).collect()
}

/// The first column of a query as the output function prints it.
async fn text(client: &Client, sql: &str) -> Vec<Option<Bytes>> {
    let mut out = Vec::new();
    for message in client.simple_query(sql).await.unwrap() {
        if let SimpleQueryMessage::Row(row) = message {
            out.push(row.get(0).map(|text| Bytes::copy_from_slice(text.as_bytes())));
        }
    }
    out
}

/// Equal, with NaN equal to itself and zeros of different sign apart.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float32(a), Value::Float32(b)) => {
            a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
        }
        (Value::Float64(a), Value::Float64(b)) => {
            a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
        }
        (Value::Array(a), Value::Array(b)) => {
            a.dimensions == b.dimensions
                && a.elements.len() == b.elements.len()
                && a.elements.iter().zip(&b.elements).all(|(a, b)| same(a, b))
        }
        (a, b) => a == b,
    }
}

/// Reads one column of a table in both forms and compares; returns the values.
async fn compare(client: &Client, from: &str, decoder: &Decoder, binary_too: bool) -> Vec<Value> {
    let sql = format!("SELECT v FROM {from} ORDER BY n");
    let texts = text(client, &sql).await;
    let read = |field: &Option<Bytes>| match field {
        None => Value::Null,
        Some(frame) => decoder.text(0, frame, 0..frame.len()).unwrap(),
    };
    let values: Vec<Value> = texts.iter().map(read).collect();
    if binary_too {
        let fields = binary(client, &sql).await;
        assert_eq!(fields.len(), values.len());
        for (row, (field, expected)) in fields.iter().zip(&values).enumerate() {
            let value = match field {
                None => Value::Null,
                Some(frame) => decoder.binary(0, frame, 0..frame.len()).unwrap(),
            };
            assert!(same(&value, expected), "{from} row {row}: {value:?} is not {expected:?}");
        }
    }
    values
}

/// A database with a table for each line of the matrix that `wanted` wants; their numbers.
async fn matrix(
    server: &Postgres,
    major: u16,
    wanted: impl Fn(&str) -> bool,
) -> (String, Vec<(usize, &'static str, usize)>) {
    let database = server.create_database("types").await.unwrap();
    let owner = server.connect(&database).await.unwrap();
    owner.batch_execute(postgres_types::SETUP).await.unwrap();
    let mut made = Vec::new();
    for (index, (name, literals)) in postgres_types::matrix(major).iter().enumerate() {
        if !wanted(name) {
            continue;
        }
        let create = format!(
            "CREATE TABLE m{index} (n serial, v {name}); INSERT INTO m{index} (v) VALUES (NULL)"
        );
        owner.batch_execute(&create).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        for literal in literals {
            let insert = format!("INSERT INTO m{index} (v) VALUES ({literal})");
            owner
                .batch_execute(&insert)
                .await
                .unwrap_or_else(|error| panic!("{insert}: {error:?}"));
        }
        made.push((index, *name, literals.len() + 1));
    }
    (database, made)
}

async fn every_type_reads_the_same_in_both_forms(major: u16) {
    let Some(server) = Postgres::shared_or_skip("types", major).unwrap() else { return };
    let (database, made) = matrix(server, major, |_| true).await;
    let client = session(server, &database).await;
    let catalog = schema::load(&client, &Selection::default()).await.unwrap();
    assert_eq!(catalog.tables.len(), made.len());
    for (index, name, rows) in made {
        let table =
            catalog.tables.iter().find(|table| table.table.name == format!("m{index}")).unwrap();
        let column = &table.columns[1];
        let described = DecodedColumn {
            name: "v".into(),
            type_oid: column.type_oid,
            type_name: column.declared.clone(),
        };
        let decoder = Decoder::new(&table.table, [described], &catalog.types);
        assert_eq!(decoder.binary_decodable(), !READ_AS_TEXT.contains(&name), "{name}");
        let readable = !READ_AS_TEXT.contains(&name) && name != "aclitem";
        let from = format!("\"odd \"\"types\"\"\".m{index}");
        let values = compare(&client, &from, &decoder, readable).await;
        assert_eq!(values.len(), rows, "{name}");
        let data_type = schema::table_schema(table, &catalog.types).columns[1].data_type.clone();
        for value in &values {
            assert!(fits(value, &data_type), "{name}: {value:?} in {data_type:?}");
        }
    }
}

/// Is the value one of those that the data type promises?
fn fits(value: &Value, data_type: &DataType) -> bool {
    match (value, data_type) {
        (Value::Null, _)
        | (Value::Bool(_), DataType::Bool)
        | (Value::Int(_), DataType::Int16 | DataType::Int32 | DataType::Int64)
        | (Value::Float32(_), DataType::Float32)
        | (Value::Float64(_), DataType::Float64)
        | (Value::Decimal(_), DataType::Decimal { .. })
        | (Value::Text(_), DataType::Text | DataType::Other)
        | (Value::Bytes(_), DataType::Bytes)
        | (Value::Json(_), DataType::Json)
        | (Value::Date(_), DataType::Date)
        | (Value::Time(_), DataType::Time { .. })
        | (Value::TimeTz { .. }, DataType::TimeTz { .. })
        | (Value::Timestamp(_), DataType::Timestamp { .. })
        | (Value::TimestampTz(_), DataType::TimestampTz { .. })
        | (Value::Interval { .. }, DataType::Interval)
        | (Value::Uuid(_), DataType::Uuid) => true,
        (Value::Text(text), DataType::Enum { labels }) => {
            labels.iter().any(|label| label.as_bytes() == text.as_ref())
        }
        (Value::Array(array), DataType::Array(element)) => {
            array.elements.iter().all(|value| fits(value, element))
        }
        _ => false,
    }
}

#[tokio::test]
async fn every_type_reads_the_same_in_both_forms_on_15() {
    every_type_reads_the_same_in_both_forms(15).await;
}

#[tokio::test]
async fn every_type_reads_the_same_in_both_forms_on_17() {
    every_type_reads_the_same_in_both_forms(17).await;
}

#[tokio::test]
async fn every_type_reads_the_same_in_both_forms_on_18() {
    every_type_reads_the_same_in_both_forms(18).await;
}

/// The snapshot and the stream, which runs in text form when `unread` types are there, give the same.
async fn both_phases_give_the_same_values_and_schemas(major: u16, unread: bool) {
    let Some(server) = Postgres::shared_or_skip("types", major).unwrap() else { return };
    let (database, made) =
        matrix(server, major, |name| unread || !READ_AS_TEXT.contains(&name)).await;
    let snapshot_mode = SnapshotMode::Initial;
    let mut pipeline =
        Pipeline::provisioned(Config { snapshot_mode, ..config(server, &database) }).await;
    let mut running = pipeline.start().await;
    running.until_current().await;
    let client = server.connect(&database).await.unwrap();
    for (index, name, _) in &made {
        let again = format!(
            "INSERT INTO \"odd \"\"types\"\"\".m{index} SELECT n + 1000, v FROM \"odd \"\"types\"\"\".m{index}"
        );
        client.batch_execute(&again).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
    running.until_current().await;
    let form = running.status.borrow().details.get("values").cloned();
    assert_eq!(form.as_deref(), Some(if unread { "text" } else { "binary" }));
    running.stop().await.unwrap();
    let mut seen: BTreeMap<(String, i64), (Arc<TableSchema>, Value)> = BTreeMap::new();
    let mut compared = 0;
    for Change { schema, operation, after, .. } in pipeline.changes {
        let row = after.unwrap().into_vec();
        let [Value::Int(n), value] = row.as_slice() else { panic!("{row:?}") };
        if operation == Operation::Snapshot {
            let key = (schema.table.name.clone(), *n);
            seen.insert(key, (schema, value.clone()));
            continue;
        }
        let (schema_before, before) = &seen[&(schema.table.name.clone(), n - 1000)];
        assert_eq!(*schema_before, schema);
        assert!(
            same(before, value),
            "{} {n}: {before:?} became {value:?}",
            schema.columns[1].native_type
        );
        compared += 1;
    }
    assert_eq!(compared, made.iter().map(|(_, _, rows)| rows).sum::<usize>());
    assert_eq!(compared, seen.len());
}

#[tokio::test]
async fn snapshot_and_binary_stream_give_the_same_on_15() {
    both_phases_give_the_same_values_and_schemas(15, false).await;
}

#[tokio::test]
async fn snapshot_and_text_stream_give_the_same_on_15() {
    both_phases_give_the_same_values_and_schemas(15, true).await;
}

#[tokio::test]
async fn snapshot_and_binary_stream_give_the_same_on_18() {
    both_phases_give_the_same_values_and_schemas(18, false).await;
}

#[tokio::test]
async fn snapshot_and_text_stream_give_the_same_on_18() {
    both_phases_give_the_same_values_and_schemas(18, true).await;
}

fn decoder(type_oid: u32) -> Decoder {
    let column = DecodedColumn { name: "v".into(), type_oid, type_name: "?".into() };
    let table = cdc_core::TableId::new("public", "t");
    Decoder::new(&table, [column], &Arc::new(TypeCatalog::default()))
}

#[tokio::test]
async fn random_numbers_print_as_the_server_prints_them() {
    let Some(server) = Postgres::shared_or_skip("types", 15).unwrap() else { return };
    let database = server.create_database("numbers").await.unwrap();
    let client = session(server, &database).await;
    let seed: u64 = rand::rng().random();
    // Shown when the test fails.
    eprintln!("seed {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let mut doubles: Vec<f64> = (0..20_000).map(|_| f64::from_bits(random.random())).collect();
    // Decimals of few digits and powers of two are where the shortest form is decided by ties.
    doubles.extend((-300..300).map(|exponent| format!("1e{exponent}").parse::<f64>().unwrap()));
    doubles.extend((-1000..1000).map(|exponent| 2_f64.powi(exponent)));
    doubles
        .extend((0..5_000).map(|_| {
            f64::from(random.random::<u32>()) * 10_f64.powi(random.random_range(-30..30))
        }));
    let singles: Vec<f32> = (0..20_000).map(|_| f32::from_bits(random.random())).collect();
    client
        .batch_execute("CREATE TABLE public.d (n serial, v point); CREATE TYPE public.c AS (f float4); CREATE TABLE public.s (n serial, v public.c)")
        .await
        .unwrap();
    let points = "INSERT INTO public.d (v) SELECT point(x, -x) FROM unnest($1::float8[]) AS x";
    client.execute(points, &[&doubles]).await.unwrap();
    let records = "INSERT INTO public.s (v) SELECT ROW(x)::public.c FROM unnest($1::float4[]) AS x";
    client.execute(records, &[&singles]).await.unwrap();
    assert_eq!(compare(&client, "public.d", &decoder(600), true).await.len(), doubles.len());
    let catalog =
        schema::load(&client, &Selection::parse(&["public.s".into()]).unwrap()).await.unwrap();
    let column = &catalog.tables[0].columns[1];
    let described =
        DecodedColumn { name: "v".into(), type_oid: column.type_oid, type_name: "c".into() };
    let decoder = Decoder::new(&catalog.tables[0].table, [described], &catalog.types);
    assert_eq!(compare(&client, "public.s", &decoder, true).await.len(), singles.len());
}

#[tokio::test]
async fn random_numerics_times_and_intervals_read_the_same_in_both_forms() {
    let Some(server) = Postgres::shared_or_skip("types", 15).unwrap() else { return };
    let database = server.create_database("random").await.unwrap();
    let client = session(server, &database).await;
    for (oid, name, expression) in [
        (
            1700,
            "numeric",
            "((random() - 0.5) * 1e9)::numeric * (10::numeric ^ (random() * 120 - 60)::int)",
        ),
        (1184, "timestamptz", "'4713-11-25 BC'::timestamptz + random() * interval '298000 years'"),
        (1082, "date", "'4713-11-25 BC'::date + (random() * 2147000000)::int"),
        (1083, "time", "time '00:00' + random() * interval '1 day'"),
        (
            1186,
            "interval",
            "make_interval(months => ((random() - 0.5) * 4e9)::int, days => ((random() - 0.5) * 4e9)::int, secs => (random() - 0.5) * 1e12)",
        ),
    ] {
        let fill = format!(
            "CREATE TABLE public.{name}s AS SELECT n, {expression} AS v FROM generate_series(1, 5000) AS n"
        );
        client.batch_execute(&fill).await.unwrap();
        let values = compare(&client, &format!("public.{name}s"), &decoder(oid), true).await;
        assert_eq!(values.len(), 5_000);
    }
}

#[tokio::test]
async fn extension_types_arrive_as_text() {
    let Some(server) = Postgres::shared_or_skip("types", 15).unwrap() else { return };
    let database = server.create_database("extensions").await.unwrap();
    let client = session(server, &database).await;
    let setup = "
        CREATE EXTENSION citext SCHEMA public; CREATE EXTENSION hstore SCHEMA public; CREATE EXTENSION ltree SCHEMA public;
        SET search_path TO public;
        CREATE EXTENSION cube SCHEMA public;
        CREATE TABLE public.m0 (n serial, v citext); INSERT INTO public.m0 (v) VALUES ('Straße'), (NULL), ('');
        CREATE TABLE public.m1 (n serial, v hstore); INSERT INTO public.m1 (v)
          VALUES ('a=>1, b=>NULL, \"c \\\"d\\\\\"=>\"x, y\"'), (NULL), ('');
        CREATE TABLE public.m2 (n serial, v ltree); INSERT INTO public.m2 (v) VALUES ('Top.Science'), (NULL), ('');
        CREATE TABLE public.m3 (n serial, v cube); INSERT INTO public.m3 (v) VALUES ('(1,2),(3,4)'), (NULL), ('(0)');
        CREATE TABLE public.m4 (n serial, v citext[]); INSERT INTO public.m4 (v) VALUES ('{A,\"b c\"}'), (NULL), ('{}');
        SET search_path TO ''";
    client.batch_execute(setup).await.unwrap();
    let catalog = schema::load(&client, &Selection::default()).await.unwrap();
    for (index, (data_type, native, binary)) in [
        (DataType::Text, "public.citext", true),
        (DataType::Other, "public.hstore", true),
        (DataType::Other, "public.ltree", true),
        (DataType::Other, "public.cube", false),
        (DataType::Array(Box::new(DataType::Text)), "public.citext[]", true),
    ]
    .into_iter()
    .enumerate()
    {
        let table = &catalog.tables[index];
        let schema = schema::table_schema(table, &catalog.types);
        assert_eq!(schema.columns[1].native_type, native);
        assert_eq!(schema.columns[1].data_type, data_type);
        let described = DecodedColumn {
            name: "v".into(),
            type_oid: table.columns[1].type_oid,
            type_name: native.into(),
        };
        let decoder = Decoder::new(&table.table, [described], &catalog.types);
        assert_eq!(decoder.binary_decodable(), binary, "{native}");
        let values = compare(&client, &format!("public.m{index}"), &decoder, binary).await;
        assert_eq!(values.len(), 3);
        assert_eq!(values[1], Value::Null);
    }
}

/// The suites' own servers are other majors, so these run where somebody has installed them.
#[tokio::test]
async fn other_supported_majors_behave_the_same_where_they_are_installed() {
    for major in [14, 16] {
        if Postgres::is_missing(major).is_none() {
            every_type_reads_the_same_in_both_forms(major).await;
            both_phases_give_the_same_values_and_schemas(major, true).await;
            both_phases_give_the_same_values_and_schemas(major, false).await;
        }
    }
}

/// The names in backticks that begin the lines of the tables in `TYPES.md`.
fn documented() -> std::collections::BTreeSet<&'static str> {
    let lines = include_str!("../TYPES.md").lines().filter(|line| line.starts_with("| `"));
    let cells = lines.filter_map(|line| line.split('|').nth(1));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

#[tokio::test]
async fn every_built_in_type_is_in_the_documentation() {
    let documented = documented();
    for server in crate::harness::servers() {
        let client = server.connect("postgres").await.unwrap();
        let sql =
            "SELECT typname::text FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace
                   AND typtype NOT IN ('c', 'p') AND typcategory <> 'A'";
        let rows = client.query(sql, &[]).await.unwrap();
        let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert!(names.len() > 60, "{names:?}");
        let missing: Vec<&String> =
            names.iter().filter(|name| !documented.contains(name.as_str())).collect();
        assert_eq!(missing, [""; 0], "types that TYPES.md does not name");
    }
}
