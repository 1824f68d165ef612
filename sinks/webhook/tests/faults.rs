use crate::world::{Receiver, Reply, changes, config, deliver, fail, identities, open, with};
use cdc_core::Retry;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

#[tokio::test]
async fn a_failing_receiver_gets_the_rest_later() {
    let receiver = Receiver::start().await;
    let changes = changes(6);
    receiver.reply([Reply::ok(), Reply::ok(), Reply::status(500)]);
    let mut sink = receiver.open().await;
    let failed = fail(&mut *sink, &changes).await;
    assert_eq!((failed.error.code, failed.error.retry), ("CDC-3107", Retry::Backoff));
    assert_eq!((failed.accepted, failed.rejected), (2, None));
    assert_eq!(receiver.all().len(), 3, "nothing overtakes the change that failed");
    deliver(&mut *receiver.open().await, &changes[2..]).await;
    assert_eq!(receiver.identities(), identities(&changes));
}

#[tokio::test]
async fn the_wait_that_a_receiver_asks_for_is_passed_on() {
    let receiver = Receiver::start().await;
    let changes = changes(1);
    #[expect(clippy::disallowed_methods, reason = "the sink compares the date with real time")]
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
    for (status, code, header, least, most) in [
        (429, "CDC-3105", "17".to_owned(), 17, 17),
        (503, "CDC-3107", "3".to_owned(), 3, 3),
        (503, "CDC-3107", date, 80, 100),
        (429, "CDC-3105", "1000000".to_owned(), 3_600, 3_600),
    ] {
        receiver.reply([Reply::status(status).header("Retry-After", header)]);
        let failed = fail(&mut *receiver.open().await, &changes).await;
        assert_eq!((failed.error.code, failed.error.retry), (code, Retry::Backoff));
        assert_eq!((failed.accepted, failed.rejected), (0, None));
        let wait = failed.error.retry_after.unwrap().as_secs();
        assert!((least..=most).contains(&wait), "{wait}");
    }
    receiver.reply([Reply::status(429)]);
    let failed = fail(&mut *receiver.open().await, &changes).await;
    assert_eq!(failed.error.retry_after, None);
}

#[tokio::test]
async fn a_refused_change_is_named_and_the_others_go_on() {
    let receiver = Receiver::start().await;
    let changes = changes(6);
    let refused = identities(&changes)[3].clone();
    receiver.behave(move |request| {
        let refuses = request.headers["idempotency-key"] == refused;
        if refuses { Reply::status(422).body("no such plan") } else { Reply::ok() }
    });
    let mut sink = receiver.open().await;
    let failed = fail(&mut *sink, &changes).await;
    assert_eq!((failed.error.code, failed.error.retry), ("CDC-3106", Retry::Never));
    assert_eq!((failed.accepted, failed.rejected), (3, Some(3)));
    assert!(failed.error.context.contains("422 Unprocessable Entity"), "{}", failed.error);
    assert!(failed.error.context.contains("no such plan"), "{}", failed.error);
    deliver(&mut *sink, &changes[4..]).await;
    let expected = [&changes[..3], &changes[4..]].concat();
    assert_eq!(receiver.identities(), identities(&expected));
}

#[tokio::test]
async fn the_change_that_spoils_a_batch_is_found() {
    let receiver = Receiver::start().await;
    let changes = changes(10);
    let refused = identities(&changes)[5].clone();
    receiver.behave(move |request| {
        let refuses = request.records().iter().any(|(identity, _)| *identity == refused);
        Reply::status(if refuses { 400 } else { 200 })
    });
    let keys = json!({"batch": {"max_records": 4}});
    let mut sink = open(with(&receiver.config(), &keys)).await.unwrap();
    let failed = fail(&mut *sink, &changes).await;
    assert_eq!((failed.error.code, failed.accepted, failed.rejected), ("CDC-3106", 5, Some(5)));
    deliver(&mut *sink, &changes[6..]).await;
    let expected = [&changes[..5], &changes[6..]].concat();
    assert_eq!(receiver.identities(), identities(&expected));
}

#[tokio::test]
async fn what_went_ahead_of_a_refused_change_is_not_sent_again() {
    let receiver = Receiver::start().await;
    let changes = changes(60);
    let refused: BTreeSet<String> =
        [10, 11, 35].into_iter().map(|index| identities(&changes)[index].clone()).collect();
    receiver.behave(move |request| {
        let refuses = refused.contains(&request.headers["idempotency-key"]);
        Reply::status(if refuses { 400 } else { 200 }).after(Duration::from_millis(2))
    });
    let mut sink = open(with(&receiver.config(), &json!({"concurrency": 8}))).await.unwrap();
    let (mut from, mut parked) = (0, Vec::new());
    while from < changes.len() {
        let batch = cdc_testkit::generate::batch(changes[from..].to_vec());
        let Err(failed) = sink.write(&batch).await else { break };
        assert_eq!(failed.rejected, Some(failed.accepted), "everything before it was taken");
        parked.push(from + failed.accepted);
        from += failed.accepted + 1;
    }
    assert_eq!(parked, [10, 11, 35]);
    let identities_taken = receiver.identities();
    let distinct: BTreeSet<&String> = identities_taken.iter().collect();
    assert_eq!((identities_taken.len(), distinct.len()), (57, 57));
}

#[tokio::test]
async fn a_parallel_failure_accepts_only_what_has_no_gap() {
    let receiver = Receiver::start().await;
    let changes = changes(40);
    let failing = identities(&changes)[7].clone();
    receiver.behave(move |request| {
        let fails = request.headers["idempotency-key"] == failing;
        Reply::status(if fails { 503 } else { 200 }).after(Duration::from_millis(2))
    });
    let mut sink = open(with(&receiver.config(), &json!({"concurrency": 8}))).await.unwrap();
    let failed = fail(&mut *sink, &changes).await;
    assert_eq!((failed.accepted, failed.rejected), (7, None));
    let taken: BTreeSet<String> = receiver.identities().into_iter().collect();
    assert!(identities(&changes[..7]).iter().all(|identity| taken.contains(identity)));
}

#[tokio::test]
async fn a_slow_receiver_is_given_up_after_the_timeout() {
    let receiver = Receiver::start().await;
    receiver.behave(|_| Reply::ok().after(Duration::from_secs(30)));
    let keys = json!({"timeout_seconds": 1});
    let mut sink = open(with(&receiver.config(), &keys)).await.unwrap();
    let failed = fail(&mut *sink, &changes(2)).await;
    assert_eq!((failed.error.code, failed.error.retry), ("CDC-3108", Retry::Backoff));
    assert_eq!((failed.accepted, failed.rejected), (0, None));
}

#[tokio::test]
async fn a_broken_connection_is_tried_again_with_the_same_identity() {
    let receiver = Receiver::start().await;
    let changes = changes(3);
    // The receiver stores the second change, and its answer is lost.
    receiver.reply([Reply::ok(), Reply::broken(true)]);
    let failed = fail(&mut *receiver.open().await, &changes).await;
    assert_eq!((failed.error.code, failed.error.retry), ("CDC-3110", Retry::Backoff));
    assert_eq!((failed.accepted, failed.rejected), (1, None));
    deliver(&mut *receiver.open().await, &changes[1..]).await;
    let all = identities(&changes);
    assert_eq!(receiver.identities(), [&all[..2], &all[1..]].concat());
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_waited_for() {
    let sink = open(config(&json!({"url": "http://127.0.0.1:1/topsecret"}))).await;
    let failed = fail(&mut *sink.unwrap(), &changes(2)).await;
    assert_eq!((failed.error.code, failed.error.retry), ("CDC-3109", Retry::Backoff));
    assert_eq!((failed.accepted, failed.rejected), (0, None));
    assert!(failed.error.context.contains("http://127.0.0.1:1"), "{}", failed.error);
}

#[tokio::test]
async fn a_receiver_that_lets_nobody_in_is_the_operators() {
    let receiver = Receiver::start().await;
    for status in [401, 403] {
        receiver.reply([Reply::ok(), Reply::status(status)]);
        let failed = fail(&mut *receiver.open().await, &changes(3)).await;
        assert_eq!((failed.error.code, failed.error.retry), ("CDC-3103", Retry::AfterOperator));
        assert_eq!((failed.accepted, failed.rejected), (1, None));
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (receiver, other) = (Receiver::start().await, Receiver::start().await);
    for status in [301, 302, 307, 308] {
        let to = format!("http://{}/topsecret", other.address);
        receiver.reply([Reply::status(status).header("Location", to)]);
        let failed = fail(&mut *receiver.open().await, &changes(1)).await;
        assert_eq!((failed.error.code, failed.error.retry), ("CDC-3104", Retry::AfterOperator));
        assert_eq!(failed.rejected, None);
    }
    assert!(other.all().is_empty());
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let receiver = Receiver::start().await;
    receiver.behave(|_| Reply::status(400).body("x".repeat(50 << 20)));
    let failed = fail(&mut *receiver.open().await, &changes(1)).await;
    assert_eq!(failed.error.code, "CDC-3106");
    assert!(failed.error.context.len() < 400, "{}", failed.error.context.len());
}

#[tokio::test]
async fn an_answer_that_repeats_the_change_shows_none_of_it() {
    let receiver = Receiver::start().await;
    receiver.behave(|request| {
        Reply::status(400).body(String::from_utf8_lossy(&request.body).into_owned())
    });
    let changes = changes(1);
    let failed = fail(&mut *receiver.open().await, &changes).await;
    let context = &failed.error.context;
    let body = receiver.all()[0].json();
    let id = body["key"]["id"].to_string();
    let after_status = context.split("Bad Request").nth(1).unwrap();
    assert!(
        !after_status.split(|c: char| !c.is_alphanumeric()).any(|word| word == id),
        "{context}"
    );
}

#[tokio::test]
async fn a_change_without_a_json_form_is_refused_by_itself() {
    let receiver = Receiver::start().await;
    let mut changes = changes(8);
    let broken = cdc_core::Value::Text(bytes::Bytes::from_static(b"\xff"));
    for index in [2, 5] {
        let columns = changes[index].change.schema.columns.len();
        let row = std::iter::once(cdc_core::Value::Int(1))
            .chain(std::iter::repeat_n(broken.clone(), columns - 1));
        changes[index].change.after = Some(row.collect());
    }
    for keys in [json!({}), json!({"batch": {"max_records": 4}})] {
        let mut sink = open(with(&receiver.config(), &keys)).await.unwrap();
        let failed = fail(&mut *sink, &changes).await;
        assert_eq!((failed.error.code, failed.error.retry), ("CDC-4220", Retry::Never));
        assert_eq!((failed.accepted, failed.rejected), (2, Some(2)));
        let failed = fail(&mut *sink, &changes[3..]).await;
        assert_eq!((failed.accepted, failed.rejected), (2, Some(2)));
    }
}
