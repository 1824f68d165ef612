//! Texts of schemas: the first byte chooses the language, a zero byte parts two texts.

use cdc_registry::{Schema, SchemaType, plan::plan, reads};

/// Any texts are refused or read. What was read is its own successor, has a text that reads back as the
/// same schema, and can be compared with any other.
pub(super) fn feed(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let languages = SchemaType::ALL;
    let schema_type = languages[usize::from(*first) % languages.len()];
    let mut texts = rest.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let mut next = || Schema::parse(schema_type, &texts.next()?, &[]).ok();
    let Some(old) = next() else { return };
    assert!(reads(&old, &old).is_empty());
    for text in [old.canonical(), old.normalized()] {
        let again = Schema::parse(schema_type, &text, &[]).expect("what was printed is read");
        assert!(reads(&again, &old).is_empty() && reads(&old, &again).is_empty());
    }
    if let Some(new) = next() {
        let plan = plan(&old, &new);
        assert!(!plan.levels.is_empty());
    }
}
