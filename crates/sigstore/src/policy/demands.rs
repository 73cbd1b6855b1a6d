// SPDX-License-Identifier: Apache-2.0
//! What a bundle must hold besides the signature of a signer whom the policy accepts: thresholds, witnesses, kind of statement.
//!
//! In scope: the figures and which of them make sense. Out of scope: counting (`verify`).
//! Invariants: a threshold of zero where the protocol has one needs the switch that is named after what is lost; no threshold is
//! larger than [`THRESHOLD_MAX`].

use super::matcher::Matcher;
use super::witness::WitnessPolicy;

/// The largest threshold: more than a bundle may hold of anything.
pub const THRESHOLD_MAX: usize = 32;

/// What a bundle must hold. Made by [`Demands::keyless`] or [`Demands::managed_key`], then raised.
#[derive(Debug, Clone)]
pub struct Demands {
    /// Entries in this many distinct logs.
    pub log_entries: usize,
    /// Entries in logs of this many distinct operators.
    pub log_operators: usize,
    /// Certificate timestamps of this many distinct CT logs.
    pub scts: usize,
    /// RFC 3161 timestamps of this many distinct authorities.
    pub timestamps: usize,
    /// Verified times of any source: timestamp authorities, and logs that promised inclusion at a time.
    pub times: usize,
    /// Witnesses that must have cosigned the checkpoint of each log entry that counts.
    pub witnesses: Option<WitnessPolicy>,
    /// The type of the statement, if the signature is over one.
    pub predicate_type: Option<Matcher>,
    /// Weakens: a log entry that holds a promise of inclusion but no proof counts (bundles of version 0.1 have such).
    pub legacy_entries_without_proof: bool,
    /// Weakens: `log_entries` may be 0, so that a signature may be secret.
    pub signatures_without_log: bool,
    /// Weakens: `scts` may be 0 for certificates, so that a certificate may be secret.
    pub certificates_without_sct: bool,
    /// Weakens: `times` may be 0 for certificates, so that they must be valid when they are verified.
    pub certificates_without_time: bool,
}

/// Why demands make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DemandsError {
    #[error("{demand} is {found}, the limit is {THRESHOLD_MAX}")]
    TooLarge { demand: &'static str, found: usize },
    /// A threshold is 0, and the switch is off.
    #[error("{demand} is 0, which is allowed only with {switch}")]
    Weakened { demand: &'static str, switch: &'static str },
    #[error("{demand} is demanded, but a key has no certificate")]
    NeedsCertificate { demand: &'static str },
    #[error("{demand} cannot be met, for no log entry is demanded")]
    NeedsLog { demand: &'static str },
}

/// Whose signatures demands are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignerKind {
    Certificate,
    Key,
}

impl Demands {
    /// Of a certificate: one log, one SCT, one time.
    #[must_use]
    pub fn keyless() -> Self {
        Self {
            log_entries: 1,
            log_operators: 0,
            scts: 1,
            timestamps: 0,
            times: 1,
            witnesses: None,
            predicate_type: None,
            legacy_entries_without_proof: false,
            signatures_without_log: false,
            certificates_without_sct: false,
            certificates_without_time: false,
        }
    }

    /// Of a key: one log.
    #[must_use]
    pub fn managed_key() -> Self {
        Self { scts: 0, times: 0, ..Self::keyless() }
    }

    pub(super) fn check(&self, signer: SignerKind) -> Result<(), DemandsError> {
        let thresholds = [
            ("log-entries", self.log_entries),
            ("log-operators", self.log_operators),
            ("scts", self.scts),
            ("timestamps", self.timestamps),
            ("times", self.times),
        ];
        if let Some((demand, found)) = thresholds.into_iter().find(|(_, found)| *found > THRESHOLD_MAX) {
            return Err(DemandsError::TooLarge { demand, found });
        }
        let zeros = [
            ("log-entries", self.log_entries, self.signatures_without_log, "signatures-without-log"),
            ("scts", self.scts, self.certificates_without_sct, "certificates-without-sct"),
            ("times", self.times.max(self.timestamps), self.certificates_without_time, "certificates-without-time"),
        ];
        let of_signer = if signer == SignerKind::Certificate { &zeros[..] } else { &zeros[..1] };
        for (demand, found, switch_on, switch) in of_signer {
            if *found == 0 && !switch_on {
                return Err(DemandsError::Weakened { demand, switch });
            }
        }
        if signer == SignerKind::Key && self.scts > 0 {
            return Err(DemandsError::NeedsCertificate { demand: "scts" });
        }
        if self.log_entries == 0 && self.log_operators > 0 {
            return Err(DemandsError::NeedsLog { demand: "log-operators" });
        }
        if self.log_entries == 0 && self.witnesses.is_some() {
            return Err(DemandsError::NeedsLog { demand: "witnesses" });
        }
        Ok(())
    }
}
