use cdc_testkit::{
    conformance,
    memory::{MemoryLog, MemoryStores, MemoryTransport},
};

#[tokio::test]
async fn the_memory_log_keeps_the_promises_of_a_transport() {
    let log = MemoryLog::new(1, 1);
    conformance::transport::transport(async || MemoryTransport::open(&log)).await;
}

/// State that outlives the value which stands for a process.
macro_rules! stores {
    ($suite:ident) => {{
        let stores = MemoryStores::new();
        conformance::store::$suite(async || MemoryStores::share(&stores)).await;
    }};
}

#[tokio::test]
async fn the_memory_state_keeps_the_promises_of_the_stores() {
    stores!(checkpoint_store);
    stores!(schema_store);
    stores!(dead_letter_store);
}
