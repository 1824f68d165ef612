//! What travels on a replication connection, as pure functions over bytes.
//!
//! ```text
//!   socket bytes ─▶ chunk (whole backend messages) ─▶ CopyData ─▶ XLogData ─▶ pgoutput message
//!                   [framing]                                    [stream]     [pgoutput]
//! ```
//!
//! Nothing is copied: a decoded tuple is a list of ranges into the chunk. Every function here is
//! total: wrong bytes are [`Malformed`], never a panic.

mod cursor;
#[cfg(test)]
mod encode;
mod framing;
mod pgoutput;
mod stream;

pub use cursor::Malformed;
pub use framing::{Chunk, MESSAGE_BYTES_MAX, Messages, whole_messages};
pub use pgoutput::{
    Begin, Commit, Field, Fields, LogicalMessage, Message, OldTuple, Relation, RelationColumn,
    Tuple, decode,
};
pub use stream::{StreamMessage, decode_stream, status_update};
