// SPDX-License-Identifier: Apache-2.0
//! Whether a certificate could be issued now, as far as that is known without trying.
//!
//! In scope: the conditions that `/readyz` and the health of gRPC show. Out of scope: issuers and logs elsewhere, which are not asked for this: that one of
//! them does not answer is no reason to take this server out of service.
//! Invariant: what is shown here refuses every request, and what would refuse every request is shown here.

use touchmark_sequencer::Clock;

use super::audit::AuditLog;
use super::ca::CertificateAuthority;
use super::serving::Serving;
use crate::deps::timestamp;
use crate::http::site::RoleState;

/// What issuing depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// The authority's certificates have begun and not ended.
    Chain,
    /// As many logs take entries as have to.
    CtLog,
    /// Decisions can be written down.
    AuditLog,
}

impl Condition {
    pub(crate) const ALL: [Self; 3] = [Self::Chain, Self::CtLog, Self::AuditLog];

    /// Its name in `/readyz`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Chain => "fulcio chain",
            Self::CtLog => "fulcio ct log",
            Self::AuditLog => "fulcio audit log",
        }
    }
}

/// Asks the authority how it is; cheap to clone.
#[derive(Clone)]
pub(crate) struct Health(pub(super) Serving);

impl Health {
    pub(crate) fn of(&self, condition: Condition) -> RoleState {
        let fulcio = self.0.current();
        let good = match condition {
            Condition::Chain => chain_is_valid(&fulcio.ca, fulcio.clock.as_ref()),
            Condition::CtLog => fulcio.ct.can_promise(),
            Condition::AuditLog => fulcio.audit.as_ref().is_none_or(AuditLog::works),
        };
        if good { RoleState::Up } else { RoleState::Stopped }
    }

    pub(super) fn is_well(&self) -> bool {
        Condition::ALL.into_iter().all(|condition| self.of(condition) == RoleState::Up)
    }
}

/// By the rule that issuing itself goes by.
fn chain_is_valid(ca: &CertificateAuthority, clock: &dyn Clock) -> bool {
    ca.leaf_validity(timestamp(clock)).is_ok()
}
