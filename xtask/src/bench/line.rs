//! How a cost grows, beside the straight line that it should follow.

use std::fmt;

use serde::Serialize;

use super::report::as_float;

/// What one size cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) size: u64,
    pub(super) seconds: f64,
    pub(super) memory_megabytes_peak: f64,
}

/// The cost of each size.
#[derive(Debug, Serialize)]
pub(super) struct Growth {
    /// Who did what.
    pub(super) name: String,
    /// What the sizes count.
    pub(super) unit: &'static str,
    pub(super) steps: Vec<Step>,
}

/// One size beside the line through the first two.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) size: u64,
    pub(super) seconds: f64,
    pub(super) microseconds_each: f64,
    /// What the line says; the first two sizes make it and so have none.
    pub(super) line_seconds: Option<f64>,
    pub(super) memory_megabytes_peak: f64,
}

impl Growth {
    /// Draws the line: what the smallest size costs at the start, and what each one more costs.
    pub(super) fn new(name: String, unit: &'static str, points: &[Point]) -> Self {
        let line = match points {
            [first, second, ..] if second.size > first.size => Some((*first, *second)),
            _ => None,
        };
        let step = |(place, point): (usize, &Point)| Step {
            size: point.size,
            seconds: point.seconds,
            microseconds_each: point.seconds * 1e6 / as_float(point.size.max(1)),
            line_seconds: line
                .filter(|_| place >= 2)
                .map(|(first, second)| extrapolate(first, second, point.size)),
            memory_megabytes_peak: point.memory_megabytes_peak,
        };
        Self { name, unit, steps: points.iter().enumerate().map(step).collect() }
    }

    /// The worst step as a multiple of what the line says.
    pub(super) fn worst(&self) -> Option<f64> {
        self.steps.iter().filter_map(Step::times_the_line).max_by(f64::total_cmp)
    }
}

impl Step {
    fn times_the_line(&self) -> Option<f64> {
        Some(self.seconds / self.line_seconds?)
    }
}

fn extrapolate(first: Point, second: Point, size: u64) -> f64 {
    let each = (second.seconds - first.seconds) / as_float(second.size - first.size);
    // A line that falls says only that both sizes are too small to be told apart.
    second.seconds + each.max(0.0) * as_float(size.saturating_sub(second.size))
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, unit, steps } = self;
        writeln!(f, "\n  {name}")?;
        let each = format!("us a {unit}");
        let heads = ["seconds", each.as_str(), "line, s", "times the line", "peak MB"];
        let [seconds, each, line, times, peak] = heads;
        write!(f, "  {unit:>12}s {seconds:>9} {each:>12} {line:>9} {times:>15} {peak:>9}")?;
        for step in steps {
            let cell = |value: Option<f64>| value.map(|value| format!("{value:.2}"));
            write!(
                f,
                "\n  {:>13} {:>9.2} {:>12.2} {:>9} {:>15} {:>9.1}",
                step.size,
                step.seconds,
                step.microseconds_each,
                cell(step.line_seconds).unwrap_or_default(),
                cell(step.times_the_line()).unwrap_or_default(),
                step.memory_megabytes_peak
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Growth, Point};

    fn growth(points: &[(u64, f64)]) -> Growth {
        let point =
            |&(size, seconds): &(u64, f64)| Point { size, seconds, memory_megabytes_peak: 9.0 };
        let points: Vec<Point> = points.iter().map(point).collect();
        Growth::new("cdc".to_owned(), "row", &points)
    }

    #[test]
    fn a_fixed_start_and_an_even_cost_are_on_the_line() {
        let worst = growth(&[(10, 2.0), (100, 11.0), (1000, 101.0)]).worst().unwrap();
        assert!((worst - 1.0).abs() < 1e-9, "{worst}");
    }

    #[test]
    fn a_cost_that_grows_with_the_square_stands_out() {
        let worst = growth(&[(10, 0.1), (100, 1.0), (1000, 100.0)]).worst().unwrap();
        assert!((worst - 10.0).abs() < 1e-9, "{worst}");
    }

    #[test]
    fn sizes_too_small_to_tell_apart_make_a_level_line() {
        let worst = growth(&[(10, 0.3), (100, 0.2), (1000, 0.4)]).worst().unwrap();
        assert!((worst - 2.0).abs() < 1e-9, "{worst}");
    }

    #[test]
    fn two_sizes_have_no_line_and_are_printed_all_the_same() {
        let growth = growth(&[(10, 1.0), (100, 2.0)]);
        assert_eq!(growth.worst(), None);
        let text = growth.to_string();
        assert!(text.contains("us a row") && text.contains("20000.00"), "{text}");
    }
}
