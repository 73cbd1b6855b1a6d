// SPDX-License-Identifier: Apache-2.0
//! When was it signed: every time that somebody of the trusted root vouches for.
//!
//! Sources are RFC 3161 timestamps over the signature and promises of Rekor v1 logs over their entry. That such an entry is the
//! one of this signature is found by the check of the log, without which no time leaves `verify`.

use jiff::Timestamp;

use super::promise::{self, PromiseFailure, PromisedEntry};
use super::timestamp::{TimestampFailure, VerifiedTimestamp, signed_at_all};
use crate::bundle::Bundle;
use crate::policy::Demands;
use crate::trust::TrustedRoot;

/// A time at which the signature existed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedTime {
    time: Timestamp,
    source: TimeSource,
}

/// Who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeSource {
    /// A timestamp authority, over the signature.
    Timestamp(VerifiedTimestamp),
    /// A log of Rekor v1, over the entry.
    Promise(PromisedEntry),
}

impl VerifiedTime {
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    #[must_use]
    pub fn source(&self) -> &TimeSource {
        &self.source
    }

    /// The address under which the trusted root knows the source.
    #[must_use]
    pub fn authority(&self) -> &str {
        match &self.source {
            TimeSource::Timestamp(timestamp) => timestamp.authority(),
            TimeSource::Promise(promise) => promise.base_url(),
        }
    }

    /// By what sources are told apart: their operator, where the trusted root names one.
    fn operator(&self) -> &str {
        let operator = match &self.source {
            TimeSource::Timestamp(timestamp) => timestamp.operator(),
            TimeSource::Promise(promise) => promise.operator(),
        };
        if operator.is_empty() { self.authority() } else { operator }
    }
}

/// Why there is no time, or not enough of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeFailure {
    Timestamp(TimestampFailure),
    Promise(PromiseFailure),
    /// Nobody of the trusted root says when it was signed.
    Missing,
    TooFewTimestamps {
        expected: usize,
        found: usize,
    },
    TooFew {
        expected: usize,
        found: usize,
    },
}

impl TimeFailure {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Timestamp(failure) => failure.code(),
            Self::Promise(failure) => failure.code(),
            Self::Missing => "time_missing",
            Self::TooFewTimestamps { .. } => "timestamp_threshold",
            Self::TooFew { .. } => "time_threshold",
        }
    }

    pub(super) fn expected(&self) -> String {
        match self {
            Self::Timestamp(failure) => failure.expected(),
            Self::Promise(failure) => failure.expected(),
            Self::Missing => "a timestamp over the signature, or a promise of a Rekor v1 log".to_owned(),
            Self::TooFewTimestamps { expected, .. } => format!("timestamps of {expected} different authorities"),
            Self::TooFew { expected, .. } => format!("times of {expected} different sources"),
        }
    }

    pub(super) fn found(&self) -> String {
        match self {
            Self::Timestamp(failure) => failure.found(),
            Self::Promise(failure) => failure.found(),
            Self::Missing => "none".to_owned(),
            Self::TooFewTimestamps { found, .. } | Self::TooFew { found, .. } => found.to_string(),
        }
    }
}

/// Every time of a bundle, of as many sources as the policy demands: one at least for certificates, which are good for minutes,
/// none for managed keys.
pub(super) fn times(
    bundle: &Bundle,
    root: &TrustedRoot,
    demands: &Demands,
    now: Timestamp,
) -> Result<Vec<VerifiedTime>, TimeFailure> {
    let mut times = Vec::with_capacity(bundle.timestamps().len() + bundle.entries().len());
    for timestamp in signed_at_all(bundle.timestamps(), bundle.signature(), root, now)? {
        times.push(VerifiedTime { time: timestamp.time(), source: TimeSource::Timestamp(timestamp) });
    }
    let found = distinct(&times);
    if found < demands.timestamps {
        return Err(TimeFailure::TooFewTimestamps { expected: demands.timestamps, found });
    }
    let mut unknown = None;
    for entry in bundle.entries() {
        let Some(promise) = entry.promise() else { continue };
        match promise::promised(entry, promise, root, now) {
            Ok(promised) => {
                times.push(VerifiedTime { time: promised.time(), source: TimeSource::Promise(promised) });
            }
            // An entry of a log outside the root counts for nothing, and neither does its promise.
            Err(PromiseFailure::UnknownLog { log_id }) => unknown = Some(log_id),
            Err(wrong) => return Err(TimeFailure::Promise(wrong)),
        }
    }
    let found = distinct(&times);
    match demands.times {
        expected if found >= expected => {}
        expected if found > 0 => return Err(TimeFailure::TooFew { expected, found }),
        _ => {
            let unknown = unknown.map(|log_id| TimeFailure::Promise(PromiseFailure::UnknownLog { log_id }));
            return Err(unknown.unwrap_or(TimeFailure::Missing));
        }
    }
    Ok(times)
}

/// How many sources there are, each counted once (sigstore-go#472).
fn distinct(times: &[VerifiedTime]) -> usize {
    let first = |(index, time): &(usize, &VerifiedTime)| {
        times.iter().take(*index).all(|earlier| earlier.operator() != time.operator())
    };
    times.iter().enumerate().filter(first).count()
}
