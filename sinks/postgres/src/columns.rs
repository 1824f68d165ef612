//! Which type a source's column gets on the target.

use cdc_core::{Column, DataType, TableId};

/// The dialect whose type names this server understands.
pub(crate) const DIALECT: &str = "postgres";
/// Finest fraction of a second that PostgreSQL keeps.
const FRACTION_DIGITS_MAX: u8 = 6;
const NUMERIC_PRECISION_MAX: u32 = 1_000;

/// A type name without its array brackets, and how many pairs it had.
pub(crate) fn strip_brackets(native: &str) -> (&str, usize) {
    let mut base = native.trim_end();
    let mut dimensions = 0;
    while let Some(rest) = base.strip_suffix("[]") {
        base = rest.trim_end();
        dimensions += 1;
    }
    (base, dimensions)
}

/// Types whose values are names of objects in the source's own database. The target has no such
/// objects, or others: a replica keeps the names as they print.
const LOCAL_NAMES: [&str; 13] = [
    "aclitem",
    "regclass",
    "regcollation",
    "regconfig",
    "regdatabase",
    "regdictionary",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
];

/// Types that no server accepts as input.
const UNWRITABLE: [&str; 7] = [
    "gtsvector",
    "pg_brin_bloom_summary",
    "pg_brin_minmax_multi_summary",
    "pg_dependencies",
    "pg_mcv_list",
    "pg_ndistinct",
    "pg_node_tree",
];

/// Is this a type of which a replica can only keep what it prints?
pub(crate) fn is_kept_as_text(base: &str) -> bool {
    LOCAL_NAMES.contains(&base) || UNWRITABLE.contains(&base)
}

/// The labels of an enum column or of an array of enums.
pub(crate) fn enum_labels(data_type: &DataType) -> Option<&[String]> {
    match data_type {
        DataType::Enum { labels } => Some(labels),
        DataType::Array(element) => enum_labels(element),
        _ => None,
    }
}

/// The same type as far as a table definition goes: labels come and go without a rewrite.
pub(crate) fn same_definition(a: &Column, b: &Column) -> bool {
    a.native_type == b.native_type
        && (a.data_type == b.data_type
            || enum_labels(&a.data_type).is_some() && enum_labels(&b.data_type).is_some())
}

/// Splits a type name into schema and name; no schema means `public`.
pub(crate) fn split_name(native: &str) -> Option<TableId> {
    let mut parts = Vec::new();
    let mut rest = native;
    loop {
        let (part, after) = next_part(rest)?;
        parts.push(part);
        match after.strip_prefix('.') {
            Some(more) => rest = more,
            None if after.is_empty() => break,
            None => return None,
        }
    }
    match <[String; 2]>::try_from(parts) {
        Ok([schema, name]) => Some(TableId::new(schema, name)),
        Err(parts) => match <[String; 1]>::try_from(parts) {
            Ok([name]) => Some(TableId::new("public", name)),
            Err(_) => None,
        },
    }
}

/// One identifier, quoted or not, and what follows it.
fn next_part(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        let (part, rest) = text.split_at_checked(end)?;
        let plain = part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$'));
        return (plain && !part.is_empty()).then(|| (part.to_owned(), rest));
    };
    let mut out = String::new();
    loop {
        let (before, after) = rest.split_once('"')?;
        out.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                out.push('"');
                rest = more;
            }
            None => return Some((out, after)),
        }
    }
}

/// The PostgreSQL type that holds every value of `data_type`.
pub(crate) fn from_data_type(data_type: &DataType) -> String {
    let fraction = |name: &str, precision: Option<u8>, zone: &str| match precision {
        Some(digits) if digits > FRACTION_DIGITS_MAX => "text".to_owned(),
        Some(digits) => format!("{name}({digits}){zone}"),
        None => format!("{name}{zone}"),
    };
    match data_type {
        DataType::Bool => "boolean".into(),
        DataType::Int16 => "smallint".into(),
        DataType::Int32 => "integer".into(),
        DataType::Int64 => "bigint".into(),
        DataType::UInt64 => "numeric(20,0)".into(),
        DataType::Float32 => "real".into(),
        DataType::Float64 => "double precision".into(),
        DataType::Decimal { precision: Some(precision), scale }
            if (1..=NUMERIC_PRECISION_MAX).contains(precision) =>
        {
            match u32::try_from(scale.unwrap_or(0)) {
                Ok(scale) if scale <= *precision => format!("numeric({precision},{scale})"),
                _ => "numeric".into(),
            }
        }
        DataType::Decimal { .. } => "numeric".into(),
        DataType::Bytes => "bytea".into(),
        DataType::Json => "json".into(),
        DataType::Date => "date".into(),
        DataType::Time { precision } => fraction("time", *precision, ""),
        DataType::TimeTz { precision } => fraction("time", *precision, " with time zone"),
        DataType::Timestamp { precision } => fraction("timestamp", *precision, ""),
        DataType::TimestampTz { precision } => fraction("timestamp", *precision, " with time zone"),
        DataType::Interval => "interval".into(),
        DataType::Uuid => "uuid".into(),
        DataType::Array(element) => from_data_type(element) + "[]",
        DataType::Text | DataType::Enum { .. } | DataType::Other => "text".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_names_split_at_their_quotes() {
        assert_eq!(strip_brackets("public.mood[][]"), ("public.mood", 2));
        assert_eq!(split_name("public.mood"), Some(TableId::new("public", "mood")));
        assert_eq!(split_name("mood"), Some(TableId::new("public", "mood")));
        let quoted = split_name(r#""My.Schema"."a""b""#);
        assert_eq!(quoted, Some(TableId::new("My.Schema", "a\"b")));
        for odd in ["", "a.", "\"open", "a b", "a.b.c", "numeric(10,2)", "\"a\"x"] {
            assert_eq!(split_name(odd), None, "{odd}");
        }
    }

    #[test]
    fn what_postgresql_cannot_hold_becomes_text() {
        let fine = DataType::Timestamp { precision: Some(7) };
        assert_eq!(from_data_type(&fine), "text");
        let huge = DataType::Decimal { precision: Some(2_000), scale: Some(1) };
        assert_eq!(from_data_type(&huge), "numeric");
        let money = DataType::Decimal { precision: Some(12), scale: Some(2) };
        assert_eq!(from_data_type(&DataType::Array(Box::new(money))), "numeric(12,2)[]");
    }
}
