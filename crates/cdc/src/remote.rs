//! Talks to the process that runs a pipeline.

use crate::{
    directory::{Directory, Holder, Lock, Probe, Use},
    failure::{Failure, Outcome},
    pages, when,
};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use std::{net::IpAddr, net::SocketAddr, time::Duration};

/// No answer of a process on this machine takes longer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// Where a pipeline's state can be had.
pub(crate) enum Reach {
    /// From the process that runs it.
    Running(Holder, Remote),
    /// From where it is kept: its folder, which is ours for so long, or elsewhere.
    Stopped(Option<Lock>),
}

/// Finds out whether a pipeline runs.
pub(crate) fn reach(directory: &Directory) -> Outcome<Reach> {
    if !directory.exists() {
        let context = format!("no pipeline has run in {} yet", directory.root().display());
        let remedy = "start it with cdc run, or name its data directory: --data-dir DIR";
        return Err(Failure::new("CDC-0124", context, remedy));
    }
    let holder = if directory.is_shared() {
        match directory.probe()? {
            Probe::Free => return Ok(Reach::Stopped(None)),
            Probe::Taken(holder) => holder,
        }
    } else {
        match directory.take(when::now_ms())? {
            Use::Ours(lock) => return Ok(Reach::Stopped(Some(lock))),
            Use::Taken(holder) => holder,
        }
    };
    match holder {
        Some(holder) if holder.http.is_some() => {
            let remote = Remote::new(holder.http.clone().unwrap_or_default())?;
            Ok(Reach::Running(holder, remote))
        }
        // Others may share the state with a process that is silent.
        Some(_) | None if directory.is_shared() => Ok(Reach::Stopped(None)),
        holder => {
            let who = holder.map_or("a process".to_owned(), |h| format!("process {}", h.pid));
            let context = format!("{who} runs the pipeline, but it does not answer HTTP");
            let remedy = "set rest.health_enabled: true in the platform file and start it again; \
                          if it has only just started, try again";
            Err(Failure::new("CDC-0122", context, remedy))
        }
    }
}

/// The address by which processes of this machine reach a server.
pub(crate) fn local(address: SocketAddr) -> SocketAddr {
    let mut local = address;
    if address.ip().is_unspecified() {
        local.set_ip(if address.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            [0, 0, 0, 0, 0, 0, 0, 1].into()
        });
    }
    local
}

/// The HTTP server of a running pipeline.
pub(crate) struct Remote {
    client: Client,
    base: String,
}

impl Remote {
    /// A server at `address:port`.
    pub(crate) fn new(at: String) -> Outcome<Self> {
        // A proxy for the outside world must not come between two processes of one machine.
        let client = Client::builder().no_proxy().timeout(ANSWER_WAIT).build();
        let client = client.map_err(|error| unreachable(&at, error))?;
        Ok(Self { client, base: at })
    }

    /// The server that a platform file describes.
    pub(crate) fn at(address: IpAddr, port: u16) -> Outcome<Self> {
        Self::new(local(SocketAddr::new(address, port)).to_string())
    }

    /// Asks for a page; an answer that is no success is an error.
    pub(crate) async fn get(&self, path: &str) -> Outcome<Value> {
        self.call(Method::GET, path, None).await
    }

    /// Sends a request with a JSON body.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Outcome<Value> {
        let (status, answer) = self.answer(method, path, body).await?;
        if status.is_success() {
            return Ok(answer);
        }
        let problem = answer.get("error");
        let text = |key: &str| problem.and_then(|p| p.get(key)).and_then(Value::as_str);
        let remedy = text("remedy").unwrap_or("look at the logs of the running pipeline");
        let known = text("code").and_then(pages::of).map(|(code, _)| code);
        Err(match (known, text("message")) {
            (Some(code), Some(message)) => Failure::new(code, message, remedy),
            (None, Some(message)) => Failure::new("CDC-0123", message, remedy),
            (_, None) => {
                let context = format!("the running pipeline answered {status}");
                Failure::new("CDC-0123", context, remedy)
            }
        })
    }

    /// Sends a request and takes whatever answer comes.
    pub(crate) async fn answer(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Outcome<(StatusCode, Value)> {
        let mut request = self.client.request(method, format!("http://{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|error| unreachable(&self.base, error))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| unreachable(&self.base, error))?;
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }
}

fn unreachable(at: &str, error: reqwest::Error) -> Failure {
    let context = format!("no pipeline answers on {at}");
    cdc_core::Error::new(
        "CDC-0125",
        cdc_core::Origin::Config,
        cdc_core::Retry::AfterOperator,
        context,
    )
    .with_remedy(
        "start it with cdc run, or give the platform file it was started with: --platform-config FILE",
    )
    .with_source(error.without_url())
    .into()
}
