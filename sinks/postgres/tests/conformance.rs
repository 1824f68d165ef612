use crate::target::{Target, context, target};
use async_trait::async_trait;
use cdc_core::{Result, Sink, catalog::SinkConnector};
use cdc_sink_postgres::{Config, Connector};
use cdc_testkit::conformance::sink::{self, Destination, Seen};
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A way to the server on which the answer to one COMMIT can get lost.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    loses_next_commit: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) async fn start(to_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let loses_next_commit = Arc::new(AtomicBool::new(false));
        let armed = Arc::clone(&loses_next_commit);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, to_port, Arc::clone(&armed)));
            }
        });
        Self { port, loses_next_commit }
    }

    pub(crate) fn lose_next_commit(&self) {
        self.loses_next_commit.store(true, Ordering::SeqCst);
    }
}

async fn relay(mut client: TcpStream, to_port: u16, armed: Arc<AtomicBool>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", to_port)).await else { return };
    let (mut from_client, mut from_server) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! { biased;
            read = client.read(&mut from_client) => {
                let Ok(count @ 1..) = read else { return };
                let sent = &from_client[..count];
                let commits = sent.windows(7).any(|window| window == b"COMMIT\0");
                if server.write_all(sent).await.is_err() {
                    return;
                }
                if commits && armed.swap(false, Ordering::SeqCst) {
                    // The server has answered: it has committed. The client never hears of it.
                    let mut answer = Vec::new();
                    while !answer.windows(7).any(|window| window == b"COMMIT\0") {
                        let Ok(count @ 1..) = server.read(&mut from_server).await else { return };
                        answer.extend_from_slice(&from_server[..count]);
                    }
                    return;
                }
            }
            read = server.read(&mut from_server) => {
                let Ok(count @ 1..) = read else { return };
                if client.write_all(&from_server[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

struct Place {
    target: Target,
    proxy: Proxy,
    config: Config,
    events: bool,
}

impl Place {
    async fn new(extra: serde_json::Value) -> Self {
        let target = target().await;
        let proxy = Proxy::start(target.server.port()).await;
        let mut config = target.config(extra);
        config.port = proxy.port;
        let events = config.target_table.is_some();
        Self { target, proxy, config, events }
    }
}

#[async_trait]
impl Destination for Place {
    async fn open(&self) -> Result<Box<dyn Sink>> {
        Connector::new(self.config.clone()).unwrap().open(&context()).await
    }

    async fn seen(&self) -> Vec<Seen> {
        let (exists, sql) = if self.events {
            (
                "SELECT to_regclass('audit.events') IS NOT NULL",
                "SELECT event_value->'after'->>'id', event_value->'after'->>'sequence',
                        source_offset FROM audit.events
                  WHERE source_topic = 'cdc.public.conformance' ORDER BY source_offset",
            )
        } else {
            (
                "SELECT to_regclass('public.conformance') IS NOT NULL",
                "SELECT id, sequence, id FROM public.conformance ORDER BY id",
            )
        };
        if self.target.rows(exists).await != ["t"] {
            return Vec::new();
        }
        let rows = self.target.rows(sql).await;
        rows.iter()
            .map(|row| {
                let parts: Vec<&str> = row.split('|').collect();
                Seen {
                    id: parts[0].parse().unwrap(),
                    sequence: parts[1].parse().unwrap(),
                    identity: parts[2].into(),
                }
            })
            .collect()
    }

    fn is_table(&self) -> bool {
        !self.events
    }

    async fn lose_next_answer(&self) -> bool {
        self.proxy.lose_next_commit();
        true
    }
}

#[tokio::test]
async fn a_replica_keeps_the_contract_of_a_sink() {
    sink::run(async || Place::new(json!({})).await).await;
}

#[tokio::test]
async fn an_events_table_keeps_the_contract_of_a_sink() {
    sink::run(async || Place::new(json!({"target_table": "audit.events"})).await).await;
}

#[tokio::test]
async fn an_events_table_with_upsert_keeps_the_contract_of_a_sink() {
    let extra = json!({"target_table": "audit.events", "upsert": true});
    sink::run(async || Place::new(extra.clone()).await).await;
}
