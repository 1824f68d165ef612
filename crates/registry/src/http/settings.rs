//! Compatibility level and mode, of all subjects or of one.

use super::answer::{Parameters, Shared, answer};
use crate::embedded::{Mode, Refusal, Settings};
use axum::{
    body::Bytes,
    extract::{Path, Query, State},
    response::Response,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

type Asked = Query<BTreeMap<String, String>>;

fn shown(settings: Settings, level_key: &str) -> Value {
    let mut out = Map::new();
    if let Some(level) = settings.level {
        out.insert(level_key.to_owned(), level.name().into());
    }
    if let Some(normalize) = settings.normalize {
        out.insert("normalize".to_owned(), normalize.into());
    }
    out.into()
}

fn body(body: &Bytes) -> Result<Map<String, Value>, Refusal> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Refusal::new(422, "The body is no object")),
        Err(error) => Err(Refusal::new(400, format!("The body is not JSON: {error}"))),
    }
}

/// What a body asks for. What this registry does not do is refused, and not forgotten silently.
fn change(given: &Map<String, Value>) -> Result<Settings, Refusal> {
    let mut settings = Settings::default();
    for (key, value) in given.iter().filter(|(_, value)| !value.is_null()) {
        match key.as_str() {
            "compatibility" | "compatibilityLevel" => {
                let level = value.as_str().unwrap_or_default().parse();
                settings.level = Some(level.map_err(|error| {
                    Refusal::new(42203, format!("Invalid compatibility level: {error}"))
                })?);
            }
            "normalize" => settings.normalize = value.as_bool(),
            other => {
                let message = format!("`{other}` is not supported by this registry");
                return Err(Refusal::not_permitted(message));
            }
        }
    }
    Ok(settings)
}

pub(super) async fn get_global(State(registry): State<Shared>) -> Response {
    answer(registry, |registry| Ok(shown(registry.config(None, true)?, "compatibilityLevel"))).await
}

pub(super) async fn get_one(
    State(registry): State<Shared>,
    Path(subject): Path<String>,
    asked: Asked,
) -> Response {
    let asked = Parameters::from(asked);
    answer(registry, move |registry| {
        let settings = registry.config(Some(&subject), asked.flag("defaultToGlobal"))?;
        Ok(shown(settings, "compatibilityLevel"))
    })
    .await
}

pub(super) async fn put_global(State(registry): State<Shared>, given: Bytes) -> Response {
    answer(registry, move |registry| {
        let settings = change(&body(&given)?)?;
        registry.set_config(None, settings)?;
        Ok(shown(settings, "compatibility"))
    })
    .await
}

pub(super) async fn put_one(
    State(registry): State<Shared>,
    Path(subject): Path<String>,
    given: Bytes,
) -> Response {
    answer(registry, move |registry| {
        let settings = change(&body(&given)?)?;
        registry.set_config(Some(&subject), settings)?;
        Ok(shown(settings, "compatibility"))
    })
    .await
}

pub(super) async fn delete_global(State(registry): State<Shared>) -> Response {
    answer(registry, |registry| Ok(shown(registry.remove_config(None)?, "compatibilityLevel")))
        .await
}

pub(super) async fn delete_one(
    State(registry): State<Shared>,
    Path(subject): Path<String>,
) -> Response {
    answer(registry, move |registry| {
        Ok(shown(registry.remove_config(Some(&subject))?, "compatibilityLevel"))
    })
    .await
}

fn mode_of(mode: Mode) -> Value {
    json!({ "mode": mode.name() })
}

fn mode_in(given: &Bytes) -> Result<Mode, Refusal> {
    body(given)?.get("mode").and_then(Value::as_str).unwrap_or_default().parse()
}

pub(super) async fn get_global_mode(State(registry): State<Shared>) -> Response {
    answer(registry, |registry| Ok(mode_of(registry.mode(None, true)?))).await
}

pub(super) async fn get_mode(
    State(registry): State<Shared>,
    Path(subject): Path<String>,
    asked: Asked,
) -> Response {
    let asked = Parameters::from(asked);
    answer(registry, move |registry| {
        Ok(mode_of(registry.mode(Some(&subject), asked.flag("defaultToGlobal"))?))
    })
    .await
}

pub(super) async fn put_global_mode(
    State(registry): State<Shared>,
    asked: Asked,
    given: Bytes,
) -> Response {
    let asked = Parameters::from(asked);
    answer(registry, move |registry| {
        let mode = mode_in(&given)?;
        registry.set_mode(None, mode, asked.flag("force"))?;
        Ok(mode_of(mode))
    })
    .await
}

pub(super) async fn put_mode(
    State(registry): State<Shared>,
    Path(subject): Path<String>,
    asked: Asked,
    given: Bytes,
) -> Response {
    let asked = Parameters::from(asked);
    answer(registry, move |registry| {
        let mode = mode_in(&given)?;
        registry.set_mode(Some(&subject), mode, asked.flag("force"))?;
        Ok(mode_of(mode))
    })
    .await
}

pub(super) async fn delete_mode(
    State(registry): State<Shared>,
    Path(subject): Path<String>,
) -> Response {
    answer(registry, move |registry| Ok(mode_of(registry.remove_mode(&subject)?))).await
}
