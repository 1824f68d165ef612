//! Names that Avro accepts.

use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// How names of schemas or fields are made acceptable, by Debezium's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameAdjustment {
    /// They stay as they are.
    #[default]
    None,
    /// Each character that Avro refuses becomes `_`.
    Avro,
    /// Each character that Avro refuses becomes `_uXXXX`, and `_` itself `_u005f`.
    AvroUnicode,
}

impl NameAdjustment {
    /// The name of a schema: parts between points, of which each is a name of Avro's.
    #[must_use]
    pub fn schema(self, name: &str) -> String {
        match self {
            Self::None => name.to_owned(),
            Self::Avro | Self::AvroUnicode => self.adjusted(name, true),
        }
    }

    /// The name of a field.
    #[must_use]
    pub fn field(self, name: &str) -> String {
        match self {
            Self::None => name.to_owned(),
            Self::Avro | Self::AvroUnicode => self.adjusted(name, false),
        }
    }

    fn adjusted(self, name: &str, points: bool) -> String {
        let mut out = String::with_capacity(name.len() + 1);
        for (index, c) in name.chars().enumerate() {
            match c {
                '0'..='9' if index == 0 && self == Self::Avro => {
                    out.push('_');
                    out.push(c);
                }
                '_' if self == Self::AvroUnicode => escape(&mut out, c),
                '0'..='9' if index == 0 => escape(&mut out, c),
                'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => out.push(c),
                '.' if points => out.push(c),
                _ if self == Self::Avro => out.push('_'),
                _ => escape(&mut out, c),
            }
        }
        out
    }
}

/// `_uXXXX` for each UTF-16 unit.
fn escape(out: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        write!(out, "_u{unit:04x}").expect("a string takes every character");
    }
}
