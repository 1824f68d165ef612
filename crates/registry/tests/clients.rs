use crate::world::world;
use cdc_testkit::services::{confluent, skip};
use std::path::Path;

/// Confluent's client and its serializers for all three languages find what they expect.
#[tokio::test]
async fn confluent_serializers_work_with_the_embedded_registry() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/confluent.py");
    let mut command = match confluent::python(&script) {
        Ok(command) => command,
        Err(error) => {
            skip("Confluent's client against the embedded registry", &format!("{error:#}"))
                .unwrap();
            return;
        }
    };
    let world = world().await;
    command.arg(world.url());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let done = String::from_utf8_lossy(&output.stdout);
    let parts: Vec<&str> = done.lines().filter_map(|line| line.strip_prefix("done ")).collect();
    assert_eq!(parts, ["requests", "avro", "json", "protobuf"], "{done}");
}
