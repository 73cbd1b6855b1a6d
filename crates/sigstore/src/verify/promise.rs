// SPDX-License-Identifier: Apache-2.0
//! The promise of a Rekor v1 log (its signed entry timestamp): it took the entry, at this time.
//!
//! The promise covers body, time, log id and index together, so that a time is worth something only with it: an `integratedTime`
//! without promise is signed by nobody, and an inclusion proof says nothing of when.

use jiff::Timestamp;
use touchmark_keys::SignatureError;

use super::CLOCK_TOLERANCE;
use crate::rekor::{LogEntry, Promise, v1};
use crate::trust::{TransparencyLog, TrustedRoot, ValidFor};

/// A log of the trusted root promised the entry, inside the window of its key. Made by [`promised`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromisedEntry {
    time: Timestamp,
    log_id: [u8; 32],
    base_url: String,
    operator: String,
}

impl PromisedEntry {
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    #[must_use]
    pub fn log_id(&self) -> &[u8; 32] {
        &self.log_id
    }

    /// Where the trusted root says that the log is.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Who runs the log; empty where the trusted root does not say.
    #[must_use]
    pub fn operator(&self) -> &str {
        &self.operator
    }
}

/// Why a promise proves no time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromiseFailure {
    UnknownLog {
        log_id: [u8; 32],
    },
    /// The seconds are none that a calendar has.
    Time {
        seconds: i64,
    },
    OutsideWindow {
        time: Timestamp,
        window: ValidFor,
    },
    Future {
        time: Timestamp,
        now: Timestamp,
    },
    Signature(SignatureError),
}

impl PromiseFailure {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::UnknownLog { .. } => "promise_log_unknown",
            Self::Time { .. } => "promise_malformed",
            Self::OutsideWindow { .. } => "promise_outside_log_window",
            Self::Future { .. } => "promise_in_future",
            Self::Signature(_) => "promise_invalid",
        }
    }

    pub(super) fn expected(&self) -> String {
        match self {
            Self::UnknownLog { .. } => "the promise of a log of the trusted root".to_owned(),
            Self::Time { .. } => "a time".to_owned(),
            Self::OutsideWindow { window, .. } => format!("a promise in the log's window, {window}"),
            Self::Future { now, .. } => format!("a time not after now, {now}"),
            Self::Signature(_) => "a promise that the log signed for this entry and time".to_owned(),
        }
    }

    pub(super) fn found(&self) -> String {
        match self {
            Self::UnknownLog { log_id } => format!("one of log {}", hex::encode(log_id)),
            Self::Time { seconds } => format!("{seconds} s"),
            Self::OutsideWindow { time, .. } | Self::Future { time, .. } => time.to_string(),
            Self::Signature(error) => error.to_string(),
        }
    }
}

/// Verifies the promise for an entry with the key of the log that the entry names.
///
/// # Errors
/// If the log is not of the root, was not trusted then, or did not sign.
pub fn promised(
    entry: &LogEntry,
    promise: &Promise,
    root: &TrustedRoot,
    now: Timestamp,
) -> Result<PromisedEntry, PromiseFailure> {
    let seconds = promise.integrated_time();
    let time = Timestamp::from_second(seconds).map_err(|_| PromiseFailure::Time { seconds })?;
    if time.duration_since(now) > CLOCK_TOLERANCE {
        return Err(PromiseFailure::Future { time, now });
    }
    let log = log_at(entry, root, time)?;
    let signed = v1::set_payload(entry.body(), seconds, entry.log_id(), entry.index().0);
    let _ = log.public_key().verify(log.scheme(), &signed, promise.set()).map_err(PromiseFailure::Signature)?;
    Ok(PromisedEntry {
        time,
        log_id: *entry.log_id(),
        base_url: log.base_url().to_owned(),
        operator: log.operator().to_owned(),
    })
}

/// The log of the entry, in a window that holds the time; a log can stand in a root several times.
fn log_at<'a>(entry: &LogEntry, root: &'a TrustedRoot, time: Timestamp) -> Result<&'a TransparencyLog, PromiseFailure> {
    let mut failure = PromiseFailure::UnknownLog { log_id: *entry.log_id() };
    for log in root.tlogs().iter().filter(|log| log.log_id() == entry.log_id()) {
        if log.valid_for().contains(time) {
            return Ok(log);
        }
        failure = PromiseFailure::OutsideWindow { time, window: log.valid_for() };
    }
    Err(failure)
}
