// SPDX-License-Identifier: Apache-2.0
//! The end of a log: no more entries, a last durable state that says so, a final checkpoint.
//!
//! ```text
//! freeze → pool closed → what waited is sequenced, signed and answered → frozen state committed → final checkpoint signed, published
//!          caller's       sequencing thread, signing task                 sequencing thread        signing task, publishing task
//! ```
//!
//! In scope: asking for it, how far it is, opening a log that was frozen. Out of scope: the steps themselves, each with the task that owns it.
//!
//! Invariants: the ledger of a frozen log refuses every commit, so that there is nothing new that could be signed; a frozen log signs one
//! text and no other, its final checkpoint, and that again only when the one it published is gone; reads go on.

use crate::entry::SignedCheckpoint;
use crate::error::{AddError, FreezeError};
use crate::log::{Log, Shared};

/// A log that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// When, in milliseconds.
    pub at_ms: u64,
    /// The last checkpoint that this log has signed or will sign.
    pub checkpoint: SignedCheckpoint,
}

/// How far the end of a log is.
#[derive(Clone, Debug)]
pub(crate) enum Freezing {
    Live,
    /// Durable, and not yet signed.
    Committed {
        at_ms: u64,
    },
    Done(Frozen),
    /// Durable; the signer failed until nobody wanted to wait any more.
    Unsigned,
}

impl Shared {
    /// The log was frozen when it was opened.
    pub(crate) fn is_frozen_since(&self, at_ms: u64) {
        let checkpoint = self.signed.borrow().checkpoint.clone();
        self.freezing.send_replace(Freezing::Done(Frozen { at_ms, checkpoint }));
        self.pool.close(AddError::Frozen);
    }
}

impl Log {
    /// Ends the log for good. What is in the pool is sequenced, signed and answered first; entries that come later are refused with
    /// [`AddError::Frozen`]. Asking again gives the same answer.
    ///
    /// # Errors
    /// If the log was stopping, or stops because of it; see there for what holds then.
    pub async fn freeze(&self) -> Result<Frozen, FreezeError> {
        let mut freezing = self.shared.freezing.subscribe();
        self.shared.pool.close(AddError::Frozen);
        loop {
            match &*freezing.borrow_and_update() {
                Freezing::Done(frozen) => return Ok(frozen.clone()),
                Freezing::Unsigned => return Err(FreezeError::Unsigned),
                Freezing::Live | Freezing::Committed { .. } => {}
            }
            if let Some(cause) = self.stopped() {
                return Err(FreezeError::Fatal(cause));
            }
            if !self.is_frozen() {
                return Err(FreezeError::ShuttingDown);
            }
            if freezing.changed().await.is_err() {
                return Err(FreezeError::ShuttingDown);
            }
        }
    }

    /// The end of the log, once it is complete.
    pub fn frozen(&self) -> Option<Frozen> {
        match &*self.shared.freezing.borrow() {
            Freezing::Done(frozen) => Some(frozen.clone()),
            Freezing::Live | Freezing::Committed { .. } | Freezing::Unsigned => None,
        }
    }

    /// Whether the log takes no more entries because it has ended or is about to.
    pub fn is_frozen(&self) -> bool {
        self.shared.pool.closed_by() == Some(AddError::Frozen)
    }
}
