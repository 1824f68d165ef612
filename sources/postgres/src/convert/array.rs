//! Arrays, in both forms.

use super::{
    codec::Codec,
    field::{Decoded, Field, Problem},
};
use bytes::Bytes;
use cdc_core::{Array, Dimension, Value};

/// The server's own limit.
const DIMENSIONS_MAX: usize = 6;

/// How the arrays of one element type are read.
#[derive(Clone, Debug)]
pub(crate) struct ArrayCodec {
    pub(super) element: Codec,
    pub(super) element_oid: u32,
    /// What separates elements in the text form: a comma for all types but `box`.
    pub(super) delimiter: u8,
}

pub(super) fn from_binary(codec: &ArrayCodec, field: Field<'_>) -> Decoded<Value> {
    let mut reader = field.reader();
    let dimension_count = reader.count()?;
    if dimension_count > DIMENSIONS_MAX {
        return Err(Problem::OutOfRange);
    }
    // Says whether there are NULLs, which the elements say themselves.
    reader.i32()?;
    let element_oid = reader.u32()?;
    if element_oid != codec.element_oid {
        return Err(Problem::UnknownType(element_oid));
    }
    let mut dimensions = Vec::with_capacity(dimension_count);
    let mut count = usize::from(dimension_count > 0);
    for _ in 0..dimension_count {
        let length = reader.count()?;
        let lower_bound = reader.i32()?;
        count = count.checked_mul(length).ok_or(Problem::OutOfRange)?;
        let length = u32::try_from(length).map_err(|_| Problem::OutOfRange)?;
        dimensions.push(Dimension { length, lower_bound });
    }
    // Every element has at least a length of four bytes: no more are reserved than can be there.
    if count > reader.remaining() / 4 {
        return Err(Problem::Truncated);
    }
    let mut elements = Vec::with_capacity(count);
    for _ in 0..count {
        elements.push(match reader.nullable()? {
            None => Value::Null,
            Some(element) => codec.element.binary(element)?,
        });
    }
    reader.finish()?;
    if elements.is_empty() {
        dimensions.clear();
    }
    Ok(Value::Array(Box::new(Array { dimensions, elements })))
}

/// Reads `{1,NULL,"a b"}` and `[0:1][2:3]={{1,2},{3,4}}`.
pub(super) fn from_text(codec: &ArrayCodec, field: Field<'_>) -> Decoded<Value> {
    let mut parser = Parser {
        codec,
        field,
        bytes: field.bytes(),
        at: 0,
        lengths: Vec::new(),
        leaf_depth: None,
        elements: Vec::new(),
    };
    let bounds = parser.bounds()?;
    parser.level(0)?;
    if parser.at != parser.bytes.len() {
        return Err(Problem::Syntax);
    }
    let mut dimensions = Vec::with_capacity(parser.lengths.len());
    for (index, length) in parser.lengths.iter().enumerate() {
        let (lower_bound, length) = match bounds.get(index) {
            None => (1, *length),
            Some((lower, declared)) if declared == length => (*lower, *length),
            Some(_) => return Err(Problem::Syntax),
        };
        dimensions.push(Dimension { length, lower_bound });
    }
    if !bounds.is_empty() && bounds.len() != dimensions.len() {
        return Err(Problem::Syntax);
    }
    Ok(Value::Array(Box::new(Array { dimensions, elements: parser.elements })))
}

struct Parser<'a> {
    codec: &'a ArrayCodec,
    field: Field<'a>,
    bytes: &'a [u8],
    at: usize,
    /// Elements at each depth, as the first list there had them.
    lengths: Vec<u32>,
    leaf_depth: Option<usize>,
    elements: Vec<Value>,
}

impl Parser<'_> {
    fn peek(&self) -> Decoded<u8> {
        self.bytes.get(self.at).copied().ok_or(Problem::Syntax)
    }

    fn next(&mut self) -> Decoded<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    fn expect(&mut self, wanted: u8) -> Decoded<()> {
        if self.next()? == wanted { Ok(()) } else { Err(Problem::Syntax) }
    }

    /// Lower bound and length of each dimension, when they are given.
    fn bounds(&mut self) -> Decoded<Vec<(i32, u32)>> {
        let mut bounds = Vec::new();
        while self.peek()? == b'[' {
            self.at += 1;
            let lower = self.number(b':')?;
            let upper = self.number(b']')?;
            let length = i64::from(upper) - i64::from(lower) + 1;
            let length = u32::try_from(length).map_err(|_| Problem::Syntax)?;
            bounds.push((lower, length));
            if bounds.len() > DIMENSIONS_MAX {
                return Err(Problem::Syntax);
            }
        }
        if !bounds.is_empty() {
            self.expect(b'=')?;
        }
        Ok(bounds)
    }

    fn number(&mut self, end: u8) -> Decoded<i32> {
        let start = self.at;
        while self.next()? != end {}
        let text = self.bytes.get(start..self.at - 1).unwrap_or_default();
        let text = std::str::from_utf8(text).map_err(|_| Problem::Syntax)?;
        text.parse().map_err(|_| Problem::Syntax)
    }

    fn level(&mut self, depth: usize) -> Decoded<()> {
        if depth >= DIMENSIONS_MAX {
            return Err(Problem::Syntax);
        }
        self.expect(b'{')?;
        if depth == 0 && self.peek()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        if self.lengths.len() == depth {
            self.lengths.push(0);
        }
        let mut count = 0_u32;
        loop {
            if self.peek()? == b'{' {
                self.level(depth + 1)?;
            } else {
                self.leaf(depth)?;
            }
            count = count.checked_add(1).ok_or(Problem::OutOfRange)?;
            match self.next()? {
                b'}' => break,
                byte if byte == self.codec.delimiter => {}
                _ => return Err(Problem::Syntax),
            }
        }
        let length = self.lengths.get_mut(depth).ok_or(Problem::Syntax)?;
        if *length == 0 {
            *length = count;
        }
        if *length == count { Ok(()) } else { Err(Problem::Syntax) }
    }

    fn leaf(&mut self, depth: usize) -> Decoded<()> {
        if *self.leaf_depth.get_or_insert(depth) != depth {
            return Err(Problem::Syntax);
        }
        let element = if self.peek()? == b'"' { self.quoted()? } else { self.plain()? };
        self.elements.push(element);
        Ok(())
    }

    fn plain(&mut self) -> Decoded<Value> {
        let start = self.at;
        loop {
            match self.peek()? {
                b'}' => break,
                byte if byte == self.codec.delimiter => break,
                b'{' | b'"' | b'\\' => return Err(Problem::Syntax),
                _ => self.at += 1,
            }
        }
        let element = self.field.part(start, self.at)?;
        match element.bytes() {
            b"" => Err(Problem::Syntax),
            b"NULL" => Ok(Value::Null),
            _ => self.codec.element.text(element),
        }
    }

    fn quoted(&mut self) -> Decoded<Value> {
        self.expect(b'"')?;
        let start = self.at;
        let mut unescaped: Option<Vec<u8>> = None;
        loop {
            match self.next()? {
                b'"' => break,
                b'\\' => {
                    let before = self.bytes.get(start..self.at - 1).unwrap_or_default();
                    let out = unescaped.get_or_insert_with(|| before.to_vec());
                    let escaped = self.bytes.get(self.at).copied().ok_or(Problem::Syntax)?;
                    out.push(escaped);
                    self.at += 1;
                }
                byte => {
                    if let Some(out) = &mut unescaped {
                        out.push(byte);
                    }
                }
            }
        }
        match unescaped {
            None => self.codec.element.text(self.field.part(start, self.at - 1)?),
            Some(text) => {
                let frame = Bytes::from(text);
                self.codec.element.text(Field::whole(&frame))
            }
        }
    }
}

/// Prints an array as the server does.
pub(super) fn print(codec: &ArrayCodec, array: &Array, out: &mut Vec<u8>) {
    if array.dimensions.iter().any(|dimension| dimension.lower_bound != 1) {
        for dimension in &array.dimensions {
            let upper = i64::from(dimension.lower_bound) + i64::from(dimension.length) - 1;
            super::datetime::put(out, format_args!("[{}:{upper}]", dimension.lower_bound));
        }
        out.push(b'=');
    }
    if array.dimensions.is_empty() {
        out.extend_from_slice(b"{}");
        return;
    }
    let mut elements = array.elements.iter();
    print_level(codec, &array.dimensions, &mut elements, out);
}

fn print_level(
    codec: &ArrayCodec,
    dimensions: &[Dimension],
    elements: &mut std::slice::Iter<'_, Value>,
    out: &mut Vec<u8>,
) {
    let Some((dimension, inner)) = dimensions.split_first() else { return };
    out.push(b'{');
    for index in 0..dimension.length {
        if index > 0 {
            out.push(codec.delimiter);
        }
        if inner.is_empty() {
            match elements.next() {
                None | Some(Value::Null) => out.extend_from_slice(b"NULL"),
                Some(element) => {
                    let mut text = Vec::new();
                    super::render::render(element, &codec.element, &mut text);
                    print_element(&text, codec.delimiter, out);
                }
            }
        } else {
            print_level(codec, inner, elements, out);
        }
    }
    out.push(b'}');
}

fn print_element(text: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    let special = |byte: &u8| {
        matches!(byte, b'"' | b'\\' | b'{' | b'}' | b' ' | b'\t'..=b'\r') || *byte == delimiter
    };
    if !text.is_empty() && !text.eq_ignore_ascii_case(b"NULL") && !text.iter().any(special) {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}
