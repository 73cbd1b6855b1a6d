// SPDX-License-Identifier: Apache-2.0
//! What a log can say about itself: how much waits, how large batches are, how long commits take.
//!
//! In scope: counting, without locks on the way of an entry, and a snapshot. Out of scope: how it is shown (crate `server`), and what entries mean.
//! Invariant: counts are only ever added to, so that a reader can take differences; a snapshot is not one moment, but each number is exact.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use touchmark_tlog::TreeSize;

use crate::log::{Log, Shared};

/// Upper bounds of batch sizes; the last is the default limit.
const BATCH_BOUNDS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
/// Upper bounds of commit times in microseconds: from a fast disk to one that is stuck.
const COMMIT_BOUNDS_US: &[u64] =
    &[250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 512_000, 1_024_000, 4_096_000];

/// A snapshot of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStats {
    /// The latest signed tree.
    pub signed: TreeSize,
    /// The tree whose full tiles are all published.
    pub published: TreeSize,
    /// Entries in the pool.
    pub waiting: usize,
    /// How long ago the latest checkpoint was signed, or the log opened.
    pub checkpoint_age_ms: u64,
    /// Entries of each durable commit.
    pub batch_entries: Distribution,
    /// Microseconds of each durable commit.
    pub commit_us: Distribution,
}

/// How often something was how large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// Upper bounds, inclusive; one bucket more than these has no bound.
    pub bounds: &'static [u64],
    /// Of each bucket alone.
    pub counts: Vec<u64>,
    pub sum: u64,
}

/// What the thread and the tasks of a log count.
pub(crate) struct Meters {
    batch_entries: Counting,
    commit_us: Counting,
    /// Written by the signing task.
    signed_ms: AtomicU64,
}

struct Counting {
    bounds: &'static [u64],
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Meters {
    pub(crate) fn new(now_ms: u64) -> Self {
        let counting = Counting::new;
        Self {
            batch_entries: counting(BATCH_BOUNDS),
            commit_us: counting(COMMIT_BOUNDS_US),
            signed_ms: AtomicU64::new(now_ms),
        }
    }

    /// A batch became durable.
    pub(crate) fn committed(&self, entries: usize, took: Duration) {
        self.batch_entries.add(entries as u64);
        self.commit_us.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// A checkpoint was signed.
    pub(crate) fn signed(&self, at_ms: u64) {
        self.signed_ms.store(at_ms, Ordering::Relaxed);
    }
}

impl Counting {
    fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    fn add(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    fn read(&self) -> Distribution {
        Distribution {
            bounds: self.bounds,
            counts: self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    fn stats(&self) -> LogStats {
        let now_ms = self.clock.now_ms();
        LogStats {
            signed: self.signed.borrow().checkpoint.size,
            published: self.backlog.published(),
            waiting: self.pool.len(),
            checkpoint_age_ms: now_ms.saturating_sub(self.meters.signed_ms.load(Ordering::Relaxed)),
            batch_entries: self.meters.batch_entries.read(),
            commit_us: self.meters.commit_us.read(),
        }
    }
}

impl Log {
    /// What the log has to say about itself now.
    pub fn stats(&self) -> LogStats {
        self.shared.stats()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_in_the_first_bucket_that_holds_it() {
        let counting = Counting::new(&[1, 10]);
        for value in [0, 1, 2, 10, 11, 1000] {
            counting.add(value);
        }
        assert_eq!(counting.read(), Distribution { bounds: &[1, 10], counts: vec![2, 2, 2], sum: 1024 });
    }
}
