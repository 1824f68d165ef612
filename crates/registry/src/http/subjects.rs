//! Subjects and their versions.

use super::{
    answer::{Parameters, Shared, answer, definition, shown},
    schemas::bare,
};
use crate::embedded::{Refusal, Registry, Selector};
use axum::{
    body::Bytes,
    extract::{Path, Query, RawQuery, State},
    response::Response,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

type Asked = Query<BTreeMap<String, String>>;

pub(super) async fn list(State(registry): State<Shared>, asked: Asked) -> Response {
    let asked = Parameters::from(asked);
    answer(registry, move |registry| {
        // Without contexts, the sign for "all contexts" stands for nothing.
        let prefix = asked.text("subjectPrefix").trim_start_matches(":*:");
        Ok(json!(asked.page(registry.subjects(prefix, asked.shown()))))
    })
    .await
}

pub(super) async fn lookup(
    State(registry): State<Shared>,
    Path(subject): Path<String>,
    asked: Asked,
    body: Bytes,
) -> Response {
    let asked = Parameters::from(asked);
    answer(registry, move |registry| {
        let given = definition(&body)?;
        let (normalize, deleted) = (asked.flag("normalize"), asked.flag("deleted"));
        Ok(shown(&registry.lookup(&subject, &given, normalize, deleted)?))
    })
    .await
}

pub(super) async fn delete(
    State(registry): State<Shared>,
    Path(subject): Path<String>,
    asked: Asked,
) -> Response {
    let asked = Parameters::from(asked);
    answer(registry, move |registry| {
        Ok(json!(registry.delete_subject(&subject, asked.flag("permanent"))?))
    })
    .await
}

pub(super) async fn versions(
    State(registry): State<Shared>,
    Path(subject): Path<String>,
    asked: Asked,
) -> Response {
    let asked = Parameters::from(asked);
    answer(registry, move |registry| {
        Ok(json!(asked.page(registry.versions(&subject, asked.shown())?)))
    })
    .await
}

pub(super) async fn register(
    State(registry): State<Shared>,
    Path(subject): Path<String>,
    asked: Asked,
    body: Bytes,
) -> Response {
    let asked = Parameters::from(asked);
    answer(registry, move |registry| {
        let given = definition(&body)?;
        let registered = registry.register(&subject, &given, asked.flag("normalize"))?;
        let guid = registered.content.guid();
        Ok(json!({ "id": registered.id, "version": registered.version, "guid": guid }))
    })
    .await
}

fn version(
    registry: &Registry,
    subject: &str,
    selector: &str,
    asked: &Parameters,
) -> Result<crate::embedded::Version, Refusal> {
    registry.version(subject, selector.parse()?, asked.flag("deleted"))
}

pub(super) async fn one(
    State(registry): State<Shared>,
    Path((subject, selector)): Path<(String, String)>,
    asked: Asked,
) -> Response {
    let asked = Parameters::from(asked);
    answer(registry, move |registry| Ok(shown(&version(registry, &subject, &selector, &asked)?)))
        .await
}

pub(super) async fn text(
    State(registry): State<Shared>,
    Path((subject, selector)): Path<(String, String)>,
    asked: Asked,
) -> Response {
    let asked = Parameters::from(asked);
    answer(registry, move |registry| {
        Ok(bare(&version(registry, &subject, &selector, &asked)?.content))
    })
    .await
}

pub(super) async fn delete_one(
    State(registry): State<Shared>,
    Path((subject, selector)): Path<(String, String)>,
    asked: Asked,
) -> Response {
    let asked = Parameters::from(asked);
    answer(registry, move |registry| {
        let selector: Selector = selector.parse()?;
        Ok(json!(registry.delete_version(&subject, selector, asked.flag("permanent"))?))
    })
    .await
}

pub(super) async fn referenced_by(
    State(registry): State<Shared>,
    Path((subject, selector)): Path<(String, String)>,
) -> Response {
    answer(registry, move |registry| {
        Ok(json!(registry.referenced_by(&subject, selector.parse()?)?))
    })
    .await
}

/// The newest version with properties: `?key=a&value=1&key=b&value=2`.
pub(super) async fn with_metadata(
    State(registry): State<Shared>,
    Path(subject): Path<String>,
    RawQuery(query): RawQuery,
    asked: Asked,
) -> Response {
    let asked = Parameters::from(asked);
    answer(registry, move |registry| {
        let query = query.unwrap_or_default();
        let uri = format!("/?{query}").parse().map_err(|_| Refusal::new(400, "HTTP 400"))?;
        let pairs: Query<Vec<(String, String)>> =
            Query::try_from_uri(&uri).map_err(|error| Refusal::new(400, error.to_string()))?;
        let of = |name: &str| -> Vec<String> {
            let named = pairs.iter().filter(|(key, _)| key == name);
            named.map(|(_, value)| value.clone()).collect()
        };
        let properties: Vec<_> = of("key").into_iter().zip(of("value")).collect();
        Ok(shown(&registry.latest_with(&subject, &properties, asked.flag("deleted"))?))
    })
    .await
}

pub(super) async fn compatible_with_all(
    State(registry): State<Shared>,
    Path(subject): Path<String>,
    asked: Asked,
    body: Bytes,
) -> Response {
    let asked = Parameters::from(asked);
    answer(registry, move |registry| verdict(registry, &subject, None, &asked, &body)).await
}

pub(super) async fn compatible_with_one(
    State(registry): State<Shared>,
    Path((subject, selector)): Path<(String, String)>,
    asked: Asked,
    body: Bytes,
) -> Response {
    let asked = Parameters::from(asked);
    answer(registry, move |registry| {
        verdict(registry, &subject, Some(selector.parse()?), &asked, &body)
    })
    .await
}

fn verdict(
    registry: &Registry,
    subject: &str,
    against: Option<Selector>,
    asked: &Parameters,
    body: &Bytes,
) -> Result<Value, Refusal> {
    let given = definition(body)?;
    let normalize = asked.flag("normalize");
    let messages = registry.compatibility(subject, against.as_ref(), &given, normalize)?;
    let mut out = json!({ "is_compatible": messages.is_empty() });
    if asked.flag("verbose")
        && let Value::Object(out) = &mut out
    {
        out.insert("messages".to_owned(), json!(messages));
    }
    Ok(out)
}
