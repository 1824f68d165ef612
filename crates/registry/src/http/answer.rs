//! Requests read and answers written, in the one way that all routes share.

use crate::embedded::{Definition, Refusal, Registry, Shown, Version};
use axum::{
    body::Bytes,
    extract::Query,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// The registry's own media type; clients that ask for plain JSON take it too.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// What the routes share.
pub(super) type Shared = Arc<Registry>;

/// The parameters of a request.
pub(super) struct Parameters(BTreeMap<String, String>);

impl From<Query<BTreeMap<String, String>>> for Parameters {
    fn from(Query(parameters): Query<BTreeMap<String, String>>) -> Self {
        Self(parameters)
    }
}

impl Parameters {
    pub(super) fn flag(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    pub(super) fn shown(&self) -> Shown {
        Shown { deleted: self.flag("deleted"), deleted_only: self.flag("deletedOnly") }
    }

    /// The part of a list that is asked for; all of it without `limit`.
    pub(super) fn page<T>(&self, list: Vec<T>) -> Vec<T> {
        let number = |name| self.text(name).parse::<usize>().ok();
        let limit = number("limit").filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        list.into_iter().skip(number("offset").unwrap_or(0)).take(limit).collect()
    }
}

/// Does what a request asks for on a thread that may block, and answers.
pub(super) async fn answer<F>(registry: Shared, call: F) -> Response
where
    F: FnOnce(&Registry) -> Result<Value, Refusal> + Send + 'static,
{
    let result = tokio::task::spawn_blocking(move || call(&registry)).await;
    let stopped = |_| Err(Refusal::new(50001, "The registry is stopping"));
    respond(result.unwrap_or_else(stopped))
}

/// An answer that is ready.
pub(super) fn respond(result: Result<Value, Refusal>) -> Response {
    let (status, body) = match result {
        Ok(body) => (StatusCode::OK, body),
        Err(refusal) => {
            let status = StatusCode::from_u16(refusal.status());
            (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), refusal.body())
        }
    };
    (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body.to_string()).into_response()
}

/// The schema that a body holds.
pub(super) fn definition(body: &Bytes) -> Result<Definition, Refusal> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::new(400, format!("The body is not JSON: {error}")))?;
    serde_json::from_value(value)
        .map_err(|error| Refusal::new(422, format!("The body is no schema: {error}")))
}

/// A version with its schema.
pub(super) fn shown(version: &Version) -> Value {
    let mut out = Map::new();
    out.insert("subject".to_owned(), version.subject.as_str().into());
    out.insert("version".to_owned(), version.version.into());
    out.insert("id".to_owned(), version.id.into());
    out.insert("guid".to_owned(), version.content.guid().into());
    if let Value::Object(content) = content(&version.content) {
        out.extend(content);
    }
    if version.deleted {
        out.insert("deleted".to_owned(), true.into());
    }
    out.into()
}

/// A schema with everything that belongs to it. Avro is what clients expect without a name.
pub(super) fn content(content: &crate::embedded::Content) -> Value {
    let mut out = json!(content);
    if let Value::Object(out) = &mut out
        && content.schema_type == crate::SchemaType::Avro
    {
        out.remove("schemaType");
    }
    out
}
