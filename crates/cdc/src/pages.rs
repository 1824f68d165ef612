//! The pages of `docs/errors/`, as the program carries them.

include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// A code and its page.
pub(crate) fn of(code: &str) -> Option<(&'static str, &'static str)> {
    PAGES.iter().find(|(known, _)| *known == code).copied()
}
