//! What does not arrive as it was, by column: the other side of every value that does.

use super::encoding::Encoding;
use super::form::Form;
use super::native::Native;
use super::options::{DecimalMode, IntervalMode, Options};
use super::temporal::Unit;
use cdc_core::{Column, DataType, TableSchema};
use std::fmt;

/// Something about a column's values that a reader of the records cannot know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The column.
    pub column: String,
    /// Its type, as the database declares it.
    pub native_type: String,
    /// How much is lost.
    pub degree: Degree,
    /// What is lost.
    pub what: &'static str,
    /// What keeps it.
    pub remedy: &'static str,
}

/// How much is lost of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Degree {
    /// Nothing but how it is written: the value is equal.
    Spelling,
    /// Some values have no form, and their changes become dead letters.
    Refused,
    /// The value is another one, close to what it was.
    Approximation,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { column, native_type, degree, what, remedy } = self;
        let arrives = match degree {
            Degree::Spelling => "arrives equal, written in another way",
            Degree::Refused => "does not always arrive",
            Degree::Approximation => "arrives as an approximation",
        };
        write!(f, "{column} ({native_type}) {arrives}: {what}; {remedy}")
    }
}

/// What is lost of a table's columns on the way through records of this format and back by our own
/// reader. Columns that are not in here arrive exactly as they were.
#[must_use]
pub fn losses(table: &TableSchema, options: &Options, value: Encoding) -> Vec<Loss> {
    let columns = table.columns.iter();
    columns.flat_map(|column| of_column(column, options, value)).collect()
}

type Lost = (Degree, &'static str, &'static str);

fn of_column(column: &Column, options: &Options, value: Encoding) -> Vec<Loss> {
    let mut found = Vec::new();
    let form = Form::of(column, options);
    of_form(&form, (&column.data_type, &column.native_type), value, &mut found);
    let loss = |(degree, what, remedy)| Loss {
        column: column.name.clone(),
        native_type: column.native_type.clone(),
        degree,
        what,
        remedy,
    };
    found.into_iter().map(loss).collect()
}

const TIMES: &str = "set format.time_precision_mode: adaptive";

fn of_form(
    form: &Form,
    (data_type, native_type): (&DataType, &str),
    value: Encoding,
    out: &mut Vec<Lost>,
) {
    let typed = value != Encoding::Json;
    let digits = match data_type {
        DataType::Time { precision } | DataType::Timestamp { precision } => precision.unwrap_or(6),
        _ => 0,
    };
    match form {
        Form::AnyDecimal => {
            out.push((
                Degree::Spelling,
                "zeros at the end of the fraction",
                "set format.decimal_handling_mode: string to keep them",
            ));
            not_a_number(typed, out);
        }
        Form::Decimal { .. } => not_a_number(typed, out),
        Form::DecimalDouble => out.push((
            Degree::Approximation,
            "digits beyond the 17 of a double-precision number, and zeros at the end",
            "set format.decimal_handling_mode: precise",
        )),
        Form::UInt64 if typed => {
            out.push((Degree::Refused, "numbers of 64 bits", "set format.value: json"))
        }
        Form::Time(Unit::Connect) | Form::Timestamp(Unit::Connect) if digits > 3 => {
            out.push((Degree::Approximation, "digits finer than milliseconds", TIMES));
        }
        Form::Timestamp(Unit::Nanos) => {
            out.push((Degree::Refused, "infinity, and years before 1678 or after 2262", TIMES));
        }
        Form::TimeTz => out.push((
            Degree::Approximation,
            "its offset: the time is told in UTC",
            "no mode keeps it: use timestamp with time zone, or read it as UTC",
        )),
        Form::Interval(IntervalMode::Numeric) => out.push((
            Degree::Approximation,
            "months and days are told in microseconds, a month as 30.4375 days",
            "set format.interval_handling_mode: string",
        )),
        Form::Native(native) => of_native(*native, native_type, out),
        Form::Array(element) => {
            out.push((
                Degree::Spelling,
                "the index of an array's first element, where it is not 1",
                "no mode keeps it",
            ));
            if typed {
                out.push((
                    Degree::Refused,
                    "arrays of several dimensions",
                    "set format.value: json",
                ));
            }
            let element_type = match data_type {
                DataType::Array(element) => element,
                other => other,
            };
            of_form(element, (element_type, native_type.trim_end_matches("[]")), value, out);
        }
        _ => {}
    }
}

fn not_a_number(typed: bool, out: &mut Vec<Lost>) {
    if typed {
        out.push((Degree::Refused, "NaN and infinity", "set format.decimal_handling_mode: string"));
    }
}

fn of_native(native: Native, native_type: &str, out: &mut Vec<Lost>) {
    let varies = native_type.contains("var");
    match native {
        Native::Bit if varies => out.push((
            Degree::Approximation,
            "an empty bit string is told as 0",
            "no mode keeps it: use bit(1)",
        )),
        Native::Bits { .. } if varies => out.push((
            Degree::Approximation,
            "zeros at the front, and so the length",
            "no mode keeps them: use bit(n), or text",
        )),
        Native::Money(DecimalMode::Double) => out.push((
            Degree::Approximation,
            "digits beyond the 17 of a double-precision number, and the currency",
            "set format.decimal_handling_mode: precise",
        )),
        Native::Money(_) => out.push((
            Degree::Spelling,
            "the currency: a plain number with two digits after the point is told",
            "no mode keeps it: use numeric",
        )),
        _ => {}
    }
}
