// SPDX-License-Identifier: Apache-2.0
//! Trust for processes that run long: a trusted root that is asked for again at an interval.
//!
//! A command opens the store once. An admission controller or a server that verifies for weeks would go on with the keys of its start,
//! and with expired metadata; it holds a [`FreshTrust`] and asks it for every verification.
//!
//! Invariants: of the callers that find the trusted root due, one asks the mirror; the others get the present one, unless there is none
//! that may be used. What was verified serves until its metadata expire, and not a moment longer, whatever the mirror says or does not
//! say; whoever gets it after a failure is told ([`Current::failure`]).

use std::sync::{Arc, Mutex, PoisonError};
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
    known: Mutex<Option<Known>>,
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

impl FreshTrust {
    /// Asks nothing yet. `interval`: how old the mirror's word may be.
    #[must_use]
    pub fn new(store: TrustStore, outbound: Outbound, interval: Duration) -> Self {
        Self { store, outbound, interval, known: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    /// The trusted root of now.
    ///
    /// # Errors
    /// If there is none that was verified and has not expired.
    pub async fn trusted_root(&self, now: Timestamp) -> Result<Current, TrustError> {
        let usable = self.usable(now);
        if let Some(known) = &usable
            && now < known.due
        {
            return Ok(known.current.clone());
        }
        let _asking = match usable {
            // Somebody is at it, and what there is will do.
            Some(known) => match self.asking.try_lock() {
                Ok(asking) => asking,
                Err(_) => return Ok(known.current),
            },
            None => self.asking.lock().await,
        };
        match self.usable(now) {
            Some(known) if now < known.due => Ok(known.current),
            usable => self.ask(usable, now).await,
        }
    }

    async fn ask(&self, usable: Option<Known>, now: Timestamp) -> Result<Current, TrustError> {
        let asked = self.store.trusted_root(Freshness::Refresh(&self.outbound), now).await;
        let (root, failure) = match (asked.and_then(that_expires), usable) {
            (Ok((root, failure)), _) => (Arc::new(root), failure),
            (Err(error), Some(known)) => (known.current.root, Some(error)),
            (Err(error), None) => return Err(error),
        };
        let after = if failure.is_some() { self.interval.min(TRY_AGAIN_AFTER_MAX) } else { self.interval };
        // A time after all that a calendar has is never reached.
        let due = now.checked_add(after).unwrap_or(Timestamp::MAX);
        let known = Known { current: Current { root, failure: failure.map(Arc::new) }, due };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
        Ok(known.current)
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
