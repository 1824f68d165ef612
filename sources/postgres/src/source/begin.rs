//! How a run begins, from what the pipeline remembers and what the server has.

use crate::{
    config::{Config, SnapshotMode},
    error,
    position::{Lsn, Phase, Resume},
    replication::System,
    server::Slot,
};
use cdc_core::Result;

/// How a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// With the log: behind change `ordinal` of the transaction that commits at `from`. Everything
    /// before `recorded` is recorded.
    Stream { from: Lsn, ordinal: u64, recorded: Lsn },
    /// With all rows.
    Snapshot {
        /// Have rows of an earlier snapshot been handed over?
        start_over: bool,
        /// Is the slot of no more use?
        renew_slot: bool,
    },
    /// Not at all: a complete snapshot was all that was asked for.
    Idle,
}

/// Decides. `left` is where the server left the timeline that was captured, when it did. `fresh` says
/// that this process has taken no snapshot yet.
pub(super) fn decide(
    config: &Config,
    resume: Option<&Resume>,
    (system, left): (&System, Option<Lsn>),
    slot: Option<&Slot>,
    fresh: bool,
) -> Result<Begin> {
    if let Some(resume) = resume {
        if resume.system_identifier != system.identifier {
            return Err(error::other_server(config, &resume.system_identifier, &system.identifier));
        }
        if resume.lsn > system.position {
            return Err(error::server_behind(config, system.position, resume.lsn));
        }
        if resume.timeline > system.timeline {
            return Err(error::old_timeline(config, system.timeline, resume.timeline));
        }
        if let Some(left) = left.filter(|left| resume.has_passed(*left)) {
            return Err(error::timeline_left(config, resume.timeline, left, resume.lsn));
        }
    }
    let mode = config.snapshot_mode;
    let start_over = resume.is_some();
    if !mode.streams() {
        return Ok(match resume.map(|resume| resume.phase) {
            Some(Phase::Done | Phase::Stream) => Begin::Idle,
            Some(Phase::Snapshot) | None => Begin::Snapshot { start_over, renew_slot: false },
        });
    }
    let again = |problem| match mode {
        SnapshotMode::WhenNeeded => Ok(Begin::Snapshot { start_over, renew_slot: true }),
        SnapshotMode::Initial
        | SnapshotMode::Never
        | SnapshotMode::NoData
        | SnapshotMode::InitialOnly
        | SnapshotMode::Always => Err(problem),
    };
    let name = config.slot_name.as_str();
    let Some(slot) = slot else { return again(error::slot_missing(name)) };
    if !slot.is_ours(config) {
        return Err(error::slot_foreign(name, &slot.plugin, &slot.database));
    }
    if slot.is_copy() {
        return Err(error::slot_copy(config));
    }
    if slot.is_lost() {
        return again(error::slot_lost(name, slot.invalidation.as_deref()));
    }
    match resume {
        Some(resume) if resume.phase == Phase::Stream => {
            // A copy that was cut short goes on first.
            if mode == SnapshotMode::Always && fresh && resume.backfill.is_none() {
                return Ok(Begin::Snapshot { start_over, renew_slot: false });
            }
            if slot.confirmed > resume.lsn {
                return match again(error::slot_ahead(name, slot.confirmed, resume.lsn))? {
                    // The slot itself is good: only what it has passed is missing here.
                    Begin::Snapshot { start_over, .. } => {
                        Ok(Begin::Snapshot { start_over, renew_slot: false })
                    }
                    begin @ (Begin::Stream { .. } | Begin::Idle) => Ok(begin),
                };
            }
            Ok(Begin::Stream { from: resume.lsn, ordinal: resume.ordinal, recorded: resume.lsn })
        }
        Some(_) | None if mode.reads_rows() => {
            Ok(Begin::Snapshot { start_over, renew_slot: false })
        }
        Some(_) | None => {
            Ok(Begin::Stream { from: slot.confirmed, ordinal: 0, recorded: slot.confirmed })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(snapshot_mode: SnapshotMode) -> Config {
        Config { snapshot_mode, ..Config::new("shop") }
    }

    fn system(position: u64) -> System {
        System { identifier: "one".to_owned(), timeline: 1, position: Lsn(position) }
    }

    fn slot(confirmed: u64) -> Slot {
        Slot {
            plugin: "pgoutput".to_owned(),
            database: "shop".to_owned(),
            confirmed: Lsn(confirmed),
            holder: None,
            wal_status: "reserved".to_owned(),
            invalidation: None,
            failover: Some(true),
            synced: false,
            in_recovery: false,
        }
    }

    fn resume(phase: Phase, lsn: u64) -> Resume {
        Resume {
            phase,
            system_identifier: "one".to_owned(),
            timeline: 1,
            slot: "cdc_slot".to_owned(),
            lsn: Lsn(lsn),
            ordinal: 4,
            session: None,
            backfill: None,
            paused: false,
            comparison_due: false,
            order_key: String::new(),
            members: None,
        }
    }

    fn code(outcome: Result<Begin>) -> &'static str {
        outcome.unwrap_err().code
    }

    const SNAPSHOT: Begin = Begin::Snapshot { start_over: false, renew_slot: false };
    const AGAIN: Begin = Begin::Snapshot { start_over: true, renew_slot: false };
    const AGAIN_WITH_NEW_SLOT: Begin = Begin::Snapshot { start_over: true, renew_slot: true };

    #[test]
    fn the_first_start_reads_rows_unless_told_otherwise() {
        let first = |mode| {
            decide(&config(mode), None, (&system(100), None), Some(&slot(50)), true).unwrap()
        };
        for mode in [SnapshotMode::Initial, SnapshotMode::WhenNeeded, SnapshotMode::Always] {
            assert_eq!(first(mode), SNAPSHOT);
        }
        for mode in [SnapshotMode::Never, SnapshotMode::NoData] {
            assert_eq!(first(mode), Begin::Stream { from: Lsn(50), ordinal: 0, recorded: Lsn(50) });
        }
        let only = config(SnapshotMode::InitialOnly);
        assert_eq!(decide(&only, None, (&system(100), None), None, true).unwrap(), SNAPSHOT);
    }

    #[test]
    fn a_stream_goes_on_where_it_was() {
        let state = resume(Phase::Stream, 70);
        let go_on = Begin::Stream { from: Lsn(70), ordinal: 4, recorded: Lsn(70) };
        for mode in [SnapshotMode::Initial, SnapshotMode::Never, SnapshotMode::WhenNeeded] {
            let begin =
                decide(&config(mode), Some(&state), (&system(100), None), Some(&slot(70)), true);
            assert_eq!(begin.unwrap(), go_on);
        }
        let always = config(SnapshotMode::Always);
        let begin =
            |fresh| decide(&always, Some(&state), (&system(100), None), Some(&slot(70)), fresh);
        assert_eq!(begin(true).unwrap(), AGAIN);
        assert_eq!(begin(false).unwrap(), go_on);
    }

    #[test]
    fn a_snapshot_that_was_cut_short_starts_over() {
        let state = resume(Phase::Snapshot, 70);
        for mode in [SnapshotMode::Initial, SnapshotMode::InitialOnly] {
            let begin =
                decide(&config(mode), Some(&state), (&system(100), None), Some(&slot(60)), true);
            assert_eq!(begin.unwrap(), AGAIN);
        }
        let done = resume(Phase::Done, 70);
        let only = config(SnapshotMode::InitialOnly);
        assert_eq!(
            decide(&only, Some(&done), (&system(100), None), None, true).unwrap(),
            Begin::Idle
        );
    }

    #[test]
    fn a_gap_is_an_error_or_a_new_snapshot_and_never_ignored() {
        let state = resume(Phase::Stream, 70);
        let lost = Slot { wal_status: "lost".to_owned(), ..slot(70) };
        let cases = [
            (None, "CDC-1014", AGAIN_WITH_NEW_SLOT),
            (Some(lost), "CDC-1016", AGAIN_WITH_NEW_SLOT),
            (Some(slot(71)), "CDC-1017", AGAIN),
        ];
        for (slot, expected, again) in cases {
            let begin = |mode| {
                decide(&config(mode), Some(&state), (&system(100), None), slot.as_ref(), true)
            };
            assert_eq!(code(begin(SnapshotMode::Initial)), expected);
            assert_eq!(code(begin(SnapshotMode::Never)), expected);
            assert_eq!(begin(SnapshotMode::WhenNeeded).unwrap(), again);
        }
    }

    #[test]
    fn another_server_or_one_that_went_back_is_refused_in_every_mode() {
        let state = resume(Phase::Stream, 70);
        let other = System { identifier: "two".to_owned(), ..system(100) };
        let cases = [(other, "CDC-1018"), (system(69), "CDC-1019")];
        for (system, expected) in cases {
            for mode in [SnapshotMode::Initial, SnapshotMode::WhenNeeded, SnapshotMode::Always] {
                let begin =
                    decide(&config(mode), Some(&state), (&system, None), Some(&slot(60)), true);
                assert_eq!(code(begin), expected);
            }
        }
    }

    #[test]
    fn a_promoted_standby_must_have_had_everything_that_was_captured() {
        let promoted = System { timeline: 2, ..system(100) };
        let config = config(SnapshotMode::WhenNeeded);
        let begin = |state: &Resume, left| {
            decide(&config, Some(state), (&promoted, Some(Lsn(left))), Some(&slot(60)), true)
        };
        let state = Resume { ordinal: 0, ..resume(Phase::Stream, 70) };
        let go_on = Begin::Stream { from: Lsn(70), ordinal: 0, recorded: Lsn(70) };
        assert_eq!(begin(&state, 70).unwrap(), go_on);
        assert_eq!(code(begin(&state, 69)), "CDC-1019");
        // The transaction that commits at 70 was captured in part, and is another one there.
        assert_eq!(code(begin(&resume(Phase::Stream, 70), 70)), "CDC-1019");
        let after = Resume { timeline: 3, ..state };
        let former = decide(&config, Some(&after), (&promoted, None), Some(&slot(60)), true);
        assert_eq!(code(former), "CDC-1019");
    }

    #[test]
    fn a_copy_of_a_slot_waits_for_the_promotion() {
        let copy = Slot { synced: true, in_recovery: true, ..slot(60) };
        let state = resume(Phase::Stream, 70);
        let begin = |slot: &Slot| {
            let config = config(SnapshotMode::WhenNeeded);
            decide(&config, Some(&state), (&system(100), None), Some(slot), true)
        };
        let error = begin(&copy).unwrap_err();
        assert_eq!((error.code, error.retry), ("CDC-1040", cdc_core::Retry::Backoff));
        begin(&Slot { in_recovery: false, ..copy }).unwrap();
    }

    #[test]
    fn somebody_elses_slot_is_left_alone() {
        let foreign = Slot { plugin: "wal2json".to_owned(), ..slot(1) };
        let begin = |mode| decide(&config(mode), None, (&system(100), None), Some(&foreign), true);
        assert_eq!(code(begin(SnapshotMode::Initial)), "CDC-1015");
        assert_eq!(code(begin(SnapshotMode::WhenNeeded)), "CDC-1015");
    }
}
