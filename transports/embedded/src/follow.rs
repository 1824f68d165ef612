//! A log that another process writes: progress is looked for in its durable marker.

use crate::{
    error,
    open_log::{OpenLog, Progress},
    recovery,
    scan::SparseIndex,
    segment,
    view::{Segment, Tail, View},
};
use cdc_core::{LogId, Result};
use std::{
    io,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// How often readers look for progress.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// What a directory holds now, without changing anything in it. Only the last segment is opened:
/// readers verify what they read.
pub(crate) fn look(dir: &Path, spacing: u64) -> Result<Option<(LogId, View)>> {
    // The marker comes first: every segment that it counts on is there by now.
    let marker = recovery::read_marker(dir)?;
    let bases = segment::list(dir).map_err(|source| error::file("list", dir, source))?;
    let Some(&last) = bases.last() else { return Ok(None) };
    let found = recovery::open_segment(&dir.join(segment::file_name(last)), last, spacing)?;
    let log = found.header.log;
    let (end, newest) = match marker.filter(|marker| marker.log == log) {
        Some(marker) => (marker.durable_end, marker.newest),
        None => (last, None),
    };
    let segments = bases.into_iter().filter(|base| *base <= end).map(|base| {
        let path = dir.join(segment::file_name(base));
        let bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let index = SparseIndex::new(base, spacing);
        Segment { base, path: path.into(), bytes, written_at: SystemTime::UNIX_EPOCH, index }
    });
    let segments = segments.collect();
    let tail = Tail::default();
    Ok(Some((log, View { segments, tail, released: None, passed: 0, newest, end })))
}

/// Looks for progress after a while.
pub(crate) async fn poll(log: &Arc<OpenLog>) -> Result<()> {
    tokio::time::sleep(POLL_INTERVAL).await;
    refresh(log).await
}

/// Looks for progress now.
pub(crate) async fn refresh(log: &Arc<OpenLog>) -> Result<()> {
    if !log.read_only {
        return Ok(());
    }
    let log = Arc::clone(log);
    let dir = log.dir.clone();
    let looked = tokio::task::spawn_blocking(move || refresh_if_read_only(&log)).await;
    looked.map_err(|join| error::file("read", &dir, io::Error::other(join)))?
}

/// Looks for progress now, on this thread.
pub(crate) fn refresh_if_read_only(log: &OpenLog) -> Result<()> {
    if !log.read_only {
        return Ok(());
    }
    let marker = recovery::read_marker(&log.dir)?;
    let (end, start) = {
        let view = log.view();
        (view.end, view.start())
    };
    let moved = marker.is_some_and(|marker| marker.durable_end > end || marker.log != log.id);
    let gone = !log.dir.join(segment::file_name(start)).exists();
    if !moved && !gone {
        return Ok(());
    }
    let Some((id, mut looked)) = look(&log.dir, log.config.index_spacing())? else {
        return Err(error::missing(&log.dir.join("*.segment"), "the log was removed"));
    };
    if id != log.id {
        return Err(error::foreign(&log.dir, "another log is there now"));
    }
    let mut view = log.view();
    looked.end = looked.end.max(view.end);
    let end = looked.end;
    *view = looked;
    drop(view);
    log.progress.send_if_modified(|progress| {
        let moved = progress.end < end;
        *progress = Progress { end: progress.end.max(end), closed: false };
        moved
    });
    Ok(())
}
