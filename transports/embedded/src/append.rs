//! The way of records from an appender to the writer thread.

use crate::{
    error,
    frame::{self, BODY_BYTES_MAX, Cut, Frame},
    open_log::{OpenLog, QUEUE_BYTES_MAX, Refusal},
};
use cdc_core::{Offset, Record, Result, transport::AppendReceipt};
use std::collections::VecDeque;
use tokio::sync::oneshot;

/// One frame that waits for the writer thread.
#[derive(Debug)]
pub(crate) struct Queued {
    /// `None` for an append without records, which waits for those before it.
    pub(crate) frame: Option<Frame>,
    /// Room in the queue that is free again once this is durable.
    pub(crate) room: usize,
    /// With the last frame of an append.
    pub(crate) receipt: Option<oneshot::Sender<Result<Offset>>>,
}

/// What the writer thread looks into.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) queued: VecDeque<Queued>,
    /// Set once: nothing more is taken.
    pub(crate) refusal: Option<Refusal>,
    /// What is queued is written, then the thread ends.
    pub(crate) closing: bool,
    /// Readers have released more.
    pub(crate) released: bool,
}

/// Queues records for the writer thread, waiting for room.
pub(crate) async fn append(log: &OpenLog, records: Vec<Record>) -> Result<AppendReceipt> {
    let frames = frame::encode(records, Cut::default())
        .map_err(|index| error::record_too_large(index, BODY_BYTES_MAX))?;
    let bytes: usize = frames.iter().flat_map(Frame::pieces).map(<[u8]>::len).sum();
    let room = bytes.clamp(1, QUEUE_BYTES_MAX);
    match log.room.acquire_many(u32::try_from(room).unwrap_or(u32::MAX)).await {
        // The writer thread gives it back.
        Ok(permit) => permit.forget(),
        Err(_) => {
            let refusal = log.inbox().refusal.clone().unwrap_or(Refusal::Closed);
            return Err(log.refused(&refusal));
        }
    }
    let (sender, receiver) = oneshot::channel();
    let mut queued: VecDeque<_> = frames.into_iter().map(Queued::frame).collect();
    if queued.is_empty() {
        queued.push_back(Queued { frame: None, room: 0, receipt: None });
    }
    if let Some(last) = queued.back_mut() {
        last.room = room;
        last.receipt = Some(sender);
    }
    let mut inbox = log.inbox();
    if let Some(refusal) = inbox.refusal.clone() {
        drop(inbox);
        return Err(log.refused(&refusal));
    }
    inbox.queued.append(&mut queued);
    drop(inbox);
    log.wake.notify_one();
    Ok(AppendReceipt(receiver))
}

impl Queued {
    fn frame(frame: Frame) -> Self {
        Self { frame: Some(frame), room: 0, receipt: None }
    }

    /// Resolves the receipt; nobody may be waiting any more.
    pub(crate) fn resolve(self, log: &OpenLog, outcome: Result<Offset>) {
        log.room.add_permits(self.room);
        if let Some(receipt) = self.receipt
            && receipt.send(outcome).is_err()
        {
            tracing::trace!("nobody waits for the receipt");
        }
    }
}
