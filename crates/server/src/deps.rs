// SPDX-License-Identifier: Apache-2.0
//! What every service of this process is given instead of reaching for it itself.
//!
//! In scope: the clock and the ways out. Out of scope: keys and stores, which each service receives by name.
//! Invariants: no module of this crate reads the time or opens an outgoing connection but through these; how far a request may
//! reach is said by the one use that makes it, never by what else the configuration holds.

use std::sync::Arc;

use touchmark_outbound::{Outbound, Reach};
use touchmark_sequencer::Clock;

/// The clock and the outgoing HTTP clients that all services share.
#[derive(Clone)]
pub struct Deps {
    /// The only source of the current time.
    pub clock: Arc<dyn Clock>,
    /// The only ways out of the process.
    pub ways_out: WaysOut,
}

/// Outgoing HTTP, one client for each reach; cheap to clone.
#[derive(Clone)]
pub struct WaysOut {
    user_agent: String,
    public: Outbound,
    private: Outbound,
}

impl WaysOut {
    /// `user_agent` is what requests say they come from.
    #[must_use]
    pub fn new(user_agent: &str) -> Self {
        let outbound = |reach| Outbound::new(user_agent, reach, None);
        let (public, private) = (outbound(Reach::PublicOnly), outbound(Reach::Private));
        WaysOut { user_agent: user_agent.to_owned(), public, private }
    }

    /// The client for one use.
    pub(crate) fn reaching(&self, reach: Reach) -> &Outbound {
        match reach {
            Reach::PublicOnly => &self.public,
            Reach::Private => &self.private,
        }
    }
}

impl WaysOut {
    /// A client for one use that trusts these CA certificates (PEM) besides the system's.
    pub(crate) fn trusting(&self, reach: Reach, ca_pem: &[u8]) -> Outbound {
        Outbound::new(&self.user_agent, reach, Some(ca_pem.to_vec()))
    }
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
