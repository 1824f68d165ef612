//! One suite a contract: every implementation runs it, the memory one first.

pub mod store;
