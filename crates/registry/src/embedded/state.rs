//! Everything that a registry knows, in memory.

use super::{
    content::Content,
    refusal::Refusal,
    settings::{Mode, Settings},
    store::{Slot, Write},
};
use crate::{
    compatibility::Level,
    schema::{Reference, Referenced, Schema},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Schemas may use schemas that use schemas, so deep and no deeper.
const REFERENCES_MAX: usize = 1_000;

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) contents: BTreeMap<i32, Arc<Content>>,
    pub(super) ids: BTreeMap<String, i32>,
    pub(super) subjects: BTreeMap<String, BTreeMap<i32, Slot>>,
    settings: BTreeMap<String, Settings>,
    pub(super) last_id: i32,
    pub(super) bytes: usize,
}

impl State {
    pub(super) fn apply(&mut self, write: &Write) {
        match write {
            Write::Content(id, content) => {
                if let Some(old) = self.contents.remove(id) {
                    self.ids.remove(&old.guid());
                    self.bytes = self.bytes.saturating_sub(old.bytes());
                }
                if let Some(content) = content {
                    self.ids.insert(content.guid(), *id);
                    self.bytes = self.bytes.saturating_add(content.bytes());
                    self.contents.insert(*id, Arc::clone(content));
                }
            }
            Write::Slot(subject, version, Some(slot)) => {
                self.subjects.entry(subject.clone()).or_default().insert(*version, *slot);
            }
            Write::Slot(subject, version, None) => {
                if let Some(slots) = self.subjects.get_mut(subject) {
                    slots.remove(version);
                    if slots.is_empty() {
                        self.subjects.remove(subject);
                    }
                }
            }
            Write::Settings(subject, Some(settings)) if *settings != Settings::default() => {
                self.settings.insert(subject.clone(), *settings);
            }
            Write::Settings(subject, _) => {
                self.settings.remove(subject);
            }
            Write::LastId(id) => self.last_id = self.last_id.max(*id),
        }
    }

    /// Settings of one subject, or of all by the empty name.
    pub(super) fn settings(&self, subject: &str) -> Settings {
        self.settings.get(subject).copied().unwrap_or_default()
    }

    /// The level that applies to a subject.
    pub(super) fn level(&self, subject: &str) -> Level {
        self.settings(subject).level.or(self.settings("").level).unwrap_or_default()
    }

    pub(super) fn normalizes(&self, subject: &str) -> bool {
        self.settings(subject).normalize.or(self.settings("").normalize).unwrap_or_default()
    }

    /// The mode that applies to a subject.
    pub(super) fn mode(&self, subject: &str) -> Mode {
        match (self.settings("").mode, self.settings(subject).mode) {
            (Some(Mode::ReadonlyOverride), _) => Mode::ReadonlyOverride,
            (global, own) => own.or(global).unwrap_or_default(),
        }
    }

    /// Fails when a subject may not be changed.
    pub(super) fn check_writable(&self, subject: &str) -> Result<(), Refusal> {
        match self.mode(subject) {
            Mode::Readwrite | Mode::Import => Ok(()),
            Mode::Readonly | Mode::ReadonlyOverride => {
                let message = format!("Subject {subject} is in read-only mode");
                Err(Refusal::not_permitted(message))
            }
        }
    }

    /// Versions of a subject that are not deleted, with their schemas, the oldest first.
    pub(super) fn live(&self, subject: &str) -> Vec<(i32, Slot)> {
        let slots = self.subjects.get(subject).into_iter().flatten();
        slots.filter(|(_, slot)| !slot.deleted).map(|(version, slot)| (*version, *slot)).collect()
    }

    /// The number of the same content, when it has one.
    pub(super) fn id_of(&self, content: &Content) -> Option<i32> {
        let id = *self.ids.get(&content.guid())?;
        self.contents.get(&id).filter(|known| ***known == *content).map(|_| id)
    }

    /// The texts of everything that a schema uses, each after those that it uses itself.
    pub(super) fn referenced(&self, references: &[Reference]) -> Result<Vec<Referenced>, Refusal> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        self.collect(references, &mut seen, &mut found)?;
        Ok(found)
    }

    fn collect(
        &self,
        references: &[Reference],
        seen: &mut BTreeSet<String>,
        found: &mut Vec<Referenced>,
    ) -> Result<(), Refusal> {
        for reference in references {
            if !seen.insert(reference.name.clone()) {
                continue;
            }
            if seen.len() > REFERENCES_MAX {
                return Err(Refusal::invalid_schema("it uses too many schemas"));
            }
            let slot = self.subjects.get(&reference.subject);
            let slot = slot.and_then(|slots| slots.get(&reference.version));
            let content = slot.and_then(|slot| self.contents.get(&slot.id)).ok_or_else(|| {
                let Reference { name, subject, version } = reference;
                Refusal::invalid_schema(format!(
                    "the reference {name} leads to version {version} of subject {subject}, which \
                     is not there"
                ))
            })?;
            self.collect(&content.references, seen, found)?;
            found.push(Referenced { name: reference.name.clone(), text: content.schema.clone() });
        }
        Ok(())
    }

    /// A schema that is kept, ready to be compared.
    pub(super) fn parsed(&self, id: i32) -> Result<Schema, Refusal> {
        let content = self.contents.get(&id).ok_or_else(|| Refusal::no_schema(id))?;
        let referenced = self.referenced(&content.references)?;
        Schema::parse(content.schema_type, &content.schema, &referenced)
            .map_err(Refusal::invalid_schema)
    }

    /// Numbers of schemas that use a version of a subject, in any subject that is not deleted.
    pub(super) fn users_of(&self, subject: &str, version: i32) -> BTreeSet<i32> {
        let live: BTreeSet<i32> = self
            .subjects
            .values()
            .flat_map(BTreeMap::values)
            .filter(|slot| !slot.deleted)
            .map(|slot| slot.id)
            .collect();
        let uses =
            |reference: &Reference| reference.subject == subject && reference.version == version;
        let users = self.contents.iter().filter(|(id, _)| live.contains(id));
        let users = users.filter(|(_, content)| content.references.iter().any(uses));
        users.map(|(id, _)| *id).collect()
    }
}
