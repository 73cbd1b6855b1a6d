// SPDX-License-Identifier: Apache-2.0
//! Where a precertificate is logged: the seam, any RFC 6962 or static CT log behind it ([`http`]), and several together ([`logs`]).
//!
//! In scope: what one log owes, and which it is at this moment. The log of our own process implements the trait in `crate::ctlog`.
//! Out of scope: verifying the SCT; [`logs`] does that for every implementation, with the key that the trait names.
//! Invariant: a log without a known key cannot be configured.

mod http;
mod logs;

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use touchmark_keys::PublicKey;
use touchmark_sigstore::ct::Sct;
use touchmark_sigstore::x509::Certificate;

pub(crate) use http::HttpCtLog;
#[cfg(test)]
pub(super) use logs::CtLogsError;
pub(super) use logs::Promise;
pub(crate) use logs::{CtLogs, CtMember, DEADLINE_DEFAULT, Need};

/// A certificate transparency log that accepts this authority's precertificates.
///
/// An implementer owes: an SCT is returned only when the entry is durable in the log; the same precertificate sent twice makes
/// no second entry. It does not owe correctness of the signature: the caller verifies every SCT with [`CtSubmit::public_key`].
#[async_trait]
pub(crate) trait CtSubmit: Send + Sync {
    /// The key that the log signs with.
    fn public_key(&self) -> &PublicKey;

    /// Why it takes nothing more, as far as that is known without asking. Of a log elsewhere nothing is.
    fn ended(&self) -> Option<CtError> {
        None
    }

    /// `chain` leads from the precertificate's issuer to the root.
    async fn submit(&self, precertificate: &Certificate, chain: &[Certificate]) -> Result<Sct, CtError>;
}

/// The log that certificates go to now; clones are the same target.
///
/// A submission takes the log once and stays with it: the SCT is verified with the key of the log that made it.
#[derive(Clone)]
pub(crate) struct CtTarget(Arc<RwLock<Arc<dyn CtSubmit>>>);

impl CtTarget {
    pub(crate) fn new(log: Arc<dyn CtSubmit>) -> Self {
        Self(Arc::new(RwLock::new(log)))
    }

    pub(super) fn current(&self) -> Arc<dyn CtSubmit> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends certificates to another log from now on.
    pub(crate) fn switch(&self, log: Arc<dyn CtSubmit>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = log;
    }
}

/// Why there is no SCT.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CtError {
    #[error("the log is busy or cannot be reached")]
    Unavailable,
    #[error("the log did not answer in time")]
    Deadline,
    #[error("the log is frozen")]
    Frozen,
    #[error("the log refused the submission with status {status}")]
    Refused { status: u16 },
    #[error("the log's reply could not be read")]
    Unreadable,
    #[error("the SCT is not a signature of the log over the precertificate")]
    SctInvalid,
    #[error("the SCT is of a time that is far from ours, or too long")]
    SctUnfit,
    #[error("the log could not store or sign the entry")]
    Internal,
}

impl CtError {
    /// Its name in metrics.
    fn name(&self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Deadline => "late",
            Self::Frozen => "frozen",
            Self::Refused { .. } => "refused",
            Self::Unreadable => "unreadable",
            Self::SctInvalid => "sct_invalid",
            Self::SctUnfit => "sct_unfit",
            Self::Internal => "internal",
        }
    }

    /// Whether another try may end otherwise.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable | Self::Deadline)
    }
}
