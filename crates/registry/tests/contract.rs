use crate::world::{record, world};
use cdc_core::{
    Retry,
    registry::{RegisteredSchema, SchemaKind, SchemaRegistry},
};
use cdc_registry::{
    client::{Client, Config},
    embedded::{MemoryStore, Registry, SharedRegistry},
};
use std::sync::Arc;

fn avro(fields: &[&str]) -> RegisteredSchema {
    RegisteredSchema { kind: SchemaKind::Avro, text: record(fields).to_string().into() }
}

fn embedded() -> SharedRegistry {
    let registry = Registry::open(Arc::new(MemoryStore::default())).unwrap();
    SharedRegistry::new(Arc::new(registry))
}

async fn numbers_schemas(registry: &dyn SchemaRegistry) {
    let first = registry.register("t-value", &avro(&["a"])).await.unwrap();
    assert_eq!(registry.register("t-value", &avro(&["a"])).await.unwrap(), first);
    assert_eq!(registry.register("u-value", &avro(&["a"])).await.unwrap(), first);
    let known = registry.schema(first).await.unwrap();
    assert_eq!(*known, avro(&["a"]));
    let json = RegisteredSchema { kind: SchemaKind::Json, text: r#"{"type":"string"}"#.into() };
    let second = registry.register("v-value", &json).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(registry.schema(second).await.unwrap().kind, SchemaKind::Json);
    let protobuf = "syntax = \"proto3\";\n\nmessage A {\n  string a = 1;\n}\n";
    let protobuf = RegisteredSchema { kind: SchemaKind::Protobuf, text: protobuf.into() };
    let third = registry.register("w-value", &protobuf).await.unwrap();
    assert_eq!(registry.schema(third).await.unwrap().kind, SchemaKind::Protobuf);
}

async fn refuses_what_readers_cannot_bear(registry: &dyn SchemaRegistry) {
    registry.register("refused-value", &avro(&["a"])).await.unwrap();
    let refused = registry.register("refused-value", &avro(&["a", "b"])).await.unwrap_err();
    assert_eq!((refused.code, refused.retry), ("CDC-6012", Retry::AfterOperator));
    assert!(refused.context.contains("refused-value"), "{refused}");
    assert!(refused.context.contains("/fields/1"), "what is incompatible: {refused}");
    assert!(refused.remedy.is_some());
    let missing = registry.schema(4_711).await.unwrap_err();
    assert_eq!(missing.code, "CDC-6013");
    assert!(missing.context.contains("4711"), "{missing}");
    assert!(registry.schema(u32::MAX).await.is_err());
}

#[tokio::test]
async fn the_embedded_registry_is_one_for_formats() {
    numbers_schemas(&embedded()).await;
    refuses_what_readers_cannot_bear(&embedded()).await;
}

#[tokio::test]
async fn a_registry_behind_its_rest_api_is_one_for_formats() {
    let world = world().await;
    let client = Client::new(&Config::at(world.url())).unwrap();
    numbers_schemas(&client).await;
    refuses_what_readers_cannot_bear(&client).await;
}
