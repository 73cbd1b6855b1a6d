// SPDX-License-Identifier: Apache-2.0
//! When the certificates of a chain end, as a metric.
//!
//! In scope: the time that is left when the page is asked for. Out of scope: whose chain it is (its owner says so); lines of the log (`crate::instance`).
//! Invariant: a certificate is named by its place in the chain alone.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use touchmark_sequencer::Clock;

use crate::deps::timestamp;

/// The ends of a chain's certificates, compared with the time when the page is asked for. Not on the page before there is a chain.
#[derive(Clone)]
pub(super) struct ChainEnds {
    name: &'static str,
    help: &'static str,
    watched: Arc<Mutex<Option<Watched>>>,
}

struct Watched {
    /// In the order of the chain.
    ends: Vec<Timestamp>,
    clock: Arc<dyn Clock>,
}

impl ChainEnds {
    pub(super) fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, help, watched: Arc::default() }
    }

    /// Shows this chain from now on.
    pub(super) fn watch(&self, ends: Vec<Timestamp>, clock: Arc<dyn Clock>) {
        *self.lock() = Some(Watched { ends, clock });
    }

    fn lock(&self) -> MutexGuard<'_, Option<Watched>> {
        // Nothing panics while the lock is held.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ChainEnds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lock().iter().flat_map(|watched| &watched.ends)).finish()
    }
}

impl Collector for ChainEnds {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let watched = self.lock();
        let Some(Watched { ends, clock }) = watched.as_ref() else { return Ok(()) };
        let now = timestamp(clock.as_ref());
        let mut metric = encoder.encode_descriptor(self.name, self.help, None, MetricType::Gauge)?;
        for (position, end) in ends.iter().enumerate() {
            let position = position.to_string();
            let gauge = ConstGauge::new(end.duration_since(now).as_secs());
            gauge.encode(metric.encode_family(&[("position", position.as_str())])?)?;
        }
        Ok(())
    }
}
