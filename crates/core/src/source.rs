//! The contract of a source.

use crate::{Position, Result, channel::BatchSender, clock::Clock, status::SourceStatus};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the engine lends a running source.
pub struct SourceContext {
    /// The `resume` bytes of the last batch that is known to be durable; `None` on the first start.
    pub resume: Option<Bytes>,
    /// Where changes go. `send` waits = backpressure.
    pub out: BatchSender,
    /// Everything up to here is durable and recorded: the database may discard its log up to it.
    pub durable: watch::Receiver<Option<Position>>,
    /// Where the source says what it is doing.
    pub status: watch::Sender<SourceStatus>,
    /// Will destinations that hold rows be compared with the source when
    /// [`comparison_due`](SourceStatus::comparison_due) asks for it? Then they need not be emptied before
    /// all rows are read once more.
    pub compares: bool,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Asks the source to return.
    pub cancel: CancellationToken,
}

/// Follows one database from its snapshot on.
///
/// Promises: every committed change of the captured tables is sent at least once, in commit order,
/// with positions that only grow; after a restart it resumes behind the `resume` bytes it is given,
/// and may repeat what came before them. It keeps answering the database while `out` is blocked.
#[async_trait]
pub trait Source: Send + 'static {
    /// Runs until cancelled (`Ok`), or until an error that says whether to retry. Dropping the future
    /// is a crash: it must lose nothing that was not yet reported by `durable`.
    async fn run(self: Box<Self>, context: SourceContext) -> Result<()>;
}
