// SPDX-License-Identifier: Apache-2.0
//! Closed-loop load: a number of clients, each sending its next request when the last one was answered.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use touchmark_outbound::{Limits, Outbound, Reach};
use url::Url;

/// No load sends more requests than this, however long it may run.
const REQUESTS_MAX: usize = 2_000_000;

/// Where requests go and which status is a success.
pub(crate) struct Target {
    pub(crate) url: Url,
    pub(crate) good: u16,
    pub(crate) content_type: &'static str,
}

/// What a load saw.
pub(crate) struct Measured {
    latencies: Vec<Duration>,
    span: Duration,
    pub(crate) refused: usize,
}

impl Measured {
    pub(crate) fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.span.as_secs_f64()
    }

    /// `q` in 0..1. Latencies are sorted at construction.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index below the length")]
    pub(crate) fn quantile_ms(&self, q: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let position = (last as f64 * q).round() as usize;
        self.latencies.get(position).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    }
}

/// Runs `clients` closed loops for `span`.
pub(crate) async fn drive(
    target: &Target,
    clients: usize,
    span: Duration,
    make: impl Fn() -> Vec<u8>,
) -> Result<Measured> {
    let outbound = Outbound::new("touchmark-bench", Reach::Private, None);
    let stop = AtomicBool::new(false);
    let begun = Instant::now();
    let one = || async {
        let mut latencies = Vec::new();
        let mut refused = 0_usize;
        while !stop.load(Ordering::Relaxed) && begun.elapsed() < span && latencies.len() < REQUESTS_MAX / clients {
            let body = make();
            let sent = Instant::now();
            let headers = [("content-type", target.content_type)];
            match outbound.post(&target.url, &headers, body, &Limits::SERVICE).await {
                Ok(reply) if reply.status == target.good => latencies.push(sent.elapsed()),
                Ok(_) | Err(_) => refused += 1,
            }
        }
        (latencies, refused)
    };
    let results = futures_util::future::join_all((0..clients).map(|_| one())).await;
    let span = begun.elapsed();
    let refused = results.iter().map(|(_, refused)| refused).sum();
    let mut latencies: Vec<Duration> = results.into_iter().flat_map(|(latencies, _)| latencies).collect();
    ensure!(!latencies.is_empty(), "{}: not one request succeeded, {refused} were refused", target.url);
    latencies.sort();
    Ok(Measured { latencies, span, refused })
}
