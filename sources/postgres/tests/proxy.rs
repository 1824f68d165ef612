//! A TCP proxy in front of a server that can lose its client's side without telling the server.

use cdc_testkit::services::Postgres;
use std::sync::{Arc, Mutex};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Forwards connections until it is dropped.
pub(crate) struct Proxy {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Sockets to the server that are kept open although nobody forwards.
    kept: Arc<Mutex<Vec<std::net::TcpStream>>>,
    task: JoinSet<()>,
}

impl Proxy {
    /// Listens on `host`, an address of this machine.
    pub(crate) async fn start(host: &str, server: &Postgres) -> Self {
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = (server.host().to_owned(), server.port());
        let kept: Arc<Mutex<Vec<std::net::TcpStream>>> = Arc::default();
        let keep = Arc::clone(&kept);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let server = TcpStream::connect(&address).await.unwrap();
                // A second handle keeps the server's side open after the forwarding has ended.
                let server = server.into_std().unwrap();
                keep.lock().unwrap().push(server.try_clone().unwrap());
                let mut server = TcpStream::from_std(server).unwrap();
                connections.spawn(async move {
                    drop(copy_bidirectional(&mut client, &mut server).await);
                });
            }
        });
        Self { host: host.to_owned(), port, kept, task }
    }

    /// Stops forwarding. The server believes that its clients are still there.
    pub(crate) fn freeze(&mut self) {
        self.task.abort_all();
    }

    /// How many connections the server still believes in.
    pub(crate) fn kept(&self) -> usize {
        self.kept.lock().unwrap().len()
    }
}
