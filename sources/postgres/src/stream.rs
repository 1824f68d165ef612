//! Follows the server's log from one address on, and hands changes over in batches.
//!
//! ```text
//!   socket ─▶ chunk ─▶ plugin message ─▶ row ─▶ gathered changes ─▶ batch ─▶ engine
//!                │                                                             │
//!                └──────────────── status updates ◀── confirmed address ◀── durable
//! ```
//!
//! Rows of the copy that runs beside the stream go out between two transactions (`fill`).
//!
//! One loop owns all of it. It goes on answering the server while the engine takes nothing.

mod apply;
mod batch;
mod beat;
mod fill;
mod follow;
mod members;
mod messages;
mod order;
mod pace;
mod progress;
mod slot;
mod status;
mod tables;

pub(crate) use batch::RowChange;
pub(crate) use follow::{Ended, Follower, Start};
pub use members::Members;
pub(crate) use slot::explain;
pub(crate) use status::Reporter;
pub(crate) use tables::Tables;
