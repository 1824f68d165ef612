use crate::{client::get, world::world};
use cdc_server::Server;
use std::time::{Duration, Instant};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

#[tokio::test]
async fn a_port_in_use_is_named_with_a_remedy() {
    let world = world().await;
    let Err(error) = Server::bind(world.at).await else { panic!("the port was free") };
    assert_eq!(error.code, "CDC-5001");
    assert!(error.context.contains(&world.at.port().to_string()), "{}", error.context);
    assert!(error.remedy.expect("a remedy").contains("rest.health_port"));
}

#[tokio::test]
async fn it_stops_although_a_client_stays_connected() {
    let world = world().await;
    assert_eq!(get(world.at, "/healthz").await.code, 200);
    let mut idle = TcpStream::connect(world.at).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    let start = Instant::now();
    world.cancel.cancel();
    world.serving.await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(TcpStream::connect(world.at).await.is_err());
}
