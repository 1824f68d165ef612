use crate::{
    conformance::Proxy,
    target::{
        Script, batch, checkpoint, column, context, deliver, schema, target, user, users, write,
    },
};
use cdc_core::{DataType, Retry, Row, Value, catalog::SinkConnector};
use cdc_sink_postgres::Connector;
use cdc_testkit::services::postgres::{Options, Postgres};
use serde_json::json;
use std::sync::Arc;

const ALL: &str = "SELECT * FROM public.users ORDER BY id";

#[tokio::test]
async fn the_refused_change_is_named_and_the_rest_can_be_written_again() {
    let target = target().await;
    let mut sink = target.replica().await;
    let mut script = Script::new(&users());
    script.insert(user(1, "a", "x"));
    deliver(&mut *sink, script.take()).await;
    target.run("ALTER TABLE users ADD CHECK (name <> 'bad')").await;
    write(&mut *sink, script.insert(user(2, "b", "x")).take()).await.unwrap();
    for id in 3..200 {
        script.insert(user(id, if id == 137 { "bad" } else { "c" }, "x"));
    }
    // A later image that the constraint takes must not hide an earlier one: it is what remains.
    script.insert(user(500, "bad", "x")).update(user(500, "good", "x"));
    let mut changes = script.take();
    let failed = sink.write(&batch(changes.clone())).await.unwrap_err();
    assert_eq!((failed.accepted, failed.rejected), (0, Some(134)));
    assert_eq!((failed.error.code, failed.error.retry), ("CDC-3006", Retry::Never));
    assert!(!failed.error.chain().contains("bad"), "{}", failed.error.chain());
    changes.remove(134);
    sink.write(&batch(changes)).await.unwrap();
    sink.commit(&checkpoint(1, 9)).await.unwrap();
    let counts = "SELECT count(*), count(*) FILTER (WHERE name = 'good') FROM users";
    assert_eq!(target.rows(counts).await, ["199|1"]);
}

#[tokio::test]
async fn a_refused_copy_names_its_row() {
    let target = target().await;
    target.run("CREATE TABLE users (id bigint PRIMARY KEY, name text, note varchar(3))").await;
    let mut sink = target.replica().await;
    let mut script = Script::new(&users());
    for id in 0..300 {
        script.snapshot(user(id, "n", if id == 222 { "long" } else { "ok" }));
    }
    let failed = write(&mut *sink, script.take()).await.unwrap_err();
    assert_eq!((failed.error.retry, failed.rejected), (Retry::Never, Some(222)));
}

#[tokio::test]
async fn rows_that_somebody_else_put_into_an_empty_table_are_written_over() {
    let target = target().await;
    let mut sink = target.replica().await;
    let mut script = Script::new(&users());
    (0..100).for_each(|id| _ = script.snapshot(user(id, "a", "x")));
    deliver(&mut *sink, script.take()).await;
    target.run("INSERT INTO users VALUES (150, 'foreign', 'y')").await;
    (100..200).for_each(|id| _ = script.snapshot(user(id, "a", "x")));
    deliver(&mut *sink, script.take()).await;
    let counts = "SELECT count(*), count(*) FILTER (WHERE name = 'a') FROM users";
    assert_eq!(target.rows(counts).await, ["200|200"]);
}

#[tokio::test]
async fn a_partial_change_of_a_row_that_is_not_there_is_refused() {
    let target = target().await;
    let mut sink = target.replica().await;
    let mut script = Script::new(&users());
    let partial = |id| -> Row { Box::new([Value::Int(id), Value::text("p"), Value::Unchanged]) };
    script.insert(user(1, "a", "x")).update(partial(1)).update(partial(2)).update(partial(1));
    let failed = write(&mut *sink, script.take()).await.unwrap_err();
    assert_eq!((failed.error.code, failed.rejected), ("CDC-3009", Some(2)));
}

#[tokio::test]
async fn a_keyless_change_without_its_old_row_is_refused_with_a_remedy() {
    let target = target().await;
    let mut sink = target.replica().await;
    let log = schema("log", vec![column("line", DataType::Text, "text")], &[]);
    let row: Row = Box::new([Value::text("a")]);
    let mut script = Script::new(&log);
    script.insert(row.clone()).update(row);
    let failed = write(&mut *sink, script.take()).await.unwrap_err();
    assert_eq!((failed.error.code, failed.rejected), ("CDC-3008", Some(1)));
    let remedy = failed.error.remedy.unwrap();
    assert!(remedy.contains(r#"ALTER TABLE "public"."log" REPLICA IDENTITY FULL"#), "{remedy}");
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_by_the_next_session() {
    let target = target().await;
    let proxy = Proxy::start(target.server.port()).await;
    let mut config = target.config(json!({}));
    config.port = proxy.port;
    let connector = Connector::new(config).unwrap();
    let mut sink = connector.open(&context()).await.unwrap();
    sink.claim(1).await.unwrap();
    let mut script = Script::new(&users());
    write(&mut *sink, script.insert(user(1, "a", "x")).take()).await.unwrap();
    proxy.lose_next_commit();
    let error = sink.commit(&checkpoint(1, 1)).await.unwrap_err();
    assert_eq!((error.code, error.retry), ("CDC-3003", Retry::Backoff));
    drop(sink);
    let mut sink = connector.open(&context()).await.unwrap();
    assert_eq!(sink.claim(1).await.unwrap(), Some(checkpoint(1, 1)));
    assert_eq!(target.rows(ALL).await, ["1|a|x"]);
}

#[tokio::test]
async fn a_newer_epoch_fences_the_older_session_off() {
    let target = target().await;
    let connector = target.connector(json!({}));
    let mut old = connector.open(&context()).await.unwrap();
    old.claim(3).await.unwrap();
    let mut script = Script::new(&users());
    write(&mut *old, script.insert(user(1, "a", "x")).take()).await.unwrap();
    old.commit(&checkpoint(3, 1)).await.unwrap();
    let mut new = connector.open(&context()).await.unwrap();
    assert_eq!(new.claim(4).await.unwrap(), Some(checkpoint(4, 1)));
    write(&mut *old, script.insert(user(2, "zombie", "x")).take()).await.unwrap();
    let error = old.commit(&checkpoint(3, 2)).await.unwrap_err();
    assert_eq!((error.code, error.retry), ("CDC-3004", Retry::AfterOperator));
    assert!(error.context.contains("epoch 4"), "{}", error.context);
    write(&mut *new, script.insert(user(3, "b", "x")).take()).await.unwrap();
    new.commit(&checkpoint(4, 2)).await.unwrap();
    assert_eq!(target.rows(ALL).await, ["1|a|x", "3|b|x"]);
    // Neither can the older one claim it back.
    let mut older = connector.open(&context()).await.unwrap();
    assert_eq!(older.claim(3).await.unwrap(), Some(checkpoint(4, 2)));
}

#[tokio::test]
async fn an_earlier_session_of_the_same_epoch_cannot_commit_any_more() {
    let target = target().await;
    let connector = target.connector(json!({}));
    let mut script = Script::new(&users());
    let mut first = connector.open(&context()).await.unwrap();
    first.claim(1).await.unwrap();
    write(&mut *first, script.insert(user(1, "late", "x")).take()).await.unwrap();
    let mut second = connector.open(&context()).await.unwrap();
    second.claim(1).await.unwrap();
    let error = first.commit(&checkpoint(1, 1)).await.unwrap_err();
    assert_eq!((error.code, error.retry), ("CDC-3005", Retry::Backoff));
    drop(first);
    deliver(&mut *second, script.insert(user(2, "b", "x")).take()).await;
    assert_eq!(target.rows("SELECT id FROM users").await, ["2"]);
}

#[tokio::test]
async fn two_sessions_that_start_at_once_both_get_ready() {
    let target = target().await;
    let connector = Arc::new(target.connector(json!({})));
    let open = |sink: &str| {
        let connector = Arc::clone(&connector);
        let mut context = context();
        context.sink_id = sink.into();
        tokio::spawn(async move { connector.open(&context).await.map(|_| ()) })
    };
    let all = futures::future::join_all(["a", "b", "c", "d"].map(open)).await;
    for outcome in all {
        outcome.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_killed_connection_is_worth_another_try_and_loses_nothing() {
    let target = target().await;
    let mut sink = target.replica().await;
    let mut script = Script::new(&users());
    deliver(&mut *sink, script.insert(user(1, "a", "x")).take()).await;
    let lost = script.insert(user(2, "b", "x")).take();
    write(&mut *sink, lost.clone()).await.unwrap();
    target
        .run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE datname = current_database() AND application_name = 'cdc shop/copy'",
        )
        .await;
    let failed = write(&mut *sink, script.insert(user(3, "c", "x")).take()).await.unwrap_err();
    assert_eq!((failed.error.retry, failed.rejected), (Retry::Backoff, None));
    let again = sink.commit(&checkpoint(1, 3)).await.unwrap_err();
    assert_eq!(again.code, "CDC-3013", "a failed session takes nothing more");
    drop(sink);
    let mut sink = target.replica().await;
    deliver(&mut *sink, lost).await;
    assert_eq!(target.rows(ALL).await, ["1|a|x", "2|b|x"]);
}

#[tokio::test]
async fn a_lock_that_somebody_holds_is_worth_another_try() {
    let target = target().await;
    let mut sink = target.replica_with(json!({"lock_timeout_seconds": 1})).await;
    let mut script = Script::new(&users());
    deliver(&mut *sink, script.insert(user(1, "a", "x")).take()).await;
    target.run("BEGIN; SELECT * FROM users FOR UPDATE").await;
    let failed = write(&mut *sink, script.update(user(1, "b", "x")).take()).await.unwrap_err();
    assert_eq!((failed.error.retry, failed.rejected), (Retry::Backoff, None));
    target.run("ROLLBACK").await;
}

#[tokio::test]
async fn a_crashed_server_comes_back_with_all_that_was_committed() {
    let server = Postgres::start(Options { fsync: true, ..Options::default() }).unwrap();
    let server: &'static Postgres = Box::leak(Box::new(server));
    let target = crate::target::Target::new(server).await;
    let mut sink = target.replica().await;
    let mut script = Script::new(&users());
    deliver(&mut *sink, script.insert(user(1, "a", "x")).take()).await;
    write(&mut *sink, script.insert(user(2, "b", "x")).take()).await.unwrap();
    server.kill9().unwrap();
    let error = sink.commit(&checkpoint(1, 2)).await.unwrap_err();
    assert_eq!(error.retry, Retry::Backoff);
    let refused = target.connector(json!({})).open(&context()).await.err().unwrap();
    assert_eq!((refused.code, refused.retry), ("CDC-3001", Retry::Backoff));
    server.restart().unwrap();
    let mut sink = target.connector(json!({})).open(&context()).await.unwrap();
    assert_eq!(sink.claim(1).await.unwrap(), Some(checkpoint(1, 1)));
    sink.close().await.unwrap();
    let client = server.connect(&target.database).await.unwrap();
    let count: i64 = client.query_one("SELECT count(*) FROM users", &[]).await.unwrap().get(0);
    assert_eq!(count, 1);
    server.stop().unwrap();
}

#[tokio::test]
async fn wrong_logins_and_databases_wait_for_an_operator() {
    let target = target().await;
    for extra in [json!({"password": "wrong-secret"}), json!({"database": "nowhere"})] {
        let error = target.connector(extra).open(&context()).await.err().unwrap();
        assert_eq!((error.code, error.retry), ("CDC-3002", Retry::AfterOperator));
        assert!(error.remedy.is_some());
        assert!(!error.chain().contains("wrong-secret"), "{}", error.chain());
    }
}

#[tokio::test]
async fn tls_is_used_and_verified_as_asked() {
    let target = target().await;
    let ca = target.server.ca_file();
    for (tls, works) in [
        (json!({"mode": "prefer"}), true),
        (json!({"mode": "require"}), true),
        (json!({"mode": "verify-full", "ca_file": ca}), true),
        (json!({"mode": "verify-full"}), false),
    ] {
        let extra = json!({"tls": tls, "host": "localhost"});
        match target.connector(extra).open(&context()).await {
            Ok(mut sink) => {
                assert!(works, "{tls}");
                sink.claim(1).await.unwrap();
                let secure = "SELECT bool_and(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity USING (pid)
                               WHERE datname = current_database() AND application_name = 'cdc shop/copy'";
                assert_eq!(target.rows(secure).await, ["t"], "{tls}");
                sink.close().await.unwrap();
            }
            Err(error) => {
                assert!(!works, "{tls}: {}", error.chain());
                assert!(error.code.starts_with("CDC-11"), "{}", error.chain());
            }
        }
    }
    let extra = json!({
        "username": target.server.certificate_user(),
        "tls": {
            "mode": "require",
            "certificate_file": target.server.client_cert(),
            "key_file": target.server.client_key(),
        },
    });
    target.connector(extra).open(&context()).await.unwrap();
}

#[tokio::test]
async fn a_session_must_be_claimed_before_anything_else() {
    let target = target().await;
    let mut sink = target.connector(json!({})).open(&context()).await.unwrap();
    assert_eq!(sink.prepare(None, &users()).await.unwrap_err().code, "CDC-3013");
}
