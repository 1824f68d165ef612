//! The worker's REST interface.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);

/// Asks once; anything but success is an error that holds the answer.
pub(super) fn ask(
    port: u16,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("reach the worker")?;
    stream.set_read_timeout(Some(ANSWER_WAIT_MAX))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("read the worker's answer")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    match status.as_bytes() {
        [b'2', ..] if body.is_empty() => Ok(Value::Null),
        [b'2', ..] => serde_json::from_str(body).context("the worker answers JSON"),
        _ => bail!("{method} {path}: {status}: {body}"),
    }
}
