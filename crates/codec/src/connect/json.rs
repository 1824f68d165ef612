//! Values as Kafka's JSON converter writes them.

use super::{Label, Writer};
use crate::json;
use std::fmt::Arguments;

/// Writes a value as JSON into a buffer.
#[derive(Debug)]
pub struct JsonWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Is nothing written yet in the struct, array or map at hand?
    first: bool,
    typed: bool,
}

impl<'a> JsonWriter<'a> {
    /// Writes behind what is in `out`. `typed` says that readers hold it against a schema.
    pub fn new(out: &'a mut Vec<u8>, typed: bool) -> Self {
        Self { out, first: true, typed }
    }

    fn begin(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.first = true;
    }

    fn next(&mut self) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
    }

    fn end(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.first = false;
    }
}

impl Writer for JsonWriter<'_> {
    fn is_typed(&self) -> bool {
        self.typed
    }

    fn null(&mut self) {
        self.out.extend_from_slice(b"null");
    }

    fn boolean(&mut self, value: bool) {
        json::boolean(self.out, value);
    }

    fn integer(&mut self, value: i64) {
        json::integer(self.out, value);
    }

    fn unsigned(&mut self, value: u64) -> bool {
        if self.typed && i64::try_from(value).is_err() {
            return false;
        }
        json::unsigned(self.out, value);
        true
    }

    fn float32(&mut self, value: f32) {
        json::float32(self.out, value);
    }

    fn float64(&mut self, value: f64) {
        json::float64(self.out, value);
    }

    fn string(&mut self, value: &str) {
        json::string(self.out, value);
    }

    fn plain(&mut self, text: Arguments<'_>) {
        self.out.push(b'"');
        json::token(self.out, text);
        self.out.push(b'"');
    }

    fn bytes(&mut self, value: &[u8]) {
        json::base64(self.out, value);
    }

    fn begin_struct(&mut self) {
        self.begin(b'{');
    }

    fn field(&mut self, label: &Label) {
        self.next();
        self.out.extend_from_slice(label.json());
    }

    fn end_struct(&mut self) {
        self.end(b'}');
    }

    fn begin_array(&mut self, _length: usize) {
        self.begin(b'[');
    }

    fn item(&mut self) {
        self.next();
    }

    fn end_array(&mut self) {
        self.end(b']');
    }

    fn begin_map(&mut self, _length: usize) {
        self.begin(b'{');
    }

    fn key(&mut self, key: &str) {
        self.next();
        json::string(self.out, key);
        self.out.push(b':');
    }

    fn end_map(&mut self) {
        self.end(b'}');
    }
}
