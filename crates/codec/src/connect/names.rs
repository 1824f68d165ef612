//! Names that Avro accepts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// How names of schemas or fields are made acceptable, by Debezium's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NameAdjustment {
    /// They stay as they are.
    #[default]
    None,
    /// Each character that Avro refuses becomes `_`.
    Avro,
    /// Each character that Avro refuses becomes `_u` and its number in four hexadecimal digits, and `_`
    /// itself `_u005f`.
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

/// `_u` and four hexadecimal digits for each UTF-16 unit.
fn escape(out: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        write!(out, "_u{unit:04x}").expect("a string takes every character");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_those_that_avro_takes() {
        let (avro, unicode) = (NameAdjustment::Avro, NameAdjustment::AvroUnicode);
        for (name, field, schema, escaped) in [
            ("id", "id", "id", "id"),
            ("9lives", "_9lives", "_9lives", "_u0039lives"),
            ("the id", "the_id", "the_id", "the_u0020id"),
            ("a-b.c", "a_b_c", "a_b.c", "a_u002db_u002ec"),
            ("_x", "_x", "_x", "_u005fx"),
            ("🎈", "_", "_", "_ud83c_udf88"),
            ("", "", "", ""),
        ] {
            assert_eq!(avro.field(name), field);
            assert_eq!(avro.schema(name), schema);
            assert_eq!(unicode.field(name), escaped);
            assert_eq!(NameAdjustment::None.field(name), name);
        }
        assert_eq!(unicode.schema("9-s.t"), "_u0039_u002ds.t");
    }
}
