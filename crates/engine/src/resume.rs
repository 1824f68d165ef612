//! Capture's progress belongs to one log. What is stored is the log's identity and then the source's own
//! bytes, so that a log that was deleted or replaced is noticed: what it held and no sink got would
//! otherwise be a silent gap.

use crate::error;
use bytes::{BufMut, Bytes, BytesMut};
use cdc_core::{LogId, Result, store::CaptureProgress};

const ID_BYTES: usize = 16;

/// Adds the log's identity.
pub(crate) fn with_log(log: LogId, progress: CaptureProgress) -> CaptureProgress {
    let mut resume = BytesMut::with_capacity(ID_BYTES + progress.resume.len());
    resume.put_slice(log.0.as_bytes());
    resume.put_slice(&progress.resume);
    CaptureProgress { resume: resume.freeze(), ..progress }
}

/// Takes the identity off again; an error when it is another log's.
pub(crate) fn of_log(log: LogId, mut stored: CaptureProgress) -> Result<CaptureProgress> {
    if !stored.resume.starts_with(log.0.as_bytes()) {
        return Err(error::other_log(stored.position));
    }
    let resume = stored.resume.split_off(ID_BYTES);
    Ok(CaptureProgress { resume, ..stored })
}

/// The source's own bytes, whichever log they belong to.
pub(crate) fn of_source(mut stored: CaptureProgress) -> Bytes {
    stored.resume.split_off(ID_BYTES.min(stored.resume.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::Position;

    fn log(id: u128) -> LogId {
        LogId(uuid::Uuid::from_u128(id))
    }

    #[test]
    fn progress_comes_back_for_its_own_log_only() {
        let resume = Bytes::from_static(b"{}");
        let progress = CaptureProgress { position: Position::new(7, 1), resume };
        let stored = with_log(log(1), progress.clone());
        assert_eq!(of_log(log(1), stored.clone()).unwrap(), progress);
        assert_eq!(of_source(stored.clone()), progress.resume);
        assert_eq!(of_log(log(2), stored).unwrap_err().code, "CDC-4006");
        let short = CaptureProgress { resume: Bytes::from_static(b"x"), ..progress };
        assert_eq!(of_log(log(1), short).unwrap_err().code, "CDC-4006");
    }
}
