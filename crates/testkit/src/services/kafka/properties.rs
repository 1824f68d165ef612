//! What stands in the brokers' `server.properties`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::node::Node;
use super::{KafkaOptions, Listener, PASSWORD, USER};
use crate::services::certificates::Certificates;

const JAAS: &str = "org.apache.kafka.common.security";

/// Makes certificates, and the server's key and certificate in the one file that Kafka reads.
pub(super) fn certificates(root: &Path) -> anyhow::Result<Certificates> {
    let made = Certificates::create(root, "cdc-client")?;
    let key = std::fs::read_to_string(made.server_key()).context("read the server's key")?;
    let certificate = std::fs::read_to_string(made.server_cert())?;
    std::fs::write(key_store(root), format!("{key}{certificate}"))?;
    Ok(made)
}

fn key_store(root: &Path) -> PathBuf {
    root.join("server.pem")
}

/// Writes the file of every node.
pub(super) fn write(
    nodes: &[Node],
    certificates: Option<&Certificates>,
    options: &KafkaOptions,
) -> anyhow::Result<()> {
    let voters: Vec<String> = nodes
        .iter()
        .map(|node| format!("{}@127.0.0.1:{}", node.id(), node.controller_port()))
        .collect();
    for node in nodes {
        let mut text = cluster(node, nodes.len(), &voters.join(","));
        text.push_str(&listeners(node, certificates.is_some()));
        if let Some(certificates) = certificates {
            text.push_str(&security(node, certificates));
        }
        for (key, value) in &options.settings {
            writeln!(text, "{key}={value}")?;
        }
        std::fs::write(node.properties(), text).context("write server.properties")?;
    }
    Ok(())
}

// Small and quick: few partitions of the brokers' own topics, and a silent broker is given up soon.
fn cluster(node: &Node, nodes: usize, voters: &str) -> String {
    let replicas = nodes.min(3);
    let in_sync = replicas.div_ceil(2);
    format!(
        "process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
log.dirs={data}
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=1
auto.create.topics.enable=false
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=1000
replica.lag.time.max.ms=5000
request.timeout.ms=5000
controller.socket.timeout.ms=5000
log.retention.check.interval.ms=500
log.initial.task.delay.ms=500
",
        id = node.id(),
        data = node.data().display(),
    )
}

fn listeners(node: &Node, secured: bool) -> String {
    let mut all = vec![("PLAIN", "PLAINTEXT", node.port(Listener::Plain))];
    if secured {
        all.push(("SASL", "SASL_PLAINTEXT", node.port(Listener::Sasl)));
        all.push(("SASLTLS", "SASL_SSL", node.port(Listener::SaslTls)));
        all.push(("MTLS", "SSL", node.port(Listener::MutualTls)));
    }
    let reached: Vec<_> =
        all.iter().map(|(name, _, port)| format!("{name}://127.0.0.1:{port}")).collect();
    let protocols: Vec<_> = all.iter().map(|(name, kind, _)| format!("{name}:{kind}")).collect();
    let (reached, protocols) = (reached.join(","), protocols.join(","));
    format!(
        "listeners={reached},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={reached}
listener.security.protocol.map={protocols},CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAIN
",
        controller = node.controller_port(),
    )
}

fn security(node: &Node, certificates: &Certificates) -> String {
    let root = node.root();
    let mut text = format!(
        "ssl.keystore.type=PEM
ssl.keystore.location={}
ssl.truststore.type=PEM
ssl.truststore.location={}
listener.name.mtls.ssl.client.auth=required
",
        key_store(root).display(),
        certificates.ca().display(),
    );
    for listener in ["sasl", "sasltls"] {
        let name = format!("listener.name.{listener}");
        text.push_str(&format!(
            "{name}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
{name}.plain.sasl.jaas.config={JAAS}.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";
{name}.scram-sha-256.sasl.jaas.config={JAAS}.scram.ScramLoginModule required;
{name}.scram-sha-512.sasl.jaas.config={JAAS}.scram.ScramLoginModule required;
{name}.oauthbearer.sasl.jaas.config={JAAS}.oauthbearer.OAuthBearerLoginModule required \
             unsecuredLoginStringClaim_sub=\"broker\";
"
        ));
    }
    text
}
