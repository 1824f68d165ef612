use crate::{open, small_segments};
use cdc_testkit::conformance;
use cdc_transport_embedded::Config;

#[tokio::test(flavor = "multi_thread")]
async fn the_log_keeps_the_promises_of_a_transport() {
    let dir = tempfile::tempdir().unwrap();
    conformance::transport::transport(async || open(dir.path(), Config::default()).await).await;
}

#[tokio::test]
async fn the_log_keeps_them_in_small_segments() {
    let dir = tempfile::tempdir().unwrap();
    conformance::transport::transport(async || open(dir.path(), small_segments()).await).await;
}
