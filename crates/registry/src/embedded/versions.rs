//! Looking at subjects, versions and numbers.

use super::{content::Content, refusal::Refusal, registry::Registry, state::State, store::Slot};
use crate::schema::Schema;
use std::{collections::BTreeSet, str::FromStr, sync::Arc};

/// A version of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The subject.
    pub subject: String,
    /// The version.
    pub version: i32,
    /// The schema's number.
    pub id: i32,
    /// Its content.
    pub content: Arc<Content>,
    /// Deleted, but not for good.
    pub deleted: bool,
}

/// Which version is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The newest that is not deleted.
    Latest,
    /// This one.
    Number(i32),
}

/// Which of what is deleted is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// What is deleted too.
    pub deleted: bool,
    /// Only what is deleted.
    pub deleted_only: bool,
}

impl Shown {
    fn shows(self, slot: Slot) -> bool {
        if self.deleted_only { slot.deleted } else { self.deleted || !slot.deleted }
    }
}

impl FromStr for Selector {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        match text {
            "latest" | "-1" => Ok(Self::Latest),
            number => match number.parse() {
                Ok(number) if number > 0 => Ok(Self::Number(number)),
                _ => {
                    let message = format!(
                        "The specified version '{text}' is not a valid version id. Allowed values \
                         are between [1, 2^31-1] and the string \"latest\""
                    );
                    Err(Refusal::new(42202, message))
                }
            },
        }
    }
}

impl Selector {
    pub(super) fn find(&self, state: &State, subject: &str, deleted: bool) -> Result<i32, Refusal> {
        let slots = state.subjects.get(subject).ok_or_else(|| Refusal::no_subject(subject))?;
        let mut shown = slots.iter().filter(|(_, slot)| deleted || !slot.deleted);
        match self {
            Self::Latest => shown
                .next_back()
                .map(|(version, _)| *version)
                .ok_or_else(|| Refusal::no_subject(subject)),
            Self::Number(number) => match shown.find(|(version, _)| *version == number) {
                Some(_) => Ok(*number),
                None if !deleted && slots.values().all(|slot| slot.deleted) => {
                    Err(Refusal::no_subject(subject))
                }
                None => Err(Refusal::no_version(number)),
            },
        }
    }
}

pub(super) fn shown(
    state: &State,
    subject: &str,
    version: i32,
    slot: Slot,
) -> Result<Version, Refusal> {
    let content = state.contents.get(&slot.id).ok_or_else(|| Refusal::no_schema(slot.id))?;
    Ok(Version {
        subject: subject.to_owned(),
        version,
        id: slot.id,
        content: Arc::clone(content),
        deleted: slot.deleted,
    })
}

impl Registry {
    /// Names of subjects that begin with `prefix`.
    #[must_use]
    pub fn subjects(&self, prefix: &str, show: Shown) -> Vec<String> {
        let state = self.state();
        let subjects = state.subjects.iter().filter(|(name, _)| name.starts_with(prefix));
        // A subject is deleted when all its versions are.
        let subjects = subjects.filter(|(_, slots)| {
            let deleted = slots.values().all(|slot| slot.deleted);
            if show.deleted_only { deleted } else { show.deleted || !deleted }
        });
        subjects.map(|(name, _)| name.clone()).collect()
    }

    /// Versions of a subject.
    pub fn versions(&self, subject: &str, show: Shown) -> Result<Vec<i32>, Refusal> {
        let state = self.state();
        let slots = state.subjects.get(subject).into_iter().flatten();
        let versions = slots.filter(|(_, slot)| show.shows(**slot)).map(|(version, _)| *version);
        let versions: Vec<i32> = versions.collect();
        if versions.is_empty() { Err(Refusal::no_subject(subject)) } else { Ok(versions) }
    }

    /// One version of a subject.
    pub fn version(
        &self,
        subject: &str,
        selector: Selector,
        deleted: bool,
    ) -> Result<Version, Refusal> {
        let state = self.state();
        let version = selector.find(&state, subject, deleted)?;
        let slot = state.subjects.get(subject).and_then(|slots| slots.get(&version));
        let slot = slot.ok_or_else(|| Refusal::no_version(version))?;
        shown(&state, subject, version, *slot)
    }

    /// Every version of every subject that begins with `prefix`.
    #[must_use]
    pub fn all(&self, prefix: &str, show: Shown, latest_only: bool) -> Vec<Version> {
        let state = self.state();
        let mut all = Vec::new();
        for (subject, slots) in state.subjects.iter().filter(|(name, _)| name.starts_with(prefix)) {
            let slots = slots.iter().filter(|(_, slot)| show.shows(**slot)).rev();
            let mut slots: Vec<_> = slots.take(if latest_only { 1 } else { usize::MAX }).collect();
            slots.reverse();
            all.extend(
                slots
                    .into_iter()
                    .filter_map(|(version, slot)| shown(&state, subject, *version, *slot).ok()),
            );
        }
        all
    }

    /// The content of a number; deleted ones are still read, because data names them.
    pub fn content(&self, id: i32) -> Result<Arc<Content>, Refusal> {
        let state = self.state();
        state.contents.get(&id).map(Arc::clone).ok_or_else(|| Refusal::no_schema(id))
    }

    /// The schema of a number, ready to be compared.
    pub fn schema(&self, id: i32) -> Result<Schema, Refusal> {
        self.state().parsed(id)
    }

    /// The highest number that was given.
    #[must_use]
    pub fn last_id(&self) -> i32 {
        self.state().last_id
    }

    /// The number of a content's identity.
    pub fn id_of_guid(&self, guid: &str) -> Result<i32, Refusal> {
        self.state().ids.get(guid).copied().ok_or_else(|| Refusal::no_schema(guid))
    }

    /// Versions that have a number.
    pub fn versions_of(&self, id: i32, show: Shown) -> Result<Vec<(String, i32)>, Refusal> {
        let state = self.state();
        if !state.contents.contains_key(&id) {
            return Err(Refusal::no_schema(id));
        }
        let mut found = Vec::new();
        for (subject, slots) in &state.subjects {
            let slots = slots.iter().filter(|(_, slot)| slot.id == id && show.shows(**slot));
            found.extend(slots.map(|(version, _)| (subject.clone(), *version)));
        }
        Ok(found)
    }

    /// Numbers of schemas that use a version.
    pub fn referenced_by(
        &self,
        subject: &str,
        selector: Selector,
    ) -> Result<BTreeSet<i32>, Refusal> {
        let state = self.state();
        let version = selector.find(&state, subject, true)?;
        Ok(state.users_of(subject, version))
    }

    /// The newest version whose metadata has all these properties.
    pub fn latest_with(
        &self,
        subject: &str,
        properties: &[(String, String)],
        deleted: bool,
    ) -> Result<Version, Refusal> {
        let versions = self.all(subject, Shown { deleted, deleted_only: false }, false);
        let has = |version: &Version| {
            let given = version.content.metadata.as_ref().and_then(|m| m.get("properties"));
            properties.iter().all(|(key, value)| {
                given.and_then(|given| given.get(key)).and_then(serde_json::Value::as_str)
                    == Some(value)
            })
        };
        let mut versions = versions.into_iter().filter(|version| version.subject == subject).rev();
        versions.find(has).ok_or_else(|| Refusal::new(40403, "Schema not found".to_owned()))
    }
}
