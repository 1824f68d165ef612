//! What a log's directory holds when it is opened, and what to do about a torn tail.
//!
//! A crash can leave the frames of the last write in any state: whole, cut short, missing between
//! whole ones. None of them was acknowledged, so they are cut. Every other defect is damage to
//! acknowledged records and is refused. Two things prove that records were durable: the marker
//! file, and the durable end that every frame header carries.

use crate::{
    error,
    frame::Seal,
    marker::{self, Marker},
    scan::{self, Broken, Scan, SparseIndex},
    segment::{self, InvalidSegment, Previous, SegmentHeader},
    view::{Segment, Tail, View},
};
use cdc_core::{LogId, Position, Result};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};
use uuid::Uuid;

/// A log that is ready to be written.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) log: LogId,
    pub(crate) view: View,
    /// The last segment, open for writing.
    pub(crate) file: File,
}

/// Brings a directory into order for its one writer, or creates the log.
pub(crate) fn recover(dir: &Path, spacing: u64) -> Result<Recovered> {
    let unfinished = dir.join(segment::UNFINISHED);
    segment::remove_if_there(&unfinished).map_err(failed("remove", &unfinished))?;
    let marker = read_marker(dir)?;
    let mut segments = open_segments(dir, marker, spacing)?;
    let Some(mut last) = segments.pop() else { return create(dir, spacing) };
    let seal = last.header.seal();
    let path = Arc::clone(&last.segment.path);
    let file = File::options().read(true).write(true).open(&path).map_err(failed("open", &path))?;
    let scan = scan::scan(&file, last.header.base, seal, spacing).map_err(failed("read", &path))?;
    let durable_end = marker.map_or(0, |marker| marker.durable_end).max(scan.durable_end);
    let torn = judge_tail(&file, &last.segment, &scan, durable_end, seal)?;
    let newest = match scan.newest {
        Some(newest) => Some(newest),
        None => newest_before(segments.last(), &last.header, marker, spacing)?,
    };
    settle_tail(&file, &scan, durable_end, torn).map_err(failed("write", &path))?;
    if torn {
        tracing::warn!(
            segment = %path.display(), byte = scan.end_byte, end = scan.end,
            cut_bytes = last.segment.bytes.saturating_sub(scan.end_byte),
            "cut the torn tail of the last write, none of it was acknowledged"
        );
    }
    last.segment.bytes = scan.end_byte;
    last.segment.index = scan.index;
    let log = last.header.log;
    segments.push(last);
    let segments = segments.into_iter().map(|found| found.segment).collect();
    let passed = marker.map_or(0, |marker| marker.passed.min(scan.end));
    let view =
        View { segments, tail: Tail::default(), released: None, passed, newest, end: scan.end };
    Ok(Recovered { log, view, file })
}

fn failed<'a>(doing: &'a str, path: &'a Path) -> impl Fn(io::Error) -> cdc_core::Error + 'a {
    move |source| error::file(doing, path, source)
}

/// The directory's marker.
pub(crate) fn read_marker(dir: &Path) -> Result<Option<Marker>> {
    let path = dir.join(marker::FILE_NAME);
    marker::read(dir).map_err(failed("read", &path))
}

/// A segment with its header.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) header: SegmentHeader,
    pub(crate) segment: Segment,
}

/// Every segment of a directory, in order. Headers, lengths and the chain between them are verified,
/// records are not: that would read the whole log at each start, and readers do it anyway.
fn open_segments(dir: &Path, marker: Option<Marker>, spacing: u64) -> Result<Vec<Found>> {
    let bases = segment::list(dir).map_err(failed("list", dir))?;
    let mut out: Vec<Found> = Vec::with_capacity(bases.len());
    for base in bases {
        let path = dir.join(segment::file_name(base));
        let found = open_segment(&path, base, spacing)?;
        if let Some(before) = out.last() {
            verify_chain(dir, before, &found)?;
        }
        out.push(found);
    }
    match (out.first(), marker) {
        (Some(first), Some(marker)) if marker.log != first.header.log => {
            let path = dir.join(marker::FILE_NAME);
            Err(error::foreign(&path, "it belongs to another log than the segments beside it"))
        }
        (None, Some(marker)) if marker.durable_end > 0 => {
            let why = format!("records up to offset {} were durable", marker.durable_end);
            Err(error::missing(&dir.join("*.segment"), why))
        }
        _ => Ok(out),
    }
}

/// One segment with its header.
pub(crate) fn open_segment(path: &Path, base: u64, spacing: u64) -> Result<Found> {
    let file = File::open(path).map_err(failed("open", path))?;
    let metadata = file.metadata().map_err(failed("read", path))?;
    let bytes = scan::read_at(&file, 0, segment::HEADER_BYTES).map_err(failed("read", path))?;
    let header = SegmentHeader::decode(&bytes).map_err(|invalid| match invalid {
        InvalidSegment::Foreign => error::foreign(path, "it is no segment of a log"),
        InvalidSegment::Version(version) => {
            let own = segment::VERSION;
            error::foreign(
                path,
                format!("its format has version {version}, this `cdc` knows {own}"),
            )
        }
        InvalidSegment::Damaged => error::corrupt(path, 0, "the segment header is damaged"),
    })?;
    if header.base != base {
        let what = format!("the header says that it starts at offset {}", header.base);
        return Err(error::foreign(path, what));
    }
    let written_at = metadata.modified().map_err(failed("read", path))?;
    let index = SparseIndex::new(base, spacing);
    let segment = Segment { base, path: path.into(), bytes: metadata.len(), written_at, index };
    Ok(Found { header, segment })
}

fn verify_chain(dir: &Path, before: &Found, found: &Found) -> Result<()> {
    let path = &found.segment.path;
    if found.header.log != before.header.log {
        return Err(error::foreign(path, "it belongs to another log than the segment before it"));
    }
    let Some(Previous { base, bytes }) = found.header.previous else {
        return Err(error::corrupt(path, 0, "it says that it is the log's first segment"));
    };
    if base != before.header.base {
        let missing = dir.join(segment::file_name(base));
        return Err(error::missing(&missing, format!("{} follows it", path.display())));
    }
    if bytes != before.segment.bytes {
        let what = format!("it has {} bytes and was closed with {bytes}", before.segment.bytes);
        return Err(error::corrupt(&before.segment.path, bytes.min(before.segment.bytes), what));
    }
    Ok(())
}

/// Is there a torn tail to cut? An error when what is broken was durable before.
fn judge_tail(
    file: &File,
    segment: &Segment,
    scan: &Scan,
    durable_end: u64,
    seal: Seal,
) -> Result<bool> {
    let (path, byte, end) = (&segment.path, scan.end_byte, scan.end);
    let acknowledged = |why: &str| {
        let records = format!("offset {end} and following were acknowledged");
        Err(error::corrupt(path, byte, format!("{why}, and {records}")))
    };
    match scan.broken {
        None if durable_end > end => acknowledged("the file ends here"),
        None => Ok(false),
        Some(broken @ Broken::Gap(_)) => Err(error::corrupt(path, byte, broken)),
        Some(broken) if durable_end > end => acknowledged(&broken.to_string()),
        Some(broken) => match scan::find_proof(file, byte, end, seal) {
            Ok(None) => Ok(true),
            Ok(Some(_)) => acknowledged(&broken.to_string()),
            Err(source) => Err(error::file("read", path, source)),
        },
    }
}

/// Position of the newest record where the last segment holds none.
fn newest_before(
    before: Option<&Found>,
    last: &SegmentHeader,
    marker: Option<Marker>,
    spacing: u64,
) -> Result<Option<Position>> {
    let Some(before) = before else {
        let marker = marker.filter(|marker| marker.durable_end == last.base);
        return Ok(marker.and_then(|marker| marker.newest));
    };
    let path = &before.segment.path;
    let file = File::open(path).map_err(failed("open", path))?;
    let scan = scan::scan(&file, before.header.base, last.seal(), spacing)
        .map_err(failed("read", path))?;
    if let Some(broken) = scan.broken {
        return Err(error::corrupt(path, scan.end_byte, broken));
    }
    if scan.end != last.base {
        let what =
            format!("it ends at offset {}, the next segment starts at {}", scan.end, last.base);
        return Err(error::corrupt(path, scan.end_byte, what));
    }
    Ok(scan.newest)
}

/// Cuts what is torn and makes the rest durable. Frames that nothing proves durable are written
/// again: after a failed sync the kernel may hold them as clean without their being on disk.
fn settle_tail(file: &File, scan: &Scan, durable_end: u64, torn: bool) -> io::Result<()> {
    const STEP_BYTES: usize = 1 << 20;
    if torn {
        file.set_len(scan.end_byte)?;
    }
    let unproven = scan.unproven.iter().find(|(base, _)| *base >= durable_end);
    let mut at = unproven.map_or(scan.end_byte, |(_, byte)| *byte);
    while at < scan.end_byte {
        let left = usize::try_from(scan.end_byte - at).unwrap_or(STEP_BYTES);
        let bytes = scan::read_at(file, at, left.min(STEP_BYTES))?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_all_at(&bytes, at)?;
        at += bytes.len() as u64;
    }
    file.sync_all()
}

fn create(dir: &Path, spacing: u64) -> Result<Recovered> {
    let log = LogId(Uuid::new_v4());
    let path: PathBuf = dir.join(segment::file_name(0));
    let header = SegmentHeader { log, base: 0, previous: None };
    let file = segment::create(dir, &header).map_err(failed("create", &path))?;
    let found = open_segment(&path, 0, spacing)?;
    let view = View {
        segments: [found.segment].into(),
        tail: Tail::default(),
        released: None,
        passed: 0,
        newest: None,
        end: 0,
    };
    Ok(Recovered { log, view, file })
}

/// Creates the directory of a log, with every directory above it, so that they survive a crash.
pub(crate) fn create_dir(dir: &Path) -> Result<()> {
    let absolute = std::path::absolute(dir).map_err(failed("find", dir))?;
    let missing = absolute.ancestors().take_while(|ancestor| !ancestor.exists()).count();
    fs::create_dir_all(&absolute).map_err(failed("create", dir))?;
    for parent in absolute.ancestors().skip(1).take(missing) {
        segment::sync_dir(parent).map_err(failed("sync", parent))?;
    }
    Ok(())
}
