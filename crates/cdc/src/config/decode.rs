//! Turns a tree into typed values: every problem keeps its place, and unknown keys are collected
//! instead of ending the work at the first one.

use super::{
    findings::{Findings, Place, Stop, in_words},
    unit::Unit,
    yaml::{Entry, Kind, Node, Scalar},
};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

/// Decodes a value. Keys in `handled` are known and decoded by somebody else. `None` means that the
/// reason is in `findings`; unknown keys are reported there too but do not stand in the way.
pub(crate) fn decode<T: DeserializeOwned>(
    node: &Node,
    place: &Place,
    handled: &[&str],
    findings: &Findings,
) -> Option<T> {
    let value = Value { node, place: place.clone(), handled, findings };
    match T::deserialize(value) {
        Ok(value) => Some(value),
        Err(error) => {
            error.located(node, place, findings);
            None
        }
    }
}

/// A node on its way into a type.
struct Value<'a> {
    node: &'a Node,
    place: Place,
    handled: &'a [&'a str],
    findings: &'a Findings,
}

impl<'a> Value<'a> {
    fn scalar(&self, expected: &str) -> Result<&'a Scalar, Stop> {
        match &self.node.kind {
            Kind::Scalar(scalar) => Ok(scalar),
            Kind::Sequence(_) | Kind::Mapping(_) => Err(Stop::expected(expected)),
        }
    }

    /// A number, where a key with a unit in its name may also be written with one: `64 MiB`.
    fn number(&self, expected: &str) -> Result<Number, Stop> {
        let scalar = self.scalar(expected)?;
        let text = scalar.text.trim();
        if let Some(number) = Number::parse(text) {
            return Ok(number);
        }
        let unit = Unit::of_key(&self.place.key);
        let with_unit = || match unit {
            Some(unit) => format!("{} or {}", in_words(expected), unit.example()),
            None => expected.to_owned(),
        };
        unit.and_then(|unit| unit.parse(text))
            .map(Number::of_float)
            .ok_or_else(|| Stop::expected(with_unit()))
    }

    fn whole<'de, V: Visitor<'de>>(&self, visitor: V, expected: &str) -> Result<V::Value, Stop> {
        match self.number(expected)? {
            Number::Unsigned(number) => visitor.visit_u64(number),
            Number::Signed(number) => visitor.visit_i64(number),
            Number::Float(_) => Err(Stop::expected(expected)),
        }
    }

    fn map<'de, V: Visitor<'de>>(
        self,
        visitor: V,
        fields: Option<&'static [&'static str]>,
    ) -> Result<V::Value, Stop> {
        let entries = match &self.node.kind {
            Kind::Mapping(entries) => entries.as_slice(),
            Kind::Scalar(_) if self.node.is_null() => &[],
            Kind::Scalar(_) | Kind::Sequence(_) => return Err(Stop::expected("a map")),
        };
        let mut wanted = Vec::with_capacity(entries.len());
        for entry in entries {
            if self.handled.contains(&entry.key.as_str()) {
                continue;
            }
            match fields {
                Some(fields) if !fields.contains(&entry.key.as_str()) => {
                    let mut known: Vec<&str> = fields.to_vec();
                    known.extend(self.handled);
                    self.findings.unknown_key(entry, &self.place.path, &known);
                }
                Some(_) | None => wanted.push(entry),
            }
        }
        let entries = wanted.into_iter();
        visitor.visit_map(Entries { entries, value: None, outer: &self })
    }
}

enum Number {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

impl Number {
    fn parse(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse() {
            return Some(Self::Unsigned(number));
        }
        if let Ok(number) = text.parse() {
            return Some(Self::Signed(number));
        }
        let digits = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
        let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
        digits.then_some(Self::Float(number))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be whole and in range just before"
    )]
    fn of_float(number: f64) -> Self {
        let rounded = number.round();
        let whole = (number - rounded).abs() < 1e-9 && (0.0..9.0e15).contains(&rounded);
        if whole { Self::Unsigned(rounded as u64) } else { Self::Float(number) }
    }
}

macro_rules! whole_numbers {
    ($($method:ident $expected:literal)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
            self.whole(visitor, $expected)
        }
    )*};
}

macro_rules! texts {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
            let scalar = self.scalar("a string")?;
            if scalar.is_null() && scalar.written.is_none() {
                return Err(Stop::expected("a string"));
            }
            visitor.visit_str(&scalar.text)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Value<'_> {
    type Error = Stop;

    whole_numbers! {
        deserialize_u8 "u8" deserialize_u16 "u16" deserialize_u32 "u32" deserialize_u64 "u64"
        deserialize_u128 "u64" deserialize_i8 "i8" deserialize_i16 "i16" deserialize_i32 "i32"
        deserialize_i64 "i64" deserialize_i128 "i64"
    }

    texts! {
        deserialize_str deserialize_string deserialize_char deserialize_bytes
        deserialize_byte_buf deserialize_identifier
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match &self.node.kind {
            Kind::Sequence(_) => self.deserialize_seq(visitor),
            Kind::Mapping(_) => self.map(visitor, None),
            Kind::Scalar(scalar) if scalar.is_null() => visitor.visit_unit(),
            Kind::Scalar(scalar) if scalar.plain => match truth(&scalar.text) {
                Some(truth) => visitor.visit_bool(truth),
                None => match Number::parse(&scalar.text) {
                    Some(Number::Unsigned(number)) => visitor.visit_u64(number),
                    Some(Number::Signed(number)) => visitor.visit_i64(number),
                    Some(Number::Float(number)) => visitor.visit_f64(number),
                    None => visitor.visit_str(&scalar.text),
                },
            },
            Kind::Scalar(scalar) => visitor.visit_str(&scalar.text),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let scalar = self.scalar("a boolean")?;
        visitor.visit_bool(truth(&scalar.text).ok_or_else(|| Stop::expected("a boolean"))?)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match self.number("f64")? {
            Number::Unsigned(number) => visitor.visit_u64(number),
            Number::Signed(number) => visitor.visit_i64(number),
            Number::Float(number) => visitor.visit_f64(number),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        if self.node.is_null() { visitor.visit_unit() } else { Err(Stop::expected("empty")) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let items = match &self.node.kind {
            Kind::Sequence(items) => items.as_slice(),
            Kind::Scalar(_) if self.node.is_null() => &[],
            Kind::Scalar(_) | Kind::Mapping(_) => return Err(Stop::expected("a sequence")),
        };
        visitor.visit_seq(Items { items: items.iter().enumerate(), outer: &self })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.map(visitor, None)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.map(visitor, Some(fields))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        match &self.node.kind {
            Kind::Scalar(scalar) => visitor.visit_enum(scalar.text.as_str().into_deserializer()),
            Kind::Mapping(entries) => match entries.as_slice() {
                [entry] => visitor.visit_enum(Variant { entry, outer: &self }),
                _ => Err(Stop::expected(format!("one of {}", variants.join(", ")))),
            },
            Kind::Sequence(_) => Err(Stop::expected(format!("one of {}", variants.join(", ")))),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_unit()
    }
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// Decodes an inner value and reports what goes wrong there at its own place.
fn inner<'de, T: DeserializeSeed<'de>>(
    seed: T,
    node: &Node,
    place: Place,
    findings: &Findings,
) -> Result<T::Value, Stop> {
    let value = Value { node, place: place.clone(), handled: &[], findings };
    seed.deserialize(value).map_err(|stop| stop.located(node, &place, findings))
}

struct Entries<'a, I> {
    entries: I,
    value: Option<&'a Entry>,
    outer: &'a Value<'a>,
}

impl<'a, 'de, I: Iterator<Item = &'a Entry>> MapAccess<'de> for Entries<'a, I> {
    type Error = Stop;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Stop> {
        self.value = self.entries.next();
        let Some(entry) = self.value else { return Ok(None) };
        seed.deserialize(entry.key.as_str().into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Stop> {
        let Some(entry) = self.value.take() else { return Err(Stop::expected("a value")) };
        inner(seed, &entry.value, self.outer.place.child(entry), self.outer.findings)
    }
}

struct Items<'a, I> {
    items: I,
    outer: &'a Value<'a>,
}

impl<'a, 'de, I: Iterator<Item = (usize, &'a Node)>> SeqAccess<'de> for Items<'a, I> {
    type Error = Stop;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Stop> {
        let Some((index, node)) = self.items.next() else { return Ok(None) };
        let place = self.outer.place.item(index, node);
        inner(seed, node, place, self.outer.findings).map(Some)
    }
}

struct Variant<'a> {
    entry: &'a Entry,
    outer: &'a Value<'a>,
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Stop;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Stop> {
        let name = self.entry.key.as_str().into_deserializer();
        seed.deserialize(name).map(|variant| (variant, self))
    }
}

impl<'a> Variant<'a> {
    fn value(&self) -> Value<'a> {
        let place = self.outer.place.child(self.entry);
        Value { node: &self.entry.value, place, handled: &[], findings: self.outer.findings }
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Stop;

    fn unit_variant(self) -> Result<(), Stop> {
        Err(Stop::expected("a single word"))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Stop> {
        let value = self.value();
        inner(seed, value.node, value.place, value.findings)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Stop> {
        de::Deserializer::deserialize_seq(self.value(), visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.value().map(visitor, Some(fields))
    }
}
