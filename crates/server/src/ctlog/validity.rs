// SPDX-License-Identifier: Apache-2.0
//! Which certificates belong into a log by the end of their validity.
//!
//! RFC 6962 §3.1 leaves this to the log. The rules are those of the public logs, and like theirs off unless they are configured: a shard for an
//! interval of `notAfter` (`temporal_interval` of a log list), and whether what has expired is taken.
//!
//! In scope: the leaf. Out of scope: the authorities above it, whose validity a log does not judge; `notBefore`, because a clock that is a second
//! behind the authority's would refuse what lives for ten minutes.

use jiff::Timestamp;
use touchmark_sigstore::x509::Certificate;

/// The rules of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) interval: Option<Interval>,
    pub(crate) expired: Expired,
}

impl Validity {
    /// Certificates of any time.
    pub(crate) const ANY: Self = Self { interval: None, expired: Expired::Taken };

    /// `now` is the log's own time.
    pub(super) fn admit(&self, leaf: &Certificate, now: Timestamp) -> Result<Timely, Untimely> {
        let not_after = leaf.not_after();
        if let Some(interval) = self.interval.filter(|interval| !interval.contains(not_after)) {
            return Err(Untimely::OutsideInterval { not_after, interval });
        }
        // RFC 5280 §4.1.2.5: the last second is a valid one.
        match (self.expired, now > not_after) {
            (Expired::Refused, true) => Err(Untimely::Expired { not_after, now }),
            (Expired::Demanded, false) => Err(Untimely::NotExpired { not_after, now }),
            (Expired::Refused, false) | (Expired::Demanded, true) | (Expired::Taken, _) => Ok(Timely(())),
        }
    }
}

/// A leaf that the log's rules of time admit. Made by `admit` alone.
#[derive(Debug)]
pub(super) struct Timely(());

/// Times at which the validity of a leaf may end: from `start` on, before `limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interval {
    start: Timestamp,
    limit: Timestamp,
}

impl Interval {
    /// `None` if no time lies between them.
    pub(crate) fn new(start: Timestamp, limit: Timestamp) -> Option<Self> {
        (start < limit).then_some(Self { start, limit })
    }

    pub(super) fn start(&self) -> Timestamp {
        self.start
    }

    pub(super) fn limit(&self) -> Timestamp {
        self.limit
    }

    fn contains(&self, time: Timestamp) -> bool {
        self.start <= time && time < self.limit
    }
}

/// What becomes of a leaf whose validity has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expired {
    Taken,
    Refused,
    /// Nothing else is taken: a log for the record of what was.
    Demanded,
}

/// Why a leaf is not of this log's time. The text is public.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Untimely {
    #[error(
        "the leaf is valid until {not_after}, but this log is for those that end from {} on and before {}: send it to the log of its time",
        interval.start, interval.limit
    )]
    OutsideInterval { not_after: Timestamp, interval: Interval },
    #[error("the leaf was valid until {not_after}, now is {now}, and this log takes none that has expired")]
    Expired { not_after: Timestamp, now: Timestamp },
    #[error("the leaf is valid until {not_after}, now is {now}, and this log takes only what has expired")]
    NotExpired { not_after: Timestamp, now: Timestamp },
}
