// SPDX-License-Identifier: Apache-2.0
//! Establishing keys with a time server, over TLS 1.3 (RFC 8915 §4).
//!
//! In scope: connection, handshake, the records there and back, the keys that follow. Out of scope: reading records ([`super::records`]); when keys are
//! established anew ([`super`]).
//! Invariants: nothing is sent but to a server whose certificate names the host that the operator gave, and who says that it speaks this protocol; an answer
//! has a length and a time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{ClientConfig, Error as TlsError};
use touchmark_keys::{SIV_KEY_BYTES, SivKey};
use zeroize::Zeroizing;

use super::records::{self, RecordsError};
use super::{ALPN, Association};
use crate::sntp::resolve;
use crate::time_server::{NTP_PORT, NtpServer};

/// Time for all of it: a connection, a handshake and one question, three round trips on the slowest lines. Other servers of the round wait as long.
pub(super) const EXCHANGE_WITHIN: Duration = Duration::from_secs(5);
/// RFC 8915 §4.3.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-network-time-security";

/// Why there are no keys.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum KeyExchangeError {
    #[error("the host name does not resolve")]
    Resolve,
    #[error("cannot be reached: {kind}")]
    Unreachable { kind: io::ErrorKind },
    #[error("it took longer than {} ms", after.as_millis())]
    Timeout { after: Duration },
    /// The certificate is not for this host, not valid, or of a CA that is not trusted; or the server speaks no TLS 1.3.
    #[error("TLS: {0}")]
    Tls(TlsError),
    #[error("the server does not say that it speaks the protocol (ALPN ntske/1)")]
    Alpn,
    #[error("the connection broke: {kind}")]
    Broken { kind: io::ErrorKind },
    #[error(transparent)]
    Records(#[from] RecordsError),
}

/// Establishes keys.
pub(super) async fn establish(server: &NtpServer, tls: &Arc<ClientConfig>) -> Result<Association, KeyExchangeError> {
    let after = EXCHANGE_WITHIN;
    let established = tokio::time::timeout(after, exchange(server, tls)).await;
    established.unwrap_or(Err(KeyExchangeError::Timeout { after }))
}

async fn exchange(server: &NtpServer, tls: &Arc<ClientConfig>) -> Result<Association, KeyExchangeError> {
    let (mut stream, peer) = connected(server, tls).await?;
    let broken = |error: io::Error| KeyExchangeError::Broken { kind: error.kind() };
    stream.write_all(&records::request()).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let answer = answered(&mut stream).await?;
    // RFC 8915 §4.1.7 and §4.1.8: where nothing else is said, the host that answered, at the port of NTP.
    let port = answer.port.unwrap_or(NTP_PORT);
    let address = match &answer.server {
        Some(host) => resolve(host, port).await.map_err(|_| KeyExchangeError::Resolve)?,
        None => SocketAddr::new(peer.ip(), port),
    };
    let (to_server, to_client) = (key(&stream, 0)?, key(&stream, 1)?);
    // The answer is whole: a server that does not hear the end takes nothing away.
    let _ = stream.shutdown().await;
    Ok(Association::new(address, to_server, to_client, answer.cookies))
}

async fn connected(
    server: &NtpServer,
    tls: &Arc<ClientConfig>,
) -> Result<(TlsStream<TcpStream>, SocketAddr), KeyExchangeError> {
    let name = ServerName::try_from(server.host().to_owned()).map_err(|_| KeyExchangeError::Resolve)?;
    let unreachable = |error: io::Error| KeyExchangeError::Unreachable { kind: error.kind() };
    let found = tokio::net::lookup_host((server.host(), server.port())).await;
    let addresses: Vec<SocketAddr> = found.map_err(|_| KeyExchangeError::Resolve)?.collect();
    // One after the other, until one is connected.
    let stream = TcpStream::connect(addresses.as_slice()).await.map_err(unreachable)?;
    let peer = stream.peer_addr().map_err(unreachable)?;
    let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.map_err(|error| sort(&error))?;
    if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
        return Err(KeyExchangeError::Alpn);
    }
    Ok((stream, peer))
}

async fn answered(stream: &mut TlsStream<TcpStream>) -> Result<records::Answer, KeyExchangeError> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let length = stream.read(&mut chunk).await.map_err(|error| sort(&error))?;
        if length == 0 {
            return Err(RecordsError::Incomplete.into());
        }
        bytes.extend_from_slice(&chunk[..length]);
        if let Some(answer) = records::read(&bytes)? {
            return Ok(answer);
        }
    }
}

/// The key of one direction (RFC 8915 §5.1).
fn key(stream: &TlsStream<TcpStream>, direction: u8) -> Result<SivKey, KeyExchangeError> {
    let [protocol, algorithm] = [records::NTPV4, records::AES_SIV_CMAC_256];
    let context = [protocol[0], protocol[1], algorithm[0], algorithm[1], direction];
    let mut key = Zeroizing::new([0; SIV_KEY_BYTES]);
    let (_, connection) = stream.get_ref();
    let exported = connection.export_keying_material(key.as_mut_slice(), EXPORTER_LABEL, Some(&context));
    exported.map_err(KeyExchangeError::Tls)?;
    Ok(SivKey::new(key))
}

/// What TLS says is in the error of the stream.
fn sort(error: &io::Error) -> KeyExchangeError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(tls) => KeyExchangeError::Tls(tls.clone()),
        None => KeyExchangeError::Broken { kind: error.kind() },
    }
}
