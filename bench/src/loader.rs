// SPDX-License-Identifier: Apache-2.0
//! Closed and open loops over kept connections, as cheap as they can be: load and server share the cores.
//!
//! In scope: sending prepared HTTP/1.1 requests, finding the end of each reply, latencies. Out of scope: HTTP in general; it reads
//! what the servers of this measurement write (a `content-length`, no chunks).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A reply is never longer: a log entry's has some 2 KiB.
const REPLY_BYTES_MAX: usize = 64 << 10;
/// No reply takes longer, or the measurement ends.
const REPLY_WITHIN: Duration = Duration::from_secs(30);

/// Requests that were made before, head and body.
pub struct Requests {
    prepared: Vec<Vec<u8>>,
    supply: Supply,
    next: AtomicUsize,
}

/// How often a prepared request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supply {
    /// Once: when all are sent the measurement fails.
    Once,
    /// In turns, for a server to which no two requests differ.
    Again,
}

impl Requests {
    #[must_use]
    pub fn new(prepared: Vec<Vec<u8>>, supply: Supply) -> Self {
        Self { prepared, supply, next: AtomicUsize::new(0) }
    }

    fn next(&self) -> Option<&[u8]> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let place = match self.supply {
            Supply::Once => next,
            Supply::Again => next.checked_rem(self.prepared.len())?,
        };
        self.prepared.get(place).map(Vec::as_slice)
    }
}

/// A POST of JSON to this machine, as it goes over the wire.
#[must_use]
pub fn post_json(port: u16, path: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// What a load saw.
#[derive(Default)]
pub struct Load {
    /// Sorted.
    latencies: Vec<Duration>,
    span: Duration,
    pub clients: usize,
    /// Some of the replies, to be looked at.
    pub samples: Vec<Vec<u8>>,
}

impl Load {
    #[must_use]
    pub fn count(&self) -> usize {
        self.latencies.len()
    }

    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.span.as_secs_f64()
    }

    /// A row of the report: what it was, clients, per second, p50, p99 and the worst.
    #[must_use]
    pub fn row(&self, what: &str) -> String {
        let (clients, per_second) = (self.clients, self.per_second());
        let [p50, p99, worst] = [500, 990, 1000].map(|per_mille| self.within_ms(per_mille));
        format!("| {what} | {clients} | {per_second:.0} | {p50:.2} ms | {p99:.2} ms | {worst:.2} ms |")
    }

    /// `per_mille` of all were answered within so many milliseconds.
    #[must_use]
    pub fn within_ms(&self, per_mille: usize) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get(last * per_mille / 1000).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    }
}

/// One of so many replies is kept.
const SAMPLE_EVERY: usize = 1000;

/// `clients` connections, each sending its next request when the last one was answered, until `span` is over.
///
/// # Errors
/// A request was not answered with `status` in time, or the prepared ones did not suffice.
pub async fn closed(port: u16, status: u16, clients: usize, span: Duration, from: &Arc<Requests>) -> Result<Load> {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let from = Arc::clone(from);
            tokio::spawn(async move {
                let mut connection = Connection::open(port).await?;
                let mut load = Load::default();
                while begun.elapsed() < span {
                    let request = from.next().context("more requests would be needed: prepare more of them")?;
                    load.send(&mut connection, request, status).await?;
                }
                anyhow::Ok(load)
            })
        })
        .collect();
    let mut all = Load::default();
    for task in tasks {
        all.join(task.await.context("a client panicked")??);
    }
    all.span = begun.elapsed();
    all.clients = clients;
    all.latencies.sort_unstable();
    ensure!(all.count() > 0, "not one request was answered");
    Ok(all)
}

/// `per_second` requests evenly in time, whatever becomes of the others; a latency counts from when its request was due.
///
/// # Errors
/// As [`closed`].
pub async fn open(port: u16, status: u16, per_second: u32, span: Duration, from: &Arc<Requests>) -> Result<Load> {
    const CONNECTIONS: u32 = 16;
    let begun = Instant::now() + Duration::from_millis(50);
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|connection| {
            let from = Arc::clone(from);
            tokio::spawn(async move {
                let mut load = Load::default();
                let mut stream = Connection::open(port).await?;
                for turn in 0.. {
                    let due = begun + Duration::from_secs(1) * (turn * CONNECTIONS + connection) / per_second;
                    if due > begun + span {
                        break;
                    }
                    tokio::time::sleep_until(due.into()).await;
                    let request = from.next().context("more requests would be needed: prepare more of them")?;
                    load.send_due(&mut stream, request, status, due).await?;
                }
                anyhow::Ok(load)
            })
        })
        .collect();
    let mut all = Load { span, clients: CONNECTIONS as usize, ..Load::default() };
    for task in tasks {
        all.join(task.await.context("a client panicked")??);
    }
    all.latencies.sort_unstable();
    ensure!(all.count() > 0, "not one request was answered");
    Ok(all)
}

impl Load {
    async fn send(&mut self, connection: &mut Connection, request: &[u8], status: u16) -> Result<()> {
        self.send_due(connection, request, status, Instant::now()).await
    }

    async fn send_due(&mut self, connection: &mut Connection, request: &[u8], status: u16, due: Instant) -> Result<()> {
        let reply = tokio::time::timeout(REPLY_WITHIN, connection.exchange(request));
        let (found, body) = reply.await.context("no reply in time")??;
        self.latencies.push(due.elapsed());
        ensure!(found == status, "status {found} for {status}: {}", String::from_utf8_lossy(body));
        if self.latencies.len() % SAMPLE_EVERY == 1 {
            self.samples.push(body.to_vec());
        }
        Ok(())
    }

    fn join(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.samples.extend(other.samples);
    }
}

struct Connection {
    stream: TcpStream,
    reply: Vec<u8>,
}

impl Connection {
    async fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.context("cannot connect")?;
        stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        Ok(Self { stream, reply: Vec::with_capacity(REPLY_BYTES_MAX) })
    }

    /// Sends a request and reads its reply: status and body.
    async fn exchange(&mut self, request: &[u8]) -> Result<(u16, &[u8])> {
        self.stream.write_all(request).await.context("cannot send")?;
        self.reply.clear();
        let (status, head, body) = loop {
            if let Some(head) = head(&self.reply)? {
                break head;
            }
            self.read().await?;
        };
        while self.reply.len() < head + body {
            self.read().await?;
        }
        Ok((status, self.reply.get(head..head + body).unwrap_or_default()))
    }

    async fn read(&mut self) -> Result<()> {
        ensure!(self.reply.len() < REPLY_BYTES_MAX, "a reply has more than {REPLY_BYTES_MAX} bytes");
        let read = self.stream.read_buf(&mut self.reply).await.context("cannot read")?;
        ensure!(read > 0, "the server closed the connection: {}", String::from_utf8_lossy(&self.reply));
        Ok(())
    }
}

/// Status, bytes of the head, bytes of the body; none while the head is not whole.
fn head(reply: &[u8]) -> Result<Option<(u16, usize, usize)>> {
    const END: &[u8] = b"\r\n\r\n";
    let Some(end) = reply.windows(END.len()).position(|window| window == END) else { return Ok(None) };
    let head = std::str::from_utf8(reply.get(..end).unwrap_or_default()).context("a head that is no text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") { value.trim().parse().ok() } else { None }
    });
    let (Some(status), Some(length)) = (status, length) else { bail!("a reply without status or length: {head}") };
    Ok(Some((status, end + END.len(), length)))
}
