//! Wrappers that make an implementation fail as real ones do: refuse a call, lose its answer, tear a
//! batch. What they do is drawn from one seeded source of randomness, so that a run can be repeated.

mod dice;
mod stores;
mod transport;

pub use dice::{Dice, injected};
pub use stores::FaultyStores;
pub use transport::FaultyTransport;
