//! Registering a schema, finding a registered one, and asking whether one could be registered.

use super::{
    content::{Content, Definition},
    refusal::Refusal,
    registry::{BYTES_MAX, Registry, check_subject},
    settings::Mode,
    state::State,
    store::{Slot, Write},
    versions::{Selector, Version, shown},
};
use crate::{
    compatibility::{self, Breach, Direction, Level},
    schema::{Schema, SchemaType, TEXT_BYTES_MAX},
};
use std::sync::Arc;

/// What a registration led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The schema's number.
    pub id: i32,
    /// The version of the subject that has it.
    pub version: i32,
    /// Its content, as it is kept.
    pub content: Arc<Content>,
}

/// A definition that was read.
struct Given {
    schema: Schema,
    content: Content,
}

impl Registry {
    /// Registers a schema. The same schema gets the same number, whatever the subject; the same in a
    /// subject that has it changes nothing, even if it is incompatible by now.
    pub fn register(
        &self,
        subject: &str,
        definition: &Definition,
        normalize: bool,
    ) -> Result<Registered, Refusal> {
        check_subject(subject)?;
        self.change(|state| {
            let given = read(state, subject, definition, normalize)?;
            let content = Arc::new(given.content);
            let live = state.live(subject);
            let known = state.id_of(&content);
            let importing = state.mode(subject) == Mode::Import;
            if let Some((version, slot)) = live.iter().find(|(_, slot)| Some(slot.id) == known)
                && !importing
            {
                let registered = Registered { id: slot.id, version: *version, content };
                return Ok((registered, Vec::new()));
            }
            state.check_writable(subject)?;
            let (id, version) = if importing {
                imported(state, subject, definition, &content)?
            } else {
                refuse_numbers(state, subject, definition)?;
                refuse_incompatible(state, subject, &given.schema, &live)?;
                let next = state.last_id.checked_add(1);
                let next = next.ok_or_else(|| Refusal::new(50001, "numbers are used up"))?;
                (known.unwrap_or(next), next_version(state, subject))
            };
            let mut writes = Vec::new();
            if !state.contents.contains_key(&id) {
                if state.bytes.saturating_add(content.bytes()) > BYTES_MAX {
                    let message = "The registry holds as much as it may; delete what is not used";
                    return Err(Refusal::new(42209, message));
                }
                writes.push(Write::Content(id, Some(Arc::clone(&content))));
                writes.push(Write::LastId(id.max(state.last_id)));
            }
            let slot = Slot { id, deleted: false };
            writes.push(Write::Slot(subject.to_owned(), version, Some(slot)));
            Ok((Registered { id, version, content }, writes))
        })
    }

    /// The version of a subject that has this schema.
    pub fn lookup(
        &self,
        subject: &str,
        definition: &Definition,
        normalize: bool,
        deleted: bool,
    ) -> Result<Version, Refusal> {
        let state = self.state();
        let slots = state.subjects.get(subject).ok_or_else(|| Refusal::no_subject(subject))?;
        if !deleted && slots.values().all(|slot| slot.deleted) {
            return Err(Refusal::no_subject(subject));
        }
        let given = read(&state, subject, definition, normalize)?;
        let id = state.id_of(&given.content);
        let found =
            slots.iter().rev().find(|(_, slot)| Some(slot.id) == id && (deleted || !slot.deleted));
        let (version, slot) =
            found.ok_or_else(|| Refusal::new(40403, "Schema not found".to_owned()))?;
        shown(&state, subject, *version, *slot)
    }

    /// Everything by which a schema breaks what the subject's level promises, against all its
    /// versions that count or against one.
    pub fn compatibility(
        &self,
        subject: &str,
        against: Option<&Selector>,
        definition: &Definition,
        normalize: bool,
    ) -> Result<Vec<String>, Refusal> {
        let state = self.state();
        let live = state.live(subject);
        let compared = match against {
            None => live,
            Some(selector) => {
                let version = selector.find(&state, subject, false)?;
                live.into_iter().filter(|(found, _)| *found == version).collect()
            }
        };
        let given = read(&state, subject, definition, normalize)?;
        messages(&state, state.level(subject), &given.schema, &compared)
    }
}

fn read(
    state: &State,
    subject: &str,
    definition: &Definition,
    normalize: bool,
) -> Result<Given, Refusal> {
    let text = definition.schema.as_deref().unwrap_or_default();
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("Schema is too large: at most {TEXT_BYTES_MAX} bytes");
        return Err(Refusal::new(42209, message));
    }
    if definition.schema_tags_to_add.is_some() || definition.schema_tags_to_remove.is_some() {
        return Err(Refusal::not_permitted("Tags are not kept by this registry"));
    }
    let schema_type: SchemaType = match &definition.schema_type {
        Some(name) => name.parse().map_err(Refusal::invalid_schema)?,
        None => SchemaType::default(),
    };
    let mut references = definition.references.clone().unwrap_or_default();
    for reference in references.iter_mut().filter(|reference| reference.version == -1) {
        // What is the latest version is decided once, so that the schema stays what it is.
        let latest = state.live(&reference.subject).last().map(|(version, _)| *version);
        reference.version = latest.unwrap_or(reference.version);
    }
    let referenced = state.referenced(&references)?;
    let schema = Schema::parse(schema_type, text, &referenced).map_err(Refusal::invalid_schema)?;
    let normalize = normalize || state.normalizes(subject);
    if normalize {
        references.sort();
    }
    let content = Content {
        schema_type,
        schema: if normalize { schema.normalized() } else { schema.canonical() },
        references,
        metadata: definition.metadata.clone().filter(|value| !value.is_null()),
        rule_set: definition.rule_set.clone().filter(|value| !value.is_null()),
    };
    Ok(Given { schema, content })
}

fn next_version(state: &State, subject: &str) -> i32 {
    let slots = state.subjects.get(subject);
    let last = slots.and_then(|slots| slots.last_key_value()).map_or(0, |(version, _)| *version);
    last.saturating_add(1)
}

/// Only imports bring numbers with them.
fn refuse_numbers(state: &State, subject: &str, definition: &Definition) -> Result<(), Refusal> {
    if definition.id.is_some_and(|id| id > 0) {
        let message = format!("Subject {subject} is not in import mode");
        return Err(Refusal::not_permitted(message));
    }
    let next = next_version(state, subject);
    match definition.version {
        Some(version) if version > 0 && version != next => {
            let message = format!("The next version of subject {subject} is {next}");
            Err(Refusal::new(42202, message))
        }
        _ => Ok(()),
    }
}

fn imported(
    state: &State,
    subject: &str,
    definition: &Definition,
    content: &Content,
) -> Result<(i32, i32), Refusal> {
    let id = definition.id.filter(|id| *id > 0).ok_or_else(|| {
        Refusal::not_permitted(format!("Subject {subject} is in import mode: `id` is missing"))
    })?;
    if state.contents.get(&id).is_some_and(|known| **known != *content) {
        let message = format!("Overwrite new schema with id {id} is not permitted.");
        return Err(Refusal::not_permitted(message));
    }
    if state.id_of(content).is_some_and(|known| known != id) {
        let message = format!("The schema has another id than {id} already");
        return Err(Refusal::new(42207, message));
    }
    let version = definition.version.filter(|version| *version > 0);
    Ok((id, version.unwrap_or_else(|| next_version(state, subject))))
}

fn refuse_incompatible(
    state: &State,
    subject: &str,
    new: &Schema,
    live: &[(i32, Slot)],
) -> Result<(), Refusal> {
    let messages = messages(state, state.level(subject), new, live)?;
    if messages.is_empty() {
        return Ok(());
    }
    let message = format!(
        "Schema being registered is incompatible with an earlier schema for subject \
         \"{subject}\", details: [{}]",
        messages.join(", ")
    );
    Err(Refusal::new(40901, message))
}

fn messages(
    state: &State,
    level: Level,
    new: &Schema,
    live: &[(i32, Slot)],
) -> Result<Vec<String>, Refusal> {
    if level == Level::None {
        return Ok(Vec::new());
    }
    let from = if level.transitive() { 0 } else { live.len().saturating_sub(1) };
    let compared = live.get(from..).unwrap_or_default();
    let earlier = compared.iter().map(|(_, slot)| state.parsed(slot.id));
    let earlier = earlier.collect::<Result<Vec<_>, _>>()?;
    let earlier: Vec<&Schema> = earlier.iter().collect();
    let breaches = compatibility::check(level, new, &earlier);
    let mut messages: Vec<String> = breaches.iter().map(message).collect();
    // Clients show these lines to people, who want to know what was compared.
    if let Some(breach) = breaches.first() {
        let version = compared.get(breach.earlier).map_or(0, |(version, _)| *version);
        messages.push(format!("{{oldSchemaVersion: {version}}}"));
        messages.push(format!("{{compatibility: '{level}'}}"));
    }
    Ok(messages)
}

fn message(breach: &Breach) -> String {
    let finding = &breach.finding;
    let which = match breach.direction {
        Direction::Backward => "the new schema cannot read data of the old one",
        Direction::Forward => "the old schema cannot read data of the new one",
    };
    format!(
        "{{errorType:'{}', description:'{which} at path '{}': {}'}}",
        finding.kind, finding.path, finding.message
    )
}
