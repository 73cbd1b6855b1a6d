// SPDX-License-Identifier: Apache-2.0
//! What is counted of the certificate authority.
//!
//! In scope: decisions by outcome and issuer, what each CT log answered, how long the parts take on which issuing waits, when the authority's own certificates end.
//! Out of scope: requests by route and status, which are counted for every service ([`super`]).
//! Invariant: an issuer is a configured one or `other` or `none`, a log a configured one; outcomes are names of this program.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use touchmark_sequencer::Clock;

use super::ends::ChainEnds;

/// Upper bounds in seconds: from a signature in memory to the longest wait for a log.
const STEP_BOUNDS_S: [f64; 12] = [0.0005, 0.001, 0.002, 0.004, 0.016, 0.064, 0.25, 1.0, 2.0, 5.0, 10.0, 20.0];

const CHAIN_HELP: &str = "Time until a certificate of the authority ends, the issuing one at position 0";

/// A part of issuing that may wait for somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// The token, and with it the issuer's keys where they have to be fetched.
    Authenticate,
    /// One signature of the authority.
    Sign,
    /// Precertificate to SCT.
    CtSubmit,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Authenticate => "authenticate",
            Self::Sign => "sign",
            Self::CtSubmit => "ct_submit",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    issuer: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CtLabels {
    log: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    step: &'static str,
}

/// The metrics of the authority of this process. Cheap to clone.
#[derive(Clone)]
pub(crate) struct FulcioMetrics {
    decisions: Family<DecisionLabels, Counter>,
    ct_submissions: Family<CtLabels, Counter>,
    step_seconds: Family<StepLabels, Histogram, fn() -> Histogram>,
    chain: ChainEnds,
}

impl FulcioMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let constructor: fn() -> Histogram = || Histogram::new(STEP_BOUNDS_S);
        let metrics = Self {
            decisions: Family::default(),
            ct_submissions: Family::default(),
            step_seconds: Family::new_with_constructor(constructor),
            chain: ChainEnds::new("fulcio_ca_certificate_expires_in_seconds", CHAIN_HELP),
        };
        let decisions = metrics.decisions.clone();
        registry.register("fulcio_decisions", "Requests for certificates by what became of them", decisions);
        let submissions = metrics.ct_submissions.clone();
        registry.register("fulcio_ct_submissions", "Precertificates by log and what it answered", submissions);
        let steps = metrics.step_seconds.clone();
        registry.register("fulcio_step_seconds", "Time of each part of issuing that may wait for others", steps);
        registry.register_collector(Box::new(metrics.chain.clone()));
        metrics
    }

    /// `issuer` is a configured one, `other`, or `none` if no token was verified.
    pub(crate) fn count(&self, issuer: &str, outcome: &'static str) {
        self.decisions.get_or_create(&DecisionLabels { issuer: issuer.to_owned(), outcome }).inc();
    }

    /// `log` is what the configuration calls it.
    pub(crate) fn count_ct(&self, log: &str, outcome: &'static str) {
        self.ct_submissions.get_or_create(&CtLabels { log: log.to_owned(), outcome }).inc();
    }

    /// The same future, whose time is counted, also when it fails.
    pub(crate) async fn timed<T>(&self, step: Step, work: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let outcome = work.await;
        let seconds = begun.elapsed().as_secs_f64();
        self.step_seconds.get_or_create(&StepLabels { step: step.name() }).observe(seconds);
        outcome
    }

    /// Shows from now on when the certificates of a chain end, the issuing one first.
    pub(crate) fn watch(&self, ends: Vec<Timestamp>, clock: Arc<dyn Clock>) {
        self.chain.watch(ends, clock);
    }
}
