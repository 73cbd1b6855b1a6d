// SPDX-License-Identifier: Apache-2.0
//! GET and POST over a plain socket, one request a connection: all that a client on loopback needs.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::Outcome;

const PATIENCE: Duration = Duration::from_secs(30);

/// Status and body.
pub(crate) fn get(url: &str) -> Outcome<(u16, Vec<u8>)> {
    request("GET", url, b"")
}

/// Status and body of the reply to a JSON body.
pub(crate) fn post(url: &str, body: &[u8]) -> Outcome<(u16, Vec<u8>)> {
    request("POST", url, body)
}

fn request(method: &str, url: &str, body: &[u8]) -> Outcome<(u16, Vec<u8>)> {
    let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).ok_or("no http URL")?;
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    let end = reply.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or("no head in the reply")?;
    let head = std::str::from_utf8(&reply[..end])?.to_ascii_lowercase();
    if head.contains("transfer-encoding") {
        return Err("a reply in chunks, of which this client knows nothing".into());
    }
    let status = head.split(' ').nth(1).ok_or("no status in the reply")?.parse()?;
    Ok((status, reply[end + 4..].to_vec()))
}
