//! Deleting, first so that it can be undone by registering again, and then for good.

use super::{
    refusal::Refusal,
    registry::Registry,
    settings::Settings,
    state::State,
    store::{Slot, Write},
    versions::Selector,
};
use std::collections::BTreeSet;

impl Registry {
    /// Deletes every version of a subject; answers with their numbers.
    pub fn delete_subject(&self, subject: &str, permanent: bool) -> Result<Vec<i32>, Refusal> {
        self.change(|state| {
            state.check_writable(subject)?;
            let slots = state.subjects.get(subject).ok_or_else(|| Refusal::no_subject(subject))?;
            let all_deleted = slots.values().all(|slot| slot.deleted);
            let told = |code, text: &str| Refusal::new(code, format!("Subject '{subject}' {text}"));
            if permanent && !all_deleted {
                let text = "was not deleted first before being permanently deleted";
                return Err(told(40405, text));
            }
            if !permanent && all_deleted {
                let text = "was soft deleted. Set permanent=true to delete permanently";
                return Err(told(40404, text));
            }
            let chosen = slots.iter().filter(|(_, slot)| permanent || !slot.deleted);
            let chosen: Vec<(i32, Slot)> =
                chosen.map(|(version, slot)| (*version, *slot)).collect();
            for (version, _) in &chosen {
                refuse_used(state, subject, *version)?;
            }
            let mut writes = removal(state, subject, &chosen, permanent);
            if permanent {
                writes.push(Write::Settings(subject.to_owned(), Some(Settings::default())));
            }
            Ok((chosen.into_iter().map(|(version, _)| version).collect(), writes))
        })
    }

    /// Deletes one version; answers with its number.
    pub fn delete_version(
        &self,
        subject: &str,
        selector: Selector,
        permanent: bool,
    ) -> Result<i32, Refusal> {
        self.change(|state| {
            state.check_writable(subject)?;
            let version = selector.find(state, subject, true)?;
            let slot = state.subjects.get(subject).and_then(|slots| slots.get(&version));
            let slot = *slot.ok_or_else(|| Refusal::no_version(version))?;
            let told = |code, text: &str| {
                Refusal::new(code, format!("Subject '{subject}' Version {version} {text}"))
            };
            if permanent && !slot.deleted {
                let text = "was not deleted first before being permanently deleted";
                return Err(told(40407, text));
            }
            if !permanent && slot.deleted {
                let text = "was soft deleted. Set permanent=true to delete permanently";
                return Err(told(40406, text));
            }
            refuse_used(state, subject, version)?;
            Ok((version, removal(state, subject, &[(version, slot)], permanent)))
        })
    }
}

fn refuse_used(state: &State, subject: &str, version: i32) -> Result<(), Refusal> {
    if state.users_of(subject, version).is_empty() {
        return Ok(());
    }
    let message = format!(
        "One or more references exist to the schema {{subject={subject},version={version}}}."
    );
    Err(Refusal::new(42206, message))
}

fn removal(state: &State, subject: &str, chosen: &[(i32, Slot)], permanent: bool) -> Vec<Write> {
    let mut writes = Vec::new();
    for (version, slot) in chosen {
        let slot = (!permanent).then_some(Slot { deleted: true, ..*slot });
        writes.push(Write::Slot(subject.to_owned(), *version, slot));
    }
    if !permanent {
        return writes;
    }
    // A content goes with its last version; its number is not given again.
    let gone: BTreeSet<i32> = chosen.iter().map(|(_, slot)| slot.id).collect();
    for id in gone {
        let elsewhere = state.subjects.iter().any(|(name, slots)| {
            slots.iter().any(|(version, slot)| {
                let removed = name == subject && chosen.iter().any(|(v, _)| v == version);
                slot.id == id && !removed
            })
        });
        if !elsewhere {
            writes.push(Write::Content(id, None));
        }
    }
    writes
}
