// SPDX-License-Identifier: Apache-2.0
//! What every service of this process is given instead of reaching for it itself.
//!
//! In scope: the clock and the way out. Out of scope: keys and stores, which each service receives by name.
//! Invariant: no module of this crate reads the time or opens an outgoing connection but through these.

use std::sync::Arc;

use touchmark_outbound::Outbound;
use touchmark_sequencer::Clock;

/// The clock and the outgoing HTTP client that all services share.
#[derive(Clone)]
pub struct Deps {
    /// The only source of the current time.
    pub clock: Arc<dyn Clock>,
    /// The only way out of the process.
    pub outbound: Outbound,
}

impl Deps {
    /// The current time for certificates, tokens and metadata.
    pub(crate) fn now(&self) -> jiff::Timestamp {
        timestamp(self.clock.as_ref())
    }
}

/// The clock's time as a timestamp.
pub(crate) fn timestamp(clock: &dyn Clock) -> jiff::Timestamp {
    let ms = i64::try_from(clock.now_ms()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX)
}
