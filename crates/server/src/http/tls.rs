// SPDX-License-Identifier: Apache-2.0
//! TLS 1.2 and 1.3 (RFC 5246, RFC 8446) on a listener: the handshake, and which certificate it shows.
//!
//! In scope: the handshake within its time, the protocol that both ends agree on (ALPN, RFC 7301), exchanging key and certificate while connections are open.
//! Out of scope: whether key and certificate are fit ([`credentials`]); reading them again (`crate::instance`); what happens on the connection ([`super::listener`]).
//! Invariants: nothing is answered to who does not speak TLS; a connection keeps the certificate that its handshake showed; no client certificate is asked for,
//! and no data is taken before the handshake is done (RFC 8446 §8 has no answer to their replay).

pub(crate) mod credentials;

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use touchmark_sequencer::Clock;
use touchmark_sigstore::x509::Certificate;

use self::credentials::Credentials;
use super::listener::Protocol;
use crate::metrics::{Handshake, TlsMetrics};

/// Time for the whole handshake: two round trips and a signature, over the slowest lines with some repetition.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a connection that are encrypted and not taken yet: some records (RFC 8446 §5.1: 16 KiB each), beside what the socket holds.
const UNTAKEN_BYTES_MAX: usize = 64 << 10;
/// The names of the protocols (RFC 9113 §3.1, RFC 7301 §6), the preferred one first.
const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// Ends TLS on the listeners of a process; clones show the same certificate.
#[derive(Clone)]
pub(crate) struct Terminator {
    /// Held only to read or to exchange the pointer.
    current: Arc<RwLock<Arc<Credentials>>>,
    clock: Arc<dyn Clock>,
    metrics: TlsMetrics,
}

impl Terminator {
    pub(crate) fn new(credentials: Credentials, clock: Arc<dyn Clock>, metrics: TlsMetrics) -> Self {
        let terminator = Self { current: Arc::new(RwLock::new(Arc::new(credentials))), clock, metrics };
        terminator.watch_ends();
        terminator
    }

    /// Handshakes that begin from now on show these; sessions of the old ones are not resumed.
    pub(crate) fn exchange(&self, credentials: Credentials) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(credentials);
        self.watch_ends();
    }

    /// Looks at the chain that is shown at this moment, the server's certificate first.
    pub(crate) fn inspect<T>(&self, look: impl FnOnce(&[Certificate]) -> T) -> T {
        look(self.current().chain())
    }

    /// The handshake. A peer that does not finish it within `patience`, or not at all, is nobody's business but the count's: everybody can connect, so it
    /// is no line of the log that operators read.
    pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        patience: Duration,
    ) -> Option<(TlsStream<S>, Protocol)> {
        let acceptor = TlsAcceptor::from(self.current().config());
        let accepting = acceptor.accept_with(stream, |connection| connection.set_buffer_limit(Some(UNTAKEN_BYTES_MAX)));
        let outcome = timeout(patience, accepting).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()));
        match outcome {
            Ok(stream) => {
                self.metrics.count(Handshake::Done);
                let protocol = match stream.get_ref().1.alpn_protocol() {
                    Some(ALPN_HTTP2) => Protocol::Http2,
                    // A client that names none speaks HTTP/1.1.
                    Some(_) | None => Protocol::Http1,
                };
                Some((stream, protocol))
            }
            Err(error) => {
                let timed_out = error.kind() == io::ErrorKind::TimedOut;
                self.metrics.count(if timed_out { Handshake::TimedOut } else { Handshake::Failed });
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
        }
    }

    fn current(&self) -> Arc<Credentials> {
        // Nothing panics while the lock is held.
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The metrics are about this chain from now on.
    fn watch_ends(&self) {
        let ends: Vec<Timestamp> = self.inspect(|chain| chain.iter().map(Certificate::not_after).collect());
        self.metrics.watch(ends, Arc::clone(&self.clock));
    }
}

#[cfg(test)]
mod tests;
