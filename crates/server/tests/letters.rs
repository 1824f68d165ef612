use crate::{
    client::{get, send},
    world::{letter, world},
};
use cdc_core::dead_letter::DeadLetterStore as _;
use cdc_server::LetterPage;
use serde_json::json;

const LETTERS: &str = "/api/v1/pipelines/shop/dead-letters";

#[tokio::test]
async fn letters_are_listed_by_sink_and_in_pages() {
    let world = world().await;
    world.letters.park((1..=5).map(|id| letter("a", id)).collect()).await.unwrap();
    world.letters.park(vec![letter("b", 9)]).await.unwrap();
    let all = get(world.at, LETTERS).await.json();
    assert_eq!(all["dead_letters"].as_array().unwrap().len(), 6);
    assert_eq!(all["next"], json!(null));
    let b = get(world.at, &format!("{LETTERS}?sink_id=b")).await.json();
    assert_eq!(b["dead_letters"].as_array().unwrap().len(), 1);
    assert_eq!(b["dead_letters"][0]["error_code"], "CDC-3105");
    assert_eq!(b["dead_letters"][0].get("value"), None, "a list shows no rows");

    let mut seen = Vec::new();
    let mut after = json!(0);
    while !after.is_null() {
        let page = get(world.at, &format!("{LETTERS}?limit=2&after={after}")).await.json();
        let letters = page["dead_letters"].as_array().unwrap().clone();
        seen.extend(letters.iter().map(|letter| letter["id"].as_u64().unwrap()));
        after = page["next"].clone();
    }
    assert_eq!(seen.len(), 6);
    assert!(seen.is_sorted());
}

#[tokio::test]
async fn a_list_can_be_read_back_by_the_command_line() {
    let world = world().await;
    world.letters.park(vec![letter("a", 42)]).await.unwrap();
    let listed = get(world.at, LETTERS).await.json();
    let page: LetterPage = serde_json::from_value(listed).unwrap();
    let kept = world.letters.list(None, 0, 1).await.unwrap();
    assert_eq!(page.dead_letters[0].info, kept[0].info);
}

#[tokio::test]
async fn one_letter_shows_its_change() {
    let world = world().await;
    world.letters.park(vec![letter("a", 42)]).await.unwrap();
    let id = get(world.at, LETTERS).await.json()["dead_letters"][0]["id"].clone();
    let shown = get(world.at, &format!("{LETTERS}/{id}")).await.json();
    assert_eq!(shown["key"], json!({ "id": 42 }));
    assert_eq!(shown["value"]["after"], json!({ "id": 42, "name": "Ada" }));
    assert_eq!(shown["value"]["source"]["name"], "cdc");
    let missing = get(world.at, &format!("{LETTERS}/999")).await;
    assert_eq!((missing.code, &missing.json()["error"]["code"]), (404, &json!("CDC-5004")));
}

#[tokio::test]
async fn letters_are_retried_and_discarded() {
    let world = world().await;
    world.letters.park((1..=4).map(|id| letter("a", id)).collect()).await.unwrap();
    world.letters.park(vec![letter("b", 9)]).await.unwrap();
    let ids: Vec<u64> =
        world.letters.list(None, 0, 10).await.unwrap().iter().map(|l| l.id).collect();

    let one = send(world.at, "POST", &format!("{LETTERS}/{}/retry", ids[0]), None).await;
    assert_eq!(one.json(), json!({ "retry_requested": 1 }));
    let body = Some(json!({ "all": true, "sink_id": "a" }));
    let all = send(world.at, "POST", &format!("{LETTERS}/retry"), body).await;
    assert_eq!(all.code, 200);
    let asked = world.letters.list(None, 0, 10).await.unwrap();
    assert!(asked.iter().all(|l| l.info.retry_requested == (l.info.sink_id == "a")));

    let gone = send(world.at, "DELETE", &format!("{LETTERS}/{}", ids[1]), None).await;
    assert_eq!(gone.json(), json!({ "discarded": 1 }));
    let rest = send(world.at, "DELETE", LETTERS, Some(json!({ "all": true }))).await;
    assert_eq!(rest.json(), json!({ "discarded": 4 }));
    assert_eq!(world.letters.count(None).await.unwrap(), 0);
}

#[tokio::test]
async fn a_request_must_say_what_it_means() {
    let world = world().await;
    world.letters.park(vec![letter("a", 1)]).await.unwrap();
    let nothing = send(world.at, "DELETE", LETTERS, Some(json!({}))).await;
    assert_eq!((nothing.code, &nothing.json()["error"]["code"]), (400, &json!("CDC-5005")));
    let unknown = send(world.at, "DELETE", LETTERS, Some(json!({ "ids": [1, 77] }))).await;
    assert_eq!(unknown.code, 404);
    let typo = send(world.at, "DELETE", LETTERS, Some(json!({ "al": true }))).await;
    assert_eq!(typo.code, 422);
    assert_eq!(world.letters.count(None).await.unwrap(), 1, "nothing was removed");
}

#[tokio::test]
async fn letters_of_capture_cannot_be_delivered_again() {
    let world = world().await;
    world.letters.park(vec![letter("a", 1), letter("~capture", 2)]).await.unwrap();
    let listed = world.letters.list(Some("~capture"), 0, 1).await.unwrap();
    let id = listed[0].id;
    let one = send(world.at, "POST", &format!("{LETTERS}/{id}/retry"), None).await;
    assert_eq!((one.code, &one.json()["error"]["code"]), (409, &json!("CDC-5007")));
    let remedy = one.json()["error"]["remedy"].to_string();
    assert!(remedy.contains("cdc snapshot PIPELINE --table public.users"), "{remedy}");
    assert!(remedy.contains(&format!("cdc dead-letters discard PIPELINE {id}")), "{remedy}");
    let body = Some(json!({ "all": true, "sink_id": "~capture" }));
    let of_capture = send(world.at, "POST", &format!("{LETTERS}/retry"), body).await;
    assert_eq!(of_capture.json()["error"]["code"], "CDC-5007");
    // All means all that can be delivered.
    let all =
        send(world.at, "POST", &format!("{LETTERS}/retry"), Some(json!({ "all": true }))).await;
    assert_eq!(all.json(), json!({ "retry_requested": 1 }));
    let asked = world.letters.list(Some("~capture"), 0, 1).await.unwrap();
    assert!(!asked[0].info.retry_requested);
}
