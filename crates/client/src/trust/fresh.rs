// SPDX-License-Identifier: Apache-2.0
//! Trust for processes that run long: a trusted root that is asked for again at an interval.
//!
//! A command opens the store once. An admission controller or a server that verifies for weeks would go on with the keys of its start,
//! and with expired metadata; it holds a [`FreshTrust`] and asks it for every verification.
//!
//! Invariants: of the callers that find the trusted root due, one asks the mirror; the others get the present one or, where there is none
//! that may be used, the answer that the one gets, also a failure: however many wait, a slow mirror is asked once. What was verified serves
//! until its metadata expire, and not a moment longer, whatever the mirror says or does not say, and however long it takes to say it;
//! whoever gets it after a failure is told ([`Current::failure`]).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use touchmark_outbound::Outbound;
use touchmark_sigstore::trust::TrustedRoot;

use super::{Freshness, Origin, TrustError, TrustStore, TrustedRootOf};

/// After a failure the mirror is left alone for so long, or for the interval where that is shorter.
const TRY_AGAIN_AFTER_MAX: Duration = Duration::from_secs(60);

/// A trusted root that is kept fresh.
pub struct FreshTrust {
    store: TrustStore,
    outbound: Outbound,
    interval: Duration,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    known: Mutex<Option<Known>>,
    refusals: Mutex<Refusals>,
    /// Held by the task that asks.
    asking: tokio::sync::Mutex<()>,
}

/// What a long-running process verifies with at a moment.
#[derive(Debug)]
pub struct FreshRoot {
    pub trusted_root: TrustedRoot,
    pub origin: Origin,
    /// From this time on it may not be used.
    pub expires: Timestamp,
}

/// A trusted root, and why it is not as new as was wished.
#[derive(Debug, Clone)]
pub struct Current {
    pub root: Arc<FreshRoot>,
    /// What the mirror's word could not be had for: the caller warns.
    pub failure: Option<Arc<TrustError>>,
}

#[derive(Clone)]
struct Known {
    current: Current,
    due: Timestamp,
}

/// What those get who waited while somebody asked in vain.
#[derive(Default)]
struct Refusals {
    count: u64,
    last: Option<Arc<TrustError>>,
}

impl FreshTrust {
    /// Asks nothing yet. `interval`: how old the mirror's word may be.
    #[must_use]
    pub fn new(store: TrustStore, outbound: Outbound, interval: Duration) -> Self {
        Self {
            store,
            outbound,
            interval,
            clock: Box::new(Timestamp::now),
            known: Mutex::default(),
            refusals: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// The same, by another clock than the machine's.
    #[must_use]
    pub fn with_clock(self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { clock: Box::new(clock), ..self }
    }

    /// The trusted root of now.
    ///
    /// # Errors
    /// If there is none that was verified and has not expired. Whoever waited for the same answer gets the same error.
    pub async fn trusted_root(&self) -> Result<Current, Arc<TrustError>> {
        let now = (self.clock)();
        let usable = self.usable(now);
        if let Some(known) = &usable
            && now < known.due
        {
            return Ok(known.current.clone());
        }
        let refusals = self.refusals().count;
        let _asking = match usable {
            // Somebody is at it, and what there is will do.
            Some(known) => match self.asking.try_lock() {
                Ok(asking) => asking,
                Err(_) => return Ok(known.current),
            },
            None => self.asking.lock().await,
        };
        // Waiting may have taken minutes.
        let now = (self.clock)();
        match (self.usable(now), self.refusal_since(refusals)) {
            (Some(known), _) if now < known.due => Ok(known.current),
            (None, Some(refusal)) => Err(refusal),
            (usable, _) => self.ask(usable, now).await,
        }
    }

    /// Called by who holds `asking`.
    async fn ask(&self, usable: Option<Known>, now: Timestamp) -> Result<Current, Arc<TrustError>> {
        let asked = self.store.trusted_root(Freshness::Refresh(&self.outbound), now).await;
        let answered = (self.clock)();
        let expired = |root: &FreshRoot| TrustError::Expired { role: "timestamp".to_owned(), at: root.expires };
        let usable = usable.map(|known| known.current.root).filter(|root| answered < root.expires);
        let (root, failure) = match (asked.and_then(that_expires), usable) {
            (Ok((root, _)), _) if answered >= root.expires => return Err(self.refuse(expired(&root))),
            (Ok((root, failure)), _) => (Arc::new(root), failure),
            (Err(error), Some(root)) => (root, Some(error)),
            (Err(error), None) => return Err(self.refuse(error)),
        };
        // An answer is as old as its question; a failure, however long it took, is followed by a pause.
        let (from, after) = match &failure {
            None => (now, self.interval),
            Some(_) => (answered, self.interval.min(TRY_AGAIN_AFTER_MAX)),
        };
        // A time after all that a calendar has is never reached.
        let due = from.checked_add(after).unwrap_or(Timestamp::MAX);
        let known = Known { current: Current { root, failure: failure.map(Arc::new) }, due };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
        Ok(known.current)
    }

    fn refuse(&self, error: TrustError) -> Arc<TrustError> {
        let error = Arc::new(error);
        let mut refusals = self.refusals();
        *refusals = Refusals { count: refusals.count + 1, last: Some(error.clone()) };
        error
    }

    /// What somebody was refused with who asked while we waited.
    fn refusal_since(&self, count: u64) -> Option<Arc<TrustError>> {
        let refusals = self.refusals();
        refusals.last.clone().filter(|_| refusals.count > count)
    }

    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn usable(&self, now: Timestamp) -> Option<Known> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.filter(|known| now < known.current.root.expires)
    }
}

/// Only what says until when it may be used, and why it is not fresh. What a single verification of the built-in instance may fall back to,
/// metadata as of an earlier day and the root that the program carries, would serve for ever here.
fn that_expires(found: TrustedRootOf) -> Result<(FreshRoot, Option<TrustError>), TrustError> {
    let TrustedRootOf { trusted_root, origin, expires, stale } = found;
    let failure = stale.map(|stale| TrustError::MirrorUnreachable { mirror: stale.mirror, source: stale.cause });
    match (expires, &origin, failure) {
        (Some(expires), _, failure) => Ok((FreshRoot { trusted_root, origin, expires }, failure)),
        (None, _, Some(failure)) => Err(failure),
        (None, Origin::BuiltInAsOf { at, .. }, None) => {
            Err(TrustError::Expired { role: "timestamp".to_owned(), at: *at })
        }
        (None, _, None) => Err(TrustError::VerifiesOnce),
    }
}
