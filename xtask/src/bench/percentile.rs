//! Percentiles of what was measured.

use std::time::Duration;

/// The value below which so many percent of the others are; it is one that was seen.
pub(super) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((values.len() * percent / 100).min(last)).copied().unwrap_or(f64::NAN)
}

/// A time for a table.
pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let found = [50, 99, 100].map(|percent| percentile(&values, percent));
        assert_eq!(found, [51.0, 100.0, 100.0]);
        assert!(percentile(&[], 50).is_nan());
    }
}
