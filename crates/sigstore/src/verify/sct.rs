// SPDX-License-Identifier: Apache-2.0
//! Is the certificate public: signed certificate timestamps (RFC 6962 §3) of CT logs of the trusted root, embedded in the leaf.

use jiff::Timestamp;

use super::VerifiedChain;
use crate::ct::{self, CtError, LogEntry, Sct, SctError, SctVerified};
use crate::trust::{TransparencyLog, TrustedRoot, ValidFor};

/// As many CT logs of the trusted root as were demanded promised to publish the certificate. Made by [`sct`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSct {
    promises: Vec<SctVerified>,
}

impl VerifiedSct {
    /// One promise of each log; at least one, unless the policy asks for none.
    #[must_use]
    pub fn promises(&self) -> &[SctVerified] {
        &self.promises
    }
}

/// Why no CT log of the trusted root stands for the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SctFailure {
    Certificate(CtError),
    /// Fewer logs promised than the policy demands.
    TooFew {
        expected: usize,
        found: usize,
    },
    /// None of the logs is in the trusted root.
    UnknownLog {
        log_id: [u8; 32],
    },
    Promise(SctError),
    OutsideWindow {
        time: Timestamp,
        window: ValidFor,
    },
    /// The time of the promise is none that a calendar has.
    Time {
        timestamp_ms: u64,
    },
}

impl SctFailure {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Certificate(CtError::NoSct) => "sct_missing",
            Self::Certificate(_) | Self::Time { .. } => "sct_malformed",
            Self::TooFew { .. } => "sct_threshold",
            Self::UnknownLog { .. } => "sct_log_unknown",
            Self::Promise(_) => "sct_invalid",
            Self::OutsideWindow { .. } => "sct_outside_log_window",
        }
    }

    pub(super) fn expected(&self) -> String {
        match self {
            Self::Certificate(_) => "a certificate with the promise of a CT log".to_owned(),
            Self::TooFew { expected, .. } => format!("promises of {expected} different CT logs"),
            Self::UnknownLog { .. } => "the promise of a CT log of the trusted root".to_owned(),
            Self::Promise(_) => "a promise of this CT log over this certificate".to_owned(),
            Self::OutsideWindow { window, .. } => format!("a promise in the CT log's window, {window}"),
            Self::Time { .. } => "a time".to_owned(),
        }
    }

    pub(super) fn found(&self) -> String {
        match self {
            Self::Certificate(error) => error.to_string(),
            Self::TooFew { found, .. } => found.to_string(),
            Self::UnknownLog { log_id } => format!("one of log {}", hex::encode(log_id)),
            Self::Promise(error) => error.to_string(),
            Self::OutsideWindow { time, .. } => time.to_string(),
            Self::Time { timestamp_ms } => format!("{timestamp_ms} ms"),
        }
    }
}

/// The promises in the leaf of a verified chain, of one log at least. Logs outside the root are passed over; one inside it must
/// not be wrong.
///
/// # Errors
/// If no log of the root promised, or one that did is wrong.
pub fn sct(chain: &VerifiedChain, root: &TrustedRoot) -> Result<VerifiedSct, SctFailure> {
    promised_by(chain, root, 1)
}

/// The same for as many distinct logs as the policy demands; it may say that none need be (GHSA-9vcr-p3rj-q5q6).
pub(super) fn promised_by(
    chain: &VerifiedChain,
    root: &TrustedRoot,
    demanded: usize,
) -> Result<VerifiedSct, SctFailure> {
    let mut promises: Vec<SctVerified> = Vec::new();
    if demanded == 0 {
        return Ok(VerifiedSct { promises });
    }
    let scts = ct::embedded_scts(chain.leaf()).map_err(SctFailure::Certificate)?;
    // The issuer's key is part of what was signed: it is that of the verified path, not of a name.
    let entry = LogEntry::from_certificate_with_scts(chain.leaf(), chain.issuer()).map_err(SctFailure::Certificate)?;
    let mut failure = SctFailure::Certificate(CtError::NoSct);
    for sct in &scts {
        let mut logs = root.ctlogs().iter().filter(|log| *log.log_id() == sct.log_id).peekable();
        if logs.peek().is_none() {
            failure = SctFailure::UnknownLog { log_id: sct.log_id };
            continue;
        }
        let promise = promised(sct, &entry, logs)?;
        if promises.iter().all(|other| other.log_id() != promise.log_id()) {
            promises.push(promise);
        }
    }
    let found = promises.len();
    match found {
        0 => Err(failure),
        _ if found < demanded => Err(SctFailure::TooFew { expected: demanded, found }),
        _ => Ok(VerifiedSct { promises }),
    }
}

/// The promise, under one of the entries of its log; a log can stand in a root several times, with several windows.
fn promised<'a>(
    sct: &Sct,
    entry: &LogEntry,
    logs: impl Iterator<Item = &'a TransparencyLog>,
) -> Result<SctVerified, SctFailure> {
    let timestamp_ms = sct.timestamp_ms;
    let time = i64::try_from(timestamp_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let time = time.ok_or(SctFailure::Time { timestamp_ms })?;
    let mut failure = SctFailure::UnknownLog { log_id: sct.log_id };
    for log in logs {
        let promise = ct::verify_sct(sct, entry, log.public_key()).map_err(SctFailure::Promise)?;
        if log.valid_for().contains(time) {
            return Ok(promise);
        }
        failure = SctFailure::OutsideWindow { time, window: log.valid_for() };
    }
    Err(failure)
}
