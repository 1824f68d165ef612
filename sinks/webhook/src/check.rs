//! What can be told about the receiver without sending it anything.

use crate::config::{self, Config};
use cdc_core::Finding;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// A receiver that takes longer than this to accept a connection is reported.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks the host up and connects to it; no request is made.
pub(crate) async fn findings(config: &Config) -> Vec<Finding> {
    let url = match config.parsed_url() {
        Ok(url) => url,
        Err(error) => return vec![Finding::error(error.context, error.remedy.unwrap_or_default())],
    };
    let mut out = Vec::new();
    if url.scheme() == "https"
        && let Err(error) = config.tls.verified().client_config()
    {
        let error = cdc_core::Error::from(error);
        out.push(Finding::error(error.chain(), error.remedy.unwrap_or_default()));
    }
    let shown = config::shown(&url);
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(80);
    out.push(match reach(&host, port).await {
        Ok(address) => {
            Finding::ok(format!("webhook receiver {shown} accepts connections at {address}"))
        }
        Err(why) => Finding::error(
            format!("webhook receiver {shown}: {why}"),
            format!("start the receiver or correct `webhook.url`; try: curl -v {shown}"),
        ),
    });
    if url.scheme() == "http" && !is_local(&host) {
        out.push(Finding::warning(
            format!("webhook receiver {shown} is reached without encryption"),
            "use an https:// address in `webhook.url`",
        ));
    }
    out
}

async fn reach(host: &str, port: u16) -> Result<SocketAddr, String> {
    let found = timeout(CONNECT_TIMEOUT, lookup_host((host, port))).await;
    let addresses: Vec<SocketAddr> = match found {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(format!("its name cannot be looked up: {error}")),
        Err(_) => return Err("its name cannot be looked up: no answer in time".to_owned()),
    };
    let mut why = "its name has no address".to_owned();
    for address in addresses {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(address),
            Ok(Err(error)) => why = format!("{address}: {error}"),
            Err(_) => why = format!("{address}: no answer in time"),
        }
    }
    Err(why)
}

fn is_local(host: &str) -> bool {
    host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
