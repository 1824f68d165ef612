//! A registry on a real port.

use cdc_registry::{
    embedded::{MemoryStore, Registry, Store},
    http::Server,
};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc};
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) struct World {
    pub(crate) at: SocketAddr,
    pub(crate) client: Client,
    _stop: DropGuard,
}

pub(crate) async fn world() -> World {
    world_on(Arc::new(MemoryStore::default())).await
}

pub(crate) async fn world_on(store: Arc<dyn Store>) -> World {
    let registry = Arc::new(Registry::open(store).unwrap());
    let server = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let at = server.address();
    let cancel = CancellationToken::new();
    tokio::spawn(server.serve(registry, cancel.clone()));
    World { at, client: http(), _stop: cancel.drop_guard() }
}

pub(crate) fn http() -> Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    Client::builder().no_proxy().build().unwrap()
}

impl World {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let mut request = self.client.request(method, format!("{}{path}", self.url()));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        assert_eq!(kind, "application/vnd.schemaregistry.v1+json");
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> (u16, Value) {
        self.send(Method::DELETE, path, None).await
    }

    /// Registers a schema and returns its number.
    pub(crate) async fn register(&self, subject: &str, schema: &Value) -> i64 {
        let path = format!("/subjects/{subject}/versions");
        let (status, answer) = self.post(&path, json!({ "schema": schema.to_string() })).await;
        assert_eq!(status, 200, "{answer}");
        answer["id"].as_i64().unwrap()
    }
}

/// A record with these fields, all of them strings.
pub(crate) fn record(fields: &[&str]) -> Value {
    let fields: Vec<Value> =
        fields.iter().map(|name| json!({ "name": name, "type": "string" })).collect();
    json!({ "type": "record", "name": "User", "fields": fields })
}
