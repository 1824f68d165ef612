use crate::target::{Script, column, context, deliver, schema, target, user, users, write};
use cdc_core::{Column, DataType, Retry, Row, TableSchema, Value, catalog::SinkConnector};
use serde_json::json;
use std::sync::Arc;

fn people(columns: &[(&str, &str)], key: &[u16]) -> Arc<TableSchema> {
    let column = |(name, native): &(&str, &str)| -> Column {
        let data_type = match *native {
            "bigint" => DataType::Int64,
            "integer" => DataType::Int32,
            _ => DataType::Text,
        };
        column(name, data_type, native)
    };
    schema("people", columns.iter().map(column).collect(), key)
}

fn row(values: &[&str]) -> Row {
    let value = |text: &&str| text.parse().map_or_else(|_| Value::text(*text), Value::Int);
    values.iter().map(value).collect()
}

const COLUMNS: &str = "
    SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
     WHERE attrelid = 'public.people'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum";

#[tokio::test]
async fn columns_come_go_and_change_with_their_source() {
    let target = target().await;
    let mut sink = target.replica().await;
    let first =
        people(&[("id", "bigint"), ("name", "text"), ("age", "integer"), ("x", "text")], &[0]);
    let mut script = Script::new(&first);
    deliver(&mut *sink, script.insert(row(&["1", "a", "30", "old"])).take()).await;
    // name → label (a rename in the middle), age to bigint, x dropped, y and z added.
    let second = people(
        &[("id", "bigint"), ("label", "text"), ("age", "bigint"), ("y", "integer"), ("z", "text")],
        &[0],
    );
    script.under(&second).insert(row(&["2", "b", "40", "5", "zz"]));
    deliver(&mut *sink, script.take()).await;
    assert_eq!(
        target.rows(COLUMNS).await,
        ["id|bigint|t", "label|text|f", "age|bigint|f", "y|integer|f", "z|text|f"]
    );
    assert_eq!(
        target.rows("SELECT * FROM people ORDER BY id").await,
        ["1|a|30|∅|∅", "2|b|40|5|zz"]
    );
    // Preparing again, also in a new session, finds everything in place.
    drop(sink);
    let mut sink = target.replica().await;
    deliver(&mut *sink, script.update(row(&["1", "a", "31", "6", "z"])).take()).await;
    assert_eq!(target.rows("SELECT y FROM people ORDER BY id").await, ["6", "5"]);
}

#[tokio::test]
async fn a_session_that_missed_the_change_still_drops_the_column() {
    let target = target().await;
    let mut sink = target.replica().await;
    let mut script = Script::new(&people(&[("id", "bigint"), ("secret", "text")], &[0]));
    deliver(&mut *sink, script.insert(row(&["1", "x"])).take()).await;
    drop(sink);
    let mut sink = target.replica().await;
    script.under(&people(&[("id", "bigint")], &[0]));
    deliver(&mut *sink, script.insert(row(&["2"])).take()).await;
    assert_eq!(target.rows(COLUMNS).await, ["id|bigint|t"]);
}

#[tokio::test]
async fn the_key_follows_its_source() {
    let target = target().await;
    let mut sink = target.replica().await;
    let columns = [("id", "bigint"), ("code", "text")];
    let mut script = Script::new(&people(&columns, &[0]));
    deliver(&mut *sink, script.insert(row(&["1", "a"])).insert(row(&["2", "b"])).take()).await;
    script.under(&people(&columns, &[1]));
    deliver(&mut *sink, script.insert(row(&["1", "c"])).update(row(&["9", "a"])).take()).await;
    let all = "SELECT * FROM people ORDER BY code";
    assert_eq!(target.rows(all).await, ["9|a", "2|b", "1|c"]);
    assert_eq!(target.rows(COLUMNS).await, ["id|bigint|f", "code|text|t"]);
    // The key's column is renamed, then the key is given up.
    let renamed = [("id", "bigint"), ("label", "text"), ("n", "text")];
    script.under(&people(&renamed, &[1])).update(row(&["8", "b", "n"]));
    deliver(&mut *sink, script.take()).await;
    script.under(&people(&renamed, &[])).insert(row(&["8", "b", "n"]));
    deliver(&mut *sink, script.take()).await;
    let count = "SELECT count(*) FROM people WHERE label = 'b'";
    assert_eq!(target.rows(count).await, ["2"]);
}

#[tokio::test]
async fn a_rolled_back_change_of_the_schema_is_made_again() {
    let target = target().await;
    let mut sink = target.replica().await;
    let mut script = Script::new(&people(&[("id", "bigint"), ("a", "text")], &[0]));
    deliver(&mut *sink, script.insert(row(&["1", "x"])).take()).await;
    let second = people(&[("id", "bigint"), ("b", "integer")], &[0]);
    let changes = script.under(&second).insert(row(&["2", "7"])).take();
    write(&mut *sink, changes.clone()).await.unwrap();
    drop(sink);
    let mut sink = target.replica().await;
    assert_eq!(target.rows(COLUMNS).await, ["id|bigint|t", "a|text|f"]);
    deliver(&mut *sink, changes).await;
    assert_eq!(target.rows("SELECT * FROM people ORDER BY id").await, ["1|∅", "2|7"]);
}

#[tokio::test]
async fn a_type_change_that_sql_cannot_cast_stops_the_table_with_a_remedy() {
    let target = target().await;
    let mut sink = target.replica().await;
    let mut script = Script::new(&people(&[("id", "bigint"), ("v", "text")], &[0]));
    deliver(&mut *sink, script.insert(row(&["1", "private words"])).take()).await;
    let error =
        sink.prepare(None, &people(&[("id", "bigint"), ("v", "integer")], &[0])).await.unwrap_err();
    assert_eq!((error.code, error.retry), ("CDC-3007", Retry::Never));
    assert!(error.context.contains("public.people"), "{}", error.context);
    assert!(!error.chain().contains("private words"), "{}", error.chain());
    assert!(error.remedy.is_some());
}

#[tokio::test]
async fn a_view_on_a_dropped_column_stops_the_table() {
    let target = target().await;
    let mut sink = target.replica().await;
    let mut script = Script::new(&people(&[("id", "bigint"), ("v", "text")], &[0]));
    deliver(&mut *sink, script.insert(row(&["1", "x"])).take()).await;
    target.run("CREATE VIEW public.report AS SELECT v FROM public.people").await;
    let error = sink.prepare(None, &people(&[("id", "bigint")], &[0])).await.unwrap_err();
    assert_eq!((error.code, error.retry), ("CDC-3007", Retry::Never));
}

#[tokio::test]
async fn a_replica_that_somebody_dropped_is_not_silently_begun_anew() {
    let target = target().await;
    let mut sink = target.replica().await;
    let mut script = Script::new(&users());
    deliver(&mut *sink, script.insert(user(1, "a", "x")).take()).await;
    drop(sink);
    target.run("DROP TABLE public.users").await;
    let mut sink = target.replica().await;
    let error = sink.prepare(None, &users()).await.unwrap_err();
    assert_eq!((error.code, error.retry), ("CDC-3011", Retry::Never));
    // The remedy works as it is written.
    let remedy = error.remedy.unwrap();
    let (_, sql) = remedy.split_once(", or: ").unwrap();
    let (sql, _) = sql.split_once(';').unwrap();
    target.run(sql).await;
    let mut sink = target.replica().await;
    deliver(&mut *sink, script.insert(user(2, "b", "x")).take()).await;
    assert_eq!(target.rows("SELECT id FROM users").await, ["2"]);
}

#[tokio::test]
async fn a_table_that_was_there_is_taken_over_with_its_own_columns_kept() {
    let target = target().await;
    target
        .run(
            "CREATE TABLE public.users (extra int DEFAULT 7, note varchar(100), id numeric);
             INSERT INTO users (id, note) VALUES (1, 'mine'), (2, 'mine')",
        )
        .await;
    let mut sink = target.replica().await;
    let mut script = Script::new(&users());
    script.snapshot(user(2, "b", "x")).snapshot(user(3, "c", "y"));
    deliver(&mut *sink, script.take()).await;
    let all = "SELECT id, name, note, extra FROM users ORDER BY id";
    assert_eq!(target.rows(all).await, ["1|∅|mine|7", "2|b|x|7", "3|c|y|7"]);
}

#[tokio::test]
async fn target_schema_moves_tables_and_their_types() {
    let target = target().await;
    let mut sink = target.replica_with(json!({"target_schema": {"public": "copy \"1\""}})).await;
    let labels = vec!["a".to_owned(), "b".to_owned()];
    let columns = vec![
        column("id", DataType::Int64, "bigint"),
        column("kind", DataType::Enum { labels: labels.clone() }, "public.kind"),
    ];
    let table = schema("things", columns, &[0]);
    let row = |kind: &str| -> Row { Box::new([Value::Int(1), Value::text(kind)]) };
    let mut script = Script::new(&table);
    deliver(&mut *sink, script.insert(row("b")).take()).await;
    let all = r#"SELECT id, kind, pg_typeof(kind) FROM "copy ""1""".things"#;
    assert_eq!(target.rows(all).await, [r#"1|b|"copy ""1""".kind"#]);
    // Labels that the source adds come in their place, in the middle of a transaction.
    let mut wider = (*table).clone();
    let labels = ["first", "a", "middle", "b", "last"];
    wider.columns[1].data_type =
        DataType::Enum { labels: labels.iter().map(|label| (*label).to_owned()).collect() };
    script.update(row("a")).under(&Arc::new(wider)).update(row("middle"));
    deliver(&mut *sink, script.take()).await;
    let sorted = r#"SELECT enum_range(NULL::"copy ""1""".kind)"#;
    assert_eq!(target.rows(sorted).await, ["{first,a,middle,b,last}"]);
    assert_eq!(target.rows(all).await, [r#"1|middle|"copy ""1""".kind"#]);
}

#[tokio::test]
async fn two_tables_cannot_share_one_target() {
    let target = target().await;
    let mut sink = target.replica_with(json!({"target_schema": "all"})).await;
    let mut other = (*users()).clone();
    other.table.namespace = "sales".into();
    sink.prepare(None, &users()).await.unwrap();
    let error = sink.prepare(None, &Arc::new(other)).await.unwrap_err();
    assert_eq!((error.code, error.retry), ("CDC-3012", Retry::Never));
}

#[tokio::test]
async fn a_role_with_one_schema_and_no_more_is_enough() {
    let target = target().await;
    target
        .run(
            "DROP ROLE IF EXISTS narrow_role; CREATE ROLE narrow_role LOGIN PASSWORD 'pw';
             CREATE SCHEMA cdc AUTHORIZATION narrow_role;
             CREATE SCHEMA copy AUTHORIZATION narrow_role;",
        )
        .await;
    let extra = json!({"username": "narrow_role", "password": "pw", "target_schema": "copy"});
    let connector = target.connector(extra);
    let findings = connector.check(&context(), &[]).await;
    assert!(findings.iter().all(|finding| finding.remedy.is_none()), "{findings:?}");
    let mut sink = connector.open(&context()).await.unwrap();
    sink.claim(1).await.unwrap();
    let mut script = Script::new(&users());
    deliver(&mut *sink, script.insert(user(1, "a", "x")).take()).await;
    assert_eq!(target.rows("SELECT * FROM copy.users").await, ["1|a|x"]);
}
