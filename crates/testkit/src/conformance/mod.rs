//! One suite a contract: every implementation runs it, the memory one first.

pub mod sink;
pub mod store;
pub mod transport;
