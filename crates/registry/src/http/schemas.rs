//! Schemas by their numbers.

use super::answer::{Parameters, Shared, answer, content, respond, shown};
use crate::{
    embedded::{Content, Refusal, Registry},
    schema::{Schema, SchemaType},
};
use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

type Asked = Query<BTreeMap<String, String>>;

pub(super) async fn types() -> Response {
    respond(Ok(json!(SchemaType::ALL.map(SchemaType::name))))
}

pub(super) async fn list(State(registry): State<Shared>, asked: Asked) -> Response {
    let asked = Parameters::from(asked);
    answer(registry, move |registry| {
        let prefix = asked.text("subjectPrefix");
        let all = registry.all(prefix, asked.shown(), asked.flag("latestOnly"));
        Ok(asked.page(all).iter().map(shown).collect())
    })
    .await
}

fn number(text: &str) -> Result<i32, Refusal> {
    text.parse().map_err(|_| Refusal::new(404, "HTTP 404 Not Found"))
}

/// A content whose text is in the form that is asked for.
fn formed(registry: &Registry, id: i32, format: &str) -> Result<Arc<Content>, Refusal> {
    let content = registry.content(id)?;
    if format != "serialized" || content.schema_type != SchemaType::Protobuf {
        return Ok(content);
    }
    match registry.schema(id)? {
        Schema::Protobuf(schema) => {
            Ok(Arc::new(Content { schema: schema.serialized(), ..(*content).clone() }))
        }
        _ => Ok(content),
    }
}

pub(super) async fn by_id(
    State(registry): State<Shared>,
    Path(id): Path<String>,
    asked: Asked,
) -> Response {
    let asked = Parameters::from(asked);
    answer(registry, move |registry| {
        let id = number(&id)?;
        let found = formed(registry, id, asked.text("format"))?;
        let mut out = content(&found);
        if let Value::Object(out) = &mut out {
            out.insert("guid".to_owned(), registry.content(id)?.guid().into());
            if asked.flag("fetchMaxId") {
                out.insert("maxId".to_owned(), registry.last_id().into());
            }
        }
        Ok(out)
    })
    .await
}

/// The bare text; JSON where the language is JSON.
pub(super) async fn text_by_id(
    State(registry): State<Shared>,
    Path(id): Path<String>,
    asked: Asked,
) -> Response {
    let asked = Parameters::from(asked);
    answer(registry, move |registry| {
        Ok(bare(&*formed(registry, number(&id)?, asked.text("format"))?))
    })
    .await
}

pub(super) fn bare(content: &Content) -> Value {
    match content.schema_type {
        SchemaType::Avro | SchemaType::Json => {
            serde_json::from_str(&content.schema).unwrap_or_else(|_| content.schema.as_str().into())
        }
        SchemaType::Protobuf => content.schema.as_str().into(),
    }
}

pub(super) async fn subjects_of(
    State(registry): State<Shared>,
    Path(id): Path<String>,
    asked: Asked,
) -> Response {
    let asked = Parameters::from(asked);
    answer(registry, move |registry| {
        let versions = registry.versions_of(number(&id)?, asked.shown())?;
        let mut subjects: Vec<String> = versions.into_iter().map(|(subject, _)| subject).collect();
        subjects.dedup();
        Ok(json!(asked.page(subjects)))
    })
    .await
}

pub(super) async fn versions_of(
    State(registry): State<Shared>,
    Path(id): Path<String>,
    asked: Asked,
) -> Response {
    let asked = Parameters::from(asked);
    answer(registry, move |registry| {
        let versions = asked.page(registry.versions_of(number(&id)?, asked.shown())?);
        let versions = versions.into_iter();
        Ok(versions
            .map(|(subject, version)| json!({ "subject": subject, "version": version }))
            .collect())
    })
    .await
}

pub(super) async fn by_guid(State(registry): State<Shared>, Path(guid): Path<String>) -> Response {
    answer(registry, move |registry| {
        let found = registry.content(registry.id_of_guid(&guid)?)?;
        let mut out = content(&found);
        if let Value::Object(out) = &mut out {
            out.insert("guid".to_owned(), guid.into());
        }
        Ok(out)
    })
    .await
}

pub(super) async fn ids_of_guid(
    State(registry): State<Shared>,
    Path(guid): Path<String>,
) -> Response {
    answer(registry, move |registry| {
        Ok(json!([{ "context": ".", "id": registry.id_of_guid(&guid)? }]))
    })
    .await
}
