//! Memory implementations of the contracts: what the simulation runs on, and the first to pass each
//! conformance suite.

mod group;
mod registry;
mod stores;
mod transport;
mod writer;

pub use registry::MemoryRegistry;
pub use stores::MemoryStores;
pub use transport::{MemoryLog, MemoryTransport};
