//! Types that arrive as their database's text, and that the envelope shows in another form.

use super::form::{Form, decimal_schema};
use super::options::{DecimalMode, HstoreMode, Options, Placeholder, octets_of};
use super::{decimal, error::Problem, stand_in};
use crate::connect::{Field, Kind, Schema, Writer, label};
use crate::json;

/// A type that is known by its native name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Native {
    /// One bit: true or false.
    Bit,
    /// At most so many bits.
    Bits { length: u32 },
    /// An amount in the currency's smallest unit.
    Money(DecimalMode),
    /// An object's number.
    Oid,
    /// A point in the plane.
    Point,
    /// Pairs of texts.
    Hstore(HstoreMode),
    /// A PostGIS shape, on a plane or on the globe.
    Geometry { globe: bool },
    /// A pgvector vector, of either precision.
    Vector { half: bool },
}

/// Digits of a currency's fraction, as Debezium takes it.
pub(super) const MONEY_SCALE: i32 = 2;
const WELL_KNOWN_POINT: [u8; 5] = [1, 1, 0, 0, 0];

impl Native {
    /// The type that PostgreSQL's `format_type` calls so; `None` for one that is shown as its text.
    pub(super) fn named(native_type: &str, options: &Options) -> Option<Self> {
        let (name, length) = match native_type.split_once('(') {
            Some((name, rest)) => (name, rest.trim_end_matches(')').parse::<u32>().ok()),
            None => (native_type, None),
        };
        let bare = name.rsplit_once('.').map_or(name, |(_, bare)| bare);
        let built_in = name.strip_prefix("pg_catalog.").unwrap_or(name);
        match built_in.trim_matches('"') {
            "bit" if length.unwrap_or(1) == 1 => Some(Self::Bit),
            "bit" => length.map(|length| Self::Bits { length }),
            "bit varying" | "varbit" if length == Some(1) => Some(Self::Bit),
            // Connect's largest length stands for none.
            "bit varying" | "varbit" => {
                Some(Self::Bits { length: length.unwrap_or(i32::MAX.unsigned_abs()) })
            }
            "money" => Some(Self::Money(options.decimals)),
            "oid" => Some(Self::Oid),
            "point" => Some(Self::Point),
            _ => match bare {
                "hstore" => Some(Self::Hstore(options.hstore)),
                "geometry" => Some(Self::Geometry { globe: false }),
                "geography" => Some(Self::Geometry { globe: true }),
                "vector" => Some(Self::Vector { half: false }),
                "halfvec" => Some(Self::Vector { half: true }),
                _ => None,
            },
        }
    }

    /// The schema of its values, required.
    pub(super) fn schema(self) -> Schema {
        let semantic = |kind: Kind, name: &str| Schema::new(kind).named(name).version(1);
        let double = || Schema::new(Kind::Float64);
        let srid = || Field::new("srid", Schema::new(Kind::Int32).optional());
        match self {
            Self::Bit => Schema::new(Kind::Boolean),
            Self::Bits { length } => semantic(Kind::Bytes, "io.debezium.data.Bits")
                .parameter("length", length.to_string()),
            Self::Money(DecimalMode::Precise) => decimal_schema(None, MONEY_SCALE),
            Self::Money(DecimalMode::Double) => double(),
            Self::Money(DecimalMode::String) => Schema::new(Kind::String),
            Self::Oid => Schema::new(Kind::Int64),
            Self::Point => Schema::of_fields(vec![
                Field::new("x", double()),
                Field::new("y", double()),
                Field::new("wkb", Schema::new(Kind::Bytes).optional()),
                srid(),
            ])
            .named("io.debezium.data.geometry.Point")
            .version(1)
            .doc("Geometry (POINT)"),
            Self::Hstore(HstoreMode::Json) => semantic(Kind::String, "io.debezium.data.Json"),
            Self::Hstore(HstoreMode::Map) => {
                let text = || Box::new(Schema::new(Kind::String));
                let value = Box::new(Schema::new(Kind::String).optional());
                Schema::new(Kind::Map(text(), value))
            }
            Self::Geometry { globe } => {
                let name = if globe { "Geography" } else { "Geometry" };
                Schema::of_fields(vec![Field::new("wkb", Schema::new(Kind::Bytes)), srid()])
                    .named(format!("io.debezium.data.geometry.{name}"))
                    .version(1)
                    .doc(name)
            }
            Self::Vector { half: false } => {
                Schema::array_of(double()).named("io.debezium.data.DoubleVector").version(1)
            }
            Self::Vector { half: true } => Schema::array_of(Schema::new(Kind::Float32))
                .named("io.debezium.data.FloatVector")
                .version(1),
        }
    }

    /// Writes the text in the envelope's form. A text of another form is written as it is where the
    /// format has no schema: no value is lost.
    pub(super) fn write<W: Writer>(self, out: &mut W, text: &[u8]) -> Result<(), Problem> {
        let text = std::str::from_utf8(text).map_err(|_| Problem::Encoding)?;
        let written = match self {
            Self::Bit => bit(out, text),
            Self::Bits { .. } => bits(text).map(|octets| out.bytes(&octets)),
            Self::Money(mode) => money(out, text, mode),
            Self::Oid => text.parse::<u32>().ok().map(|number| out.integer(i64::from(number))),
            Self::Point => point(text).map(|(x, y)| write_point(out, x, y)),
            Self::Hstore(mode) => pairs(text).map(|pairs| hstore(out, &pairs, mode)),
            Self::Geometry { .. } => {
                geometry(text).map(|(wkb, srid)| stand_in::shape(out, &wkb, srid))
            }
            Self::Vector { half } => vector(text).map(|numbers| write_vector(out, &numbers, half)),
        };
        match written {
            Some(()) => Ok(()),
            None if out.is_typed() => Err(Problem::Range("a text of another form than its type's")),
            None => {
                out.string(text);
                Ok(())
            }
        }
    }

    /// Writes the type's zero.
    pub(super) fn zero<W: Writer>(self, out: &mut W) {
        match self {
            Self::Bit => out.boolean(false),
            Self::Bits { .. } => out.bytes(&[]),
            Self::Money(mode) => stand_in::zero(out, &money_form(mode)),
            Self::Oid => out.integer(0),
            Self::Point => write_point(out, 0.0, 0.0),
            Self::Hstore(mode) => hstore(out, &[], mode),
            Self::Geometry { .. } => stand_in::shape(out, &[], None),
            Self::Vector { half } => write_vector(out, &[], half),
        }
    }

    /// Writes what stands for a value that had not changed.
    pub(super) fn placeholder<W: Writer>(self, out: &mut W, holder: &Placeholder) {
        match self {
            Self::Bits { .. } => out.bytes(&holder.octets),
            Self::Hstore(mode) => {
                hstore(out, &[(holder.text.clone(), Some(holder.text.clone()))], mode);
            }
            Self::Geometry { .. } => stand_in::shape(out, &holder.octets, None),
            Self::Vector { half } => {
                let numbers: Vec<f64> = holder.octets.iter().copied().map(f64::from).collect();
                write_vector(out, &numbers, half);
            }
            Self::Money(mode) => stand_in::placeholder(out, &money_form(mode), holder),
            Self::Bit | Self::Oid | Self::Point => out.null(),
        }
    }
}

fn money_form(mode: DecimalMode) -> Form {
    Form::decimal(None, Some(MONEY_SCALE), mode)
}

fn bit<W: Writer>(out: &mut W, text: &str) -> Option<()> {
    match text {
        "1" => out.boolean(true),
        // A `varbit(1)` may be empty.
        "0" | "" => out.boolean(false),
        _ => return None,
    }
    Some(())
}

/// Little-endian bytes without zero bytes at the end.
fn bits(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len().div_ceil(8));
    for chunk in text.as_bytes().rchunks(8) {
        let mut octet = 0_u8;
        for digit in chunk {
            octet = octet << 1 | binary_digit(*digit)?;
        }
        octets.push(octet);
    }
    while octets.last() == Some(&0) {
        octets.pop();
    }
    Some(octets)
}

fn binary_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0' => Some(0),
        b'1' => Some(1),
        _ => None,
    }
}

/// The server prints money by its locale, and always with all digits of the currency's fraction: the
/// digits alone are the unscaled value.
fn money<W: Writer>(out: &mut W, text: &str, mode: DecimalMode) -> Option<()> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if digits.is_empty() {
        return None;
    }
    let negative = text.contains(['-', '(']);
    if mode == DecimalMode::Precise {
        out.bytes(&decimal::two_s_complement(negative, digits.as_bytes()));
        return Some(());
    }
    let cents: i64 = digits.parse().ok()?;
    let sign = if negative && cents != 0 { "-" } else { "" };
    let plain = format!("{sign}{}.{:02}", cents / 100, cents % 100);
    match mode {
        DecimalMode::Double => out.float64(plain.parse().ok()?),
        DecimalMode::String | DecimalMode::Precise => out.string(&plain),
    }
    Some(())
}

/// `(1,2)`
fn point(text: &str) -> Option<(f64, f64)> {
    let (x, y) = text.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
    Some((x.parse().ok()?, y.parse().ok()?))
}

fn write_point<W: Writer>(out: &mut W, x: f64, y: f64) {
    let mut wkb = WELL_KNOWN_POINT.to_vec();
    wkb.extend_from_slice(&x.to_le_bytes());
    wkb.extend_from_slice(&y.to_le_bytes());
    out.begin_struct();
    out.field(label!("x"));
    out.float64(x);
    out.field(label!("y"));
    out.float64(y);
    out.field(label!("wkb"));
    out.bytes(&wkb);
    out.field(label!("srid"));
    out.null();
    out.end_struct();
}

/// Hexadecimal extended well-known binary, and the number of its system of coordinates.
fn geometry(text: &str) -> Option<(Vec<u8>, Option<u32>)> {
    const HAS_SRID: u32 = 0x2000_0000;
    let wkb = octets_of(text)?;
    let word = |at: usize| -> Option<u32> {
        let bytes: [u8; 4] = wkb.get(at..at + 4)?.try_into().ok()?;
        match wkb.first()? {
            0 => Some(u32::from_be_bytes(bytes)),
            1 => Some(u32::from_le_bytes(bytes)),
            _ => None,
        }
    };
    let srid = if word(1)? & HAS_SRID == 0 { None } else { Some(word(5)?) };
    Some((wkb, srid))
}

/// `[1,2.5,3]`
fn vector(text: &str) -> Option<Vec<f64>> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    inner.split(',').map(|number| number.trim().parse().ok()).collect()
}

fn write_vector<W: Writer>(out: &mut W, numbers: &[f64], half: bool) {
    out.begin_array(numbers.len());
    for number in numbers {
        out.item();
        if half {
            #[expect(clippy::cast_possible_truncation, reason = "it has 16 bits")]
            out.float32(*number as f32);
        } else {
            out.float64(*number);
        }
    }
    out.end_array();
}

/// A key and its value, which may be null.
type Pair = (String, Option<String>);

fn hstore<W: Writer>(out: &mut W, pairs: &[Pair], mode: HstoreMode) {
    match mode {
        HstoreMode::Json => out.string(&object(pairs)),
        HstoreMode::Map => {
            out.begin_map(pairs.len());
            for (key, value) in pairs {
                out.key(key);
                match value {
                    Some(value) => out.string(value),
                    None => out.null(),
                }
            }
            out.end_map();
        }
    }
}

/// The text of a JSON object.
fn object(pairs: &[Pair]) -> String {
    let mut out = vec![b'{'];
    for (key, value) in pairs {
        if out.len() > 1 {
            out.push(b',');
        }
        json::string(&mut out, key);
        out.push(b':');
        match value {
            Some(value) => json::string(&mut out, value),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
    String::from_utf8(out).expect("JSON of strings is UTF-8")
}

/// `"a"=>"1", "b"=>NULL`
fn pairs(text: &str) -> Option<Vec<Pair>> {
    let mut pairs = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if !pairs.is_empty() {
            rest = rest.strip_prefix(", ")?;
        }
        let (key, tail) = quoted(rest)?;
        rest = tail.strip_prefix("=>")?;
        if let Some(tail) = rest.strip_prefix("NULL") {
            pairs.push((key, None));
            rest = tail;
        } else {
            let (value, tail) = quoted(rest)?;
            pairs.push((key, Some(value)));
            rest = tail;
        }
    }
    Some(pairs)
}

/// A text in double quotes with backslash escapes at the front of `input`, and what follows it.
fn quoted(input: &str) -> Option<(String, &str)> {
    let body = input.strip_prefix('"')?;
    let mut out = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, body.get(at + 1..)?)),
            '\\' => out.push(chars.next()?.1),
            _ => out.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::JsonWriter;

    fn check(native_type: &str, text: &str, expected: &str) {
        let mut out = Vec::new();
        let native = Native::named(native_type, &Options::default()).unwrap();
        native.write(&mut JsonWriter::new(&mut out, false), text.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{native_type}");
    }

    #[test]
    fn names_are_told_apart() {
        for (name, native) in [
            ("bit(1)", Some(Native::Bit)),
            ("\"bit\"", Some(Native::Bit)),
            ("bit(9)", Some(Native::Bits { length: 9 })),
            ("bit varying(1)", Some(Native::Bit)),
            ("bit varying", Some(Native::Bits { length: 2_147_483_647 })),
            ("money", Some(Native::Money(DecimalMode::Precise))),
            ("app.money", None),
            ("public.hstore", Some(Native::Hstore(HstoreMode::Json))),
            ("public.vector(3)", Some(Native::Vector { half: false })),
            ("geometry(Point,4326)", Some(Native::Geometry { globe: false })),
            ("inet", None),
            ("", None),
        ] {
            assert_eq!(Native::named(name, &Options::default()), native, "{name}");
        }
    }

    #[test]
    fn texts_take_the_form_of_their_type() {
        check("bit(1)", "1", "true");
        check("bit varying(1)", "", "false");
        check("bit(3)", "011", "\"Aw==\"");
        check("bit(9)", "000000011", "\"Aw==\"");
        check("bit varying", "000000011", "\"Aw==\"");
        check("bit varying", "", "\"\"");
        check("money", "-$1,234.11", "\"/h3t\"");
        check("money", "($1,234.11)", "\"/h3t\"");
        check("money", "$0.00", "\"AA==\"");
        check("oid", "4294967295", "4294967295");
        check(
            "point",
            "(1,-2.5)",
            "{\"x\":1.0,\"y\":-2.5,\"wkb\":\"AQEAAAAAAAAAAADwPwAAAAAAAATA\",\"srid\":null}",
        );
        check("vector(3)", "[1,2.5,-3]", "[1.0,2.5,-3.0]");
        check("hstore", "", "\"{}\"");
        check(
            "hstore",
            r#""a"=>"1", "q\"\\"=>NULL, "c"=>"NULL""#,
            r#""{\"a\":\"1\",\"q\\\"\\\\\":null,\"c\":\"NULL\"}""#,
        );
        check(
            "geometry",
            "0101000020E6100000000000000000F03F0000000000000040",
            "{\"wkb\":\"AQEAACDmEAAAAAAAAAAA8D8AAAAAAAAAQA==\",\"srid\":4326}",
        );
    }

    #[test]
    fn a_text_of_another_form_stays_as_it_is() {
        for (native_type, text) in [
            ("bit(1)", "2"),
            ("bit(8)", "1x"),
            ("money", "free"),
            ("oid", "-1"),
            ("point", "(1)"),
            ("vector", "1,2"),
            ("vector", "[a]"),
            ("hstore", "\"a\"=>\"1"),
            ("hstore", "\"a\"=>1"),
            ("geometry", "01"),
            ("geometry", "0"),
            ("geometry", "zz"),
        ] {
            check(native_type, text, &serde_json::to_string(text).unwrap());
        }
    }
}
