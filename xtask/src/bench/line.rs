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

/// One size beside the line through the smallest and the largest.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) size: u64,
    pub(super) seconds: f64,
    pub(super) microseconds_each: f64,
    /// What each one more cost since the size before.
    pub(super) microseconds_more: Option<f64>,
    /// What the line says, for the sizes that do not make it.
    pub(super) line_seconds: Option<f64>,
    pub(super) memory_megabytes_peak: f64,
}

impl Growth {
    /// Puts sizes in growing order beside their line.
    pub(super) fn new(name: String, unit: &'static str, points: &[Point]) -> Self {
        let ends = points.first().copied().zip(points.last().copied());
        let before = std::iter::once(None).chain(points.iter().copied().map(Some));
        let step = |(point, before): (&Point, Option<Point>)| Step {
            size: point.size,
            seconds: point.seconds,
            microseconds_each: point.seconds * 1e6 / as_float(point.size.max(1)),
            microseconds_more: before.map(|before| seconds_more(before, *point) * 1e6),
            line_seconds: ends
                .filter(|(first, last)| first.size < point.size && point.size < last.size)
                .map(|(first, last)| interpolate(first, last, point.size)),
            memory_megabytes_peak: point.memory_megabytes_peak,
        };
        Self { name, unit, steps: points.iter().zip(before).map(step).collect() }
    }

    /// How far the line is above the size that is furthest below it: 1 is a straight line, and more
    /// says that large sizes cost more than in proportion.
    pub(super) fn bend(&self) -> Option<f64> {
        self.steps.iter().filter_map(Step::bend).max_by(f64::total_cmp)
    }
}

impl Step {
    fn bend(&self) -> Option<f64> {
        Some(self.line_seconds? / self.seconds)
    }
}

fn seconds_more(before: Point, after: Point) -> f64 {
    (after.seconds - before.seconds) / as_float(after.size.saturating_sub(before.size).max(1))
}

// The ends are the smallest size, which is little more than a start, and the largest, where a few
// hundredths of a second do not count: a line through two small sizes would follow their noise.
fn interpolate(first: Point, last: Point, size: u64) -> f64 {
    first.seconds + seconds_more(first, last) * as_float(size.saturating_sub(first.size))
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, unit, steps } = self;
        let (each, more) = (format!("us a {unit}"), format!("us a {unit} more"));
        writeln!(f, "\n  {name}")?;
        write!(
            f,
            "  {unit:>12}s {:>9} {each:>12} {more:>16} {:>9} {:>7} {:>9}",
            "seconds", "line, s", "bend", "peak MB"
        )?;
        let cell = |value: Option<f64>| value.map(|value| format!("{value:.2}"));
        for step in steps {
            write!(
                f,
                "\n  {:>13} {:>9.2} {:>12.2} {:>16} {:>9} {:>7} {:>9.1}",
                step.size,
                step.seconds,
                step.microseconds_each,
                cell(step.microseconds_more).unwrap_or_default(),
                cell(step.line_seconds).unwrap_or_default(),
                cell(step.bend()).unwrap_or_default(),
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
        let bend = growth(&[(10, 2.0), (100, 11.0), (1000, 101.0)]).bend().unwrap();
        assert!((bend - 1.0).abs() < 1e-9, "{bend}");
    }

    #[test]
    fn a_cost_that_grows_with_the_square_bends() {
        let growth = growth(&[(10, 0.2), (1000, 5.2), (2000, 20.2)]);
        let bend = growth.bend().unwrap();
        assert!(bend > 1.9, "{bend}");
        let more = growth.steps[2].microseconds_more.unwrap();
        assert!((more - 15_000.0).abs() < 1e-6, "{more}");
    }

    #[test]
    fn noise_of_small_sizes_does_not_bend() {
        let bend = growth(&[(10, 0.25), (100, 0.20), (1000, 1.2), (10_000, 11.0)]).bend().unwrap();
        assert!(bend < 1.9, "{bend}");
    }

    #[test]
    fn two_sizes_have_no_line_and_are_printed_all_the_same() {
        let growth = growth(&[(10, 1.0), (100, 2.0)]);
        assert_eq!(growth.bend(), None);
        let text = growth.to_string();
        assert!(text.contains("us a row more") && text.contains("20000.00"), "{text}");
        assert!(growth_of_nothing().bend().is_none());
    }

    fn growth_of_nothing() -> Growth {
        growth(&[])
    }
}
