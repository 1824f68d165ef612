//! How a value reaches its format.

use super::Label;
use std::fmt::{Arguments, Write as _};

/// Takes one value of a [`Schema`](super::Schema), part by part.
///
/// The calls follow the schema: one value (or null) for each place, the fields of a struct in the
/// order of the schema, all of them. A writer of a format with unions or length prefixes therefore
/// finds the place it is at by keeping its own way through the schema.
pub trait Writer {
    /// Null, where the schema is optional.
    fn null(&mut self);
    /// A boolean.
    fn boolean(&mut self, value: bool);
    /// An integer of the width that the schema says.
    fn integer(&mut self, value: i64);
    /// A single-precision number, finite or not.
    fn float32(&mut self, value: f32);
    /// A double-precision number, finite or not.
    fn float64(&mut self, value: f64);
    /// Text.
    fn string(&mut self, value: &str);
    /// Octets.
    fn bytes(&mut self, value: &[u8]);
    /// A struct begins.
    fn begin_struct(&mut self);
    /// The next value is that of this field.
    fn field(&mut self, label: &Label);
    /// The struct is whole.
    fn end_struct(&mut self);
    /// An array of so many values begins.
    fn begin_array(&mut self, length: usize);
    /// The next value is the array's next item.
    fn item(&mut self);
    /// The array is whole.
    fn end_array(&mut self);
    /// A map of so many entries, with text as keys, begins.
    fn begin_map(&mut self, length: usize);
    /// The next value is that of this key.
    fn key(&mut self, key: &str);
    /// The map is whole.
    fn end_map(&mut self);

    /// Text of ASCII letters, digits and marks that no format has to escape.
    fn plain(&mut self, text: Arguments<'_>) {
        let mut buffer = String::new();
        // Writing into a string cannot fail.
        if buffer.write_fmt(text).is_ok() {
            self.string(&buffer);
        }
    }

    /// An integer without a sign, for a schema of 64 bits with one; `false` says that it does not fit
    /// and that nothing was written.
    fn unsigned(&mut self, value: u64) -> bool {
        match i64::try_from(value) {
            Ok(value) => {
                self.integer(value);
                true
            }
            Err(_) => false,
        }
    }

    /// Is every value held against its schema? Where it is not, a value that its schema has no place
    /// for is written all the same, as what it is.
    fn is_typed(&self) -> bool {
        true
    }
}
