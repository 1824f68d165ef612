//! Values in Protobuf's binary form.

use super::super::{Label, Misfit, Writer, varint};
use super::digits;
use super::plan::{DEPTH_MAX, Place, Plan, Shape};
use crate::debezium::temporal::civil;

/// Field numbers with wire types, of the messages that come with the converter.
const FIRST_NUMBER: u8 = 0x08;
const FIRST_SIZED: u8 = 0x0a;
const SECOND_NUMBER: u8 = 0x10;
const THIRD_NUMBER: u8 = 0x18;
const FOURTH_NUMBER: u8 = 0x20;
const NANOS_OF_MILLI: i64 = 1_000_000;

/// Writes one value of a plan's schema, without a look at names.
#[derive(Debug)]
pub struct ProtobufWriter<'a> {
    plan: &'a Plan,
    out: &'a mut Vec<u8>,
    /// The place of the next value.
    at: usize,
    /// The struct, array or map at hand.
    within: usize,
    /// Where the lengths of the messages at hand stand.
    starts: [usize; DEPTH_MAX * 2],
    depth: usize,
    misfit: Option<Misfit>,
}

impl<'a> ProtobufWriter<'a> {
    /// Writes behind what is in `out`.
    pub fn new(plan: &'a Plan, out: &'a mut Vec<u8>) -> Self {
        Self {
            plan,
            out,
            at: 0,
            within: usize::MAX,
            starts: [0; DEPTH_MAX * 2],
            depth: 0,
            misfit: None,
        }
    }

    /// Ends the value.
    ///
    /// # Errors
    /// When what was told is not one value of the schema; what was written then is of no use.
    pub fn finish(self) -> Result<(), Misfit> {
        match self.misfit {
            Some(misfit) => Err(misfit),
            None if self.is_whole() => Ok(()),
            None => Err(Misfit::Order),
        }
    }

    fn is_whole(&self) -> bool {
        self.at == self.plan.places.len() && self.within == usize::MAX && self.depth == 0
    }

    /// The first misfit counts: the others come of it.
    fn refuse(&mut self, misfit: Misfit) {
        self.misfit.get_or_insert(misfit);
    }

    fn tag(&mut self, place: &Place) {
        if place.tag != 0 {
            varint::unsigned(self.out, place.tag.into());
        }
    }

    /// Goes past the place of a value without parts, if it has this shape; says whether the value is to
    /// be written.
    fn simple(&mut self, shape: Shape, is_zero: bool) -> bool {
        let Some(place) = self.plan.places.get(self.at).filter(|place| place.shape == shape) else {
            self.refuse(Misfit::Order);
            return false;
        };
        self.at += 1;
        if is_zero && !place.keeps_zero {
            return false;
        }
        self.tag(place);
        true
    }

    /// Leaves a byte for the length of what follows.
    fn begin_sized(&mut self) {
        match self.starts.get_mut(self.depth) {
            Some(start) => *start = self.out.len(),
            None => return self.refuse(Misfit::Order),
        }
        self.depth += 1;
        self.out.push(0);
    }

    /// Writes the length of what was begun last.
    fn end_sized(&mut self) {
        let begun = self.depth.checked_sub(1);
        let start = begun.and_then(|depth| self.starts.get(depth).copied());
        let (Some(depth), Some(start)) = (begun, start) else {
            return self.refuse(Misfit::Order);
        };
        self.depth = depth;
        let length = self.out.len().saturating_sub(start + 1);
        match (u8::try_from(length), self.out.get_mut(start)) {
            (Ok(short @ ..=0x7f), Some(byte)) => *byte = short,
            _ => {
                let mut size = Vec::with_capacity(10);
                varint::unsigned(&mut size, length as u64);
                self.out.splice(start..=start, size);
            }
        }
    }

    /// A number of a message that comes with the converter.
    fn part(&mut self, tag: u8, value: i64) {
        if value != 0 {
            self.out.push(tag);
            varint::unsigned(self.out, value.cast_unsigned());
        }
    }

    fn decimal(&mut self, scale: i32, unscaled: &[u8]) {
        self.begin_sized();
        if !unscaled.is_empty() {
            self.out.push(FIRST_SIZED);
            varint::unsigned(self.out, unscaled.len() as u64);
            self.out.extend_from_slice(unscaled);
        }
        self.part(SECOND_NUMBER, digits::count(unscaled).cast_signed());
        self.part(THIRD_NUMBER, scale.into());
        self.end_sized();
    }

    fn date(&mut self, days: i64) {
        let (year, month, day) = civil(days);
        self.begin_sized();
        self.part(FIRST_NUMBER, year);
        self.part(SECOND_NUMBER, month);
        self.part(THIRD_NUMBER, day);
        self.end_sized();
    }

    fn time(&mut self, millis: i64) {
        let seconds = millis.div_euclid(1_000);
        self.begin_sized();
        self.part(FIRST_NUMBER, seconds.div_euclid(3_600));
        self.part(SECOND_NUMBER, seconds.rem_euclid(3_600) / 60);
        self.part(THIRD_NUMBER, seconds.rem_euclid(60));
        self.part(FOURTH_NUMBER, millis.rem_euclid(1_000) * NANOS_OF_MILLI);
        self.end_sized();
    }

    fn timestamp(&mut self, millis: i64) {
        self.begin_sized();
        self.part(FIRST_NUMBER, millis.div_euclid(1_000));
        self.part(SECOND_NUMBER, millis.rem_euclid(1_000) * NANOS_OF_MILLI);
        self.end_sized();
    }

    /// Goes into a struct, array or map.
    fn enter(&mut self, is_it: impl FnOnce(Shape) -> bool) -> Option<&'a Place> {
        let place = self.plan.places.get(self.at).filter(|place| is_it(place.shape));
        if place.is_none() {
            self.refuse(Misfit::Order);
        } else {
            self.within = self.at;
            self.at += 1;
        }
        place
    }

    /// The place of the struct, array or map at hand.
    fn around(&mut self, is_it: impl FnOnce(Shape) -> bool) -> Option<&'a Place> {
        let place = self.plan.places.get(self.within).filter(|place| is_it(place.shape));
        if place.is_none() {
            self.refuse(Misfit::Order);
        }
        place
    }

    fn leave(&mut self, place: &Place) {
        self.at = place.end;
        self.within = place.around;
    }
}

fn is_array(shape: Shape) -> bool {
    matches!(shape, Shape::Packed | Shape::Repeated)
}

impl Writer for ProtobufWriter<'_> {
    fn null(&mut self) {
        let Some(place) = self.plan.places.get(self.at) else { return self.refuse(Misfit::Order) };
        if !place.nullable {
            self.refuse(Misfit::Null);
        }
        self.at = place.end;
    }

    fn boolean(&mut self, value: bool) {
        if self.simple(Shape::Boolean, !value) {
            self.out.push(u8::from(value));
        }
    }

    fn integer(&mut self, value: i64) {
        let Some(place) = self.plan.places.get(self.at) else { return self.refuse(Misfit::Order) };
        let (least, most) = match place.shape {
            Shape::Integer(least, most) => (least, most),
            Shape::Date | Shape::Time => (i32::MIN.into(), i32::MAX.into()),
            _ => (i64::MIN, i64::MAX),
        };
        if value < least || value > most {
            self.refuse(Misfit::Range);
        }
        let is_zero = value == 0 && matches!(place.shape, Shape::Integer(..));
        if !self.simple(place.shape, is_zero) {
            return;
        }
        match place.shape {
            Shape::Integer(..) => varint::unsigned(self.out, value.cast_unsigned()),
            Shape::Date => self.date(value),
            Shape::Time => self.time(value),
            Shape::Timestamp => self.timestamp(value),
            _ => self.refuse(Misfit::Order),
        }
    }

    fn float32(&mut self, value: f32) {
        if self.simple(Shape::Float, value.to_bits() == 0) {
            self.out.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn float64(&mut self, value: f64) {
        if self.simple(Shape::Double, value.to_bits() == 0) {
            self.out.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn string(&mut self, value: &str) {
        if self.simple(Shape::Text, value.is_empty()) {
            varint::unsigned(self.out, value.len() as u64);
            self.out.extend_from_slice(value.as_bytes());
        }
    }

    fn bytes(&mut self, value: &[u8]) {
        match self.plan.places.get(self.at).map(|place| place.shape) {
            Some(shape @ Shape::Decimal(scale)) => {
                self.simple(shape, false);
                self.decimal(scale, value);
            }
            _ => {
                if self.simple(Shape::Octets, value.is_empty()) {
                    varint::unsigned(self.out, value.len() as u64);
                    self.out.extend_from_slice(value);
                }
            }
        }
    }

    fn begin_struct(&mut self) {
        let Some(place) = self.enter(|shape| shape == Shape::Struct) else { return };
        if place.tag != 0 {
            self.tag(place);
            self.begin_sized();
        }
    }

    fn field(&mut self, _label: &Label) {}

    fn end_struct(&mut self) {
        let Some(place) = self.around(|shape| shape == Shape::Struct) else { return };
        if self.at != place.end {
            self.refuse(Misfit::Order);
        }
        if place.tag != 0 {
            self.end_sized();
        }
        self.leave(place);
    }

    /// Numbers stand behind one tag, if there are any.
    fn begin_array(&mut self, length: usize) {
        let Some(place) = self.enter(is_array) else { return };
        if place.shape == Shape::Packed && length > 0 {
            self.tag(place);
            self.begin_sized();
        }
    }

    fn item(&mut self) {
        if self.around(is_array).is_some() {
            self.at = self.within + 1;
        }
    }

    fn end_array(&mut self) {
        let Some(place) = self.around(is_array) else { return };
        // The place of the items is behind if there was one.
        if place.shape == Shape::Packed && self.at == place.end {
            self.end_sized();
        }
        self.leave(place);
    }

    fn begin_map(&mut self, _length: usize) {
        self.enter(|shape| shape == Shape::Map);
    }

    fn key(&mut self, key: &str) {
        let Some(place) = self.around(|shape| shape == Shape::Map) else { return };
        if self.at == place.end {
            self.end_sized();
        }
        self.at = self.within + 1;
        self.tag(place);
        self.begin_sized();
        if !key.is_empty() {
            self.out.push(FIRST_SIZED);
            varint::unsigned(self.out, key.len() as u64);
            self.out.extend_from_slice(key.as_bytes());
        }
    }

    fn end_map(&mut self) {
        let Some(place) = self.around(|shape| shape == Shape::Map) else { return };
        if self.at == place.end {
            self.end_sized();
        }
        self.leave(place);
    }
}
