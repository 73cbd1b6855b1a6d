// SPDX-License-Identifier: Apache-2.0
//! Where the engine learns the time of day.
//!
//! In scope: the seam and the system's clock. Out of scope: keeping a log's times from running backwards (`sequence`, `extension`),
//! timers (tokio's).

use std::time::{SystemTime, UNIX_EPOCH};

/// The time of day, in milliseconds since the Unix epoch.
///
/// An implementer may jump in either direction; the engine never lets a log's times run backwards.
pub trait Clock: Send + Sync {
    fn now_ms(&self) -> u64;
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        // A clock before 1970 reads as 1970: the log then goes on with the time of its last entry.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    }
}
