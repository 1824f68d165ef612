use crate::world::World;
use async_trait::async_trait;
use cdc_core::{Result, Sink};
use cdc_testkit::conformance::sink::{Destination, Seen, run};

struct Files(World);

#[async_trait]
impl Destination for Files {
    async fn open(&self) -> Result<Box<dyn Sink>> {
        self.0.open().await
    }

    async fn seen(&self) -> Vec<Seen> {
        let lines = self.0.committed().into_iter();
        lines
            .map(|line| Seen {
                id: line["value"]["after"]["id"].as_i64().unwrap(),
                sequence: line["value"]["after"]["sequence"].as_i64().unwrap(),
                identity: line["position"].as_str().unwrap().to_owned(),
            })
            .collect()
    }
}

#[tokio::test]
async fn one_file_keeps_its_promise() {
    run(async || Files(World::new())).await;
}

#[tokio::test]
async fn rotated_files_keep_their_promise() {
    run(async || {
        let mut world = World::new();
        world.config.rotate_bytes = 20_000;
        Files(world)
    })
    .await;
}
