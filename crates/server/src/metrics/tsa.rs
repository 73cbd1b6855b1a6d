// SPDX-License-Identifier: Apache-2.0
//! What is counted of the timestamp authority.
//!
//! In scope: requests by outcome, how long its key takes to sign, what time servers say of the clock, when its certificates end.
//! Out of scope: requests by route and status, which are counted for every service ([`super`]).
//! Invariant: outcomes are names of this program, servers are configured ones.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use touchmark_outbound::{ClockSample, NtpServer, TimeError};
use touchmark_sequencer::Clock;

use super::chain_ends::ChainEnds;

/// Upper bounds in seconds: from a signature in memory to the deadline of a signer.
const SIGN_BOUNDS_S: [f64; 11] = [0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.004, 0.016, 0.064, 0.25, 1.0, 10.0];

/// Of what is shown only once it is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoLabels {}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabels {
    server: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    server: String,
    outcome: &'static str,
}

/// The metrics of the authority of this process. Cheap to clone.
#[derive(Clone)]
pub(crate) struct TsaMetrics {
    requests: Family<OutcomeLabels, Counter>,
    sign_seconds: Histogram,
    trusted: Family<NoLabels, Gauge>,
    offset_seconds: Family<ServerLabels, Gauge<f64, AtomicU64>>,
    answers: Family<AnswerLabels, Counter>,
    chain: ChainEnds,
}

impl TsaMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let help = "Time until a certificate of the timestamp authority ends, the signing one at position 0";
        let metrics = Self {
            requests: Family::default(),
            sign_seconds: Histogram::new(SIGN_BOUNDS_S),
            trusted: Family::default(),
            offset_seconds: Family::default(),
            answers: Family::default(),
            chain: ChainEnds::new("tsa_certificate_expires_in_seconds", help),
        };
        registry.register("tsa_requests", "Requests for timestamps by what became of them", metrics.requests.clone());
        registry.register("tsa_sign_seconds", "Time to make and sign a token", metrics.sign_seconds.clone());
        let help = "Whether the configured time servers confirm the clock";
        registry.register("tsa_clock_trusted", help, metrics.trusted.clone());
        let help = "What would have to be added to the clock, by the newest answer of a time server";
        registry.register("tsa_clock_offset_seconds", help, metrics.offset_seconds.clone());
        registry.register(
            "tsa_clock_answers",
            "Answers of time servers, or why there was none",
            metrics.answers.clone(),
        );
        registry.register_collector(Box::new(metrics.chain.clone()));
        metrics
    }

    pub(crate) fn count(&self, outcome: &'static str) {
        self.requests.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// The same future, whose time is counted, also when it fails.
    pub(crate) async fn timed<T>(&self, work: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let outcome = work.await;
        self.sign_seconds.observe(begun.elapsed().as_secs_f64());
        outcome
    }

    pub(crate) fn clock_trusted(&self, trusted: Trusted) {
        self.trusted.get_or_create(&NoLabels {}).set(i64::from(trusted == Trusted::Yes));
    }

    /// What a server said of the clock.
    pub(crate) fn clock_answer(&self, server: &NtpServer, answer: &Result<ClockSample, TimeError>) {
        let server = server.to_string();
        if let Ok(sample) = answer {
            #[expect(clippy::cast_precision_loss, reason = "an offset of more than 2^53 µs is wrong by any digit")]
            let offset_seconds = sample.offset_us as f64 / 1e6;
            self.offset_seconds.get_or_create(&ServerLabels { server: server.clone() }).set(offset_seconds);
        }
        self.answers.get_or_create(&AnswerLabels { server, outcome: outcome(answer) }).inc();
    }

    /// Shows from now on when the certificates of a chain end, the signing one first.
    pub(crate) fn watch(&self, ends: Vec<Timestamp>, clock: Arc<dyn Clock>) {
        self.chain.watch(ends, clock);
    }
}

/// Whether time servers confirm the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trusted {
    Yes,
    No,
}

fn outcome(answer: &Result<ClockSample, TimeError>) -> &'static str {
    match answer {
        Ok(_) => "answered",
        Err(TimeError::Resolve) => "unresolved",
        Err(TimeError::Unreachable { .. }) => "unreachable",
        Err(TimeError::Timeout { .. }) => "silent",
        Err(TimeError::KissOfDeath { .. }) => "refused",
        Err(TimeError::Unsynchronised) => "unsynchronised",
        Err(TimeError::Implausible { .. }) => "implausible",
        Err(TimeError::KeyExchange(_) | TimeError::KeysForgotten | TimeError::CookieRepeated) => "no_keys",
        Err(TimeError::NotAuthenticated) => "not_authenticated",
    }
}
