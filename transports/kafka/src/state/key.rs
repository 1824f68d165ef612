//! Keys of the records in a pipeline's state topic.
//!
//! No key is written twice: each ends with the number of the one write that made it. So compaction never
//! puts one record in another's place, and what it removes was taken back by a tombstone before.

use cdc_core::Offset;
use std::fmt;
use uuid::Uuid;

/// The number of one write, made at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Write(pub(crate) Uuid);

impl Write {
    pub(crate) fn new() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) about: About,
    pub(crate) write: Write,
}

/// The part of a key before the number of its write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum About {
    /// Somebody begins this epoch.
    Epoch(u64),
    /// Capture's progress, the `step`th of its epoch.
    Capture { epoch: u64, step: u64 },
    /// The checkpoint of a consumer that keeps none itself, the `step`th.
    Consumer { name: String, step: u64 },
    /// A table schema gets this number.
    Schema(u32),
    /// A change that a sink refused.
    Letter,
    /// What became of the letter since, the `step`th.
    Retry { letter: u64, step: u64 },
}

impl Key {
    pub(crate) fn new(about: About) -> Self {
        Self { about, write: Write::new() }
    }

    /// Reads a key; `None` for what is none of ours.
    pub(crate) fn parse(key: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(key).ok()?.splitn(5, '/');
        let kind = parts.next()?;
        let mut number = || canonical(parts.next()?);
        let about = match kind {
            "epoch" => About::Epoch(number()?),
            "capture" => About::Capture { epoch: number()?, step: number()? },
            // Anything may stand in the name, so it comes last.
            "consumer" => About::Consumer { name: String::new(), step: number()? },
            "schema" => About::Schema(number()?.try_into().ok()?),
            "letter" => About::Letter,
            "retry" => About::Retry { letter: number()?, step: number()? },
            _ => return None,
        };
        let write = parts.next()?;
        let parsed = Write(Uuid::try_parse(write).ok()?);
        if parsed.to_string() != write {
            return None;
        }
        let about = match about {
            About::Consumer { step, .. } => {
                let first = parts.next()?.to_owned();
                let name =
                    parts.next().map_or_else(|| first.clone(), |rest| format!("{first}/{rest}"));
                About::Consumer { name, step }
            }
            other => other,
        };
        parts.next().is_none().then_some(Self { about, write: parsed })
    }
}

/// A number as we write it: no sign, no zeros before it.
fn canonical(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let write = self.write;
        match &self.about {
            About::Epoch(epoch) => write!(f, "epoch/{epoch}/{write}"),
            About::Capture { epoch, step } => write!(f, "capture/{epoch}/{step}/{write}"),
            About::Consumer { name, step } => write!(f, "consumer/{step}/{write}/{name}"),
            About::Schema(number) => write!(f, "schema/{number}/{write}"),
            About::Letter => write!(f, "letter/{write}"),
            About::Retry { letter, step } => write!(f, "retry/{letter}/{step}/{write}"),
        }
    }
}

/// The number of the letter that is stored here: lists start above 0.
pub(crate) fn letter_id(offset: Offset) -> u64 {
    offset.0.saturating_add(1)
}

/// The reverse of [`letter_id`].
pub(crate) fn letter_offset(id: u64) -> Offset {
    Offset(id.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn abouts() -> impl Strategy<Value = About> {
        prop_oneof![
            any::<u64>().prop_map(About::Epoch),
            any::<(u64, u64)>().prop_map(|(epoch, step)| About::Capture { epoch, step }),
            (".*", any::<u64>()).prop_map(|(name, step)| About::Consumer { name, step }),
            any::<u32>().prop_map(About::Schema),
            Just(About::Letter),
            any::<(u64, u64)>().prop_map(|(letter, step)| About::Retry { letter, step }),
        ]
    }

    proptest! {
        #[test]
        fn a_key_comes_back_as_it_went(about in abouts(), write: u128) {
            let key = Key { about, write: Write(Uuid::from_u128(write)) };
            prop_assert_eq!(Key::parse(key.to_string().as_bytes()), Some(key));
        }

        #[test]
        fn no_key_of_another_program_is_too_strange(bytes: Vec<u8>) {
            Key::parse(&bytes);
        }

        #[test]
        fn what_is_read_is_written_so(
            text in "(epoch|capture|consumer|schema|letter|retry)(/(-?[0-9]{1,3}|[0-9a-f]{32}|[a-z]{0,3})){0,5}",
        ) {
            if let Some(key) = Key::parse(text.as_bytes()) {
                prop_assert_eq!(key.to_string(), text);
            }
        }
    }

    #[test]
    fn one_thing_has_one_key() {
        let write = "0123456789abcdef0123456789abcdef";
        assert!(Key::parse(format!("epoch/7/{write}").as_bytes()).is_some());
        for strange in ["epoch/07", "epoch/+7", "epoch/", "epoch", "schema/4294967296"] {
            assert_eq!(Key::parse(format!("{strange}/{write}").as_bytes()), None, "{strange}");
        }
        assert_eq!(Key::parse(format!("epoch/7/{}", write.to_uppercase()).as_bytes()), None);
        assert_eq!(Key::parse(format!("epoch/7/{write}/more").as_bytes()), None);
    }
}
