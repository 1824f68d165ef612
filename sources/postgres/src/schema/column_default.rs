//! What the catalog's expression for a column's default says.
//!
//! The server prints a constant by its type's own output, with a cast behind it where the word alone
//! would be read as another type. Whatever else it prints has to be computed.

use super::{CatalogColumn, TypeCatalog};
use crate::convert::value_of_text;
use cdc_core::{ColumnDefault, DataType, Value};

/// Brackets around a constant go no deeper.
const DEPTH_MAX: usize = 8;
const INTEGERS: &[&str] = &["smallint", "integer", "bigint"];
const NUMBERS: &[&str] = &["smallint", "integer", "bigint", "numeric", "real", "double precision"];
const TEXTS: &[&str] = &["text", "character varying"];
const PADDED_TEXTS: &[&str] = &["character", "bpchar"];
const BITS: &[&str] = &["bit", "bit varying"];

/// A column's default; `None` where new rows hold NULL, and where it is a constant of a type whose
/// defaults are not told.
pub(super) fn column_default(
    column: &CatalogColumn,
    data_type: &DataType,
    types: &TypeCatalog,
) -> Option<ColumnDefault> {
    let Some(constant) = Constant::parse(column.default.as_ref()?) else {
        return Some(ColumnDefault::Computed);
    };
    if constant.word == Word::Null {
        return None;
    }
    let value = constant.text_for(&column.declared, data_type).and_then(|text| {
        let value = value_of_text(column.type_oid, types, text).ok()?;
        Some((text, value))
    });
    match value {
        Some((text, value)) => told(text, &value, data_type),
        None => Some(ColumnDefault::Computed),
    }
}

fn told(text: &str, value: &Value, data_type: &DataType) -> Option<ColumnDefault> {
    let utf8 = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    Some(match value {
        Value::Bool(value) => ColumnDefault::Bool(*value),
        Value::Int(value) => ColumnDefault::Int(*value),
        Value::UInt(value) => ColumnDefault::Int(i64::try_from(*value).ok()?),
        Value::Float32(value) if value.is_finite() => ColumnDefault::Number(value.to_string()),
        Value::Float64(value) if value.is_finite() => ColumnDefault::Number(value.to_string()),
        Value::Decimal(digits) => at_scale(&utf8(digits)?, data_type),
        Value::Text(text) | Value::Json(text) => ColumnDefault::Text(utf8(text)?),
        Value::Uuid(_) => ColumnDefault::Uuid(text.to_owned()),
        Value::Date(days) => ColumnDefault::Date(*days),
        Value::Time(nanos) => ColumnDefault::Time(*nanos),
        Value::Timestamp(at) | Value::TimestampTz(at) => ColumnDefault::Timestamp(at.to_micros()?),
        Value::Interval { months, days, micros } => {
            ColumnDefault::Interval { months: *months, days: *days, micros: *micros }
        }
        Value::Array(array) if array.elements.is_empty() => ColumnDefault::EmptyArray,
        Value::Null
        | Value::Unchanged
        | Value::Float32(_)
        | Value::Float64(_)
        | Value::Bytes(_)
        | Value::TimeTz { .. }
        | Value::Array(_) => return None,
    })
}

/// A decimal as rows of the column hold it. Digits that the column has no place for are for the server
/// to round.
fn at_scale(digits: &str, data_type: &DataType) -> ColumnDefault {
    let DataType::Decimal { scale: Some(scale), .. } = data_type else {
        return ColumnDefault::Number(digits.to_owned());
    };
    let scale = usize::try_from(*scale).unwrap_or(0);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = whole.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    match scale.checked_sub(fraction.len()) {
        Some(_) if scale == 0 || !is_number => ColumnDefault::Number(digits.to_owned()),
        Some(zeros) => ColumnDefault::Number(format!("{whole}.{fraction}{:0<zeros$}", "")),
        None => ColumnDefault::Computed,
    }
}

/// A constant, and the casts behind it from the inside out.
#[derive(Debug, PartialEq, Eq)]
struct Constant {
    word: Word,
    casts: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Word {
    Null,
    Bool(&'static str),
    Number(String),
    Text(String),
}

impl Constant {
    /// `None` for an expression that is no constant.
    fn parse(expression: &str) -> Option<Self> {
        Self::at_depth(expression.trim(), 0)
    }

    fn at_depth(text: &str, depth: usize) -> Option<Self> {
        if depth > DEPTH_MAX {
            return None;
        }
        let (mut constant, rest) = match text.strip_prefix('(') {
            Some(inside) => {
                let (inside, rest) = bracketed(inside)?;
                (Self::at_depth(inside, depth + 1)?, rest)
            }
            None => {
                let (word, rest) = word(text)?;
                (Self { word, casts: Vec::new() }, rest)
            }
        };
        constant.casts.extend(casts(rest)?);
        Some(constant)
    }

    /// The constant's text, where it is also the text that the column holds.
    fn text_for(&self, declared: &str, data_type: &DataType) -> Option<&str> {
        let all = |known: &[&str]| self.casts.iter().all(|cast| known.contains(&cast.as_str()));
        let any = |known: &[&str]| self.casts.iter().any(|cast| known.contains(&cast.as_str()));
        let is_number = matches!(
            data_type,
            DataType::Int16
                | DataType::Int32
                | DataType::Int64
                | DataType::Float32
                | DataType::Float64
                | DataType::Decimal { .. }
        );
        let is_text = *data_type == DataType::Text;
        // A cast of a fraction to an integer rounds.
        let same_number = |text: &str| all(NUMBERS) && !(text.contains('.') && any(INTEGERS));
        match &self.word {
            Word::Null => None,
            Word::Bool(text) => {
                (*data_type == DataType::Bool && all(&["boolean"])).then_some(*text)
            }
            Word::Number(text) => ((is_number || is_text) && same_number(text)).then_some(text),
            Word::Text(text) => {
                let same_type = match self.casts.as_slice() {
                    [only] => *only == without_modifier(declared) || all(PADDED_TEXTS) && is_text,
                    _ => false,
                };
                let number = is_number && same_number(text) && !self.casts.is_empty();
                let plain = is_text && all(TEXTS) && !self.casts.is_empty();
                let bits = declared.starts_with("bit") && self.casts.len() == 1 && all(BITS);
                (same_type || number || plain || bits).then_some(text)
            }
        }
    }
}

/// What stands before the bracket that closes, and behind it.
fn bracketed(text: &str) -> Option<(&str, &str)> {
    let (mut depth, mut quote) = (0_usize, None);
    for (at, letter) in text.char_indices() {
        match (letter, quote) {
            ('\'' | '"', None) => quote = Some(letter),
            (letter, Some(open)) if letter == open => quote = None,
            (_, Some(_)) => {}
            ('(', None) => depth += 1,
            (')', None) if depth == 0 => {
                return Some((text.get(..at)?.trim(), text.get(at + 1..)?));
            }
            (')', None) => depth -= 1,
            _ => {}
        }
    }
    None
}

fn word(text: &str) -> Option<(Word, &str)> {
    // Servers before 15 mark bits.
    if let Some(quoted) = text.strip_prefix('\'').or_else(|| text.strip_prefix("B'")) {
        let (inside, rest) = string(quoted)?;
        return Some((Word::Text(inside), rest));
    }
    if let Some(rest) = text.strip_prefix("ARRAY[]") {
        return Some((Word::Text("{}".to_owned()), rest));
    }
    let end = text.find("::").unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end)?;
    let is_digit = |byte: u8| byte.is_ascii_digit();
    let word = match word {
        "NULL" => Word::Null,
        "true" => Word::Bool("t"),
        "false" => Word::Bool("f"),
        number => {
            let digits = number.strip_prefix('-').unwrap_or(number);
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
            let plain = !whole.is_empty() && whole.bytes().chain(fraction.bytes()).all(is_digit);
            if !plain {
                return None;
            }
            Word::Number(number.to_owned())
        }
    };
    Some((word, rest))
}

/// A string behind its first quote, and what follows its last one.
fn string(text: &str) -> Option<(String, &str)> {
    let mut inside = String::new();
    let mut rest = text;
    loop {
        let (part, behind) = rest.split_once('\'')?;
        inside.push_str(part);
        match behind.strip_prefix('\'') {
            Some(more) => {
                inside.push('\'');
                rest = more;
            }
            None => return Some((inside, behind)),
        }
    }
}

/// `::type::type`; `None` where something else follows. Casts with a modifier cut or round.
fn casts(text: &str) -> Option<Vec<String>> {
    let Some(casts) = text.strip_prefix("::") else {
        return text.is_empty().then(Vec::new);
    };
    let is_name = |cast: &str| {
        cast.chars()
            .all(|c| c.is_alphanumeric() || matches!(c, ' ' | '.' | '_' | '"' | '[' | ']' | '$'))
    };
    let bare = |cast: &str| is_name(cast).then(|| unquoted(cast));
    casts.split("::").map(bare).collect()
}

/// The server quotes the names of a few types of its own, which are words of its grammar.
fn unquoted(name: &str) -> String {
    if name == "\"bit\"" { "bit".to_owned() } else { name.to_owned() }
}

/// `numeric(10,2)` without what stands in brackets.
fn without_modifier(declared: &str) -> String {
    match declared.split_once('(').and_then(|(name, rest)| Some((name, rest.split_once(')')?.1))) {
        // A name in quotes may hold brackets of its own.
        Some((name, rest)) if !name.contains('"') => format!("{name}{rest}"),
        _ => declared.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Generated;
    use super::*;
    use proptest::prelude::*;

    fn read(expression: &str, type_oid: u32, declared: &str) -> Option<ColumnDefault> {
        let types = TypeCatalog::default();
        let modifier = if declared == "numeric(10,2)" { (10 << 16) + 2 + 4 } else { -1 };
        let column = CatalogColumn {
            attnum: 1,
            name: "c".to_owned(),
            type_oid,
            type_modifier: modifier,
            declared: declared.to_owned(),
            nullable: true,
            generated: Generated::No,
            missing: None,
            default: Some(expression.to_owned()),
            captured: true,
        };
        let data_type = super::super::data_type::data_type(type_oid, modifier, &types);
        column_default(&column, &data_type, &types)
    }

    #[test]
    fn a_constant_is_read_as_the_column_holds_it() {
        let number = |text: &str| Some(ColumnDefault::Number(text.to_owned()));
        let text = |text: &str| Some(ColumnDefault::Text(text.to_owned()));
        for (expression, oid, declared, expected) in [
            ("5", 23, "integer", Some(ColumnDefault::Int(5))),
            ("'-5'::integer", 20, "bigint", Some(ColumnDefault::Int(-5))),
            ("(-5)", 21, "smallint", Some(ColumnDefault::Int(-5))),
            ("'9223372036854775807'::bigint", 20, "bigint", Some(ColumnDefault::Int(i64::MAX))),
            ("true", 16, "boolean", Some(ColumnDefault::Bool(true))),
            ("1.5", 701, "double precision", number("1.5")),
            ("(0)::double precision", 701, "double precision", number("0")),
            ("1.5", 1700, "numeric(10,2)", number("1.50")),
            ("'-2'::integer", 1700, "numeric(10,2)", number("-2.00")),
            ("1.5", 1700, "numeric", number("1.5")),
            ("'it''s'::text", 25, "text", text("it's")),
            ("''::character varying", 1043, "character varying(9)", text("")),
            ("'ab'::bpchar", 1042, "character(5)", text("ab")),
            ("'a(b::c'::text", 1043, "character varying", text("a(b::c")),
            ("'{\"a\": 1}'::jsonb", 3802, "jsonb", text("{\"a\": 1}")),
            ("B'101'::\"bit\"", 1560, "bit(3)", text("101")),
            ("'101'::\"bit\"", 1562, "bit varying(9)", text("101")),
            ("ARRAY[]::integer[]", 1007, "integer[]", Some(ColumnDefault::EmptyArray)),
            ("'2020-01-02'::date", 1082, "date", Some(ColumnDefault::Date(18263))),
            (
                "'1970-01-01 00:00:01'::timestamp without time zone",
                1114,
                "timestamp(3) without time zone",
                Some(ColumnDefault::Timestamp(1_000_000)),
            ),
            ("'{}'::integer[]", 1007, "integer[]", Some(ColumnDefault::EmptyArray)),
            ("'{1}'::integer[]", 1007, "integer[]", None),
            ("NULL::character varying", 1043, "character varying", None),
            ("'infinity'::timestamp without time zone", 1114, "timestamp without time zone", None),
        ] {
            assert_eq!(read(expression, oid, declared), expected, "{expression} of {declared}");
        }
    }

    #[test]
    fn everything_else_is_computed() {
        for (expression, oid, declared) in [
            ("nextval('public.t_id_seq'::regclass)", 23, "integer"),
            ("now()", 1184, "timestamp with time zone"),
            ("CURRENT_DATE", 1082, "date"),
            ("(1 + 2)", 23, "integer"),
            ("'a'::text || 'b'::text", 25, "text"),
            ("('now'::text)::date", 1082, "date"),
            ("(1.5)::integer", 1700, "numeric"),
            ("1.255", 1700, "numeric(10,2)"),
            ("1.5", 23, "integer"),
            ("5", 790, "money"),
            ("'abcdef'::character varying(3)", 25, "text"),
            ("CURRENT_USER", 25, "text"),
            ("'2020-01-01'::date", 1114, "timestamp without time zone"),
            ("'", 25, "text"),
            ("(((((((((((5)))))))))))", 23, "integer"),
        ] {
            let expected = Some(ColumnDefault::Computed);
            assert_eq!(read(expression, oid, declared), expected, "{expression} of {declared}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(expression in any::<String>(), oid in prop::sample::select(vec![16_u32, 23, 25, 1700, 1007])) {
            read(&expression, oid, "text");
        }

        #[test]
        fn any_string_is_read_as_it_was(text in any::<String>()) {
            let expression = format!("'{}'::text", text.replace('\'', "''"));
            prop_assert_eq!(read(&expression, 25, "text"), Some(ColumnDefault::Text(text)));
        }
    }
}
