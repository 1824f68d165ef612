//! Fields that have names of their own.

use super::{Field, Unsayable};
use std::collections::BTreeSet;

/// Refuses two fields of one name, which adjusting can make of two names.
pub(super) fn distinct(fields: &[Field]) -> Result<(), Unsayable> {
    let mut seen = BTreeSet::new();
    match fields.iter().find(|field| !seen.insert(field.name.as_str())) {
        Some(field) => Err(Unsayable::Redefined(field.name.clone())),
        None => Ok(()),
    }
}
