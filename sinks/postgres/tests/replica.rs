use crate::target::{
    Script, batch, checkpoint, column, deliver, on_each_major, schema, target, user, users, write,
};
use cdc_core::{DataType, Row, Value};

fn key_only(id: i64) -> Row {
    Box::new([Value::Int(id), Value::Unchanged, Value::Unchanged])
}

fn unchanged_note(id: i64, name: &str) -> Row {
    Box::new([Value::Int(id), Value::text(name), Value::Unchanged])
}

const ALL: &str = "SELECT * FROM public.users ORDER BY id";

#[tokio::test]
async fn every_operation_arrives() {
    on_each_major("sink-postgres replica", async |target| {
        let mut sink = target.replica().await;
        let mut script = Script::new(&users());
        script.snapshot(user(1, "a", "x")).snapshot(user(2, "b", "x")).snapshot(user(3, "c", "x"));
        deliver(&mut *sink, script.take()).await;
        script.insert(user(4, "d", "x")).update(user(1, "A", "y")).delete(key_only(2));
        deliver(&mut *sink, script.take()).await;
        assert_eq!(target.rows(ALL).await, ["1|A|y", "3|c|x", "4|d|x"]);
        script.truncate().insert(user(9, "n", "n"));
        deliver(&mut *sink, script.take()).await;
        assert_eq!(target.rows(ALL).await, ["9|n|n"]);
        sink.close().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn messages_are_passed_by() {
    let target = target().await;
    let mut sink = target.replica().await;
    let mut script = Script::new(&users());
    script.message("first", b"x");
    deliver(&mut *sink, script.take()).await;
    script.insert(user(1, "a", "x")).message("between", b"\x00").update(user(1, "b", "x"));
    let changes = script.take();
    for delivered in &changes {
        sink.prepare(None, &delivered.change.schema).await.unwrap();
    }
    sink.write(&batch(changes)).await.unwrap();
    sink.commit(&checkpoint(1, 4)).await.unwrap();
    assert_eq!(target.rows(ALL).await, ["1|b|x"]);
    let others = "SELECT relname FROM pg_class WHERE relname = 'message'";
    assert!(target.rows(others).await.is_empty());
}

#[tokio::test]
async fn changes_of_one_row_in_one_batch_end_in_its_last_image() {
    let target = target().await;
    let mut sink = target.replica().await;
    let mut script = Script::new(&users());
    script
        .insert(user(1, "a", "x"))
        .update(unchanged_note(1, "b"))
        .update_from(key_only(1), unchanged_note(5, "c"))
        .update(unchanged_note(5, "d"))
        .insert(user(1, "again", "z"))
        .delete(key_only(1))
        .insert(user(2, "p", "q"))
        .delete(key_only(2))
        .insert(user(2, "r", "s"));
    deliver(&mut *sink, script.take()).await;
    assert_eq!(target.rows(ALL).await, ["2|r|s", "5|d|x"]);
}

#[tokio::test]
async fn an_unchanged_column_keeps_what_it_has() {
    let target = target().await;
    let mut sink = target.replica().await;
    let mut script = Script::new(&users());
    let large = "toast".repeat(100_000);
    script.insert(user(1, "a", &large)).insert(user(2, "b", "y"));
    deliver(&mut *sink, script.take()).await;
    script.update(unchanged_note(1, "A")).update(unchanged_note(2, "B")).update(user(2, "C", "z"));
    deliver(&mut *sink, script.take()).await;
    let short = "SELECT id, name, length(note), left(note, 5) FROM public.users ORDER BY id";
    assert_eq!(target.rows(short).await, ["1|A|500000|toast", "2|C|1|z"]);
}

#[tokio::test]
async fn keys_change_while_a_column_is_unchanged() {
    let target = target().await;
    let mut sink = target.replica().await;
    let mut script = Script::new(&users());
    for id in 1..=3 {
        script.insert(user(id, "n", &format!("note {id}")));
    }
    deliver(&mut *sink, script.take()).await;
    // A ring: 1 → 9, 2 → 1, 3 → 2, 9 → 3, with a change of what moved in between.
    script
        .update_from(key_only(1), unchanged_note(9, "first"))
        .update_from(key_only(2), unchanged_note(1, "second"))
        .update_from(key_only(3), unchanged_note(2, "third"))
        .update(unchanged_note(9, "first again"))
        .update_from(key_only(9), unchanged_note(3, "first at last"));
    deliver(&mut *sink, script.take()).await;
    assert_eq!(
        target.rows(ALL).await,
        ["1|second|note 2", "2|third|note 3", "3|first at last|note 1"]
    );
}

#[tokio::test]
async fn two_keys_that_only_look_different_do_not_collide() {
    let target = target().await;
    let mut sink = target.replica().await;
    let decimal = DataType::Decimal { precision: None, scale: None };
    let prices = schema(
        "prices",
        vec![column("price", decimal, "numeric"), column("name", DataType::Text, "text")],
        &[0],
    );
    let row = |price: &'static str, name: &str| -> Row {
        Box::new([Value::Decimal(price.as_bytes().into()), Value::text(name)])
    };
    let mut script = Script::new(&prices);
    script.insert(row("1.0", "a"));
    deliver(&mut *sink, script.take()).await;
    script.update_from(row("1.0", ""), row("1.00", "b"));
    deliver(&mut *sink, script.take()).await;
    assert_eq!(target.rows("SELECT * FROM public.prices").await, ["1.00|b"]);
}

#[tokio::test]
async fn a_truncate_keeps_its_place_among_the_changes_of_its_table() {
    let target = target().await;
    let mut sink = target.replica().await;
    let mut script = Script::new(&users());
    script.insert(user(1, "a", "x")).truncate().insert(user(2, "b", "x")).truncate();
    script.insert(user(3, "c", "x")).update(unchanged_note(3, "d"));
    deliver(&mut *sink, script.take()).await;
    assert_eq!(target.rows(ALL).await, ["3|d|x"]);
}

#[tokio::test]
async fn a_snapshot_that_starts_over_replaces_what_the_first_try_brought() {
    let target = target().await;
    let mut sink = target.replica().await;
    let mut script = Script::new(&users());
    for id in 0..500 {
        script.snapshot(user(id, "first", "x"));
    }
    deliver(&mut *sink, script.take()).await;
    // The source begins again: truncate, then every row once more.
    script.truncate();
    for id in 100..700 {
        script.snapshot(user(id, "second", "x"));
    }
    deliver(&mut *sink, script.take()).await;
    let counts = "SELECT name, count(*) FROM public.users GROUP BY name ORDER BY name";
    assert_eq!(target.rows(counts).await, ["second|600"]);
    sink.close().await.unwrap();
    // A sink that was restarted half way goes on over what is there.
    let mut sink = target.replica().await;
    for id in 690..900 {
        script.snapshot(user(id, "third", "x"));
    }
    deliver(&mut *sink, script.take()).await;
    assert_eq!(target.rows(counts).await, ["second|590", "third|210"]);
}

#[tokio::test]
async fn composite_keys_are_found_in_any_column_order() {
    let target = target().await;
    let mut sink = target.replica().await;
    let columns = vec![
        column("value", DataType::Text, "text"),
        column("b", DataType::Text, "character(4)"),
        column("a", DataType::Int32, "integer"),
    ];
    let pairs = schema("Odd \"pairs\"", columns, &[2, 1]);
    let row = |a, b: &str, value: &str| -> Row {
        Box::new([Value::text(value), Value::text(b), Value::Int(a)])
    };
    let mut script = Script::new(&pairs);
    script.insert(row(1, "x   ", "one")).insert(row(1, "yyyy", "two"));
    deliver(&mut *sink, script.take()).await;
    script.update(row(1, "x   ", "three")).delete(row(1, "yyyy", ""));
    deliver(&mut *sink, script.take()).await;
    assert_eq!(target.rows(r#"SELECT * FROM public."Odd ""pairs""""#).await, ["three|x   |1"]);
}

#[tokio::test]
async fn a_table_that_is_all_key_takes_inserts_and_deletes() {
    let target = target().await;
    let mut sink = target.replica().await;
    let tags = schema("tags", vec![column("tag", DataType::Text, "text")], &[0]);
    let row = |tag: &str| -> Row { Box::new([Value::text(tag)]) };
    let mut script = Script::new(&tags);
    script.insert(row("a")).insert(row("b")).insert(row("a")).delete(row("b"));
    script.update_from(row("a"), row("c"));
    deliver(&mut *sink, script.take()).await;
    assert_eq!(target.rows("SELECT * FROM public.tags").await, ["c"]);
}

#[tokio::test]
async fn rows_without_a_key_are_found_by_all_their_columns() {
    let target = target().await;
    let mut sink = target.replica().await;
    let columns = vec![
        column("name", DataType::Text, "text"),
        column("price", DataType::Decimal { precision: None, scale: None }, "numeric"),
        column("place", DataType::Other, "point"),
        column("document", DataType::Json, "json"),
    ];
    let log = schema("log", columns, &[]);
    let row = |name: &str, price: &'static str| -> Row {
        let json = Value::Json(r#"{"a":  1}"#.into());
        let price = Value::Decimal(price.as_bytes().into());
        Box::new([Value::text(name), price, Value::text("(1,2)"), json])
    };
    let nothing: Row = Box::new([Value::Null, Value::Null, Value::Null, Value::Null]);
    let mut script = Script::new(&log);
    script.snapshot(row("a", "1.0")).snapshot(row("a", "1.0")).snapshot(row("a", "1.00"));
    script.insert(nothing.clone()).insert(nothing.clone());
    deliver(&mut *sink, script.take()).await;
    // Of three rows that differ at most in how a number prints, exactly the right ones change.
    script.delete(row("a", "1.0")).update_from(row("a", "1.00"), row("b", "2"));
    script.delete(nothing);
    let mut unchanged = row("c", "3");
    unchanged[3] = Value::Unchanged;
    script.update_from(row("b", "2"), unchanged);
    deliver(&mut *sink, script.take()).await;
    let all = "SELECT name, price, place, document FROM public.log ORDER BY name NULLS LAST";
    let document = r#"(1,2)|{"a":  1}"#;
    let expected = [format!("a|1.0|{document}"), format!("c|3|{document}"), "∅|∅|∅|∅".into()];
    assert_eq!(target.rows(all).await, expected);
    script.truncate().insert(row("z", "1"));
    deliver(&mut *sink, script.take()).await;
    assert_eq!(target.rows("SELECT name FROM public.log").await, ["z"]);
}

#[tokio::test]
async fn changes_of_several_tables_travel_together() {
    let target = target().await;
    let mut sink = target.replica().await;
    let mut others = (*users()).clone();
    others.table.name = "others".into();
    let others = std::sync::Arc::new(others);
    sink.prepare(None, &users()).await.unwrap();
    sink.prepare(None, &others).await.unwrap();
    let mut script = Script::new(&users());
    for id in 0..50 {
        script.under(&users()).insert(user(id, "u", "x"));
        script.under(&others).insert(user(id, "o", "x"));
    }
    sink.write(&crate::target::batch(script.take())).await.unwrap();
    sink.commit(&crate::target::checkpoint(1, 100)).await.unwrap();
    let counts = "SELECT (SELECT count(*) FROM public.users), (SELECT count(*) FROM public.others)";
    assert_eq!(target.rows(counts).await, ["50|50"]);
}

#[tokio::test]
async fn nothing_is_seen_before_its_commit() {
    let target = target().await;
    let mut sink = target.replica().await;
    let mut script = Script::new(&users());
    deliver(&mut *sink, script.insert(user(1, "a", "x")).take()).await;
    write(&mut *sink, script.insert(user(2, "b", "x")).take()).await.unwrap();
    assert_eq!(target.rows(ALL).await, ["1|a|x"]);
    drop(sink);
    let mut sink = target.replica().await;
    deliver(&mut *sink, script.insert(user(3, "c", "x")).take()).await;
    assert_eq!(target.rows(ALL).await, ["1|a|x", "3|c|x"]);
}
