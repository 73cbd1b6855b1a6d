// SPDX-License-Identifier: Apache-2.0
//! The authority as requests find it, and how another takes its place while they are answered.
//!
//! In scope: which key, chain and issuers a request is answered with. Out of scope: files, signals, and the log's accepted roots
//! (`crate::instance`).
//! Invariants: a request takes the current authority once and stays with it, so that its precertificate and its certificate are signed by one key,
//! whatever happens meanwhile; what takes over was checked as at the start, and its key has signed; a token that was used up stays so.

use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::FromRef;
use touchmark_sigstore::x509::Certificate;

use super::Operations;
use super::ca::CertificateAuthority;
use super::config::{self, FulcioConfig, FulcioStartError};
use super::ct::CtLogs;
use super::issue::Fulcio;
use super::issuers::Issuers;
use super::limits::RateLimits;
use crate::deps::{Deps, WaysOut, timestamp};

/// The current authority; clones are the same.
#[derive(Clone)]
pub(crate) struct Serving {
    current: Arc<RwLock<Arc<Fulcio>>>,
    ways_out: WaysOut,
}

/// An authority that may take over.
pub(crate) struct Successor(Fulcio);

impl Serving {
    pub(crate) fn new(
        config: FulcioConfig,
        ca: CertificateAuthority,
        ct: CtLogs,
        operations: Operations,
        deps: &Deps,
    ) -> Result<Self, FulcioStartError> {
        config::check(&config)?;
        let issuers = Issuers::new(&config.issuers, &deps.ways_out, &deps.clock);
        let Operations { audit, rate_limit, metrics } = operations;
        let clock = Arc::clone(&deps.clock);
        let limits = Arc::new(RateLimits::new(&rate_limit));
        let fulcio = Fulcio { config, issuers, ca, ct: Arc::new(ct), clock, limits, audit, metrics };
        fulcio.watch_ends();
        Ok(Self::of(fulcio, deps.ways_out.clone()))
    }

    pub(super) fn of(fulcio: Fulcio, ways_out: WaysOut) -> Self {
        Self { current: Arc::new(RwLock::new(Arc::new(fulcio))), ways_out }
    }

    /// What a request that begins now is answered with, to its end.
    pub(super) fn current(&self) -> Arc<Fulcio> {
        // Nothing panics while the lock is held.
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the authority of this moment.
    pub(crate) fn inspect<T>(&self, look: impl FnOnce(&CertificateAuthority) -> T) -> T {
        look(&self.current().ca)
    }

    /// Checks an authority as at the start, and that its key signs. Issuers whose entries are the same keep what is known of them.
    pub(crate) async fn prepare(
        &self,
        config: FulcioConfig,
        ca: CertificateAuthority,
    ) -> Result<Successor, FulcioStartError> {
        config::check(&config)?;
        let current = self.current();
        let _proven = ca.prove(timestamp(current.clock.as_ref())).await?;
        let issuers = current.issuers.succeeded_by(&config.issuers, &self.ways_out, &current.clock);
        // What bounds and watches the authority goes on with what it knows.
        Ok(Successor(Fulcio {
            config,
            issuers,
            ca,
            ct: Arc::clone(&current.ct),
            clock: Arc::clone(&current.clock),
            limits: Arc::clone(&current.limits),
            audit: current.audit.clone(),
            metrics: current.metrics.clone(),
        }))
    }

    /// Requests that begin from now on are answered by the successor.
    pub(crate) fn hand_over(&self, successor: Successor) {
        successor.0.watch_ends();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(successor.0);
    }
}

impl Fulcio {
    /// The metrics are about this chain from now on.
    fn watch_ends(&self) {
        self.metrics.watch(self.ca.chain().iter().map(Certificate::not_after).collect(), Arc::clone(&self.clock));
    }
}

impl Successor {
    /// Looks at the authority that may take over.
    pub(crate) fn inspect<T>(&self, look: impl FnOnce(&CertificateAuthority) -> T) -> T {
        look(&self.0.ca)
    }
}

/// Handlers ask for the authority itself: they cannot come to hold two.
impl FromRef<Serving> for Arc<Fulcio> {
    fn from_ref(serving: &Serving) -> Self {
        serving.current()
    }
}
