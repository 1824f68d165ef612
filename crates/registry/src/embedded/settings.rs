//! What applies to all subjects or to one: compatibility level, normalisation, mode.

use super::{
    refusal::Refusal,
    registry::{Registry, check_subject},
    store::Write,
};
use crate::compatibility::Level;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// What may be done with a subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Mode {
    /// Everything, and the registry gives the numbers.
    #[default]
    Readwrite,
    /// Nothing is changed.
    Readonly,
    /// Nothing is changed in any subject, whatever the subject says.
    ReadonlyOverride,
    /// The sender gives the numbers, and nothing is checked.
    Import,
}

impl Mode {
    /// The name that requests and answers use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Readwrite => "READWRITE",
            Self::Readonly => "READONLY",
            Self::ReadonlyOverride => "READONLY_OVERRIDE",
            Self::Import => "IMPORT",
        }
    }
}

impl FromStr for Mode {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        [Self::Readwrite, Self::Readonly, Self::ReadonlyOverride, Self::Import]
            .into_iter()
            .find(|mode| mode.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| {
                let modes = "READWRITE, READONLY, READONLY_OVERRIDE, IMPORT";
                Refusal::new(42204, format!("Invalid mode. Valid values are {modes}."))
            })
    }
}

/// Settings of all subjects or of one; what is missing comes from those of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What must go on working when a schema changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Are schemas normalised when they are registered?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<bool>,
    /// What may be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

impl Settings {
    /// Level and normalisation, without the mode.
    fn has_config(self) -> bool {
        self.level.is_some() || self.normalize.is_some()
    }
}

impl Registry {
    /// Level and normalisation of one subject or of all. With `or_global`, a subject that has none
    /// has those of all.
    pub fn config(&self, subject: Option<&str>, or_global: bool) -> Result<Settings, Refusal> {
        let state = self.state();
        let own = state.settings(subject.unwrap_or_default());
        if subject.is_none() || own.has_config() || or_global {
            let level = state.level(subject.unwrap_or_default());
            let normalize = match subject {
                Some(subject) if or_global => state.normalizes(subject).then_some(true),
                _ => own.normalize,
            };
            return Ok(Settings { level: Some(level), normalize, mode: None });
        }
        Err(no_config(subject.unwrap_or_default()))
    }

    /// Changes level or normalisation.
    pub fn set_config(&self, subject: Option<&str>, change: Settings) -> Result<(), Refusal> {
        subject.map_or(Ok(()), check_subject)?;
        self.change(|state| {
            let key = subject.unwrap_or_default();
            let mut settings = state.settings(key);
            settings.level = change.level.or(settings.level);
            settings.normalize = change.normalize.or(settings.normalize);
            Ok(((), vec![Write::Settings(key.to_owned(), Some(settings))]))
        })
    }

    /// Takes level and normalisation back; answers with those that were.
    pub fn remove_config(&self, subject: Option<&str>) -> Result<Settings, Refusal> {
        self.change(|state| {
            let key = subject.unwrap_or_default();
            let mut settings = state.settings(key);
            if subject.is_some() && !settings.has_config() {
                return Err(Refusal::no_subject(key));
            }
            let before = Settings { mode: None, level: Some(state.level(key)), ..settings };
            settings.level = None;
            settings.normalize = None;
            Ok((before, vec![Write::Settings(key.to_owned(), Some(settings))]))
        })
    }

    /// The mode of one subject or of all.
    pub fn mode(&self, subject: Option<&str>, or_global: bool) -> Result<Mode, Refusal> {
        let state = self.state();
        let own = state.settings(subject.unwrap_or_default()).mode;
        match (own, subject) {
            (Some(mode), _) => Ok(mode),
            (None, Some(subject)) if !or_global => Err(no_mode(subject)),
            (None, _) => Ok(state.settings("").mode.unwrap_or_default()),
        }
    }

    /// Changes the mode. Imports begin with nothing there, unless they are forced.
    pub fn set_mode(&self, subject: Option<&str>, mode: Mode, force: bool) -> Result<(), Refusal> {
        subject.map_or(Ok(()), check_subject)?;
        self.change(|state| {
            let key = subject.unwrap_or_default();
            if mode == Mode::ReadonlyOverride && subject.is_some() {
                let message = "READONLY_OVERRIDE applies to all subjects only";
                return Err(Refusal::not_permitted(message));
            }
            let is_empty = match subject {
                Some(subject) => !state.subjects.contains_key(subject),
                None => state.subjects.is_empty(),
            };
            if mode == Mode::Import && !is_empty && !force {
                let message = "Cannot import since found existing subjects";
                return Err(Refusal::not_permitted(message));
            }
            let settings = super::Settings { mode: Some(mode), ..state.settings(key) };
            Ok(((), vec![Write::Settings(key.to_owned(), Some(settings))]))
        })
    }

    /// Takes a subject's mode back; answers with the one that was.
    pub fn remove_mode(&self, subject: &str) -> Result<Mode, Refusal> {
        self.change(|state| {
            let settings = state.settings(subject);
            let before = settings.mode.ok_or_else(|| no_mode(subject))?;
            let settings = Settings { mode: None, ..settings };
            Ok((before, vec![Write::Settings(subject.to_owned(), Some(settings))]))
        })
    }
}

fn no_config(subject: &str) -> Refusal {
    let message =
        format!("Subject '{subject}' does not have subject-level compatibility configured");
    Refusal::new(40408, message)
}

fn no_mode(subject: &str) -> Refusal {
    Refusal::new(40409, format!("Subject '{subject}' does not have subject-level mode configured"))
}
