//! Requests to the services inside a cloud's machine that hand out its identity: plain HTTP to an
//! address of the machine's own network.

use std::{
    io::{Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    time::Duration,
};

/// These services answer at once or are not there.
const TIMEOUT: Duration = Duration::from_secs(2);
/// More than any of their answers.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Asks and returns the body. `url` begins with `http://`.
pub(super) fn request(method: &str, url: &str, headers: &[(&str, &str)]) -> Result<String, String> {
    let problem = |why: String| format!("{url}: {why}");
    let rest = url.strip_prefix("http://").ok_or_else(|| problem("is not http".to_owned()))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let text = exchange(&address, &message(method, host, path, headers))
        .map_err(|error| problem(error.to_string()))?;
    body(&text).map_err(problem)
}

fn exchange(address: &str, message: &str) -> std::io::Result<String> {
    let missing = || std::io::Error::other("the name is not known");
    let address = address.to_socket_addrs()?.next().ok_or_else(missing)?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(message.as_bytes())?;
    let mut text = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

// Version 1.0, so that the body ends with the connection.
fn message(method: &str, host: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let lines: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{method} /{path} HTTP/1.0\r\nHost: {host}\r\n{lines}\r\n")
}

fn body(text: &str) -> Result<String, String> {
    let (head, body) = text.split_once("\r\n\r\n").ok_or("the answer is not HTTP")?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if status == "200" { Ok(body.to_owned()) } else { Err(format!("status {status}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::TcpListener;

    proptest! {
        #[test]
        fn no_answer_is_too_strange(text: String) {
            if let Ok(found) = body(&text) {
                prop_assert!(text.ends_with(&found));
            }
        }
    }

    #[test]
    fn a_body_comes_back_and_another_status_is_an_error() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/token", server.local_addr().unwrap());
        let serve = std::thread::spawn(move || {
            for status in ["200 OK", "404 Not Found"] {
                let (mut stream, _) = server.accept().unwrap();
                let mut asked = [0; 1024];
                let length = stream.read(&mut asked).unwrap();
                let asked = String::from_utf8_lossy(&asked[..length]).into_owned();
                assert!(asked.starts_with("GET /token HTTP/1.0\r\n"), "{asked}");
                assert!(asked.contains("Metadata-Flavor: Google\r\n"), "{asked}");
                write!(stream, "HTTP/1.0 {status}\r\nA: b\r\n\r\nbody").unwrap();
            }
        });
        let headers = [("Metadata-Flavor", "Google")];
        assert_eq!(request("GET", &url, &headers).unwrap(), "body");
        assert!(request("GET", &url, &headers).unwrap_err().contains("status 404"));
        serve.join().unwrap();
    }
}
