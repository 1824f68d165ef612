//! Values in Avro's binary form.

use super::super::{Label, Misfit, Writer, varint};
use super::plan::{Place, Plan, Shape, Union, sized};
use std::fmt::Arguments;
use std::io::Write as _;

/// Texts below this length have a length of one byte.
const SHORT: usize = 64;

/// Writes one value of a plan's schema, without a look at names and without memory of its own.
#[derive(Debug)]
pub struct AvroWriter<'a> {
    plan: &'a Plan,
    out: &'a mut Vec<u8>,
    /// The place of the next value.
    at: usize,
    /// The struct, array or map at hand.
    within: usize,
    misfit: Option<Misfit>,
}

impl<'a> AvroWriter<'a> {
    /// Writes behind what is in `out`.
    pub fn new(plan: &'a Plan, out: &'a mut Vec<u8>) -> Self {
        Self { plan, out, at: 0, within: usize::MAX, misfit: None }
    }

    /// Ends the value.
    ///
    /// # Errors
    /// When what was told is not one value of the schema; what was written then is of no use.
    pub fn finish(self) -> Result<(), Misfit> {
        match self.misfit {
            Some(misfit) => Err(misfit),
            None if self.at == self.plan.places.len() && self.within == usize::MAX => Ok(()),
            None => Err(Misfit::Order),
        }
    }

    /// The first misfit counts: the others come of it.
    fn refuse(&mut self, misfit: Misfit) {
        self.misfit.get_or_insert(misfit);
    }

    fn branch(&mut self, place: &Place) {
        match place.union {
            Union::None => {}
            Union::NullFirst => self.out.push(2),
            Union::NullLast => self.out.push(0),
        }
    }

    /// Goes past the place of a value without parts, if it has this shape.
    fn simple(&mut self, shape: Shape) -> bool {
        match self.plan.places.get(self.at) {
            Some(place) if place.shape == shape => {
                self.branch(place);
                self.at += 1;
                true
            }
            _ => {
                self.refuse(Misfit::Order);
                false
            }
        }
    }

    /// Goes into a struct, array or map.
    fn enter(&mut self, shape: Shape) -> bool {
        let at = self.at;
        let entered = self.simple(shape);
        if entered {
            self.within = at;
        }
        entered
    }

    /// The place of the struct, array or map at hand.
    fn around(&mut self, shape: Shape) -> Option<&'a Place> {
        let place = self.plan.places.get(self.within).filter(|place| place.shape == shape);
        if place.is_none() {
            self.refuse(Misfit::Order);
        }
        place
    }

    fn leave(&mut self, shape: Shape) {
        if let Some(place) = self.around(shape) {
            if shape == Shape::Struct && self.at != place.end {
                self.refuse(Misfit::Order);
            }
            self.at = place.end;
            self.within = place.around;
        }
    }

    /// Blocks of no values are not written.
    fn count(&mut self, length: usize) {
        if length > 0 {
            varint::length(self.out, length);
        }
    }
}

impl Writer for AvroWriter<'_> {
    fn null(&mut self) {
        let Some(place) = self.plan.places.get(self.at) else { return self.refuse(Misfit::Order) };
        match place.union {
            Union::NullFirst => self.out.push(0),
            Union::NullLast => self.out.push(2),
            Union::None => self.refuse(Misfit::Null),
        }
        self.at = place.end;
    }

    fn boolean(&mut self, value: bool) {
        if self.simple(Shape::Boolean) {
            self.out.push(u8::from(value));
        }
    }

    fn integer(&mut self, value: i64) {
        let Some(place) = self.plan.places.get(self.at) else { return self.refuse(Misfit::Order) };
        let Shape::Integer(least, most) = place.shape else { return self.refuse(Misfit::Order) };
        if value < least || value > most {
            self.refuse(Misfit::Range);
        }
        self.branch(place);
        self.at += 1;
        varint::zigzag(self.out, value);
    }

    fn float32(&mut self, value: f32) {
        if self.simple(Shape::Float) {
            self.out.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn float64(&mut self, value: f64) {
        if self.simple(Shape::Double) {
            self.out.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn string(&mut self, value: &str) {
        if self.simple(Shape::Text) {
            sized(self.out, value.as_bytes());
        }
    }

    /// The text is written in its place, and its length before it when it is known.
    fn plain(&mut self, text: Arguments<'_>) {
        if !self.simple(Shape::Text) {
            return;
        }
        let at = self.out.len();
        self.out.push(0);
        if write!(self.out, "{text}").is_err() {
            return self.refuse(Misfit::Order);
        }
        let length = self.out.len() - at - 1;
        if length < SHORT {
            if let (Some(byte), Ok(length)) = (self.out.get_mut(at), u8::try_from(length)) {
                *byte = length * 2;
            }
            return;
        }
        let mut size = Vec::with_capacity(10);
        varint::length(&mut size, length);
        self.out.splice(at..=at, size);
    }

    fn bytes(&mut self, value: &[u8]) {
        if self.simple(Shape::Octets) {
            sized(self.out, value);
        }
    }

    fn begin_struct(&mut self) {
        self.enter(Shape::Struct);
    }

    fn field(&mut self, _label: &Label) {}

    fn end_struct(&mut self) {
        self.leave(Shape::Struct);
    }

    fn begin_array(&mut self, length: usize) {
        if self.enter(Shape::Array) {
            self.count(length);
        }
    }

    fn item(&mut self) {
        if self.around(Shape::Array).is_some() {
            self.at = self.within + 1;
        }
    }

    fn end_array(&mut self) {
        self.out.push(0);
        self.leave(Shape::Array);
    }

    fn begin_map(&mut self, length: usize) {
        if self.enter(Shape::Map) {
            self.count(length);
        }
    }

    fn key(&mut self, key: &str) {
        if self.around(Shape::Map).is_some() {
            sized(self.out, key.as_bytes());
            self.at = self.within + 1;
        }
    }

    fn end_map(&mut self) {
        self.out.push(0);
        self.leave(Shape::Map);
    }
}
