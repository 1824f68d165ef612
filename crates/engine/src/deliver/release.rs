//! The log may drop what every sink has committed.

use cdc_core::{Offset, TopicPartition};
use std::{collections::BTreeMap, sync::Mutex};

/// What each sink has committed.
pub(crate) struct Release {
    sinks: Mutex<Vec<BTreeMap<TopicPartition, Offset>>>,
}

impl Release {
    pub(crate) fn new(sink_count: usize) -> Self {
        Self { sinks: Mutex::new(vec![BTreeMap::new(); sink_count]) }
    }

    /// Notes what one sink has committed and returns the offset that all have passed, once each of them
    /// has said something about the partition.
    pub(crate) fn passed(
        &self,
        sink: usize,
        partition: &TopicPartition,
        offset: Offset,
    ) -> Option<Offset> {
        let mut sinks = self.sinks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(places) = sinks.get_mut(sink) {
            places.insert(partition.clone(), offset);
        }
        sinks.iter().map(|places| places.get(partition).copied()).min().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_slowest_sink() {
        let log = TopicPartition::new("log", 0);
        let release = Release::new(2);
        assert_eq!(release.passed(0, &log, Offset(10)), None);
        assert_eq!(release.passed(1, &log, Offset(4)), Some(Offset(4)));
        assert_eq!(release.passed(1, &log, Offset(12)), Some(Offset(10)));
    }
}
