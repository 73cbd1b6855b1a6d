// SPDX-License-Identifier: Apache-2.0
//! One request for a timestamp, and how another key takes over while they are answered.
//!
//! In scope: the steps of a token, in their order; which key a request is answered with. Out of scope: how a request comes ([`super::request`]);
//! files and signals (`crate::instance`).
//! Invariants: a request takes the current authority once, so that chain and signature belong together, whatever happens meanwhile; what takes over
//! was checked as at the start, and has stamped; time, audit log and clock go on with what they know, whichever key signs.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::Request;
use jiff::Timestamp;
use touchmark_sequencer::Clock;
use touchmark_sigstore::tsp::TimestampRequest;
use touchmark_sigstore::x509::Certificate;

use super::audit::{AuditLog, Issued};
use super::authority::{Authority, AuthorityError, Embedded, Token};
use super::clock::{ClockWatch, TimeServers};
use super::error::TsaError;
use super::health::Probe;
use super::policies::Policies;
use super::times::{TimeFileError, TokenTimes};
use crate::audit::AuditUnavailable;
use crate::deps::timestamp;
use crate::http::listener::Stop;
use crate::metrics::TsaMetrics;
use crate::rate::{AddressLimit, AddressLimitConfig};

/// The outcome in the metrics of a request that was granted.
const ISSUED: &str = "ISSUED";
/// That of a request that nobody waited for to the end.
const ABANDONED: &str = "ABANDONED";

/// How an operator wants the authority, besides its key.
pub(crate) struct Operations<'o> {
    pub(crate) policies: Policies,
    pub(crate) embedded: Embedded,
    /// The file that keeps times from running backwards over a restart.
    pub(crate) time_file: &'o Path,
    pub(crate) rate_limit: AddressLimitConfig,
    pub(crate) clock: Option<TimeServers>,
    pub(crate) audit: Option<AuditLog>,
    pub(crate) metrics: TsaMetrics,
}

/// The authority of this process.
pub(crate) struct Tsa {
    current: RwLock<Arc<Authority>>,
    policies: Policies,
    embedded: Embedded,
    clock: Arc<dyn Clock>,
    times: Arc<TokenTimes>,
    limit: AddressLimit,
    watch: Option<Arc<ClockWatch>>,
    audit: Option<AuditLog>,
    metrics: TsaMetrics,
    pub(super) probe: Probe,
}

/// A token, and the authority whose key signed it.
pub(crate) struct Stamped {
    pub(crate) reply: Vec<u8>,
    authority: Arc<Authority>,
}

impl Stamped {
    /// The chain under which the token verifies.
    pub(crate) fn chain(&self) -> &[Certificate] {
        self.authority.chain()
    }
}

/// An authority that may take over.
pub(crate) struct Successor(Authority);

impl Tsa {
    /// Effect: the file of times is this process' own from now on.
    pub(crate) fn new(
        authority: Authority,
        operations: Operations<'_>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TimeFileError> {
        let Operations { policies, embedded, time_file, rate_limit, clock: servers, audit, metrics } = operations;
        let times = TokenTimes::open(time_file, Arc::clone(&clock))?;
        if let Some(until) = times.silent_until() {
            let (now, file) = (timestamp(clock.as_ref()), time_file.display());
            tracing::warn!(%now, %until, %file, "the clock is behind the newest timestamp: there are none until it has reached that time");
        }
        let watch = servers.map(|servers| ClockWatch::new(servers, Arc::clone(&clock), metrics.clone()));
        watch_ends(&metrics, &authority, &clock);
        let limit = AddressLimit::new(&rate_limit);
        let current = RwLock::new(Arc::new(authority));
        Ok(Self { current, policies, embedded, clock, times, limit, watch, audit, metrics, probe: Probe::default() })
    }

    /// Asks the time servers until `stop`, if there are any.
    pub(crate) fn attend(&self, stop: Stop) -> impl Future<Output = ()> + Send + 'static {
        let watch = self.watch.clone();
        async move {
            match watch {
                Some(watch) => watch.run(stop).await,
                None => {
                    let mut stop = stop;
                    stop.requested().await;
                }
            }
        }
    }

    /// Before anything is done for a request.
    pub(super) fn admit(&self, request: &Request) -> Result<(), TsaError> {
        let admitted = self.limit.admit(self.limit.client_of(request), self.clock.now_ms());
        admitted.map_err(|empty| TsaError::RateLimited { retry_after_s: empty.retry_after_s })
    }

    /// A token for a request of this process, which is not limited; the text of a failure.
    pub(crate) async fn stamp(&self, request: &TimestampRequest) -> Result<Stamped, String> {
        let mut counted = self.counted();
        let made = self.issue(request).await;
        counted.end(&made);
        made.map_err(|error| {
            error.log();
            error.reason().to_owned()
        })
    }

    /// The steps of a token.
    pub(super) async fn issue(&self, request: &TimestampRequest) -> Result<Stamped, TsaError> {
        // 1. What it will be signed with, to the end.
        let authority = self.current();
        // 2. What could not be released is not begun.
        self.expect_audit()?;
        // 3. and 4. Its time, and the token.
        let policy = self.policies.serve(request.policy.as_deref())?;
        let (gen_time, token) = self.make(&authority, request, policy).await?;
        // 5. Its line, durable. A crash before the next step leaves a line about a token that nobody has.
        if let Some(audit) = &self.audit {
            let line = Issued {
                time: self.now(),
                gen_time,
                serial: token.serial,
                imprint: request.imprint.clone(),
                policy: policy.to_owned(),
                certificate_sha256: authority.leaf_sha256().to_owned(),
            };
            audit.record(line).await?;
        }
        Ok(Stamped { reply: token.reply, authority })
    }

    /// A token with its time, as clients get it, but without a line in the audit log: it must not leave.
    pub(super) async fn make(
        &self,
        authority: &Authority,
        request: &TimestampRequest,
        policy: &str,
    ) -> Result<(Timestamp, Token), TsaError> {
        let watch = self.watch.as_ref();
        let trusted = |clock_ms| watch.map_or(Ok(()), |watch| watch.check_reading(clock_ms));
        let gen_time = self.times.next(|clock_ms| trusted(clock_ms).map_err(TsaError::ClockNotTrusted)).await?;
        let signing = authority.token(request, policy, gen_time, self.embedded);
        Ok((gen_time, self.metrics.timed(signing).await?))
    }

    /// Whether the configured time servers confirm the clock.
    pub(super) fn expect_clock(&self) -> Result<(), TsaError> {
        let trusted = self.watch.as_ref().map_or(Ok(()), |watch| watch.check());
        trusted.map_err(TsaError::ClockNotTrusted)
    }

    pub(super) fn expect_audit(&self) -> Result<(), TsaError> {
        let works = self.audit.as_ref().is_none_or(AuditLog::works);
        if works { Ok(()) } else { Err(AuditUnavailable.into()) }
    }

    /// Whether the newest time is kept over a restart, as far as is known.
    pub(super) fn keeps_times(&self) -> bool {
        self.times.are_kept()
    }

    pub(super) fn current(&self) -> Arc<Authority> {
        // Nothing panics while the lock is held.
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the authority of this moment.
    pub(crate) fn inspect<T>(&self, look: impl FnOnce(&Authority) -> T) -> T {
        look(&self.current())
    }

    /// Checks that an authority stamps.
    pub(crate) async fn prepare(&self, authority: Authority) -> Result<Successor, AuthorityError> {
        let _proven = authority.prove(self.now(), &self.policies).await?;
        Ok(Successor(authority))
    }

    /// Requests that begin from now on are answered by the successor.
    pub(crate) fn hand_over(&self, successor: Successor) {
        watch_ends(&self.metrics, &successor.0, &self.clock);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(successor.0);
        self.probe.forget();
    }

    /// Writes what the next start needs to know, and gives the files back. Nothing is issued after this.
    pub(crate) async fn close(&self) {
        self.times.close().await;
        if let Some(audit) = &self.audit {
            audit.close().await;
        }
    }

    pub(super) fn policies(&self) -> &Policies {
        &self.policies
    }

    pub(super) fn now(&self) -> Timestamp {
        timestamp(self.clock.as_ref())
    }

    /// Counts a request that begins now.
    pub(super) fn counted(&self) -> Counted<'_> {
        Counted { metrics: &self.metrics, outcome: ABANDONED }
    }
}

impl Successor {
    /// Looks at the authority that may take over.
    pub(crate) fn inspect<T>(&self, look: impl FnOnce(&Authority) -> T) -> T {
        look(&self.0)
    }
}

/// The metrics are about this chain from now on.
fn watch_ends(metrics: &TsaMetrics, authority: &Authority, clock: &Arc<dyn Clock>) {
    metrics.watch(authority.chain().iter().map(Certificate::not_after).collect(), Arc::clone(clock));
}

/// A request on its way. Whoever hangs up, or waits longer than a request may take, is counted as well.
pub(super) struct Counted<'m> {
    metrics: &'m TsaMetrics,
    outcome: &'static str,
}

impl Counted<'_> {
    pub(super) fn end(&mut self, made: &Result<Stamped, TsaError>) {
        self.outcome = made.as_ref().err().map_or(ISSUED, TsaError::reason);
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.metrics.count(self.outcome);
    }
}
