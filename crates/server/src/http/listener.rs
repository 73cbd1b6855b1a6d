// SPDX-License-Identifier: Apache-2.0
//! The accept loop: HTTP/1.1 and HTTP/2 on one port, under TLS or without it.
//!
//! In scope: the number of connections, the time a peer may take to send a request head, graceful shutdown.
//! Out of scope: routing and what a request costs ([`super::layers`]); certificates and the handshake ([`super::tls`]).
//! Invariants: a listener speaks TLS on every connection or on none; no peer holds a connection longer than [`HANDSHAKE_TIMEOUT`] without
//! having done the handshake, then longer than [`HEAD_READ_TIMEOUT`] without sending a whole request head (HTTP/2: its
//! preface, and then an answer to each ping), nor longer than [`WRITE_STALL_TIMEOUT`] with a write that waits, nor longer than twice
//! [`REPLY_STALL_TIMEOUT`] with replies that it asked for and does not take, by whatever means of HTTP/2 it puts them off ([`super::replies`]).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::ServiceExt;

use super::Answers;
use super::preface::{Begun, PREFACE};
use super::replies::Peer;
use super::stall::WriteStall;
use super::tls::{HANDSHAKE_TIMEOUT, Terminator};

/// Open connections on one listener; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 4096;
/// Time to send a request head, also between two requests of one connection.
const HEAD_READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Time in which a peer must take at least one byte of what waits for it.
const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Time in which a peer must take some of the replies that are held for it, also when it does not let them be written.
const REPLY_STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Time that requests under way get at shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest request head: a token of some kilobytes in a header fits many times.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Streams at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// Pause after the system refused a connection, typically for want of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Tells every part of the process to stop; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// The switch and what it switches.
    pub(crate) fn pair() -> (watch::Sender<bool>, Stop) {
        let (sender, receiver) = watch::channel(false);
        (sender, Stop(receiver))
    }

    /// Returns once the process is to stop, also when the switch itself is gone.
    pub(crate) async fn requested(&mut self) {
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// Where the other end of a request's connection is; an extension of every request of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerAddress(pub(crate) IpAddr);

/// What the connections of a listener speak below HTTP: all of them the same.
#[derive(Clone)]
pub(crate) enum Transport {
    Plain,
    Tls(Terminator),
}

/// How long a peer is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) handshake: Duration,
    pub(super) head: Duration,
    pub(super) replies: Duration,
}

impl Patience {
    pub(super) const USUAL: Self =
        Self { handshake: HANDSHAKE_TIMEOUT, head: HEAD_READ_TIMEOUT, replies: REPLY_STALL_TIMEOUT };
}

/// Serves until `stop`, then lets requests under way finish.
pub(crate) async fn serve(listener: TcpListener, transport: Transport, service: impl Answers, stop: Stop) {
    serve_patiently(listener, transport, service, stop, Patience::USUAL).await;
}

pub(super) async fn serve_patiently(
    listener: TcpListener,
    transport: Transport,
    service: impl Answers,
    mut stop: Stop,
    patience: Patience,
) {
    let graceful = GracefulShutdown::new();
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &connections) => accepted,
            () = stop.requested() => break,
        };
        if let Some((stream, address, permit)) = accepted {
            let watcher = graceful.watcher();
            let service = service.clone();
            let transport = transport.clone();
            let mut stop = stop.clone();
            tokio::spawn(async move {
                let peer = Peer::default();
                let begun = tokio::select! {
                    begun = begin(stream, &transport, &peer, patience) => begun,
                    () = stop.requested() => None,
                };
                if let Some((stream, protocol)) = begun {
                    let asking = Asking { address, peer, service };
                    connection(stream, protocol, asking, watcher, patience).await;
                }
                drop(permit);
            });
        }
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests still under way at the end of the shutdown period were cut off");
    }
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, PeerAddress, OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, PeerAddress(peer.ip()), permit)),
        Err(error) => {
            tracing::warn!(%error, "a connection was not accepted");
            tokio::time::sleep(ACCEPT_RETRY).await;
            None
        }
    }
}

/// A connection, whatever lies below HTTP.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Waits until it is known what the peer speaks.
async fn begin(
    stream: TcpStream,
    transport: &Transport,
    peer: &Peer,
    patience: Patience,
) -> Option<(Box<dyn Stream>, Protocol)> {
    // Without this a reply of two writes waits for the peer's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    match transport {
        Transport::Plain => {
            let protocol = first_bytes(&stream, patience.head).await?;
            Some((Box::new(WriteStall::new(stream, WRITE_STALL_TIMEOUT, peer.clone())), protocol))
        }
        Transport::Tls(terminator) => {
            // Below TLS, whose own buffer would hide that nothing is taken.
            let stream = WriteStall::new(stream, WRITE_STALL_TIMEOUT, peer.clone());
            let (stream, protocol) = terminator.handshake(stream, patience.handshake).await?;
            // As without TLS: until a peer has begun, a shutdown does not wait for it.
            let begun = tokio::time::timeout(patience.head, Begun::of(stream, protocol)).await.ok().flatten()?;
            Some((Box::new(begun), protocol))
        }
    }
}

/// What answers, and whom.
struct Asking<S> {
    address: PeerAddress,
    peer: Peer,
    service: S,
}

async fn connection(
    stream: Box<dyn Stream>,
    protocol: Protocol,
    asking: Asking<impl Answers>,
    watcher: Watcher,
    patience: Patience,
) {
    let Asking { address, peer, service } = asking;
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder = match protocol {
        Protocol::Http1 => builder.http1_only(),
        Protocol::Http2 => builder.http2_only(),
    };
    builder.http1().timer(TokioTimer::new()).header_read_timeout(patience.head).max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(patience.head)
        .keep_alive_timeout(patience.head);
    // By this the layers around the service know whose replies they count.
    let asked_by = peer.clone();
    let answer = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(asked_by.clone());
        request.extensions_mut().insert(address);
        service.clone().oneshot(request)
    });
    let served = builder.serve_connection(TokioIo::new(stream), answer).into_owned();
    tokio::select! {
        ended = watcher.watch(served) => if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        },
        () = peer.stalled(patience.replies) => tracing::debug!("a connection was closed: its peer does not take the replies it asked for"),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Looks at the first bytes to tell HTTP/2 from HTTP/1.1.
///
/// The automatic detection of hyper-util waits without end for a peer that sends the first byte alone, and HTTP/2 itself for one
/// that sends a part of its preface: pings begin after it. So all of it must be there.
async fn first_bytes(stream: &TcpStream, patience: Duration) -> Option<Protocol> {
    /// The socket stays readable while a part of the preface lies in it, so that only waiting helps.
    const RETRY: Duration = Duration::from_millis(5);
    let detect = async {
        let mut seen = [0u8; PREFACE.len()];
        loop {
            let count = stream.peek(&mut seen).await.ok()?;
            let seen = seen.get(..count)?;
            if seen.is_empty() {
                return None;
            }
            if !PREFACE.starts_with(seen) {
                return Some(Protocol::Http1);
            }
            if seen.len() == PREFACE.len() {
                return Some(Protocol::Http2);
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    tokio::time::timeout(patience, detect).await.ok().flatten()
}

/// Binds an address; the error names it.
pub(crate) async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), std::io::Error> {
    let listener = TcpListener::bind(address).await?;
    let actual = listener.local_addr()?;
    Ok((listener, actual))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn started() -> (SocketAddr, watch::Sender<bool>, tokio::task::JoinHandle<()>) {
        let (listener, address) = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let (switch, stop) = Stop::pair();
        let router = Router::new().route("/", get(|| async { "ok" }));
        (address, switch, tokio::spawn(serve(listener, Transport::Plain, router, stop)))
    }

    async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
        tokio::net::TcpSocket::new_v4()?.connect(address).await
    }

    #[tokio::test]
    async fn answers_and_stops_when_told() {
        let (address, switch, task) = started().await;
        let mut stream = connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
        switch.send(true).unwrap();
        task.await.unwrap();
        assert!(connect(address).await.is_err());
    }

    #[tokio::test]
    async fn a_silent_connection_does_not_hold_up_the_shutdown() {
        let (address, switch, task) = started().await;
        let mut idle = connect(address).await.unwrap();
        idle.write_all(b"PR").await.unwrap();
        switch.send(true).unwrap();
        tokio::time::timeout(Duration::from_secs(5), task).await.expect("stops at once").unwrap();
    }

    #[tokio::test]
    async fn a_part_of_the_http2_preface_does_not_pass_for_http2() {
        let (listener, address) = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        for (bytes, expect) in [
            ("", None),
            ("P", None),
            ("PRI ", None),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r", None),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Protocol::Http2)),
            ("PRI * HTTP/1.1\r\n", Some(Protocol::Http1)),
            ("PO", Some(Protocol::Http1)),
        ] {
            let mut client = connect(address).await.unwrap();
            client.write_all(bytes.as_bytes()).await.unwrap();
            let (stream, _peer) = listener.accept().await.unwrap();
            assert_eq!(first_bytes(&stream, Duration::from_millis(100)).await, expect, "{bytes:?}");
        }
    }
}
