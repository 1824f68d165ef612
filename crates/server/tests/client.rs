//! As little HTTP as the tests need.

use serde_json::Value;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// An answer: status code, head and body.
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

/// Sends one request and reads the whole answer.
pub(crate) async fn send(at: SocketAddr, method: &str, path: &str, body: Option<Value>) -> Answer {
    let body = body.map(|body| body.to_string());
    let content = match &body {
        Some(body) => {
            format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())
        }
        None => String::new(),
    };
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: {at}\r\n{content}Connection: close\r\n\r\n");
    let mut stream = TcpStream::connect(at).await.expect("the server listens");
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(body.unwrap_or_default().as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Answer { code, head: head.to_owned(), body: body.to_owned() }
}

/// Asks for a page.
pub(crate) async fn get(at: SocketAddr, path: &str) -> Answer {
    send(at, "GET", path, None).await
}
