// SPDX-License-Identifier: Apache-2.0
//! When was it signed: RFC 3161 tokens over the bytes of the signature, by timestamp authorities of the trusted root.

use jiff::{SignedDuration, Timestamp};

use crate::trust::{TrustedRoot, ValidFor};
use crate::tsp::{self, SignedAt, TimestampError};

/// How far a timestamp may lie ahead of the verifier's clock.
pub const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// A token of a timestamp authority of the trusted root, inside the authority's window. Made by [`signed_at`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedTimestamp {
    signed_at: SignedAt,
    authority: String,
    operator: String,
}

impl VerifiedTimestamp {
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.signed_at.time()
    }

    /// The URI under which the trusted root knows the authority.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Who runs the authority; empty where the trusted root does not say.
    #[must_use]
    pub fn operator(&self) -> &str {
        &self.operator
    }
}

/// Why no time was proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimestampFailure {
    NoAuthority,
    Token(TimestampError),
    OutsideWindow { time: Timestamp, window: ValidFor },
    Future { time: Timestamp, now: Timestamp },
}

impl TimestampFailure {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NoAuthority => "timestamp_authority_missing",
            Self::Token(_) => "timestamp_invalid",
            Self::OutsideWindow { .. } => "timestamp_outside_authority_window",
            Self::Future { .. } => "timestamp_in_future",
        }
    }

    pub(super) fn expected(&self) -> String {
        match self {
            Self::NoAuthority => "a timestamp authority in the trusted root".to_owned(),
            Self::Token(_) => "a timestamp over the signature by an authority of the trusted root".to_owned(),
            Self::OutsideWindow { window, .. } => format!("a time in the authority's window, {window}"),
            Self::Future { now, .. } => format!("a time not after now, {now}"),
        }
    }

    pub(crate) fn found(&self) -> String {
        match self {
            Self::NoAuthority => "none".to_owned(),
            Self::Token(error) => error.to_string(),
            Self::OutsideWindow { time, .. } | Self::Future { time, .. } => time.to_string(),
        }
    }
}

/// Every timestamp of a bundle. A bad one is not outweighed by a good one.
pub(super) fn signed_at_all(
    tokens: &[Vec<u8>],
    signature: &[u8],
    root: &TrustedRoot,
    now: Timestamp,
) -> Result<Vec<VerifiedTimestamp>, TimestampFailure> {
    tokens.iter().map(|token| signed_at(token, signature, root, now)).collect()
}

/// The time in one token (a DER reply), which some authority of the root made over `signature` inside its window.
///
/// # Errors
/// If no authority did.
pub fn signed_at(
    token: &[u8],
    signature: &[u8],
    root: &TrustedRoot,
    now: Timestamp,
) -> Result<VerifiedTimestamp, TimestampFailure> {
    let mut failure = TimestampFailure::NoAuthority;
    for authority in root.timestamp_authorities() {
        let signed_at = match tsp::verify_token(token, signature, authority.trusted_chain()) {
            Ok(signed_at) => signed_at,
            Err(error) => {
                failure = more_telling(failure, error);
                continue;
            }
        };
        let time = signed_at.time();
        if !authority.valid_for().contains(time) {
            failure = TimestampFailure::OutsideWindow { time, window: authority.valid_for() };
            continue;
        }
        if time.duration_since(now) > CLOCK_TOLERANCE {
            return Err(TimestampFailure::Future { time, now });
        }
        let (uri, operator) = (authority.uri().to_owned(), authority.operator().to_owned());
        return Ok(VerifiedTimestamp { signed_at, authority: uri, operator });
    }
    Err(failure)
}

/// Several authorities may be tried; that a token is not by this one says least.
fn more_telling(failure: TimestampFailure, error: TimestampError) -> TimestampFailure {
    let foreign = matches!(error, TimestampError::SignerNotFound | TimestampError::SignerNotTrusted);
    match failure {
        TimestampFailure::OutsideWindow { .. } => failure,
        TimestampFailure::Token(_) if foreign => failure,
        _ => TimestampFailure::Token(error),
    }
}
