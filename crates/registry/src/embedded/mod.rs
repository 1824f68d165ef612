//! The registry that `cdc` holds itself.
//!
//! ```text
//! http ──▶ Registry ─┬─ registration, versions, settings: what is asked for, by Confluent's rules
//!                    ├─ state: everything in memory
//!                    └─ Store: what was changed, durable before it is answered
//! ```

mod content;
mod contract;
mod deletion;
mod file;
mod refusal;
mod registration;
mod registry;
mod settings;
mod state;
mod store;
mod versions;

pub use content::{Content, Definition};
pub use contract::SharedRegistry;
pub use file::FileStore;
pub use refusal::Refusal;
pub use registration::Registered;
pub use registry::Registry;
pub use settings::{Mode, Settings};
pub use store::{MemoryStore, Slot, Store, Write};
pub use versions::{Selector, Shown, Version};
