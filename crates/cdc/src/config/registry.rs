//! The `registry` block of the platform file: the registry of a pipeline that runs by itself.

use schemars::JsonSchema;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The port that clients of Confluent's registry look at.
const PORT: u16 = 8081;

/// The schema registry of an embedded pipeline, with Confluent's REST API. It is kept beside the log, and
/// has the Avro schemas of all captured tables under `{topic}-key` and `{topic}-value`. With Kafka the
/// registry is that of `kafka.schema_registry_url`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Registry {
    /// Keep and serve it?
    pub enabled: bool,
    /// The address to listen on. `0.0.0.0` lets other machines in; there is no password.
    pub address: IpAddr,
    /// The port to listen on; 0 takes a free one. Without this key it is 8081, and the registry is not
    /// served when another process has that.
    pub port: Option<u16>,
}

impl Default for Registry {
    fn default() -> Self {
        Self { enabled: true, address: IpAddr::V4(Ipv4Addr::LOCALHOST), port: None }
    }
}

impl Registry {
    /// Where it listens.
    #[must_use]
    pub fn listens_at(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port.unwrap_or(PORT))
    }
}
