// SPDX-License-Identifier: Apache-2.0
//! What is counted of the TLS of the listeners.
//!
//! In scope: handshakes by what became of them, when the certificates that are shown end. Out of scope: why a handshake failed, which everybody can make fail.
//! Invariant: outcomes are names of this program.

use std::sync::Arc;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use touchmark_sequencer::Clock;

use super::chain_ends::ChainEnds;

/// What became of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    Done,
    /// The peer speaks something else, does not know the certificate, or has gone.
    Failed,
    TimedOut,
}

impl Handshake {
    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandshakeLabels {
    outcome: &'static str,
}

/// The metrics of the process's TLS. Cheap to clone.
#[derive(Clone)]
pub(crate) struct TlsMetrics {
    handshakes: Family<HandshakeLabels, Counter>,
    chain: ChainEnds,
}

impl TlsMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let help = "Time until a certificate of the listeners ends, the server's own at position 0";
        let chain = ChainEnds::new("tls_certificate_expires_in_seconds", help);
        let handshakes = Family::<HandshakeLabels, Counter>::default();
        registry.register("tls_handshakes", "TLS handshakes by what became of them", handshakes.clone());
        registry.register_collector(Box::new(chain.clone()));
        Self { handshakes, chain }
    }

    pub(crate) fn count(&self, outcome: Handshake) {
        self.handshakes.get_or_create(&HandshakeLabels { outcome: outcome.name() }).inc();
    }

    /// Shows from now on when the certificates of a chain end, the server's own first.
    pub(crate) fn watch(&self, ends: Vec<Timestamp>, clock: Arc<dyn Clock>) {
        self.chain.watch(ends, clock);
    }
}
