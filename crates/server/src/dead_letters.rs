//! Dead letters: the same calls serve HTTP and the command line.

use crate::{
    error::{self, Refusal, no_such_letter},
    listen::App,
};
use axum::{
    Json,
    extract::{Path, Query, State},
};
use cdc_codec::{debezium::Encoder, row};
use cdc_core::{
    Result,
    dead_letter::{DeadLetter, DeadLetterInfo, DeadLetterStore},
};
use cdc_engine::CAPTURE;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::{Duration, UNIX_EPOCH};

/// Most letters that one answer holds.
const PAGE_LETTERS_MAX: usize = 1_000;
/// Most letters that one request without numbers touches at a time.
const CHUNK_LETTERS: usize = 500;

/// A dead letter as it is listed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Letter {
    /// Its number.
    pub id: u64,
    /// About it.
    #[serde(flatten)]
    pub info: DeadLetterInfo,
}

/// Some letters, and where the next ones begin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LetterPage {
    /// In the order of their numbers.
    pub dead_letters: Vec<Letter>,
    /// Ask for the letters after this number next; `None` when there are no more.
    pub next: Option<u64>,
}

/// Which letters a request means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// These numbers.
    pub ids: Vec<u64>,
    /// Or all, of one sink when `sink_id` is given.
    pub all: bool,
    /// The sink that `all` is limited to.
    pub sink_id: Option<String>,
}

/// Letters of one sink or all, after a number.
pub async fn list(
    store: &dyn DeadLetterStore,
    sink_id: Option<&str>,
    after: u64,
    limit: usize,
) -> Result<LetterPage> {
    let limit = limit.clamp(1, PAGE_LETTERS_MAX);
    let letters = store.list(sink_id, after, limit).await?;
    // A page is bounded by bytes too, so a short one says nothing about what follows.
    let next = match letters.last() {
        Some(last) if !store.list(sink_id, last.id, 1).await?.is_empty() => Some(last.id),
        Some(_) | None => None,
    };
    let dead_letters = letters.into_iter().map(listed).collect();
    Ok(LetterPage { dead_letters, next })
}

fn listed(letter: DeadLetter) -> Letter {
    Letter { id: letter.id, info: letter.info }
}

/// One letter with its change as the sinks get it: key and value.
pub async fn show(store: &dyn DeadLetterStore, id: u64) -> Result<Value> {
    let letter = store.get(id).await?.ok_or_else(|| no_such_letter(id))?;
    let change = change(&letter);
    let mut body = serde_json::to_value(listed(letter)).unwrap_or_default();
    if let Some(body) = body.as_object_mut() {
        match change {
            Ok((key, value)) => {
                body.insert("key".to_owned(), key);
                body.insert("value".to_owned(), value);
            }
            Err(reason) => {
                body.insert("unreadable".to_owned(), reason.into());
            }
        }
    }
    Ok(body)
}

fn change(letter: &DeadLetter) -> Result<(Value, Value), String> {
    let change = row::decode_letter(&letter.payload, letter.info.position)
        .map_err(|error| error.to_string())?;
    let prefix = letter.info.topic.strip_suffix(&format!(".{}", letter.info.table));
    let mut encoder = Encoder::new(prefix.unwrap_or_default());
    let mut key = Vec::new();
    let mut value = Vec::new();
    let has_key = encoder.key(&change, &mut key).map_err(|error| error.to_string())?;
    let parked_at = Duration::from_millis(letter.info.parked_at_ms);
    let processed_at = UNIX_EPOCH.checked_add(parked_at).unwrap_or(UNIX_EPOCH);
    encoder.value(&change, processed_at, &mut value).map_err(|error| error.to_string())?;
    let key = if has_key { parsed(&key)? } else { Value::Null };
    Ok((key, parsed(&value)?))
}

fn parsed(json: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(json).map_err(|error| error.to_string())
}

/// Asks for another delivery; says of how many.
pub async fn retry(store: &dyn DeadLetterStore, selection: &Selection) -> Result<usize> {
    if !selection.all {
        let ids = named(store, selection).await?;
        refuse_of_capture(store, &ids).await?;
        return store.request_retry(&ids).await;
    }
    let mut count = 0;
    let mut after = 0;
    let mut of_capture = Vec::new();
    while let Some(letters) = chunk(store, selection, after).await? {
        after = letters.last().map_or(u64::MAX, |letter| letter.id);
        let (theirs, ids) = letters.into_iter().partition(|letter| letter.info.sink_id == CAPTURE);
        of_capture.extend(numbers(theirs).first().copied());
        count += store.request_retry(&numbers(ids)).await?;
    }
    // All means all that can be delivered, unless nothing can.
    if count == 0 {
        refuse_of_capture(store, &of_capture).await?;
    }
    Ok(count)
}

/// Changes that never reached the log cannot be delivered again from where they are.
async fn refuse_of_capture(store: &dyn DeadLetterStore, ids: &[u64]) -> Result<()> {
    for id in ids {
        let letter = store.get(*id).await?.ok_or_else(|| no_such_letter(*id))?;
        if letter.info.sink_id == CAPTURE {
            return Err(error::letter_of_capture(&letter));
        }
    }
    Ok(())
}

fn numbers(letters: Vec<DeadLetter>) -> Vec<u64> {
    letters.into_iter().map(|letter| letter.id).collect()
}

/// Removes letters for good; says how many.
pub async fn discard(store: &dyn DeadLetterStore, selection: &Selection) -> Result<usize> {
    if !selection.all {
        return store.remove(&named(store, selection).await?).await;
    }
    let mut count = 0;
    let mut after = 0;
    while let Some(letters) = chunk(store, selection, after).await? {
        let ids = numbers(letters);
        count += store.remove(&ids).await?;
        after = ids.last().copied().unwrap_or(u64::MAX);
    }
    Ok(count)
}

/// The numbers of a request, all of which must exist.
async fn named(store: &dyn DeadLetterStore, selection: &Selection) -> Result<Vec<u64>> {
    if selection.ids.is_empty() {
        return Err(error::nothing_selected());
    }
    for id in &selection.ids {
        store.get(*id).await?.ok_or_else(|| no_such_letter(*id))?;
    }
    Ok(selection.ids.clone())
}

async fn chunk(
    store: &dyn DeadLetterStore,
    selection: &Selection,
    after: u64,
) -> Result<Option<Vec<DeadLetter>>> {
    let letters = store.list(selection.sink_id.as_deref(), after, CHUNK_LETTERS).await?;
    Ok((!letters.is_empty()).then_some(letters))
}

#[derive(Debug, Deserialize)]
pub(crate) struct Filter {
    sink_id: Option<String>,
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

pub(crate) async fn get_list(
    State(app): State<App>,
    Path(pipeline): Path<String>,
    Query(filter): Query<Filter>,
) -> Result<Json<LetterPage>, Refusal> {
    app.own(&pipeline)?;
    let limit = filter.limit.unwrap_or(100);
    let store = &*app.dead_letters;
    Ok(Json(list(store, filter.sink_id.as_deref(), filter.after, limit).await?))
}

pub(crate) async fn get_one(
    State(app): State<App>,
    Path((pipeline, letter)): Path<(String, u64)>,
) -> Result<Json<Value>, Refusal> {
    app.own(&pipeline)?;
    Ok(Json(show(&*app.dead_letters, letter).await?))
}

pub(crate) async fn post_retry(
    State(app): State<App>,
    Path(pipeline): Path<String>,
    Json(selection): Json<Selection>,
) -> Result<Json<Value>, Refusal> {
    app.own(&pipeline)?;
    let count = retry(&*app.dead_letters, &selection).await?;
    tracing::info!(count, "dead letters are to be delivered again");
    Ok(Json(json!({ "retry_requested": count })))
}

pub(crate) async fn delete_some(
    State(app): State<App>,
    Path(pipeline): Path<String>,
    Json(selection): Json<Selection>,
) -> Result<Json<Value>, Refusal> {
    app.own(&pipeline)?;
    let count = discard(&*app.dead_letters, &selection).await?;
    tracing::warn!(count, "dead letters were discarded");
    Ok(Json(json!({ "discarded": count })))
}

pub(crate) async fn post_retry_one(
    app: State<App>,
    Path((pipeline, letter)): Path<(String, u64)>,
) -> Result<Json<Value>, Refusal> {
    let selection = Selection { ids: vec![letter], ..Selection::default() };
    post_retry(app, Path(pipeline), Json(selection)).await
}

pub(crate) async fn delete_one(
    app: State<App>,
    Path((pipeline, letter)): Path<(String, u64)>,
) -> Result<Json<Value>, Refusal> {
    let selection = Selection { ids: vec![letter], ..Selection::default() };
    delete_some(app, Path(pipeline), Json(selection)).await
}
