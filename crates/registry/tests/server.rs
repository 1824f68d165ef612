use crate::world::{record, world};
use cdc_registry::http::Server;
use reqwest::Method;
use serde_json::{Value, json};

fn of(schema: &Value) -> Value {
    json!({ "schema": schema.to_string() })
}

#[tokio::test]
async fn the_same_schema_has_the_same_number_in_every_subject() {
    let world = world().await;
    let (one, two) = (record(&["a"]), record(&[]));
    assert_eq!(world.register("x-value", &one).await, 1);
    assert_eq!(world.register("x-value", &one).await, 1);
    assert_eq!(world.register("y-value", &one).await, 1);
    assert_eq!(world.register("y-value", &two).await, 2);
    let spaced = json!({ "schema": format!(" {one}\n"), "schemaType": "AVRO" });
    assert_eq!(world.post("/subjects/z/versions", spaced).await.1["id"], 1);
    assert_eq!(world.get("/subjects").await.1, json!(["x-value", "y-value", "z"]));
    assert_eq!(world.get("/subjects?subjectPrefix=y").await.1, json!(["y-value"]));
    assert_eq!(world.get("/subjects/y-value/versions").await.1, json!([1, 2]));
    assert_eq!(world.get("/schemas/ids/1/subjects").await.1, json!(["x-value", "y-value", "z"]));
    let versions = json!([{ "subject": "y-value", "version": 2 }]);
    assert_eq!(world.get("/schemas/ids/2/versions").await.1, versions);
    let (_, latest) = world.get("/subjects/y-value/versions/latest").await;
    assert_eq!((&latest["version"], &latest["id"]), (&json!(2), &json!(2)));
    assert_eq!(latest["schema"], two.to_string());
    assert_eq!(latest.get("schemaType"), None, "clients take Avro for granted");
    assert_eq!(world.get("/subjects/y-value/versions/-1").await.1, latest);
    assert_eq!(world.get("/subjects/y-value/versions/2/schema").await.1, two);
    let (_, found) = world.post("/subjects/y-value", of(&one)).await;
    assert_eq!((&found["version"], &found["id"]), (&json!(1), &json!(1)));
    let (_, by_guid) =
        world.get(&format!("/schemas/guids/{}", found["guid"].as_str().unwrap())).await;
    assert_eq!(by_guid["schema"], one.to_string());
    let (_, by_id) = world.get("/schemas/ids/2?fetchMaxId=true").await;
    assert_eq!((&by_id["schema"], &by_id["maxId"]), (&json!(two.to_string()), &json!(2)));
    assert_eq!(world.get("/schemas/types").await.1, json!(["JSON", "PROTOBUF", "AVRO"]));
    assert_eq!(world.get("/schemas?latestOnly=true").await.1.as_array().unwrap().len(), 3);
    assert_eq!(world.get("/contexts").await.1, json!(["."]));
    assert_eq!(world.get("/").await, (200, json!({})));
}

/// Every refusal has the status and the number that clients of Confluent's registry know.
#[tokio::test]
async fn refusals_have_the_numbers_that_clients_know() {
    let world = world().await;
    world.register("s", &record(&["a"])).await;
    let schema = of(&record(&["other"]));
    let none = None;
    let cases: Vec<(Method, &str, Option<Value>, u16, u32)> = vec![
        (Method::GET, "/subjects/none/versions", none.clone(), 404, 40401),
        (Method::GET, "/subjects/none/versions/1", none.clone(), 404, 40401),
        (Method::GET, "/subjects/s/versions/7", none.clone(), 404, 40402),
        (Method::GET, "/subjects/s/versions/zero", none.clone(), 422, 42202),
        (Method::GET, "/subjects/s/versions/0", none.clone(), 422, 42202),
        (Method::GET, "/schemas/ids/77", none.clone(), 404, 40403),
        (Method::GET, "/schemas/guids/77", none.clone(), 404, 40403),
        (Method::POST, "/subjects/none", Some(schema.clone()), 404, 40401),
        (Method::POST, "/subjects/s", Some(schema.clone()), 404, 40403),
        (Method::POST, "/subjects/s/versions", Some(schema.clone()), 409, 40901),
        (Method::POST, "/subjects/s/versions", Some(json!({"schema": "{"})), 422, 42201),
        (Method::POST, "/subjects/s/versions", Some(json!({})), 422, 42201),
        (
            Method::POST,
            "/subjects/s/versions",
            Some(json!({"schema": "\"int\"", "schemaType": "XML"})),
            422,
            42201,
        ),
        (
            Method::POST,
            "/subjects/s/versions",
            Some(json!({"schema": "\"int\"", "x": 1})),
            422,
            422,
        ),
        (
            Method::POST,
            "/subjects/s/versions",
            Some(json!({"schema": "\"int\"", "id": 5})),
            422,
            42205,
        ),
        (Method::POST, "/subjects/:.c:s/versions", Some(schema.clone()), 422, 42208),
        (
            Method::POST,
            "/subjects/s/versions",
            Some(
                json!({"schema": "\"int\"", "references": [{"name": "x", "subject": "none", "version": 1}]}),
            ),
            422,
            42201,
        ),
        (
            Method::POST,
            "/subjects/s/versions",
            Some(json!({"schema": " ".repeat(2 << 20)})),
            422,
            42209,
        ),
        (Method::DELETE, "/subjects/none", none.clone(), 404, 40401),
        (Method::DELETE, "/subjects/s?permanent=true", none.clone(), 404, 40405),
        (Method::DELETE, "/subjects/s/versions/1?permanent=true", none.clone(), 404, 40407),
        (Method::GET, "/config/s", none.clone(), 404, 40408),
        (Method::GET, "/mode/s", none.clone(), 404, 40409),
        (Method::PUT, "/config", Some(json!({"compatibility": "SOME"})), 422, 42203),
        (Method::PUT, "/config", Some(json!({"compatibilityGroup": "major"})), 422, 42205),
        (Method::PUT, "/mode", Some(json!({"mode": "SOME"})), 422, 42204),
        (Method::PUT, "/mode", Some(json!({"mode": "IMPORT"})), 422, 42205),
        (
            Method::POST,
            "/compatibility/subjects/none/versions/latest",
            Some(schema.clone()),
            404,
            40401,
        ),
        (Method::POST, "/compatibility/subjects/s/versions/9", Some(schema), 404, 40402),
        (Method::GET, "/nowhere", none.clone(), 404, 404),
        (Method::PUT, "/subjects", none, 405, 405),
    ];
    for (method, path, body, status, code) in cases {
        let (found, answer) = world.send(method.clone(), path, body).await;
        assert_eq!(
            (found, &answer["error_code"]),
            (status, &json!(code)),
            "{method} {path}: {answer}"
        );
        assert!(!answer["message"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn deleting_is_undone_by_registering_until_it_is_permanent() {
    let world = world().await;
    let (one, two) = (record(&["a"]), record(&[]));
    world.register("s", &one).await;
    world.register("s", &two).await;
    assert_eq!(world.delete("/subjects/s/versions/2").await, (200, json!(2)));
    assert_eq!(world.delete("/subjects/s/versions/2").await.1["error_code"], 40406);
    assert_eq!(world.get("/subjects/s/versions").await.1, json!([1]));
    assert_eq!(world.get("/subjects/s/versions?deleted=true").await.1, json!([1, 2]));
    assert_eq!(world.get("/subjects/s/versions?deletedOnly=true").await.1, json!([2]));
    assert_eq!(world.get("/subjects/s/versions/2").await.1["error_code"], 40402);
    assert_eq!(world.get("/subjects/s/versions/2?deleted=true").await.1["deleted"], true);
    assert_eq!(world.get("/schemas/ids/2").await.0, 200, "data may still name it");
    assert_eq!(world.register("s", &two).await, 2);
    assert_eq!(world.get("/subjects/s/versions").await.1, json!([1, 3]));
    assert_eq!(world.delete("/subjects/s").await, (200, json!([1, 3])));
    assert_eq!(world.get("/subjects/s/versions").await.1["error_code"], 40401);
    assert_eq!(world.delete("/subjects/s").await.1["error_code"], 40404);
    assert_eq!(world.get("/subjects").await.1, json!([]));
    assert_eq!(world.get("/subjects?deleted=true").await.1, json!(["s"]));
    assert_eq!(world.delete("/subjects/s?permanent=true").await, (200, json!([1, 2, 3])));
    assert_eq!(world.get("/schemas/ids/1").await.1["error_code"], 40403);
    assert_eq!(world.register("s", &one).await, 3, "numbers are not given again");
    assert_eq!(world.get("/subjects/s/versions").await.1, json!([1]));
}

#[tokio::test]
async fn deleted_versions_do_not_count_in_checks() {
    let world = world().await;
    world.register("s", &record(&["a"])).await;
    let other = of(&record(&["b"]));
    assert_eq!(world.post("/subjects/s/versions", other.clone()).await.0, 409);
    world.delete("/subjects/s").await;
    assert_eq!(world.post("/subjects/s/versions", other).await.0, 200);
}

#[tokio::test]
async fn a_schema_that_is_there_is_registered_even_if_it_is_incompatible_now() {
    let world = world().await;
    world.put("/config/s", json!({ "compatibility": "NONE" })).await;
    world.register("s", &record(&["a"])).await;
    world.register("s", &record(&["b"])).await;
    world.put("/config/s", json!({ "compatibility": "FULL_TRANSITIVE" })).await;
    assert_eq!(world.register("s", &record(&["a"])).await, 1);
    assert_eq!(world.post("/subjects/s/versions", of(&record(&["c"]))).await.0, 409);
}

#[tokio::test]
async fn levels_belong_to_a_subject_or_to_all() {
    let world = world().await;
    assert_eq!(world.get("/config").await.1, json!({ "compatibilityLevel": "BACKWARD" }));
    let full = json!({ "compatibility": "FULL" });
    assert_eq!(world.put("/config", full.clone()).await, (200, full));
    assert_eq!(
        world.get("/config/s?defaultToGlobal=true").await.1,
        json!({ "compatibilityLevel": "FULL" })
    );
    world.put("/config/s", json!({ "compatibility": "forward", "normalize": true })).await;
    let own = json!({ "compatibilityLevel": "FORWARD", "normalize": true });
    assert_eq!(world.get("/config/s").await.1, own);
    let spread = json!({"type": "record", "name": "R", "fields": [], "b": 1, "a": 2});
    let (_, found) = world.post("/subjects/s/versions", of(&spread)).await;
    let (_, kept) = world.get(&format!("/schemas/ids/{}/schema", found["id"])).await;
    assert_eq!(kept.to_string(), r#"{"type":"record","name":"R","fields":[],"a":2,"b":1}"#);
    assert_eq!(world.delete("/config/s").await.1, own);
    assert_eq!(world.get("/config/s").await.1["error_code"], 40408);
    assert_eq!(world.delete("/config/s").await.1["error_code"], 40401);
    assert_eq!(world.delete("/config").await.1["compatibilityLevel"], "FULL");
    assert_eq!(world.get("/config").await.1["compatibilityLevel"], "BACKWARD");
}

#[tokio::test]
async fn a_check_tells_what_is_wrong_and_where() {
    let world = world().await;
    world.register("s", &record(&["a"])).await;
    let path = "/compatibility/subjects/s/versions";
    let (_, good) = world.post(&format!("{path}/latest?verbose=true"), of(&record(&[]))).await;
    assert_eq!(good, json!({ "is_compatible": true, "messages": [] }));
    let (_, bad) = world.post(&format!("{path}?verbose=true"), of(&record(&["a", "b"]))).await;
    assert_eq!(bad["is_compatible"], false);
    let messages = bad["messages"].to_string();
    for part in ["READER_FIELD_MISSING_DEFAULT_VALUE", "/fields/1", "oldSchemaVersion: 1"] {
        assert!(messages.contains(part), "{messages}");
    }
    let (_, quiet) = world.post(&format!("{path}/1"), of(&record(&["b"]))).await;
    assert_eq!(quiet, json!({ "is_compatible": false }));
    let (_, new) = world.post("/compatibility/subjects/new/versions", of(&record(&[]))).await;
    assert_eq!(new, json!({ "is_compatible": true }));
}

#[tokio::test]
async fn a_schema_that_others_use_stays() {
    let world = world().await;
    let address = json!({"type": "record", "name": "Address", "fields": []});
    world.register("address", &address).await;
    let user =
        json!({"type": "record", "name": "User", "fields": [{"name": "home", "type": "Address"}]});
    let body = json!({ "schema": user.to_string(), "references": [{ "name": "Address", "subject": "address", "version": -1 }] });
    let (status, answer) = world.post("/subjects/user/versions", body.clone()).await;
    assert_eq!((status, &answer["id"]), (200, &json!(2)), "{answer}");
    let (_, kept) = world.get("/subjects/user/versions/1").await;
    assert_eq!(
        kept["references"],
        json!([{ "name": "Address", "subject": "address", "version": 1 }])
    );
    assert_eq!(world.post("/subjects/user", body).await.1["id"], 2);
    assert_eq!(world.get("/subjects/address/versions/1/referencedby").await.1, json!([2]));
    assert_eq!(world.delete("/subjects/address").await.1["error_code"], 42206);
    assert_eq!(world.delete("/subjects/address/versions/1").await.1["error_code"], 42206);
    world.delete("/subjects/user").await;
    assert_eq!(world.delete("/subjects/address").await.0, 200);
}

#[tokio::test]
async fn schemas_of_all_languages_are_kept() {
    let world = world().await;
    let json = json!({ "schemaType": "JSON", "schema": r#"{"type": "object"}"# });
    assert_eq!(world.post("/subjects/j/versions", json).await.1["id"], 1);
    let proto = "syntax = \"proto3\"; message A { string b = 1; }";
    let body = json!({ "schemaType": "PROTOBUF", "schema": proto });
    assert_eq!(world.post("/subjects/p/versions", body).await.1["id"], 2);
    let (_, text) = world.get("/schemas/ids/2").await;
    assert_eq!(text["schemaType"], "PROTOBUF");
    assert!(text["schema"].as_str().unwrap().contains("string b = 1;"));
    let (_, serialized) = world.get("/schemas/ids/2?format=serialized").await;
    let body = json!({ "schemaType": "PROTOBUF", "schema": serialized["schema"] });
    assert_eq!(
        world.post("/subjects/p/versions", body).await.1["id"],
        2,
        "the same in another form"
    );
    let body = json!({ "schemaType": "JSON", "schema": "{}" });
    assert_eq!(world.post("/subjects/p/versions", body).await.1["error_code"], 40901);
}

#[tokio::test]
async fn what_the_registry_does_not_understand_is_kept_all_the_same() {
    let world = world().await;
    let schema = record(&["a"]).to_string();
    let rules = json!({ "domainRules": [{ "name": "x", "kind": "CONDITION", "type": "CEL" }] });
    let metadata = json!({ "properties": { "owner": "me" } });
    let body = json!({ "schema": schema, "metadata": metadata, "ruleSet": rules });
    assert_eq!(world.post("/subjects/s/versions", body).await.1["id"], 1);
    assert_eq!(world.post("/subjects/s/versions", json!({ "schema": schema })).await.1["id"], 2);
    let (_, kept) = world.get("/subjects/s/versions/1").await;
    assert_eq!((&kept["metadata"], &kept["ruleSet"]), (&metadata, &rules));
    let (_, found) = world.get("/subjects/s/metadata?key=owner&value=me").await;
    assert_eq!(found["version"], 1);
    assert_eq!(world.get("/subjects/s/metadata?key=owner&value=you").await.1["error_code"], 40403);
}

#[tokio::test]
async fn modes_keep_a_subject_from_being_changed() {
    let world = world().await;
    world.register("s", &record(&["a"])).await;
    let readonly = json!({ "mode": "READONLY" });
    assert_eq!(world.put("/mode/s", readonly.clone()).await, (200, readonly.clone()));
    assert_eq!(world.get("/mode/s").await.1, readonly);
    let more = of(&record(&[]));
    assert_eq!(world.post("/subjects/s/versions", more.clone()).await.1["error_code"], 42205);
    assert_eq!(world.delete("/subjects/s").await.1["error_code"], 42205);
    assert_eq!(world.register("s", &record(&["a"])).await, 1, "what is there may be asked for");
    assert_eq!(world.delete("/mode/s").await.1, readonly);
    assert_eq!(world.post("/subjects/s/versions", more).await.0, 200);
    world.put("/mode", json!({ "mode": "READONLY_OVERRIDE" })).await;
    world.put("/mode/s", json!({ "mode": "READWRITE" })).await;
    assert_eq!(world.delete("/subjects/s").await.1["error_code"], 42205);
}

#[tokio::test]
async fn imports_bring_their_numbers_with_them() {
    let world = world().await;
    assert_eq!(world.put("/mode/s", json!({ "mode": "IMPORT" })).await.0, 200);
    let with = |fields: &[&str], id: i32, version: i32| json!({ "schema": record(fields).to_string(), "id": id, "version": version });
    let path = "/subjects/s/versions";
    assert_eq!(world.post(path, with(&["a"], 40, 3)).await.1["id"], 40);
    assert_eq!(world.post(path, with(&["b"], 40, 4)).await.1["error_code"], 42205);
    assert_eq!(world.post(path, with(&["a"], 41, 4)).await.1["error_code"], 42207);
    assert_eq!(world.post(path, of(&record(&["b"]))).await.1["error_code"], 42205);
    assert_eq!(world.get(path).await.1, json!([3]));
    assert_eq!(world.register("t", &record(&["z"])).await, 41, "numbers go on after the highest");
}

#[tokio::test]
async fn a_port_in_use_is_named_with_a_remedy() {
    let world = world().await;
    let Err(error) = Server::bind(world.at).await else { panic!("the port was free") };
    assert_eq!(error.code, "CDC-6005");
    assert!(error.remedy.unwrap().contains("ss -ltnp"));
}
